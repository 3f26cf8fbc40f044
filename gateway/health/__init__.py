"""Is it up, is it fast. Facts about endpoints from real traffic, shared between processes once a second.

It must not know: prices, requests, credits, HTTP. It is told what happened (``observe``) and says how
things stand (``view``). Time and rng are passed in.
"""

"""Which endpoints may serve a request, in which order, and why not the others. Pure: no I/O, no own clock or rng.

It must not know: credits, HTTP, dialects, Redis. Filters drop and say why, policies rank; equal inputs give equal plans.
"""

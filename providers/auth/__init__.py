"""How a request proves who sends it: OAuth access tokens, request signatures, and credentials that a cloud provides.

It must not know: dialects, what a request asks for.
"""

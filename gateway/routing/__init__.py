"""Which endpoints may serve a request, in which order, and why the others may not. Pure: no I/O, no clock or rng of its own.

It must not know: credits, HTTP, dialects, Redis. Filters drop endpoints and give the reason, policies rank them; equal inputs give
equal plans.
"""

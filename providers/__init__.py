"""A library that speaks vendors' dialects over HTTP.

It must not know: gateways, callers, credits, Redis, catalogues, metrics. It imports nothing of ours.
"""

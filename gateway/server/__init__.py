"""The HTTP server side: connections, request bodies, responses, disconnects, and how many requests run at once.

It must not know: API surfaces and their formats. ``gateway.app`` hands it its routes.
"""

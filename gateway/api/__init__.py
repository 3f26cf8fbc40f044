"""The HTTP APIs. ``inference`` is plain ASGI, for speed; ``management`` is FastAPI.

They must not know: who builds the services (``app``), processes, the command line. A route parses the request, calls a
service and renders the result.
"""

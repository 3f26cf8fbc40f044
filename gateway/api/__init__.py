"""The doors. ``inference`` is plain ASGI on the request's way, ``management`` is FastAPI off it.

It must not know: who builds the services (``app``), processes, the command line. It parses, asks a room, and renders.
"""

"""The network: HTTP clients behind one seam, streams and their clocks, SSE, AWS event streams, multipart bodies.

It must not know: vendors, dialects, what a body means.
"""

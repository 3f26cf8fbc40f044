"""Access to Redis or Valkey: a supervised child, connections, function libraries, and the name of every key.

It must not know: credits, prices, HTTP, what any stored value means.
"""

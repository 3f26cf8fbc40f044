"""The inference APIs, one file or folder each: the API's format → inner request, inner answer → the API's format.

A surface must not know: prices, credit, endpoints, retries. All of them use the one pipeline.
"""

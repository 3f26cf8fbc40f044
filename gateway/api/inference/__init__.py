"""API surfaces as plain ASGI, one file each: wire shape in → inner request; inner answer → wire shape out.

A surface must not know: prices, credit, endpoints, retries. All of them walk down the one pipeline.
"""

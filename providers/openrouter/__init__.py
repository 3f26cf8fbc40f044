"""OpenRouter as a vendor.

It must not know: the gateway, other vendors' dialects unless it extends them.
"""

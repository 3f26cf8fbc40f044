"""Mistral's API.

It must not know: the gateway, other vendors' dialects unless it extends them.
"""

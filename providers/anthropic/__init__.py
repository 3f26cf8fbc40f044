"""Anthropic's Messages API as a vendor dialect.

It must not know: the gateway, other vendors' dialects unless it extends them.
"""

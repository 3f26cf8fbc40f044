"""Ollama's native API.

It must not know: the gateway, other vendors' dialects unless it extends them.
"""

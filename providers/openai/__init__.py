"""OpenAI's chat completions and further operations, used by OpenAI and most compatible vendors.

It must not know: the gateway, other vendors' dialects unless it extends them.
"""

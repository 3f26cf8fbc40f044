"""Google's Gemini API (AI Studio).

It must not know: the gateway, other vendors' dialects unless it extends them.
"""

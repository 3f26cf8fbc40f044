"""Google Cloud's Vertex AI: Gemini and Claude.

It must not know: the gateway, other vendors' dialects unless it extends them.
"""

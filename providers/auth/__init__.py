"""How requests prove who sends them: OAuth access tokens and request signatures.

It must not know: dialects, what a request asks for.
"""

"""Anthropic's Messages API: translated to and from the inner language, or passed through to vendors that speak it.

It must not know: vendors, the formats of the other surfaces.
"""

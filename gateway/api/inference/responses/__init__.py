"""OpenAI's Responses API, stateless: translated to and from the inner language, or passed through to vendors that have it too.

It must not know: vendors, the formats of the other surfaces.
"""

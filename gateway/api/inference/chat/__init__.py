"""OpenAI's chat completions with OpenRouter's additions, and the legacy text completions.

It must not know: vendors, the formats of the other surfaces.
"""

"""What several dialects share about conversations: pieces of messages, tools and reasoning effort in the inner language.

It must not know: any single vendor.
"""

"""Pictures, audio, video and files in a request: where they are, what they are, and fetching those given by URL.

It must not know: vendors, dialects.
"""

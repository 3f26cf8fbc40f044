"""Usage analytics: one event for each generation, counted into series that the API and the pages read.

Metadata only: neither prompts nor answers come here. Counting happens after the response, in the background, and may lose events
when Redis is away; the ledger, not these counters, is what bills are made of. It must not know: HTTP, how a request is routed.
"""

"""The management API's requests and responses as pydantic models: they validate requests and document responses.

It must not know: services, routes. Responses are encoded by msgspec from the views, so that money keeps its
exact text; tests validate them against these models and against the official SDK's.
"""

"""The wire shapes of the management API as pydantic models: they check what comes in and document what goes out.

It must not know: services, routes. Answers are rendered by msgspec from the views, so that money keeps its
exact text; tests hold the rendered answers against these models and against the official SDK's.
"""

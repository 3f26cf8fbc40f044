"""Public pages: HTML made on the server, that reads without JavaScript and loads nothing from elsewhere.

It must not know: inference requests, credits, keys, Redis, the JSON API beside it. It reads the catalogue and the health of
endpoints through ``services`` and draws them.
"""

from __future__ import annotations

from fastapi import FastAPI

from gateway.web import pages


def mount(app: FastAPI) -> None:
    """Register the pages and their files. Needs ``app.state.services`` at run time."""
    app.include_router(pages.router())

"""The lists that anybody may ask for, and what decides on each: the table of ``server/ready_answers.py``."""

from __future__ import annotations

from gateway.api.management.listing import UNSUPPORTED_FILTERS
from gateway.api.management.public_views import LISTS_KEPT_S
from gateway.catalog.selection import Filter, Listing
from gateway.server.ready_answers import HEALTH, PublicList

METRICS_KEPT_S, DOCUMENT_KEPT_S, READINESS_KEPT_S = 1.0, 60.0, 0.1
"""Readiness is a write in the store each time, and the store may be gone the next moment."""
ANTHROPIC_VERSION = b"anthropic-version"
_FILTERS = UNSUPPORTED_FILTERS | frozenset(Filter.model_fields)
_LISTING = UNSUPPORTED_FILTERS | frozenset(Listing.model_fields)
_CATALOGUE = PublicList(LISTS_KEPT_S)
_FEED = "use_rss"

PUBLIC_LISTS = {
    "/api/v1/models": PublicList(
        LISTS_KEPT_S,
        _LISTING | {_FEED, "client_version", "after_id", "before_id"},
        by_host=frozenset({_FEED}),
        header=ANTHROPIC_VERSION,
    ),
    "/api/v1/models/count": PublicList(LISTS_KEPT_S, _FILTERS),
    "/api/v1/embeddings/models": PublicList(LISTS_KEPT_S, _LISTING),
    "/api/v1/images/models": PublicList(LISTS_KEPT_S, keyless=True),
    "/api/v1/images/models/": PublicList(LISTS_KEPT_S, keyless=True),
    # what a model's use looked like has parameters, limits and a cache of its own
    "/api/v1/models/": PublicList(LISTS_KEPT_S, header=ANTHROPIC_VERSION, but="/stats"),
    "/api/v1/model/": _CATALOGUE,
    "/api/v1/endpoints/zdr": _CATALOGUE,
    "/api/v1/providers": _CATALOGUE,
    "/metrics": PublicList(METRICS_KEPT_S, keyless=True, pace="metrics"),
    "/openapi.json": PublicList(DOCUMENT_KEPT_S, keyless=True),
    "/docs": PublicList(DOCUMENT_KEPT_S, keyless=True),
    "/docs/oauth2-redirect": PublicList(DOCUMENT_KEPT_S, keyless=True),
    # a supervisor gives up after a second, and restarts a process that has only been asked for documents
    "/healthz": PublicList(METRICS_KEPT_S, keyless=True, pace=HEALTH),
    "/readyz": PublicList(READINESS_KEPT_S, keyless=True, pace=HEALTH),
}

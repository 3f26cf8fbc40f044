"""The target of an endpoint's requests is cached per catalogue row."""

from __future__ import annotations

from dataclasses import replace

from gateway.catalog.model import Endpoint, Provider
from gateway.pipeline.upstream_request import target

PROVIDER = Provider(
    slug="acme",
    name="Acme",
    dialect="openai",
    base_url="https://acme.example/v1",
    api_key="one",
    cancel_stops_billing=True,
)
ENDPOINT = Endpoint(
    id="acme/fast@a/fast", model="a/fast", provider=PROVIDER, upstream_id="fast", context_length=8000, prices=()
)


def test_a_changed_row_has_a_target_of_its_own() -> None:
    """The same row gives the same target; a copy with another key or name goes elsewhere."""
    before = target(ENDPOINT)
    assert target(ENDPOINT) is before
    rekeyed = replace(ENDPOINT, provider=replace(PROVIDER, api_key="two"))
    assert (target(rekeyed).api_key, target(ENDPOINT).api_key) == ("two", "one")
    assert target(replace(ENDPOINT, upstream_id="slow")).upstream_id == "slow"

"""What is sent to a vendor: the target is cached per catalogue row, and a caller's options change neither money nor identity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.catalog.model import Endpoint, Provider
from gateway.pipeline.upstream_request import OWNED, adapted, target
from providers import registry
from providers.types import NativeRequest

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


@pytest.mark.parametrize(
    "name", ["background", "previous_response_id", "conversation", "prompt", "store", "n", "model"]
)
@pytest.mark.parametrize("passed_through", [False, True], ids=["translated", "passed through"])
def test_options_cannot_set_what_decides_about_money_and_state(name: str, passed_through: bool) -> None:
    """A stored or background response would be billed without usage, and another caller's could be continued."""
    assert name in OWNED
    dialect = registry.dialect("responses", "chat")
    native = NativeRequest("responses", {"input": "x"}) if passed_through else None
    call = adapted({"messages": []}, ENDPOINT, dialect, {"acme": {name: "x", "seed": 1}}, native)
    assert call.body == {"messages": [], "seed": 1}
    assert call.native is None or call.native.body == {"input": "x", "seed": 1}

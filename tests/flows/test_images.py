"""``POST /images`` and OpenAI's two paths over real sockets: pictures, events, forms, the bill."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from openai.types import ImageGenCompletedEvent, ImagesResponse
from openrouter.components import ImageGenCompletedEvent as RouterCompletedEvent
from openrouter.components import ImageGenerationResponse

from tests.support.gateway import events
from tests.support.invariants import calm, our_tasks
from tests.support.operations import billed, opened, post, sale, settled
from tests.support.wireshape import refused

MODEL = "t/painter"
PNG = b"\x89PNG\r\n\x1a\n"


async def test_pictures_are_base64_and_cost_their_number(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pictures at four cents each; both SDKs read the body; the bytes are a PNG."""
    stage = await opened(
        gateway,
        monkeypatch,
        sale(MODEL, "alpha", "image", prompt="0", completion="0"),
        units={"ok": {"usd_per_image_output": "0.04"}},
    )
    before = our_tasks()
    caller = await stage.caller()
    response = await post(caller, "/images", model=MODEL, prompt="a lighthouse", n=2, aspect_ratio="16:9")
    body = response.json()
    assert response.status_code == 200, body
    ImagesResponse.model_validate(body)
    ImageGenerationResponse.model_validate(body)
    assert len(body["data"]) == 2
    for picture in body["data"]:
        assert base64.b64decode(picture["b64_json"]).startswith(PNG)
        assert picture["media_type"] == "image/png"
    assert await settled(caller) == billed("0.08")
    assert round(body["usage"]["cost"] * 1e9) == billed("0.08")[1]
    record = await caller.record(response.headers["x-generation-id"])
    assert (record.api_type, record.units) == ("image", {"image_output": 2})
    await calm(stage, before)


async def test_tokens_of_pictures_have_a_price_of_their_own(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """gpt-image style: 3 text tokens at $5 and 64 picture tokens at $40 a million."""
    stage = await opened(gateway, monkeypatch, sale(MODEL, "alpha", "image", prompt="5", completion="40"))
    caller = await stage.caller()
    body = (await post(caller, "/images/generations", model=MODEL, prompt="a lighthouse")).json()
    assert body["usage"]["input_tokens_details"] == {"text_tokens": 3, "image_tokens": 0}
    assert body["usage"]["output_tokens_details"] == {"text_tokens": 0, "image_tokens": 64}
    assert await settled(caller) == billed("0.002575")


async def test_events_end_with_the_cost(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """stream: true gives one completed event a picture, readable by both SDKs; usage comes once, on the last."""
    stage = await opened(gateway, monkeypatch, sale(MODEL, "alpha", "image"))
    caller = await stage.caller()
    response = await post(caller, "/images", model=MODEL, prompt="a boat", n=2, stream=True)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    *found, done = events(response.text)
    assert done == "[DONE]"
    assert [one["type"] for one in found] == ["image_generation.completed"] * 2
    for one in found:
        RouterCompletedEvent.model_validate(one)
        assert base64.b64decode(one["b64_json"]).startswith(PNG)
    ImageGenCompletedEvent.model_validate(found[-1])
    assert ["usage" in one for one in found] == [False, True]
    assert round(found[-1]["usage"]["cost"] * 1e9) == (await settled(caller))[1]


async def test_a_form_with_files_is_an_edit_at_the_vendor(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's multipart edit arrives at the vendor as a form with the same picture: its tokens are counted and billed."""
    stage = await opened(
        gateway,
        monkeypatch,
        sale(MODEL, "alpha", "image", prompt="5", completion="40", input_modalities=["text", "image"]),
    )
    caller = await stage.caller()
    response = await caller.gateway.client.post(
        "/api/v1/images/edits",
        data={"model": MODEL, "prompt": "make it blue", "n": "1", "provider": '{"only": ["alpha"]}'},
        files={"image": ("cat.png", PNG + b"rest", "image/png")},
        headers=caller.headers,
    )
    assert response.status_code == 200, response.text
    assert response.json()["usage"]["input_tokens_details"] == {"text_tokens": 3, "image_tokens": 64}
    assert await settled(caller) == billed("0.002895")


async def test_failover_and_refusals_are_those_of_every_surface(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken vendor is skipped; a vendor's 400 keeps its words; streams refuse with a status, not with an event."""
    stage = await opened(
        gateway, monkeypatch, sale(MODEL, "alpha", "image", "status=500"), sale(MODEL, "beta", "image")
    )
    caller = await stage.caller()
    order = {"order": ["alpha", "beta"]}
    assert (await post(caller, "/images", model=MODEL, prompt="x", provider=order)).json()["provider"] == "Beta"
    only = {"only": ["alpha"]}
    response = await post(caller, "/images", model=MODEL, prompt="x", provider=only, stream=True)
    refused(response, 502, "provider_unavailable")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": "x", "n": 11}, "n"),
        ({"prompt": "x", "size": "big"}, "size"),
        ({"prompt": "x", "size": "512x512", "aspect_ratio": "1:2"}, "aspect_ratio"),
        ({"prompt": "x", "response_format": "url"}, "response_format"),
        ({"prompt": "x", "input_references": [{"type": "text", "text": "x"}]}, None),
        ({"prompt": "x", "output_compression": 101}, "output_compression"),
    ],
)
async def test_what_is_wrong_is_refused_by_name(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], field: str | None
) -> None:
    """A field of a wrong type or range is a 400 that names it."""
    stage = await opened(gateway, monkeypatch, sale(MODEL, "alpha", "image"))
    response = await post(await stage.caller(), "/images", model=MODEL, **body)
    refused(response, 400, "invalid_request", field)
    assert msgspec.json.decode(response.content)["error"]["message"]

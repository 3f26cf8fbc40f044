"""Sound and documents in a chat: neither the context nor the credit is used up by their bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support import wireshape
from tests.support.gateway import Sale
from tests.support.invariants import calm
from tests.support.operations import wav
from tests.unit.test_media_tokens import NOISE, file, pdf, sound, stream, tree

GatewayFactory = Callable[..., Any]
TAKES = {"input_modalities": ["text", "image", "audio", "file"], "context_length": 128_000}
PDF_5_MB = pdf(tree(12), stream(NOISE, b"/Subtype/Image"))


@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
@pytest.mark.parametrize(
    ("part", "usd"),
    [(sound(wav(90, 44_100), "wav"), "1"), (sound(wav(10, 24_000), "wav"), "1"), (file(PDF_5_MB), "1")],
    ids=["90 s of sound", "10 s of sound", "5 MB of PDF"],
)
async def test_media_pass(gateway: GatewayFactory, part: dict[str, Any], usd: str, stream: bool) -> None:
    """At $2.50 and $10 a million tokens, with a dollar of credit and 128,000 tokens of context, as a vendor would take them."""
    sale = Sale("t/a", "alpha", "ok+tokens=5", prompt="2.5", completion="10", more=TAKES)
    stage = await gateway(sale, max_body_bytes=20_000_000)
    caller = await stage.caller(usd)
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    if stream:
        response, found = await caller.stream("t/a", messages=messages)
        wireshape.stream(response, found)
    else:
        wireshape.answer(await caller.chat("t/a", messages=messages))
    await calm(stage)


async def test_a_small_context_refuses_by_pages(gateway: GatewayFactory) -> None:
    """A document of more pages than fit at any vendor's rate is refused before anything is sent, a smaller one is not."""
    sale = Sale("t/a", "alpha", "ok+tokens=5", more={**TAKES, "context_length": 8_000})
    stage = await gateway(sale)
    caller = await stage.caller()
    for pages, status in ((29, 200), (40, 400)):
        messages = [{"role": "user", "content": [file(pdf(tree(pages)))]}]
        response = await caller.chat("t/a", messages=messages)
        assert response.status_code == status
    wireshape.refused(response, 400, "context_length_exceeded")
    await calm(stage)

"""The simulated vendor beside chat: answers that the official SDK reads, deterministic, with the faults of chat."""

from __future__ import annotations

import base64
import io
import struct
import wave
import zlib
from array import array
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from simulator import SimulatedVendor
from tests.support.operations import wav
from tests.support.vendor import vendor

PATHS = {
    "/embeddings": {"input": "x"},
    "/rerank": {"query": "q", "documents": ["a", "b"]},
    "/images/generations": {"prompt": "p"},
    "/audio/speech": {"input": "hi", "response_format": "wav"},
}


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedVendor]:
    """One vendor."""
    async with vendor("sim") as one:
        yield one


def sdk(sim: SimulatedVendor) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=sim.base_url, api_key="k", max_retries=0)


async def test_the_official_sdk_reads_every_answer(sim: SimulatedVendor) -> None:
    """Embeddings in both encodings, pictures, edits, speech, transcripts: by base URL alone."""
    async with sdk(sim) as client:
        packed = await client.embeddings.create(model="tokens=5", input=["a", "b"])
        plain = await client.embeddings.create(model="tokens=5", input=["a", "b"], encoding_format="float")
        assert [row.embedding for row in packed.data] == [row.embedding for row in plain.data]
        assert abs(sum(x * x for x in plain.data[0].embedding) - 1) < 1e-6
        assert len((await client.embeddings.create(model="ok", input="a", dimensions=3)).data[0].embedding) == 3
        drawn = await client.images.generate(model="ok", prompt="a cat", n=2)
        assert drawn.data is not None
        assert len(drawn.data) == 2
        raw = base64.b64decode(drawn.data[0].b64_json or "")
        assert raw[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">I", raw[29:33])[0] == zlib.crc32(raw[12:29])
        edited = await client.images.edit(model="ok", prompt="blue", image=("a.png", raw))
        assert edited.usage is not None
        assert edited.usage.input_tokens_details.image_tokens == 64
        speech = await client.audio.speech.create(model="ok", input="hello", voice="alloy", response_format="wav")
        with wave.open(io.BytesIO(speech.content)) as audio:
            assert audio.getnframes() == 2_400
            assert set(array("h", audio.readframes(600))) != {0}
        transcription = await client.audio.transcriptions.create(
            model="tokens=2", file=("a.wav", wav(2)), response_format="verbose_json", timestamp_granularities=["word"]
        )
        assert (transcription.text, transcription.duration) == ("000 001", 2)
        assert transcription.words is not None
        assert [word.word for word in transcription.words] == ["000", "001"]


async def test_rerank_is_by_common_words(sim: SimulatedVendor) -> None:
    """Best first, cut to top_n, with usage by tokens and search units."""
    async with httpx.AsyncClient(base_url=sim.base_url) as client:
        body = {"model": "ok", "query": "red fox", "documents": ["a fox", "red red fox", "x"], "top_n": 2}
        answer = (await client.post("/rerank", json=body)).json()
    assert [row["index"] for row in answer["results"]] == [1, 0]
    assert answer["usage"]["search_units"] == 1


@pytest.mark.parametrize("path", list(PATHS))
async def test_faults_of_chat_are_faults_here(sim: SimulatedVendor, path: str) -> None:
    """Status, error in a 200, wrong type, empty body, cut body, hang-up; the ledger knows how each ended."""
    async with httpx.AsyncClient(base_url=sim.base_url) as client:

        async def ask(model: str) -> httpx.Response:
            return await client.post(path, json={"model": model, **PATHS[path]})

        assert (await ask("status=429+retry_after=7")).headers["retry-after"] == "7"
        assert "error" in (await ask("error200")).json()
        assert (await ask("wrongtype")).headers["content-type"].startswith("text/html")
        assert (await ask("emptybody")).content == b""
        assert (await ask("garbage@0+mutation=2")).content == b"null"
        for model in ("cut@1", "hangup", "rst"):
            with pytest.raises(httpx.HTTPError):
                await ask(model)
        with pytest.raises(httpx.ReadTimeout):
            await client.post(path, json={"model": "stall@1", **PATHS[path]}, timeout=0.2)
        whole = await ask("split=100")
        assert whole.status_code == 200
        assert (await ask("roleonly")).status_code == 400
        assert (await ask("nonsense")).status_code == 404
        assert (await client.post(path, content=b"{")).status_code == 400
    endings = [entry.ending for entry in sim.log.requests]
    assert endings.count("failed") == 3  # empty, garbage, cut; what was reset or refused was never worked on
    assert endings.count("client_closed") == 1
    assert endings.count("finished") == 1


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("none", None), ("zero", 0), ("negative", -1), ("absurd", 1_000_000_000), ("text", "1"), ("normal", 1)],
)
async def test_usage_is_bent_as_for_chat(sim: SimulatedVendor, kind: str, wanted: Any) -> None:
    """usage=KIND changes the report, not the answer."""
    async with httpx.AsyncClient(base_url=sim.base_url) as client:
        body = (await client.post("/embeddings", json={"model": f"usage={kind}", "input": "abcd"})).json()
    assert body.get("usage", {}).get("prompt_tokens") == wanted
    assert body["data"]


async def test_a_key_is_demanded_where_there_is_one() -> None:
    """401 without it, as for chat; the request is in the ledger as refused."""
    sim = await SimulatedVendor("locked", key="secret").start()
    try:
        async with httpx.AsyncClient(base_url=sim.base_url) as client:
            body = {"model": "ok", "input": "x"}
            assert (await client.post("/embeddings", json=body)).status_code == 401
            headers = {"authorization": "Bearer secret"}
            assert (await client.post("/embeddings", json=body, headers=headers)).status_code == 200
        assert [entry.ending for entry in sim.log.requests] == ["refused", "finished"]
    finally:
        await sim.stop()

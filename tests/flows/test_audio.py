"""``POST /audio/speech`` and ``POST /audio/transcriptions`` over real sockets: bytes, forms, the bill."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai.types.audio import TranscriptionVerbose
from openrouter.components import STTResponse

from tests.support.gateway import Caller, Stage
from tests.support.invariants import calm, our_tasks
from tests.support.operations import billed, opened, post, sale, settled, wav
from tests.support.wireshape import refused

SPEAKER, LISTENER = "t/speaker", "t/listener"


async def speakers(gateway: Callable[..., Any], patch: pytest.MonkeyPatch, *ids: str) -> Stage:
    """Vendors of speech at $15 a million characters."""
    sales = [
        sale(SPEAKER, name, "speech", one, prompt="0", completion="0")
        for name, one in zip(("alpha", "beta"), ids, strict=False)
    ]
    return await opened(gateway, patch, *sales, units={one: {"usd_per_mchar": "15"} for one in ids})


async def listeners(gateway: Callable[..., Any], patch: pytest.MonkeyPatch, *ids: str, **more: Any) -> Stage:
    """Vendors of transcription at $0.006 a minute."""
    sales = [
        sale(LISTENER, name, "transcription", one, prompt="0", completion="0", **more)
        for name, one in zip(("alpha", "beta"), ids, strict=False)
    ]
    return await opened(gateway, patch, *sales, units={one: {"usd_per_minute": "0.006"} for one in ids})


async def upload(caller: Caller, recording: bytes, name: str = "a.wav", **fields: Any) -> httpx.Response:
    """One form with a file."""
    return await caller.gateway.client.post(
        "/api/v1/audio/transcriptions", data=fields, files={"file": (name, recording)}, headers=caller.headers
    )


async def test_speech_is_bytes_and_costs_its_characters(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor's WAV passes as it is; 11 characters are billed, not 13 bytes; the id is in the header."""
    stage = await speakers(gateway, monkeypatch, "ok")
    before = our_tasks()
    caller = await stage.caller()
    response = await post(caller, "/audio/speech", model=SPEAKER, input="héllo wörld", voice="a", response_format="wav")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(response.content)) as audio:
        assert audio.getnframes() * 1000 // audio.getframerate() == 220
    assert await settled(caller) == billed("0.000165")
    record = await caller.record(response.headers["x-generation-id"])
    assert (record.api_type, record.units) == ("tts", {"character": 11})
    await calm(stage, before)


async def test_speech_is_pcm_by_default(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract's default; mp3 on request, and turns of one voice are one text."""
    stage = await speakers(gateway, monkeypatch, "ok")
    caller = await stage.caller()
    assert (await post(caller, "/audio/speech", model=SPEAKER, input="hi")).headers["content-type"] == "audio/pcm"
    turns = [{"text": "one", "voice": "a"}, {"text": "two"}]
    response = await post(caller, "/audio/speech", model=SPEAKER, input=turns, response_format="mp3")
    assert response.headers["content-type"] == "audio/mpeg"
    assert response.content[:2] == b"\xff\xfb"


async def test_a_document_in_place_of_audio_is_a_failure_of_the_vendor(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON errors with status 200, HTML, and empty bodies lead to the next endpoint; alone they are a 502."""
    for fault in ("error200", "wrongtype", "emptybody", "cut@1"):
        stage = await speakers(gateway, monkeypatch, fault, "ok")
        caller = await stage.caller()
        response = await post(caller, "/audio/speech", model=SPEAKER, input="hi", provider={"order": ["alpha", "beta"]})
        assert response.status_code == 200, (fault, response.text)
        assert [one.provider for one in await caller.lines() if one.type == "settled"] == ["beta"]


async def test_speech_refuses_by_name(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown formats, speeds, voices and audio as events."""
    stage = await speakers(gateway, monkeypatch, "ok")
    caller = await stage.caller()
    for body, field in (
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": "x", "response_format": "midi"}, "response_format"),
        ({"input": "x", "speed": 9}, "speed"),
        ({"input": "x", "stream_format": "sse"}, "stream_format"),
        ({"input": [{"voice": "a"}]}, "input[0]"),
    ):
        refused(await post(caller, "/audio/speech", model=SPEAKER, **body), 400, "invalid_request", field)
    two = [{"text": "a", "voice": "x"}, {"text": "b", "voice": "y"}]
    error = refused(await post(caller, "/audio/speech", model=SPEAKER, input=two), 400, "invalid_request")
    assert "one voice" in error["message"]


async def test_a_form_is_transcribed_and_costs_its_seconds(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ninety seconds at $0.006 a minute, as the vendor says; the default answer is text and usage."""
    stage = await listeners(gateway, monkeypatch, "tokens=3")
    before = our_tasks()
    caller = await stage.caller()
    response = await upload(caller, wav(90), model=LISTENER, language="en")
    body = response.json()
    assert response.status_code == 200, body
    STTResponse.model_validate(body)
    assert body["text"] == "000 001 002"
    assert "segments" not in body
    assert body["usage"]["seconds"] == 90
    assert await settled(caller) == billed("0.009")
    assert round(body["usage"]["cost"] * 1e9) == billed("0.009")[1]
    assert (await caller.record(body["id"])).units == {"audio_ms": 90_000}
    await calm(stage, before)


async def test_json_and_form_give_the_same(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Base64 in JSON and a file in a form give the same verbose answer: segments, words, duration."""
    stage = await listeners(gateway, monkeypatch, "tokens=2")
    caller = await stage.caller()
    fields = {"model": LISTENER, "response_format": "verbose_json"}
    form = (await upload(caller, wav(2), **fields, **{"timestamp_granularities[]": ["word", "segment"]})).json()
    audio = {"data": base64.b64encode(wav(2)).decode(), "format": "wav"}
    plain = (
        await post(
            caller,
            "/audio/transcriptions",
            **fields,
            input_audio=audio,
            timestamp_granularities=["word", "segment"],
        )
    ).json()
    TranscriptionVerbose.model_validate(form)
    STTResponse.model_validate(form)
    assert form["duration"] == 2
    assert [one["word"] for one in form["words"]] == ["000", "001"]
    assert {name: value for name, value in form.items() if name != "id"} == {
        name: value for name, value in plain.items() if name != "id"
    }


@pytest.mark.parametrize("verbose", [True, False])
async def test_a_silent_vendor_is_billed_by_the_header_of_the_file(
    gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, verbose: bool
) -> None:
    """Without usage our reading of the WAV is billed; a vendor asked for verbose_json tells its duration, and the caller's
    short answer stays short."""
    stage = await listeners(gateway, monkeypatch, "nousage", options={"transcription_verbose": verbose})
    caller = await stage.caller()
    body = (await upload(caller, wav(30), model=LISTENER)).json()
    assert body.keys() == {"text", "id", "model", "provider", "usage"}
    assert await settled(caller) == billed("0.003")
    source = (await caller.record(body["id"])).usage_source
    assert source == ("reported" if verbose else "estimated")


async def test_plain_text_is_plain(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """response_format text answers with the text alone."""
    stage = await listeners(gateway, monkeypatch, "tokens=2")
    response = await upload(await stage.caller(), wav(1), model=LISTENER, response_format="text")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "000 001"


async def test_transcription_refuses_by_name(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses, unknown formats, what is not base64, a form without a file, a broken form."""
    stage = await listeners(gateway, monkeypatch, "ok")
    caller = await stage.caller()
    good = {"data": base64.b64encode(wav(1)).decode(), "format": "wav"}
    for body, field in (
        ({}, "input_audio"),
        ({"input_audio": {"url": "https://example.test/a.mp3"}}, "input_audio.url"),
        ({"source_url": "http://169.254.169.254/"}, "source_url"),
        ({"input_audio": {**good, "format": "exe"}}, "input_audio.format"),
        ({"input_audio": {**good, "data": "%%%"}}, "input_audio.data"),
        ({"input_audio": good, "response_format": "srt"}, "response_format"),
        ({"input_audio": good, "stream": True}, "stream"),
        ({"input_audio": good, "timestamp_granularities": ["word"]}, "timestamp_granularities"),
    ):
        response = await post(caller, "/audio/transcriptions", model=LISTENER, **body)
        refused(response, 400, "invalid_request", field)
    refused(await upload(caller, b"x", "notes.txt", model=LISTENER), 400, "invalid_request", "file")
    refused(await upload(caller, wav(1), model=LISTENER, temperature="nan"), 400, "invalid_request", "temperature")
    headers = {**caller.headers, "content-type": "multipart/form-data; boundary=x"}
    response = await caller.gateway.client.post("/api/v1/audio/transcriptions", content=b"--x--", headers=headers)
    refused(response, 400, "invalid_request")
    error = refused(
        await post(caller, "/audio/transcriptions", model=LISTENER, input_audio=good, keyterms=["x"]),
        400,
        "invalid_request",
    )
    assert "keyterms" in error["message"]
    assert await caller.lines() == []

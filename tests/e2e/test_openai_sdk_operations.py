"""The official SDKs of OpenAI and OpenRouter against the gateway, by base URL alone: everything that is not chat."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest
from openrouter import OpenRouter, errors
from openrouter.utils.retries import BackoffStrategy, RetryConfig

from tests.support.gateway import Caller, Stage
from tests.support.invariants import calm
from tests.support.operations import opened, sale, settled, wav

PNG = b"\x89PNG\r\n\x1a\n"
ONCE = RetryConfig("none", BackoffStrategy(1, 1, 1.0, 1), retry_connection_errors=False)
pytestmark = pytest.mark.filterwarnings("ignore:warning. .. DEPRECATED:DeprecationWarning")
SALES = (
    sale("acme/embed", "alpha", "embeddings", "tokens=6", prompt="0.02", completion="0"),
    sale("acme/rank", "alpha", "rerank", prompt="0.02", completion="0"),
    sale("acme/draw", "alpha", "image", input_modalities=["text", "image"]),
    sale("acme/speak", "alpha", "speech"),
    sale("acme/listen", "alpha", "transcription", "tokens=3"),
    sale("broken/embed", "alpha", "embeddings", "status=500"),
)


@pytest.fixture
async def stage(gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Stage:
    return await opened(gateway, monkeypatch, *SALES, health_share_interval_s=3600)


@pytest.fixture
async def caller(stage: Stage) -> Caller:
    return await stage.caller()


@pytest.fixture
async def client(caller: Caller) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=caller.secret, base_url=caller.gateway.url + "/v1", max_retries=0) as made:
        yield made


@pytest.fixture
async def router(caller: Caller) -> AsyncIterator[OpenRouter]:
    async with OpenRouter(api_key=caller.secret, server_url=caller.gateway.url + "/api/v1", retry_config=ONCE) as made:
        yield made


async def test_openai_embeddings(stage: Stage, caller: Caller, client: openai.AsyncOpenAI) -> None:
    """The SDK asks for base64 by itself and decodes it; asked for floats it gets the same numbers."""
    packed = await client.embeddings.create(model="acme/embed", input=["one", "two"])
    assert [len(row.embedding) for row in packed.data] == [6, 6]
    plain = await client.embeddings.create(model="acme/embed", input=["one", "two"], encoding_format="float")
    assert [row.embedding for row in plain.data] == [row.embedding for row in packed.data]
    assert packed.usage.total_tokens == 2
    tokens = await client.embeddings.create(model="acme/embed", input=[[1, 2, 3]], dimensions=2)
    assert len(tokens.data[0].embedding) == 2
    await calm(stage)


async def test_openai_images(caller: Caller, client: openai.AsyncOpenAI) -> None:
    """Whole, as events, and as an edit with a file."""
    drawn = await client.images.generate(model="acme/draw", prompt="a cat", n=2, size="1024x1024", quality="high")
    assert drawn.data is not None
    assert [base64.b64decode(one.b64_json or "")[:8] for one in drawn.data] == [PNG, PNG]
    assert drawn.usage is not None
    assert drawn.usage.output_tokens == 128
    stream = await client.images.generate(model="acme/draw", prompt="a cat", stream=True)
    found = [event async for event in stream]
    assert [event.type for event in found] == ["image_generation.completed"]
    assert base64.b64decode(found[0].b64_json)[:8] == PNG
    edited = await client.images.edit(
        model="acme/draw", prompt="blue", image=[("a.png", PNG, "image/png"), ("b.png", PNG, "image/png")], n=1
    )
    assert edited.usage is not None
    assert edited.usage.input_tokens_details.image_tokens == 128


async def test_openai_speech(caller: Caller, client: openai.AsyncOpenAI) -> None:
    """Bytes whole and streamed to the caller."""
    speech = await client.audio.speech.create(model="acme/speak", voice="alloy", input="hello", response_format="wav")
    with wave.open(io.BytesIO(speech.content)) as audio:
        assert audio.getnframes() == 2_400
    request = {"model": "acme/speak", "voice": "alloy", "input": "hello", "response_format": "wav"}
    async with client.audio.speech.with_streaming_response.create(**request) as response:  # type: ignore[arg-type]
        assert response.headers["x-generation-id"].startswith("gen-")
        assert b"".join([piece async for piece in response.iter_bytes()]) == speech.content


async def test_openai_transcriptions(caller: Caller, client: openai.AsyncOpenAI) -> None:
    """The SDK's form: short, verbose with words, and plain text."""
    file = ("speech.wav", wav(2))
    short = await client.audio.transcriptions.create(model="acme/listen", file=file)
    assert short.text == "000 001 002"
    assert short.usage is not None
    assert short.usage.type == "duration"
    long = await client.audio.transcriptions.create(
        model="acme/listen",
        file=file,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        temperature=0.2,
        language="en",
    )
    assert (long.duration, long.language) == (2, "en")
    assert long.words is not None
    assert len(long.words) == 3
    assert (
        await client.audio.transcriptions.create(model="acme/listen", file=file, response_format="text")
        == "000 001 002"
    )


async def test_openai_errors_are_its_own(caller: Caller, client: openai.AsyncOpenAI) -> None:
    """400, 404 and 5xx raise the SDK's exceptions with our words."""
    with pytest.raises(openai.BadRequestError, match="input"):
        await client.embeddings.create(model="acme/embed", input="")
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="acme/rank", input="x")
    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model="broken/embed", input="x")
    with pytest.raises(openai.BadRequestError, match="file"):
        await client.audio.transcriptions.create(model="acme/listen", file=("notes.txt", b"x"))


async def test_openrouter_embeddings_and_rerank(caller: Caller, router: OpenRouter) -> None:
    """Its models validate every field; the cost it reads is what the ledger charged."""
    found = await router.embeddings.generate_async(model="acme/embed", input=["a" * 4_000])
    assert not isinstance(found, str)
    assert found.usage is not None
    assert found.usage.cost is not None
    assert isinstance(found.data[0].embedding, list)
    assert round(found.usage.cost * 1e9) == (await settled(caller))[1] == 21_000
    ranked = await router.rerank.rerank_async(
        model="acme/rank", query="red", documents=["blue", {"text": "red"}], top_n=1
    )
    assert not isinstance(ranked, str)
    assert [(one.index, one.document.text) for one in ranked.results] == [(1, "red")]
    assert ranked.usage is not None
    assert ranked.usage.search_units == 1


async def test_openrouter_images(caller: Caller, router: OpenRouter) -> None:
    """Whole and as events, with the cost."""
    drawn: Any = await router.images.generate_async(
        model="acme/draw", prompt="a cat", aspect_ratio="16:9", stream=False
    )
    assert base64.b64decode(drawn.data[0].b64_json)[:8] == PNG
    assert drawn.usage.cost > 0
    stream: Any = await router.images.generate_async(model="acme/draw", prompt="a cat", stream=True)
    found = [event async for event in stream]
    assert [type(one).__name__ for one in found] == ["ImageGenCompletedEvent"]
    assert found[0].usage.cost > 0


async def test_openrouter_audio(caller: Caller, router: OpenRouter) -> None:
    """Speech as bytes; transcription as JSON and as a form."""
    speech: Any = await router.tts.create_speech_async(model="acme/speak", input="hello", response_format="mp3")
    assert speech.headers["content-type"] == "audio/mpeg"
    assert (await speech.aread())[:2] == b"\xff\xfb"
    audio: Any = {"data": base64.b64encode(wav(2)).decode(), "format": "wav"}
    transcription = await router.stt.create_transcription_async(
        model="acme/listen", input_audio=audio, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert transcription.text == "000 001 002"
    assert transcription.usage is not None
    assert transcription.usage.seconds == 2
    form = await router.stt.create_transcription_multipart_async(
        model="acme/listen",
        file={"file_name": "a.wav", "content": wav(2), "content_type": "audio/wav"},
        response_format="verbose_json",
        timestamp_granularities=["word"],
        temperature=0.5,
        provider='{"only": ["alpha"]}',
    )
    assert form.words is not None
    assert [word.word for word in form.words] == ["000", "001", "002"]


async def test_openrouter_errors_are_its_own(caller: Caller, router: OpenRouter) -> None:
    """Its typed exceptions need an integer code: ours has it on every path."""
    with pytest.raises(errors.BadRequestResponseError):
        await router.rerank.rerank_async(model="acme/rank", query="", documents=["a"])
    with pytest.raises(errors.NotFoundResponseError):
        await router.tts.create_speech_async(model="acme/rank", input="x")
    with pytest.raises(errors.BadGatewayResponseError):
        await router.embeddings.generate_async(model="broken/embed", input="x")

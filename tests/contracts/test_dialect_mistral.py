"""What is Mistral's own in its dialect: requests and bytes as the vendor's SDK types read them, ids, usage, embeddings, sound."""

from __future__ import annotations

import json
import re
from email.message import Message
from email.parser import BytesParser
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistralai.client.models import (
    ChatCompletionResponse,
    CompletionChunk,
    EmbeddingRequest,
    EmbeddingResponse,
    TranscriptionResponse,
)

from providers.errors import ProviderError
from providers.mistral.dialect import Mistral
from providers.mistral.embeddings import MistralEmbeddings
from providers.mistral.messages import call_id
from providers.mistral.transcription import MistralTranscription
from providers.transport.sse import SseParser
from providers.types import Target
from tests.support import dialectcases as cases
from tests.support.dialectoracles import mistral
from tests.support.examples import examples

MISTRAL = Mistral()
BESIDE = {"embeddings": MistralEmbeddings(), "transcription": MistralTranscription()}
STREAMS = cases.streams("mistral")
ANSWERS = cases.documents("mistral", "answers")
OPERATIONS = cases.documents("mistral", "operations")
TARGET = Target("mistral", "https://api.mistral.ai/v1", "mistral-medium-3-5", api_key="k-1", headers=(("x-team", "t"),))
USER = {"role": "user", "content": "hi"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "d", "parameters": PARAMETERS, "strict": True},
}


def sent(body: dict[str, Any], *, stream: bool = False, **options: Any) -> dict[str, Any]:
    """The body of a request: what the SDK's type makes of it is all of it, so that no field is unknown to the vendor."""
    body = {"model": "mistralai/mistral-medium", "messages": [USER], **body}
    before = json.dumps(body)
    target = msgspec.structs.replace(TARGET, options=options)
    found: dict[str, Any] = json.loads(MISTRAL.request(target, body, stream=stream).content)
    assert json.dumps(body) == before
    mistral(found)
    return found


def refusal(**body: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        MISTRAL.request(TARGET, {"messages": [USER], **body}, stream=False)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if not stream.fails])
def test_the_bytes_are_the_vendors(name: str) -> None:
    """Every event of a good stream is one that the vendor's SDK can read, its chunks of kinds that the SDK knows."""
    parser = SseParser()
    for _, data in parser.feed(STREAMS[name].raw):
        if data != b"[DONE]":
            read = CompletionChunk.model_validate_json(data)
            content = read.choices[0].delta.content
            assert (
                not [one for one in content if getattr(one, "is_unknown", False)] if isinstance(content, list) else True
            )


NAMES = (
    "choices", "message", "delta", "content", "type", "text", "thinking", "image_url", "url", "tool_calls", "function", "name",
    "id", "index", "finish_reason", "usage", "prompt_tokens", "num_cached_tokens", "prompt_token_details", "cached_tokens",
    "prompt_audio_seconds", "logprobs", "object", "raw_status_code", "error", "signature", "data", "embedding",
)  # fmt: skip


@examples(200)
@given(cases.junk(NAMES), st.sampled_from(["embeddings", "transcription"]))
def test_any_json_is_an_answer_of_an_operation_or_a_failure(document: Any, operation: str) -> None:
    """No JSON raises anything but a provider's failure."""
    cases.survives(BESIDE[operation].completion, msgspec.json.encode(document))


# -- answers and refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ANSWERS))
def test_the_answers_are_the_vendors(name: str) -> None:
    """Every whole answer is one that the vendor's SDK accepts."""
    ChatCompletionResponse.model_validate(ANSWERS[name]["body"])


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({"num_cached_tokens": 99}, (0, 5, None, True)),
        ({"num_cached_tokens": -1}, (5, 0, None, True)),
        ({"prompt_audio_seconds": {}}, (5, 0, None, False)),
        ({"prompt_audio_seconds": None}, (5, 0, None, False)),
        ({"prompt_audio_seconds": -3}, (5, 0, None, True)),
        ({"prompt_audio_seconds": 2}, (5, 0, {"audio_ms": 2000}, False)),
        ({"num_cached_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}, (3, 2, None, False)),
    ],
)
def test_absurd_usage_is_marked(more: dict[str, Any], counts: tuple[Any, ...]) -> None:
    """What was cached is counted once, wherever it stands; nonsense counts 0 and is marked; sound is counted in time."""
    body = json.loads(json.dumps(ANSWERS["text"]["body"]))
    body["usage"] |= more
    usage = MISTRAL.completion(json.dumps(body).encode()).usage
    assert usage is not None
    assert (usage.prompt, usage.cache_read, usage.units, usage.suspect) == counts


# -- requests ----------------------------------------------------------------------------------------------------------


def test_only_known_fields_go_out() -> None:
    """URL, bearer, own headers; whatever the vendor would refuse as an extra stays here; ``stream_options`` too."""
    body = {
        "messages": [{**USER, "cache_control": {}}], "provider": {}, "user": "u", "logit_bias": {}, "store": True, "stream": True,
        "stream_options": {"include_usage": True}, "min_p": 0.1, "modalities": ["text"], "max_tool_calls": 3, "verbosity": "low",
    }  # fmt: skip
    request = MISTRAL.request(TARGET, body, stream=True)
    assert (request.method, request.url) == ("POST", "https://api.mistral.ai/v1/chat/completions")
    assert {("authorization", "Bearer k-1"), ("x-team", "t"), ("accept", "text/event-stream")} <= set(request.headers)
    assert json.loads(request.content) == {"model": "mistral-medium-3-5", "messages": [USER], "stream": True}
    assert "stream" not in sent({})


def test_fields_in_the_vendors_format() -> None:
    """``random_seed``, ``any``, tiers; what has the same name passes; quirks are data."""
    found = sent(
        {
            "seed": 3, "max_completion_tokens": 9, "max_tokens": 5, "stop": ["a"], "temperature": 0.5, "top_p": 1, "n": 2,
            "presence_penalty": 0.1, "frequency_penalty": 0.2, "safe_prompt": True, "prompt_cache_key": "k", "metadata": {"a": "b"},
            "service_tier": "default", "logprobs": True, "top_logprobs": 2, "prediction": {"type": "content", "content": "x"},
        }
    )  # fmt: skip
    assert (found["random_seed"], found["max_tokens"], found["service_tier"]) == (3, 9, "standard_only")
    assert (found["safe_prompt"], found["prompt_cache_key"], found["stop"], found["n"]) == (True, "k", ["a"], 2)
    assert "seed" not in found
    assert "service_tier" not in sent({"service_tier": "flex"})
    assert "random_seed" not in sent({"seed": 3}, drop_parameters=["random_seed"])
    assert sent({}, extra_body={"safe_prompt": True})["safe_prompt"] is True


@pytest.mark.parametrize(
    ("requested", "options", "found"),
    [
        ({}, {}, (None, None)),
        ({"reasoning": {"effort": "high"}}, {}, ("high", None)),
        ({"reasoning": {"enabled": True}}, {}, ("medium", None)),
        ({"reasoning": {"enabled": False}}, {}, ("none", None)),
        ({"reasoning": {"max_tokens": 9}}, {}, ("low", None)),
        ({"reasoning": {"max_tokens": 700}, "max_tokens": 1000}, {}, ("high", None)),
        ({"reasoning": {}}, {}, ("medium", None)),
        ({"reasoning_effort": "low"}, {"efforts": ["none", "high"]}, ("high", None)),
        ({"reasoning": {"effort": "none"}}, {"efforts": ["none", "high"]}, ("none", None)),
        ({"reasoning": {"effort": "max"}}, {"efforts": ["low", "medium", "high"]}, ("high", None)),
        ({"reasoning": {"effort": "high"}}, {"reasoning": "prompt_mode"}, (None, "reasoning")),
        ({"reasoning": {"enabled": False}}, {"reasoning": "prompt_mode"}, (None, None)),
        ({"reasoning": {"effort": "high"}}, {"reasoning": "drop"}, (None, None)),
        ({"prompt_mode": "reasoning"}, {}, (None, "reasoning")),
    ],
)
def test_reasoning_is_requested(requested: dict[str, Any], options: dict[str, Any], found: Any) -> None:
    """Every form of the contract becomes an effort that the model knows, or the vendor's prompt mode."""
    body = sent(requested, **options)
    assert (body.get("reasoning_effort"), body.get("prompt_mode")) == found
    assert "reasoning" not in body


def test_tools_and_choice() -> None:
    """Functions always have parameters; the vendor's own tools pass, other vendors' are refused; one function may be named."""
    bare = {"type": "function", "cache_control": {"type": "ephemeral"}, "function": {"name": "now", "strict": None}}
    found = sent({"tools": [WEATHER, bare], "tool_choice": "required", "parallel_tool_calls": False})
    assert found["tools"][0] == WEATHER
    assert found["tools"][1]["function"] == {"name": "now", "parameters": {"type": "object", "properties": {}}}
    assert (found["tool_choice"], found["parallel_tool_calls"]) == ("any", False)
    choice = {"type": "function", "function": {"name": "now"}}
    named = sent({"tools": [WEATHER, bare], "tool_choice": choice})
    assert (len(named["tools"]), named["tool_choice"]) == (2, choice)
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [choice]}}
    narrowed = sent({"tools": [WEATHER, bare], "tool_choice": allowed})
    assert ([tool["function"]["name"] for tool in narrowed["tools"]], narrowed["tool_choice"]) == (["now"], "any")
    assert sent({"tools": [{"type": "image_generation"}]})["tools"] == [{"type": "image_generation"}]
    assert "tools" in refusal(tools=[{"type": "web_search_20250305", "name": "w"}])
    assert not sent({"parallel_tool_calls": True, "tool_choice": "auto"}).keys() & {
        "parallel_tool_calls",
        "tool_choice",
    }


def test_structured_output() -> None:
    """A schema keeps its name, description and strictness; nulls stay here."""
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": PARAMETERS, "strict": True, "description": None},
    }
    assert sent({"response_format": schema})["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": PARAMETERS, "strict": True},
    }
    assert sent({"response_format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}
    assert "response_format" not in sent({"response_format": {"type": "text"}})
    assert "response_format" in refusal(response_format={"type": "grammar", "grammar": "x"})


PNG, PDF = "data:image/png;base64,aGk=", "data:application/pdf;base64,aGk="


def test_messages_in_the_vendors_format() -> None:
    """Roles, pictures, documents, sound, names; an empty answer is left out and one that was begun is marked."""
    found = sent(
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {
                    "role": "user",
                    "name": "Ann",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "original"}},
                        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
                        {"type": "file", "file": {"file_data": "https://x.example/a.pdf"}},
                        {"type": "file", "file": {"file_data": PNG}},
                        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}},
                        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
                    ],
                },
                {"role": "assistant", "content": None},
                {"role": "assistant", "content": "It", "refusal": None, "annotations": []},
            ]
        }
    )["messages"]
    assert found == [
        {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "high"}},
                {"type": "text", "text": "Ann: look"},
                {"type": "document_url", "document_url": PDF, "document_name": "a.pdf"},
                {"type": "document_url", "document_url": "https://x.example/a.pdf"},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "text", "text": "hi"},
                {"type": "input_audio", "input_audio": "aGk="},
            ],
        },
        {"role": "assistant", "content": "It", "prefix": True},
    ]
    assert sent({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]})[
        "messages"
    ] == [{"role": "user", "content": [{"type": "file", "file_id": "f"}]}]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([{"type": "video_url", "video_url": {"url": "https://x"}}], "video_url"),
        ([{"type": "file", "file": {}}], "file"),
        ([{"type": "input_audio", "input_audio": {"format": "wav"}}], "input_audio"),
        ([{"type": "image_url"}], "image_url"),
        ([[]], "None"),
    ],
)
def test_parts_that_cannot_be_expressed(content: Any, word: str) -> None:
    """A part that the vendor does not take is refused with its name, before anything is sent."""
    assert word in refusal(messages=[{"role": "user", "content": content}])


@pytest.mark.parametrize("name", ["thinking", "thinking-signed-tool", "parallel-tools", "tool-null-ids"])
def test_an_answer_comes_back_unchanged(name: str) -> None:
    """Replayed by a client: the vendor's own ids, arguments, thinking and its signature; another vendor's thinking stays away."""
    events, _ = cases.decode(MISTRAL, [STREAMS[name].raw])
    message = cases.message_of(event.chunk["choices"][0] for event in events)
    own = cases.joined(message.get("reasoning_details", ()))
    foreign = {"type": "reasoning.text", "text": "foreign", "signature": "s", "format": "anthropic-claude-v1"}
    message["reasoning_details"] = [foreign, *message.get("reasoning_details", ())]
    turn = sent({"messages": [USER, message, USER]})["messages"][1]
    assert turn.get("tool_calls", []) == message.get("tool_calls", [])
    content = turn.get("content", [])
    thinking = [chunk for chunk in content if chunk["type"] == "thinking"] if isinstance(content, list) else []
    assert [part["text"] for chunk in thinking for part in chunk["thinking"]] == [one["text"] for one in own]
    assert [chunk.get("signature") for chunk in thinking] == [one.get("signature") for one in own]


NINE = re.compile(r"[a-zA-Z0-9]{9}")


@examples(200)
@given(st.text(max_size=40), st.text(max_size=40))
def test_ids_are_nine_letters(one: str, other: str) -> None:
    """Any id becomes nine letters and digits, always the same; different ids differ."""
    assert NINE.fullmatch(call_id(one))
    assert call_id(one) == call_id(str(one))
    assert (call_id(one) == call_id(other)) is (one == other)


# -- beside chat -------------------------------------------------------------------------------------------------------


def test_answers_of_operations() -> None:
    """Embeddings and a transcription with what is billed."""
    case = OPERATIONS["embed"]
    EmbeddingResponse.model_validate({**case["body"], "usage": {"prompt_tokens": 4}})
    vectors = BESIDE["embeddings"].completion(json.dumps(case["body"]).encode())
    assert [row["embedding"] for row in vectors.body["data"]] == case["expected"]["vectors"]
    assert vectors.usage is not None
    assert vectors.usage.prompt == case["expected"]["usage"]["prompt"]
    case = OPERATIONS["transcription"]
    TranscriptionResponse.model_validate(case["body"])
    completion = BESIDE["transcription"].completion(json.dumps(case["body"]).encode())
    assert completion.body["text"] == case["expected"]["text"]
    counts = {name: count for name, count in msgspec.to_builtins(completion.usage).items() if count}
    assert counts == case["expected"]["usage"]


def test_embeddings_requests() -> None:
    """Texts and ``output_dimension``; nothing else goes out; tokens and parts are refused."""
    body = {
        "model": "m",
        "input": ["a"],
        "dimensions": 8,
        "encoding_format": "base64",
        "input_type": "query",
        "user": "u",
    }
    request = BESIDE["embeddings"].request(TARGET, body, stream=False)
    found = json.loads(request.content)
    assert request.url == "https://api.mistral.ai/v1/embeddings"
    assert found == {"model": "mistral-medium-3-5", "input": ["a"], "output_dimension": 8}
    EmbeddingRequest.model_validate(found)
    refused: list[Any] = [[1], [[1]], [], [{"content": []}]]
    for given_input in refused:
        with pytest.raises(ProviderError, match="input"):
            BESIDE["embeddings"].request(TARGET, {"input": given_input}, stream=False)


def form(**body: Any) -> list[tuple[str, str | None, bytes]]:
    """(name, file name, content) of every part, as the standard library's mail parser reads them."""
    request = BESIDE["transcription"].request(TARGET, body, stream=False)
    assert request.url == "https://api.mistral.ai/v1/audio/transcriptions"
    kind = dict(request.headers)["content-type"].encode()
    message: Message = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + request.content)
    parts = cast("list[Message]", message.get_payload())
    return [
        (
            str(part.get_param("name", header="content-disposition")),
            part.get_filename(),
            cast("bytes", part.get_payload(decode=True)),
        )
        for part in parts
    ]


def test_transcription_requests() -> None:
    """A file or a URL, lists under their bare names, and no field that the vendor does not know."""
    audio = {"data": "aGk=", "format": "mp3"}
    assert form(
        input_audio=audio, language="de", response_format="verbose_json", timestamp_granularities=["segment"], diarize=True,
        keyterms=["Tokenway", "Valkey"], user="u",
    ) == [
        ("file", "audio.mp3", b"hi"),
        ("model", None, b"mistral-medium-3-5"),
        ("language", None, b"de"),
        ("diarize", None, b"true"),
        ("timestamp_granularities", None, b"segment"),
        ("context_bias", None, b"Tokenway"),
        ("context_bias", None, b"Valkey"),
    ]  # fmt: skip
    assert form(input_audio={"url": "https://x.example/a.mp3"})[0] == ("file_url", None, b"https://x.example/a.mp3")
    for wrong in ({"data": "aGk=", "format": "exe"}, {"data": "a", "format": "wav"}, {}, None):
        with pytest.raises(ProviderError) as caught:
            form(input_audio=wrong)
        assert caught.value.failure.kind == "unsupported"

"""Ollama's native dialect: streams of lines whole, cut and damaged; answers; refusals; requests as the SDK's types read them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from ollama._types import ChatResponse, EmbedRequest, EmbedResponse

from providers.errors import ProviderError
from providers.ollama.dialect import Ollama
from providers.ollama.embeddings import OllamaEmbeddings
from providers.ollama.stream import LINE_MAX
from providers.types import Target
from tests.support import dialectcases as cases
from tests.support.dialectoracles import ollama
from tests.support.examples import examples

OLLAMA = Ollama()
EMBEDDINGS = OllamaEmbeddings()
STREAMS = cases.streams("ollama")
ANSWERS = cases.documents("ollama", "answers")
OPERATIONS = cases.documents("ollama", "operations")
TARGET = Target("local", "http://127.0.0.1:11434", "qwen3:8b")
USER = {"role": "user", "content": "hi"}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "d", "parameters": {"type": "object"}},
}


def sent(body: dict[str, Any], *, stream: bool = False, **options: Any) -> dict[str, Any]:
    """The body of a request, which the SDK's types accept to the field."""
    body = {"model": "qwen/qwen3", "messages": [USER], **body}
    before = json.dumps(body)
    target = msgspec.structs.replace(TARGET, options=options)
    found: dict[str, Any] = json.loads(OLLAMA.request(target, body, stream=stream).content)
    assert json.dumps(body) == before
    ollama(found)
    return found


def refusal(**body: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        OLLAMA.request(TARGET, {"messages": [USER], **body}, stream=False)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name for name, stream in STREAMS.items() if not stream.fails and name != "unknown-fields"]
)
def test_the_lines_are_the_vendors(name: str) -> None:
    """Every line of a good stream is one that the SDK can read."""
    for line in STREAMS[name].raw.splitlines():
        ChatResponse.model_validate_json(line)


NAMES = (
    "message", "content", "thinking", "tool_calls", "function", "name", "arguments", "id", "done", "done_reason", "error",
    "prompt_eval_count", "eval_count", "logprobs", "token", "logprob", "top_logprobs", "embeddings", "model", "code",
)  # fmt: skip


@examples(150)
@given(cases.junk(NAMES))
def test_any_json_is_embeddings_or_a_failure(document: Any) -> None:
    """No JSON raises anything but a provider's failure."""
    cases.survives(EMBEDDINGS.completion, msgspec.json.encode(document))


def test_an_endless_line_is_cut() -> None:
    """A line that never ends is malformed once it is longer than any line may be."""
    decoder, half = OLLAMA.decoder(), b"x" * (LINE_MAX // 2)
    assert decoder.feed(half) + decoder.feed(half) == []
    with pytest.raises(ProviderError) as caught:
        decoder.feed(half)
    assert caught.value.failure.kind == "malformed"


def test_nothing_after_the_end_counts() -> None:
    """What follows the line that says done is not read."""
    raw = STREAMS["text"].raw
    events, error = cases.decode(OLLAMA, [raw + b'\n{"error":"late"}\n'])
    assert error is None
    assert cases.summary(events) == STREAMS["text"].expected


def test_made_up_ids_differ() -> None:
    """Calls without ids get one each, other ones in the next answer, though they say the same."""
    ids = {tool[0] for tool in STREAMS["parallel-tools"].expected["tools"]}
    later = STREAMS["parallel-tools"].raw.replace(b"2026-11-20", b"2026-11-21")
    again = {tool[0] for tool in cases.summary(cases.decode(OLLAMA, [later])[0])["tools"]}
    assert len(ids) == len(again) == 3
    assert not ids & again


# -- answers and refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ANSWERS))
def test_the_answers_are_the_vendors(name: str) -> None:
    """Every whole answer is one that the SDK accepts."""
    ChatResponse.model_validate(ANSWERS[name]["body"])


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"prompt_eval_count": 5, "eval_count": 2}, (5, 2, False)),
        ({"prompt_eval_count": 5}, (5, 0, False)),
        ({"prompt_eval_count": -5, "eval_count": 2}, (0, 2, True)),
        ({"prompt_eval_count": 5, "eval_count": 1e30}, (5, 0, True)),
        ({"prompt_eval_count": "5", "eval_count": 2}, (0, 2, True)),
        ({"eval_count": 2}, None),
        ({"prompt_eval_count": 0, "eval_count": 2}, None),
    ],
)
def test_counts(counts: dict[str, Any], found: Any) -> None:
    """Nonsense counts 0 and is marked; an answer without a count of its prompt has no report, so that it is estimated."""
    body = {**ANSWERS["without-counts"]["body"], "eval_count": None, **counts}
    usage = OLLAMA.completion(json.dumps(body).encode()).usage
    assert (usage and (usage.prompt, usage.completion, usage.suspect)) == found


# -- requests ----------------------------------------------------------------------------------------------------------


def test_url_and_headers() -> None:
    """``stream`` is always sent; no key, no header; unknown fields are not forwarded; nothing is truncated silently."""
    body = {"messages": [USER], "provider": {}, "user": "u", "logit_bias": {}, "store": True}
    request = OLLAMA.request(TARGET, body, stream=True)
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:11434/api/chat")
    assert "authorization" not in dict(request.headers)
    assert json.loads(request.content) == {
        "model": "qwen3:8b", "messages": [USER], "stream": True, "truncate": False, "shift": False,
    }  # fmt: skip
    keyed = OLLAMA.request(msgspec.structs.replace(TARGET, api_key="k"), body, stream=False)
    assert ("authorization", "Bearer k") in keyed.headers
    assert json.loads(keyed.content)["stream"] is False


def test_options_of_the_server() -> None:
    """``num_ctx``, further options, ``keep_alive`` and ``truncate`` are the operator's; the request's sampling wins."""
    found = sent(
        {"temperature": 0.2}, num_ctx=32768, keep_alive="10m", options={"temperature": 1, "num_gpu": 2}, truncate=True
    )
    assert found["options"] == {"temperature": 0.2, "num_gpu": 2, "num_ctx": 32768}
    assert (found["keep_alive"], "truncate" in found, "shift" in found) == ("10m", False, False)
    assert "shift" not in sent({}, drop_parameters=["shift"])
    assert sent({}, extra_body={"keep_alive": -1})["keep_alive"] == -1


def test_sampling_in_the_servers_format() -> None:
    """Every sampling field under its own name in ``options``."""
    found = sent(
        {
            "temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "seed": 3, "stop": "END", "max_tokens": 5,
            "repetition_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.2, "logprobs": True, "top_logprobs": 2,
        }
    )  # fmt: skip
    assert found["options"] == {
        "temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "seed": 3, "stop": ["END"], "num_predict": 5,
        "repeat_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.2,
    }  # fmt: skip
    assert (found["logprobs"], found["top_logprobs"]) == (True, 2)
    assert "n" in refusal(n=2)


@pytest.mark.parametrize(
    ("wanted", "think"),
    [
        ({}, None),
        ({"reasoning": {"enabled": True}}, True),
        ({"reasoning": {"max_tokens": 100}}, True),
        ({"reasoning": {"enabled": False}}, False),
        ({"reasoning": {"effort": "none"}}, False),
        ({"reasoning": {"effort": "minimal"}}, "low"),
        ({"reasoning": {"effort": "medium"}}, "medium"),
        ({"reasoning_effort": "xhigh"}, "high"),
        ({"reasoning": {"effort": "weird"}}, True),
        ({"include_reasoning": True}, True),
    ],
)
def test_reasoning_is_requested(wanted: dict[str, Any], think: Any) -> None:
    """Every form of the contract becomes ``think``: a level, on or off."""
    assert sent(wanted).get("think") == think


def test_tools_and_choice() -> None:
    """Tools pass; ``none`` sends none; a choice that forces a call cannot be expressed and is unsupported."""
    assert sent({"tools": [WEATHER], "tool_choice": "auto"})["tools"] == [WEATHER]
    assert "tools" not in sent({"tools": [WEATHER], "tool_choice": "none"})
    assert "tool_choice" in refusal(tools=[WEATHER], tool_choice="required")
    assert "tool_choice" in refusal(
        tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "get_weather"}}
    )
    assert "tools" in refusal(tools=[{"type": "web_search"}])
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "name": "x"}]}}
    assert "tools" not in sent({"tools": [WEATHER], "tool_choice": allowed})


def test_structured_output() -> None:
    """A schema is the ``format`` itself; without one it is ``json``."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert sent({"response_format": response_format})["format"] == schema
    assert sent({"response_format": {"type": "json_object"}})["format"] == "json"
    assert "format" not in sent({"response_format": {"type": "text"}})
    assert "response_format" in refusal(response_format={"type": "python"})


PNG = "data:image/png;base64,aGk="


def test_messages_in_the_servers_format() -> None:
    """One text and bare base64 pictures a message; names in front; results name their tool; prefill stays last."""
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    found = sent(
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {
                    "role": "user",
                    "name": "Ann",
                    "content": [
                        {"type": "text", "text": "look"},
                        {"type": "image_url", "image_url": {"url": PNG}},
                        {"type": "file", "file": {"file_data": PNG}},
                        {"type": "file", "file": {"file_data": "data:text/csv,a%2Cb", "filename": "t.csv"}},
                    ],
                },
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
                {"role": "assistant", "content": None},
                {"role": "assistant", "content": "It is"},
            ]
        }
    )["messages"]
    assert found == [
        {"role": "system", "content": "a\nb"},
        {"role": "user", "content": "Ann: look\nt.csv:\na,b", "images": ["aGk=", "aGk="]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}],
        },
        {"role": "tool", "content": "sunny", "tool_name": "get_weather", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It is"},
    ]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}], "image_url"),
        ([{"type": "image_url", "image_url": {"url": "data:application/pdf;base64,aGk="}}], "not an image"),
        ([{"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}}], "documents"),
        ([{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}], "input_audio"),
        ([None], "None"),
    ],
)
def test_parts_that_cannot_be_expressed(content: Any, word: str) -> None:
    """A part that the server does not take is refused with its name, before anything is sent."""
    assert word in refusal(messages=[{"role": "user", "content": content}])


@pytest.mark.parametrize("name", ["tool", "tool-with-id", "parallel-tools", "thinking-tool", "thinking"])
def test_an_answer_comes_back_unchanged(name: str) -> None:
    """The streamed answer, replayed by a client, goes back with its ids, arguments and thinking; another vendor's stays away."""
    events, _ = cases.decode(OLLAMA, [STREAMS[name].raw])
    message = cases.message_of(event.chunk["choices"][0] for event in events)
    foreign = {"type": "reasoning.text", "text": "foreign", "signature": "s", "format": "anthropic-claude-v1"}
    message["reasoning_details"] = [*message.get("reasoning_details", ()), foreign]
    turn = sent({"messages": [USER, message, USER]})["messages"][1]
    assert (turn.get("thinking"), turn["content"]) == (message.get("reasoning"), message["content"] or "")
    found = [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in turn.get("tool_calls", ())
    ]
    calls = [(call["id"], call["function"]) for call in message.get("tool_calls", ())]
    assert found == [(id, function["name"], json.loads(function["arguments"])) for id, function in calls]


def test_plain_reasoning_goes_back() -> None:
    """Reasoning without details, as other servers of open models tell it, goes back too."""
    message = {"role": "assistant", "content": "4", "reasoning": "2+2"}
    assert sent({"messages": [USER, message, USER]})["messages"][1]["thinking"] == "2+2"


@pytest.mark.parametrize("arguments", ["[1]", "{", "7", '{"a": NaN}'])
def test_arguments_that_are_no_object_are_kept(arguments: str) -> None:
    """What a model wrote instead of an object goes back as a text in one, not lost and not an error."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    turn = sent({"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]})["messages"][1]
    assert turn["tool_calls"][0]["function"]["arguments"] == {"_unparsed_arguments": arguments}


# -- embeddings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_an_answer_with_embeddings(name: str) -> None:
    """Vectors in order and the count of the prompt, or the failure."""
    case = OPERATIONS[name]
    wanted, raw = case["expected"], json.dumps(case["body"]).encode()
    if "error" in wanted:
        with pytest.raises(ProviderError) as caught:
            EMBEDDINGS.completion(raw)
        assert caught.value.failure.kind == wanted["error"]
        return
    EmbedResponse.model_validate(case["body"])
    answer = EMBEDDINGS.completion(raw)
    assert [row["embedding"] for row in answer.body["data"]] == wanted["vectors"]
    usage = msgspec.to_builtins(answer.usage) if answer.usage else {}
    assert {name: count for name, count in usage.items() if count} == (wanted["usage"] or {})


def test_embeddings_requests() -> None:
    """Texts, dimensions and the operator's options; a text that is too long is refused, tokens go elsewhere."""
    target = msgspec.structs.replace(TARGET, options={"num_ctx": 512, "keep_alive": 5})
    request = EMBEDDINGS.request(target, {"input": "a", "dimensions": 8, "encoding_format": "base64"}, stream=False)
    assert request.url == "http://127.0.0.1:11434/api/embed"
    found = json.loads(request.content)
    EmbedRequest.model_validate(found)
    assert found == {
        "model": "qwen3:8b", "input": ["a"], "truncate": False, "dimensions": 8, "options": {"num_ctx": 512}, "keep_alive": 5,
    }  # fmt: skip
    refused: list[Any] = [[1, 2], [[1]], [], None, [{"content": []}]]
    for given_input in refused:
        with pytest.raises(ProviderError, match="input"):
            EMBEDDINGS.request(TARGET, {"input": given_input}, stream=False)

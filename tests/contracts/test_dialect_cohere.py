"""What is Cohere's own in its v2 dialect: requests and bytes as the vendor's SDK types read them, usage, embeddings, rerank."""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec
import pytest
from cohere import EmbedByTypeResponse, V2ChatResponse, V2RerankResponse
from cohere.types import EmbedInput
from cohere.v2.client import V2Client
from cohere.v2.types.v2chat_stream_response import V2ChatStreamResponse
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from providers.cohere.dialect import Cohere
from providers.cohere.embeddings import CohereEmbeddings
from providers.cohere.rerank import CohereRerank
from providers.errors import ProviderError
from providers.transport.sse import SseParser
from providers.types import Target
from tests.support import dialectcases as cases
from tests.support.dialectoracles import checked, cohere
from tests.support.examples import examples

COHERE = Cohere()
STREAMS = cases.streams("cohere")
ANSWERS = cases.documents("cohere", "answers")
OPERATIONS = cases.documents("cohere", "operations")
BESIDE = {"embeddings": CohereEmbeddings(), "rerank": CohereRerank()}
TARGET = Target("cohere", "https://api.cohere.com/v2", "command-a", api_key="k-1", headers=(("x-team", "t"),))
USER = {"role": "user", "content": "hi"}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "d", "parameters": {"type": "object"}, "strict": True},
}


def sent(body: dict[str, Any], *, stream: bool = False, **options: Any) -> dict[str, Any]:
    """The body of a request, which the SDK's types accept to the field."""
    target = msgspec.structs.replace(TARGET, options=options)
    body = {"model": "cohere/command-a", "messages": [USER], **body}
    before = json.dumps(body)
    found: dict[str, Any] = json.loads(COHERE.request(target, body, stream=stream).content)
    assert json.dumps(body) == before
    cohere(found)
    return found


def refusal(**body: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        COHERE.request(TARGET, {"messages": [USER], **body}, stream=False)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if not stream.fails])
def test_the_bytes_are_the_vendors(name: str) -> None:
    """Every event of a good stream is one that the vendor's SDK has a type for, with fields that the type knows."""
    parser = SseParser()
    for _, data in parser.feed(STREAMS[name].raw) + parser.close():
        event = json.loads(data)
        if event["type"] != "heartbeat":  # the one event that the SDK does not know
            assert TypeAdapter(V2ChatStreamResponse).validate_python(event).type == event["type"]


NAMES = (
    "type", "delta", "message", "content", "text", "thinking", "tool_calls", "function", "name", "arguments", "id", "index",
    "citations", "sources", "document", "url", "content_index", "finish_reason", "usage", "billed_units", "input_tokens",
    "logprobs", "tool_plan", "error", "embeddings", "float", "results", "relevance_score", "meta", "message-end",
    "content-delta", "tool-call-start", "citation-start", "content-start",
)  # fmt: skip


@examples(200)
@given(cases.junk(NAMES), st.sampled_from(["embeddings", "rerank"]))
def test_any_json_is_an_answer_of_an_operation_or_a_failure(document: Any, operation: str) -> None:
    """No JSON raises anything but a provider's failure."""
    cases.survives(BESIDE[operation].completion, msgspec.json.encode(document))


# -- answers and refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ANSWERS))
def test_the_answers_are_the_vendors(name: str) -> None:
    """Every whole answer is one that the vendor's SDK accepts."""
    TypeAdapter(V2ChatResponse).validate_python(ANSWERS[name]["body"])


def test_retry_after_is_kept() -> None:
    """Retry-After of a refusal is kept; the raw body is too."""
    case = {**cases.documents("cohere", "errors")["rate-limit"], "headers": {"retry-after": "7"}}
    error = cases.failure_of(COHERE, case)
    assert (error.retry_after_s, error.status) == (7.0, 429)
    assert "Trial key" in error.raw


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"billed_units": {"input_tokens": -1, "output_tokens": 2}}, (0, 0, 2, True)),
        ({"billed_units": {"input_tokens": 1.5}}, (0, 0, 0, True)),
        ({"billed_units": {"input_tokens": 10**12}}, (0, 0, 0, True)),
        ({"billed_units": {"input_tokens": 5}, "cached_tokens": 9}, (0, 5, 0, True)),
        ({"billed_units": None, "tokens": {"input_tokens": 5, "output_tokens": 1}}, (5, 0, 1, False)),
        ({"billed_units": "x", "tokens": 7}, (0, 0, 0, False)),
    ],
)
def test_absurd_usage_is_marked(usage: Any, counts: tuple[Any, ...]) -> None:
    """Nonsense counts 0 and is marked; more cached than billed is all cached, marked when it is more than was sent."""
    body = {**ANSWERS["text"]["body"], "usage": usage}
    found = COHERE.completion(json.dumps(body).encode()).usage
    assert found is not None
    assert (found.prompt, found.cache_read, found.completion, found.suspect) == counts


def test_no_usage_is_reported_as_none() -> None:
    """An answer without usage reports none, so that the gateway estimates and marks the estimate."""
    body = {name: value for name, value in ANSWERS["text"]["body"].items() if name != "usage"}
    assert COHERE.completion(json.dumps(body).encode()).usage is None


# -- requests ----------------------------------------------------------------------------------------------------------


def test_url_and_headers() -> None:
    """URL, bearer, own headers; ``stream`` only when streamed; fields that the vendor does not know stay here."""
    body = {
        "messages": [USER],
        "provider": {},
        "user": "u",
        "logit_bias": {"1": 2},
        "parallel_tool_calls": True,
        "n": 1,
    }
    request = COHERE.request(TARGET, body, stream=True)
    assert (request.method, request.url) == ("POST", "https://api.cohere.com/v2/chat")
    assert {("authorization", "Bearer k-1"), ("x-team", "t"), ("accept", "text/event-stream")} <= set(request.headers)
    assert json.loads(request.content) == {"model": "command-a", "messages": [USER], "stream": True}
    assert "stream" not in sent({})
    assert sent({}, extra_body={"safety_mode": "STRICT"}, drop_parameters=["messages"])["safety_mode"] == "STRICT"
    without = COHERE.request(msgspec.structs.replace(TARGET, api_key=None), body, stream=False)
    assert "authorization" not in dict(without.headers)


def test_sampling_in_the_vendors_format() -> None:
    """Names, ranges and bounds: a top_p of 1 becomes the most that the vendor takes, a zero penalty stays here."""
    found = sent(
        {
            "temperature": 0.5, "top_p": 1, "top_k": 7, "seed": 3, "stop": "END", "max_completion_tokens": 9, "max_tokens": 5,
            "frequency_penalty": 0.5, "presence_penalty": 0, "logprobs": True, "safety_mode": "OFF",
        }
    )  # fmt: skip
    assert {name: value for name, value in found.items() if name not in ("model", "messages")} == {
        "temperature": 0.5, "p": 0.99, "k": 7, "seed": 3, "stop_sequences": ["END"], "max_tokens": 9,
        "frequency_penalty": 0.5, "logprobs": True, "safety_mode": "OFF",
    }  # fmt: skip
    assert sent({"top_p": 0})["p"] == 0.01
    assert sent({"stop": ["a", "b"]})["stop_sequences"] == ["a", "b"]
    assert "frequency_penalty" in refusal(frequency_penalty=-1)
    assert "n" in refusal(n=2)


@pytest.mark.parametrize(
    ("wanted", "options", "thinking"),
    [
        ({}, {}, None),
        ({"reasoning": {"enabled": True}}, {}, {"type": "enabled"}),
        ({"reasoning": {"enabled": False}}, {}, {"type": "disabled"}),
        ({"reasoning": {"effort": "none"}}, {}, {"type": "disabled"}),
        ({"reasoning": {"max_tokens": 700}}, {}, {"type": "enabled", "token_budget": 700}),
        ({"reasoning": {"effort": "high"}, "max_tokens": 1000}, {}, {"type": "enabled", "token_budget": 800}),
        ({"reasoning_effort": "low"}, {"max_completion_tokens": 4000}, {"type": "enabled", "token_budget": 800}),
        ({"reasoning": {"effort": "high"}}, {}, {"type": "enabled"}),
        ({"reasoning": {"effort": "high"}}, {"thinking": False}, None),
        ({"include_reasoning": True}, {}, {"type": "enabled"}),
        ({"thinking": {"type": "enabled", "token_budget": 5}}, {}, {"type": "enabled", "token_budget": 5}),
    ],
)
def test_reasoning_is_requested(wanted: dict[str, Any], options: dict[str, Any], thinking: Any) -> None:
    """Every form of the contract becomes ``thinking``; an effort is a share of the output limit."""
    assert sent(wanted, **options).get("thinking") == thinking


def test_tools_and_choice() -> None:
    """``strict`` moves up, parameters are always there; a choice that the vendor lacks is made by leaving tools out."""
    bare = {"type": "function", "function": {"name": "now"}}
    found = sent({"tools": [WEATHER, bare], "tool_choice": "auto"})
    assert (found["strict_tools"], "tool_choice" in found) == (True, False)
    assert found["tools"][1]["function"] == {"name": "now", "parameters": {"type": "object", "properties": {}}}
    assert sent({"tools": [WEATHER], "tool_choice": "required"})["tool_choice"] == "REQUIRED"
    assert sent({"tools": [WEATHER], "tool_choice": "none"})["tool_choice"] == "NONE"
    named = sent({"tools": [WEATHER, bare], "tool_choice": {"type": "function", "function": {"name": "now"}}})
    assert ([tool["function"]["name"] for tool in named["tools"]], named["tool_choice"]) == (["now"], "REQUIRED")
    assert "strict_tools" not in named
    assert "tools" in refusal(tools=[{"type": "openrouter:web_search"}])
    assert "tool_choice" in refusal(tools=[WEATHER], tool_choice={"type": "openrouter:web_search"})


def test_structured_output() -> None:
    """A schema goes out under the vendor's field; together with tools it is refused, as the vendor would."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    assert sent({"response_format": response_format})["response_format"] == {
        "type": "json_object",
        "json_schema": schema,
    }
    assert sent({"response_format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}
    assert "response_format" not in sent({"response_format": {"type": "text"}})
    assert "response_format" in refusal(response_format=response_format, tools=[WEATHER])
    assert "response_format" in refusal(response_format={"type": "grammar"})


PICTURE = "data:image/png;base64,aGk="
PDF = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}}


def test_messages_in_the_vendors_format() -> None:
    """The first system messages are the prompt, later ones the user's words; pictures pass, texts in files are read, names are written in front."""
    found = sent(
        {
            "messages": [
                {"role": "system", "content": "one"},
                {
                    "role": "user",
                    "name": "Ann",
                    "content": [
                        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "original"}},
                        {"type": "file", "file": {"filename": "n.txt", "file_data": "data:text/plain;base64,aGk="}},
                    ],
                },
                {"role": "assistant", "content": None},
                {"role": "developer", "content": [{"type": "text", "text": "two"}]},
            ]
        }
    )["messages"]
    assert found == [
        {"role": "system", "content": [{"type": "text", "text": "one"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Ann: look"},
                {"type": "image_url", "image_url": {"url": PICTURE, "detail": "high"}},
                {"type": "text", "text": "n.txt:\nhi"},
            ],
        },
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>\ntwo\n</system-reminder>"}]},
    ]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([PDF], "file"),
        ([{"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}], "input_audio"),
        ([{"type": "video_url", "video_url": {"url": "https://x"}}], "video_url"),
        ([{"type": "text"}], "text"),
        ([7], "None"),
        ([{"type": "image_url", "image_url": {}}], "image_url"),
    ],
)
def test_parts_that_cannot_be_expressed(content: Any, word: str) -> None:
    """A part that the vendor does not take is refused with its name, before anything is sent."""
    assert word in refusal(messages=[{"role": "user", "content": content}])


def test_a_prefill_goes_elsewhere() -> None:
    """The vendor does not continue an answer that has begun."""
    assert "prefill" in refusal(messages=[USER, {"role": "assistant", "content": "I"}])


def test_text_beside_calls_is_the_plan() -> None:
    """What another vendor wrote before its calls goes out as the plan; a result that is an object is a document of fields."""
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}
    messages = [
        USER,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call], "reasoning": "foreign"},
        {"role": "tool", "tool_call_id": "c1", "content": '{"temp": 24}'},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sunny"}]},
    ]
    found = sent({"messages": messages})["messages"]
    assert found[1] == {
        "role": "assistant",
        "tool_plan": "Let me see.",
        "tool_calls": [{**call, "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}],
    }
    assert found[2]["content"] == [{"type": "document", "document": {"data": {"temp": 24}}}]
    assert found[3]["content"] == [{"type": "document", "document": {"data": {"result": "sunny"}}}]


@pytest.mark.parametrize("name", ["tool-plan", "parallel-tools", "thinking-tool", "thinking"])
def test_an_answer_comes_back_unchanged(name: str) -> None:
    """The streamed answer, replayed by a client, goes back with its ids, arguments, plan and thinking as the vendor wrote them."""
    events, _ = cases.decode(COHERE, [STREAMS[name].raw])
    message = cases.message_of(event.chunk["choices"][0] for event in events)
    details = cases.joined(message["reasoning_details"])
    message["reasoning_details"].append({"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"})
    turn = sent({"messages": [USER, message, USER]})["messages"][1]
    assert turn.get("tool_plan", "") == "".join(one["text"] for one in details if "plan" in one["id"])
    content = turn.get("content", [])
    thoughts = [one["text"] for one in details if "plan" not in one["id"]]
    assert [item["thinking"] for item in content if item["type"] == "thinking"] == thoughts
    assert "".join(item["text"] for item in content if item["type"] == "text") == (message["content"] or "")
    off = sent({"messages": [USER, message, USER], "reasoning": {"enabled": False}})["messages"][1]
    assert not [item for item in off.get("content", ()) if item["type"] == "thinking"]


# -- beside chat -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_an_answer_of_an_operation(name: str) -> None:
    """Embeddings and rankings in the inner language, what is billed, or the failure."""
    case = OPERATIONS[name]
    dialect, wanted = BESIDE[case["operation"]], case["expected"]
    raw = json.dumps(case["body"]).encode()
    if "error" in wanted:
        with pytest.raises(ProviderError) as caught:
            dialect.completion(raw)
        assert caught.value.failure.kind == wanted["error"]
        return
    answer = dialect.completion(raw)
    if case["operation"] == "embeddings":
        assert [row["embedding"] for row in answer.body["data"]] == wanted["vectors"]
        assert [row["index"] for row in answer.body["data"]] == list(range(len(wanted["vectors"])))
        if isinstance(case["body"]["embeddings"], dict):
            TypeAdapter(EmbedByTypeResponse).validate_python(case["body"])
    else:
        assert [[row["index"], row["relevance_score"]] for row in answer.body["results"]] == wanted["results"]
        TypeAdapter(V2RerankResponse).validate_python(case["body"])
    usage = msgspec.to_builtins(answer.usage) if answer.usage else {}
    assert {name: count for name, count in usage.items() if count} == (wanted["usage"] or {})


def test_embeddings_requests() -> None:
    """Texts, pictures, dimensions and the input type in the vendor's words; tokens and too many inputs go elsewhere."""
    dialect = BESIDE["embeddings"]

    def embed(**body: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(dialect.request(TARGET, body, stream=False).content)
        assert found.keys() <= set(inspect.signature(V2Client.embed).parameters)
        return found

    assert dialect.request(TARGET, {"input": "a"}, stream=False).url == "https://api.cohere.com/v2/embed"
    assert embed(input="a", encoding_format="base64", user="u") == {
        "model": "command-a", "input_type": "search_document", "embedding_types": ["float"], "texts": ["a"],
    }  # fmt: skip
    assert embed(input=["a", "b"], input_type="query", dimensions=256, truncate="NONE") == {
        "model": "command-a", "input_type": "search_query", "embedding_types": ["float"], "texts": ["a", "b"],
        "output_dimension": 256, "truncate": "NONE",
    }  # fmt: skip
    mixed = embed(
        input=[{"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PICTURE}}]}, "b"]
    )
    checked(list[EmbedInput], mixed["inputs"])
    assert [len(one["content"]) for one in mixed["inputs"]] == [2, 1]
    for given_input in ([1, 2], [[1]], [], ["a"] * 97, [{"content": [{"type": "input_file"}]}]):
        with pytest.raises(ProviderError) as caught:
            dialect.request(TARGET, {"input": given_input}, stream=False)
        assert caught.value.failure.kind == "unsupported"


def test_rerank_requests() -> None:
    """Documents go out as plain texts; a picture goes elsewhere; nothing unknown goes out."""
    dialect = BESIDE["rerank"]
    body = {"query": "q", "documents": ["a", {"text": "b", "id": 1}], "top_n": 1, "user": "u", "provider": {}}
    request = dialect.request(TARGET, body, stream=False)
    found = json.loads(request.content)
    assert request.url == "https://api.cohere.com/v2/rerank"
    assert found == {"model": "command-a", "query": "q", "documents": ["a", "b"], "top_n": 1}
    assert found.keys() <= set(inspect.signature(V2Client.rerank).parameters)
    with pytest.raises(ProviderError, match="image"):
        dialect.request(TARGET, {"query": "q", "documents": [{"image": PICTURE}]}, stream=False)

"""What Gemini is sent: every request is read by Google's own types; conversations survive the way there and back."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ProviderError
from providers.gemini.dialect import Gemini
from providers.gemini.schema import json_schema, openapi
from providers.gemini.signatures import UNSIGNED
from providers.types import Target
from providers.vertex.dialect import Vertex
from tests.support.dialectoracles import gemini as google
from tests.support.examples import examples

GEMINI, VERTEX = Gemini(), Vertex()
BASE = "https://generativelanguage.googleapis.com/v1beta"
PNG = "data:image/png;base64,iVBORw0KGgo="


def target(**options: Any) -> Target:
    return Target("google", BASE, "gemini-x", api_key="AIzaK", headers=(("x-team", "t"),), options=options)


def sent(body: dict[str, Any], dialect: Gemini = GEMINI, **options: Any) -> dict[str, Any]:
    before = json.dumps(body)
    raw = dialect.request(target(**options), body, stream=False).content
    assert json.dumps(body) == before
    made: dict[str, Any] = json.loads(raw)
    google(made)
    return made


def chat_body(**more: Any) -> dict[str, Any]:
    return {"model": "google/x", "messages": [{"role": "user", "content": "hi"}], **more}


def config(dialect: Gemini = GEMINI, options: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = sent(chat_body(**more), dialect, **(options or {})).get("generationConfig", {})
    return made


def turns(messages: list[dict[str, Any]], dialect: Gemini = GEMINI, **options: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = sent({"messages": messages}, dialect, **options)["contents"]
    return made


def call(id: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_the_address_and_the_key() -> None:
    """One URL for JSON, one for events; the key in Google's header, an access token as a bearer, both by their looks."""
    whole, streamed = (GEMINI.request(target(), chat_body(), stream=stream) for stream in (False, True))
    assert whole.url == f"{BASE}/models/gemini-x:generateContent"
    assert streamed.url == f"{BASE}/models/gemini-x:streamGenerateContent?alt=sse"
    assert {("x-goog-api-key", "AIzaK"), ("x-team", "t"), ("content-type", "application/json")} <= set(whole.headers)
    for dialect, key, header in (
        (GEMINI, "ya29.abc", ("authorization", "Bearer ya29.abc")),
        (VERTEX, "ya29.abc", ("authorization", "Bearer ya29.abc")),
        (VERTEX, "opaque", ("authorization", "Bearer opaque")),
        (VERTEX, "AQ.express", ("x-goog-api-key", "AQ.express")),
    ):
        assert header in dialect.request(Target("g", BASE, "m", api_key=key), chat_body(), stream=False).headers
    odd = Target("g", BASE, "models/../x?y#z")
    assert GEMINI.request(odd, chat_body(), stream=False).url == f"{BASE}/models/../x%3Fy%23z:generateContent"


def test_a_whole_request() -> None:
    """Every field that Gemini has goes out under its name; what it does not have stays here."""
    body = chat_body(
        temperature=0.5, top_p=0.9, top_k=40, max_tokens=100, stop=["a", "b"], seed=2**40 + 5, presence_penalty=0.1,
        frequency_penalty=0.2, logprobs=True, top_logprobs=3, user="u", logit_bias={"1": 5}, min_p=0.1, n=2, metadata={"a": "b"},
        parallel_tool_calls=True, service_tier="flex", provider={"order": ["x"]}, models=["y"], verbosity="low", unknown=1,
    )  # fmt: skip
    assert sent(body) == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "serviceTier": "flex",
        "generationConfig": {
            "temperature": 0.5, "topP": 0.9, "topK": 40, "maxOutputTokens": 100, "stopSequences": ["a", "b"], "seed": 5,
            "presencePenalty": 0.1, "frequencyPenalty": 0.2, "responseLogprobs": True, "logprobs": 3, "candidateCount": 2,
        },
    }  # fmt: skip
    assert sent(chat_body()) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    assert config(stop="x", max_completion_tokens=7, max_tokens=9, top_k=0) == {
        "stopSequences": ["x"],
        "maxOutputTokens": 7,
    }
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    assert sent(chat_body(), safety_settings=safety, extra_body={"labels": {"a": "b"}}).keys() >= {
        "safetySettings",
        "labels",
    }


def test_turns() -> None:
    """The first system messages become the instruction, later ones the user's words, neighbours of one role one turn; names go into the text; empty turns are dropped."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "Ann", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Well"}, {"type": "text", "text": ", "}]},
    ]
    body = sent({"messages": messages})
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "Ann: one"}, {"text": "two"}, {"text": " "}]},
        {"role": "model", "parts": [{"text": "No."}]},
        {"role": "user", "parts": [{"text": "<system-reminder>\nBe kind.\n</system-reminder>"}]},
        {"role": "model", "parts": [{"text": "Well, "}]},
    ]
    assert sent({"messages": messages[:1]}) == {"contents": [{"role": "user", "parts": [{"text": "Be brief."}]}]}


def test_calls_and_results() -> None:
    """Results bear the function's name, stand in the order of the calls, in a turn of their own; text stays text."""
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "Ok", "tool_calls": [call("a", "f", '{"x": 1}'), call("b", "g", "")]},
        {"role": "tool", "tool_call_id": "b", "content": '{"id": 12345678901234567890}'},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "A"}, {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "user", "content": "and?"},
    ]  # fmt: skip
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    user, model, results, then = turns(messages)
    assert model["parts"] == [
        {"text": "Ok"},
        {"functionCall": {"name": "f", "args": {"x": 1}}},
        {"functionCall": {"name": "g", "args": {}}},
    ]
    assert results == {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "f", "response": {"output": "A"}}},
            picture,
            {"functionResponse": {"name": "g", "response": {"output": '{"id": 12345678901234567890}'}}},
        ],
    }
    assert (user["parts"], then["parts"]) == ([{"text": "go"}], [{"text": "and?"}])
    third = turns(messages, thinking="level")
    assert [part["functionCall"]["id"] for part in third[1]["parts"][1:]] == ["a", "b"]
    assert third[2]["parts"][0]["functionResponse"] == {
        "name": "f", "response": {"output": "A"}, "id": "a", "parts": [picture],
    }  # fmt: skip


def test_the_same_id_in_two_turns() -> None:
    """Clients that number calls anew in every turn: a result belongs to the latest call of its id."""
    messages = [{"role": "user", "content": "go"}]
    for name in ("f", "g"):
        messages += [
            {"role": "assistant", "tool_calls": [call("call_0", name)]},
            {"role": "tool", "tool_call_id": "call_0", "content": name},
        ]
    results = [
        turn["parts"][0]["functionResponse"] for turn in turns(messages) if "functionResponse" in turn["parts"][0]
    ]
    assert [(one["name"], one["response"]["output"]) for one in results] == [("f", "f"), ("g", "g")]


@pytest.mark.parametrize(
    ("part", "made"),
    [
        ({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}),
        ({"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AA=="}}, {"inlineData": {"mimeType": "image/jpeg", "data": "AA=="}}),
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}, {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}}),
        ({"type": "file", "file": {"filename": "a.csv", "file_data": "data:;base64,YQ=="}}, {"inlineData": {"mimeType": "text/csv", "data": "YQ=="}}),
        ({"type": "file", "file": {"file_data": "data:text/plain,a%20b"}}, {"inlineData": {"mimeType": "text/plain", "data": "YSBi"}}),
        ({"type": "file", "file": {"file_id": "files/abc", "filename": "a.mp4"}}, {"fileData": {"mimeType": "video/mp4", "fileUri": f"{BASE}/files/abc"}}),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}, {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}}),
        ({"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,AAAA", "format": "wav"}}, {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}),
        ({"type": "video_url", "video_url": {"url": "data:video/webm;base64,AAAA"}}, {"inlineData": {"mimeType": "video/webm", "data": "AAAA"}}),
        ({"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=1"}}, {"fileData": {"mimeType": "video/mp4", "fileUri": "https://www.youtube.com/watch?v=1"}}),
    ],
)  # fmt: skip
def test_media(part: dict[str, Any], made: dict[str, Any]) -> None:
    """Pictures, PDFs, sound and videos as data, files of Google's own and YouTube by address."""
    assert turns([{"role": "user", "content": [part]}])[0]["parts"] == [made]


@pytest.mark.parametrize(
    ("url", "mime"),
    [
        ("gs://bucket/a.webp", "image/webp"),
        ("https://example.org/a.png?x=1", "image/png"),
        ("https://example.org/a", "image/jpeg"),
    ],
)
def test_vertex_fetches_addresses(url: str, mime: str) -> None:
    """Vertex is given the address with the type its name suggests; AI Studio takes no address."""
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    assert turns([message], VERTEX)[0]["parts"] == [{"fileData": {"mimeType": mime, "fileUri": url}}]
    with pytest.raises(ProviderError, match=r"messages\[0\]\.content\[0\]\.image_url\.url"):
        turns([message])
    assert (GEMINI.inlines_media, VERTEX.inlines_media) == (True, False)


FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}, "strict": True}}  # fmt: skip
BARE = {"type": "function", "function": {"name": "g"}}


def test_tools() -> None:
    """Functions with JSON Schema as it is, or as the older message; Gemini's own tools by their names; search by option."""
    body = sent(chat_body(tools=[FUNCTION, BARE]))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": FUNCTION["function"]["parameters"]},
                {"name": "g"},
            ]
        }
    ]
    older = sent(chat_body(tools=[FUNCTION, BARE]), schema="openapi")["tools"][0]["functionDeclarations"]
    assert older[0]["parameters"] == {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    assert sent(chat_body(web_search_options={}))["tools"] == [{"googleSearch": {}}]
    assert sent(chat_body(tools=[{"type": "code_execution"}, {"type": "url_context"}]))["tools"] == [
        {"codeExecution": {}},
        {"urlContext": {}},
    ]


@pytest.mark.parametrize(
    ("choice", "made"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [BARE]}},
            {"mode": "ANY", "allowedFunctionNames": ["g"]},
        ),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [BARE]}}, {"mode": "AUTO"}),
    ],
)
def test_tool_choice(choice: Any, made: dict[str, Any]) -> None:
    """Every form of ``tool_choice`` as a mode; without functions there is nothing to choose."""
    body = sent(chat_body(tools=[FUNCTION, BARE], tool_choice=choice))
    assert body["toolConfig"] == {"functionCallingConfig": made}
    allowed = isinstance(choice, dict) and made == {"mode": "AUTO"}
    names = [one["name"] for one in body["tools"][0]["functionDeclarations"]]
    assert names == (["g"] if allowed else ["f", "g"])
    assert "toolConfig" not in sent(chat_body(tool_choice=choice))


def test_formats() -> None:
    """JSON with and without a schema, in both spellings."""
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    mime = {"responseMimeType": "application/json"}
    assert config(response_format={"type": "json_object"}) == mime
    assert config(response_format={"type": "text"}) == {}
    assert config(response_format=wanted) == {**mime, "responseJsonSchema": schema}
    older = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}}
    assert config(options={"schema": "openapi"}, response_format=wanted) == {**mime, "responseSchema": older}


def test_output_kinds() -> None:
    """Pictures with their shape, sound with its voice."""
    assert config(modalities=["image", "text"], image_config={"aspect_ratio": "16:9", "image_size": "2K", "x": 1}) == {
        "responseModalities": ["IMAGE", "TEXT"],
        "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
    }
    assert config(modalities=["text", "audio"], audio={"voice": "Kore", "format": "pcm16"}) == {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    }
    assert config(modalities=["text"]) == {}


THOUGHTS = {"includeThoughts": True}


@pytest.mark.parametrize(
    ("options", "asks", "made"),
    [
        ({}, {}, None),
        ({"thoughts": True}, {}, THOUGHTS),
        ({"thoughts": True}, {"include_reasoning": False}, None),
        ({}, {"include_reasoning": True}, THOUGHTS),
        ({}, {"reasoning": {}}, THOUGHTS),
        ({}, {"reasoning": {"enabled": True}}, {"thinkingBudget": 8192, **THOUGHTS}),
        ({}, {"reasoning": {"effort": "low"}}, {"thinkingBudget": 1024, **THOUGHTS}),
        ({}, {"reasoning_effort": "high"}, {"thinkingBudget": 24576, **THOUGHTS}),
        ({}, {"reasoning": {"effort": "medium"}, "max_tokens": 10000}, {"thinkingBudget": 5000, **THOUGHTS}),
        ({}, {"reasoning": {"effort": "minimal"}, "max_tokens": 1000}, {"thinkingBudget": 512, **THOUGHTS}),
        ({}, {"reasoning": {"max_tokens": 2000, "exclude": True}}, {"thinkingBudget": 2000, "includeThoughts": False}),
        ({}, {"reasoning": {"max_tokens": 99999}}, {"thinkingBudget": 24576, **THOUGHTS}),
        ({"thinking_budget_max": 32768}, {"reasoning": {"max_tokens": 99999}}, {"thinkingBudget": 32768, **THOUGHTS}),
        ({}, {"reasoning": {"effort": "none"}}, {"thinkingBudget": 0}),
        ({}, {"reasoning": {"enabled": False}}, {"thinkingBudget": 0}),
        ({}, {"reasoning": {"max_tokens": 0}}, {"thinkingBudget": 0}),
        ({"thinking_budget_min": 128}, {"reasoning": {"effort": "none"}}, {"thinkingBudget": 128}),
        ({"thinking": "none"}, {"reasoning": {"effort": "high"}}, None),
        ({"thinking": "level"}, {"reasoning": {"effort": "medium"}}, {"thinkingLevel": "MEDIUM", **THOUGHTS}),
        ({"thinking": "level"}, {"reasoning": {"effort": "max"}}, {"thinkingLevel": "HIGH", **THOUGHTS}),
        ({"thinking": "level"}, {"reasoning": {"effort": "none"}}, {"thinkingLevel": "LOW"}),
        ({"thinking": "level", "thinking_levels": ["minimal", "high"]}, {"reasoning": {"effort": "low"}}, {"thinkingLevel": "MINIMAL", **THOUGHTS}),
        ({"thinking": "level"}, {"reasoning": {"max_tokens": 900}}, {"thinkingLevel": "LOW", **THOUGHTS}),
        ({"thinking": "level"}, {"reasoning": {"max_tokens": 7500}, "max_tokens": 10000}, {"thinkingLevel": "HIGH", **THOUGHTS}),
        ({"thinking": "level"}, {"reasoning": {}}, THOUGHTS),
    ],
)  # fmt: skip
def test_reasoning(options: dict[str, Any], asks: dict[str, Any], made: dict[str, Any] | None) -> None:
    """Every form of ``reasoning`` as a budget or as a level, the nearest that the model has; never both."""
    assert config(options=options, **asks).get("thinkingConfig") == made


def user(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (user({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}), "image_url.url"),
        (user({"type": "image_url", "image_url": {}}), "image_url.url"),
        (user({"type": "image_url", "image_url": {"url": "data:image/png"}}), "image_url.url"),
        (user({"type": "hologram", "hologram": {}}), "hologram"),
        (user("x"), r"content\[0\]"),
        (user({"type": "text", "text": 5}), "text"),
        (user({"type": "file", "file": {"file_id": "file-123"}}), "file"),
        (user({"type": "input_audio", "input_audio": {"format": "wav"}}), "input_audio.data"),
        ({"messages": [{"role": "user", "content": 5}]}, r"messages\[0\].content"),
        ({"messages": [{"role": "function", "content": "x"}]}, "role"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, "tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "tool_calls"),
        (chat_body(tools=[{"type": "computer_20250124"}]), r"tools\[0\].type"),
        (chat_body(tools=[{"type": "function", "function": {"name": "f", "parameters": "x"}}]), "parameters"),
        (chat_body(tools=[FUNCTION], web_search_options={}), "web_search_options"),
        (chat_body(tools=[FUNCTION], response_format={"type": "json_object"}), "response_format"),
        (chat_body(tools=[FUNCTION], tool_choice={"type": "openrouter:web_search"}), "tool_choice"),
        (chat_body(response_format={"type": "grammar", "grammar": "x"}), "response_format"),
        (chat_body(response_format={"type": "json_schema", "json_schema": {"schema": [1]}}), "schema"),
        (chat_body(modalities=["audio"], audio={"format": "mp3", "voice": "x"}), "audio.format"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused(body: dict[str, Any], names: str) -> None:
    """Nothing is dropped in silence: the failure ``unsupported`` names the field, before anything is sent."""
    with pytest.raises(ProviderError, match=names) as caught:
        sent(body)
    assert caught.value.failure.kind == "unsupported"


def test_json_with_tools_from_gemini_3_on() -> None:
    """Functions and a JSON answer in one request, where the model can."""
    body = sent(chat_body(tools=[FUNCTION], response_format={"type": "json_object"}), thinking="level")
    assert {"tools", "generationConfig"} <= body.keys()


def test_schemas_are_rewritten_only_where_gemini_refuses() -> None:
    """JSON Schema: ``$ref`` alone, constants and nulls out of enumerations, ``definitions`` under their newer name."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "definitions": {"P": {"type": "object", "properties": {"next": {"$ref": "#/definitions/P"}}}},
        "properties": {
            "p": {"$ref": "#/definitions/P", "description": "d"},
            "c": {"const": "x"},
            "e": {"type": ["string", "null"], "enum": ["a", None]},
            "any": True,
            "n": {"type": "integer", "exclusiveMinimum": 1},
        },
        "additionalProperties": False,
    }
    assert json_schema(schema, "s") == {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "$defs": {"P": {"type": "object", "properties": {"next": {"$ref": "#/$defs/P"}}}},
        "properties": {
            "p": {"description": "d", "anyOf": [{"$ref": "#/$defs/P"}]},
            "c": {"enum": ["x"]},
            "e": {"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "null"}]},
            "any": {},
            "n": {"type": "integer", "exclusiveMinimum": 1},
        },
        "additionalProperties": False,
    }


def test_schemas_as_the_older_message() -> None:
    """OpenAPI: references written out, cycles ended, unions, nullables, constants; only known words."""
    schema = {
        "$defs": {"P": {"type": "object", "properties": {"next": {"$ref": "#/$defs/P"}}, "required": ["next"]}},
        "allOf": [{"properties": {"b": {"type": "boolean"}}, "required": ["b"]}],
        "type": "object",
        "required": ["p"],
        "properties": {
            "p": {"$ref": "#/$defs/P"},
            "u": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]},
            "m": {"oneOf": [{"type": "string"}, {"type": "integer", "format": "int64"}]},
            "l": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}},
            "t": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
            "k": {"type": ["string", "integer"]},
            "i": {"type": "integer", "enum": [1, 2]},
            "c": {"const": "x"},
        },
    }
    made = openapi(schema, "s")
    types.Schema.model_validate(made)
    assert made["required"] == ["p", "b"]
    assert made["properties"] == {
        "p": {"type": "OBJECT", "properties": {"next": {"type": "OBJECT"}}, "required": ["next"]},
        "u": {"type": "STRING", "nullable": True},
        "m": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER", "format": "int64"}]},
        "l": {"type": "ARRAY", "items": {"type": "NUMBER"}},
        "t": {"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]}},
        "k": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
        "i": {"type": "INTEGER", "format": "enum", "enum": ["1", "2"]},
        "c": {"type": "STRING", "format": "enum", "enum": ["x"]},
        "b": {"type": "BOOLEAN"},
    }
    for broken in (
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.org/s"},
        {"properties": {"a": {"$ref": "#/$defs/x"}}},
    ):
        with pytest.raises(ProviderError, match="refers"):
            openapi(broken, "s")


WORDS = [
    "type",
    "properties",
    "items",
    "anyOf",
    "allOf",
    "oneOf",
    "enum",
    "const",
    "$ref",
    "$defs",
    "required",
    "prefixItems",
]


@examples(200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "object", "#", "#/$defs/a", "null", "#/properties/a"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WORDS, "a"]), inner, max_size=4),
        max_leaves=12,
    )
)  # fmt: skip
def test_any_schema_is_written_or_refused(schema: Any) -> None:
    """No schema, however wrong, raises anything but ``unsupported``; none loops."""
    for convert in (json_schema, openapi):
        try:
            convert(schema, "s")
        except ProviderError as error:
            assert "s" in error.message  # noqa: PT017 - the point is that nothing else is raised


def test_signatures_of_others() -> None:
    """Another vendor's details are left out; Vertex's signatures do not go to AI Studio; a bare one goes to the first call."""

    def details(*data: Any, format: str = "google-gemini-v1", id: Any = "a") -> list[dict[str, Any]]:
        return [{"type": "reasoning.encrypted", "data": one, "format": format, "id": id, "index": 0} for one in data]

    def first(found: Any, dialect: Gemini = GEMINI, **options: Any) -> Any:
        answer = {"role": "assistant", "tool_calls": [call("a", "f"), call("b", "f")], "reasoning_details": found}
        parts = turns([{"role": "user", "content": "x"}, answer], dialect, **options)[1]["parts"]
        assert all("thoughtSignature" not in part for part in parts[1:])
        return parts[0].get("thoughtSignature")

    assert first(details("gemini:QUJD")) == "QUJD"
    assert first(details("QUJD", id=None)) == "QUJD"
    assert first(details("gemini:QUJD"), VERTEX) is None
    assert first(details("vertex:QUJD"), VERTEX) == "QUJD"
    assert first(details("QUJD", format="anthropic-claude-v1")) is None
    assert first(details(5)) is None
    assert first(details("not base64!")) is None
    assert first("junk") is None
    assert first(details("vertex:QUJD"), thinking="level") == UNSIGNED


def test_unsigned_calls_are_excused_in_the_current_turn_only() -> None:
    """Gemini 3 demands signatures since the last message of the user; calls of another model get Google's placeholder."""
    step = [
        {"role": "assistant", "tool_calls": [call("a", "f"), call("b", "f")]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
    ]
    made = turns(
        [{"role": "user", "content": "x"}, *step, {"role": "user", "content": "y"}, *step, *step], thinking="level"
    )
    signed = [part.get("thoughtSignature") for turn in made for part in turn["parts"] if "functionCall" in part]
    assert signed == [None, None, UNSIGNED, None, UNSIGNED, None]
    assert UNSIGNED not in json.dumps(turns([{"role": "user", "content": "x"}, *step]))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
SIGNATURE = st.binary(min_size=3, max_size=9).map(lambda raw: {"thoughtSignature": b64encode(raw).decode()})
SIGNED = st.one_of(st.just({}), SIGNATURE)
ARGS = st.dictionaries(
    TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(st.integers(), max_size=2), max_size=3
)


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Parts of a model's answer in the order in which Gemini sends them."""
    thoughts = [{"text": t, "thought": True, **s} for t, s in draw(st.lists(st.tuples(TEXT, SIGNED), max_size=3))]
    texts = [{"text": t, **s} for t, s in draw(st.lists(st.tuples(TEXT, SIGNED), max_size=3))]
    texts += [{"text": "", **s} for s in draw(st.lists(SIGNATURE, max_size=1))]
    blob = {"mimeType": "image/png", "data": "AAAA"}
    images = [{"inlineData": blob, **s} for s in draw(st.lists(SIGNED, max_size=2))]
    ids = draw(st.lists(TEXT, max_size=3, unique=True))
    calls = [
        {"functionCall": {"name": f"f{n}", "args": draw(ARGS), "id": id}, **draw(SIGNED)} for n, id in enumerate(ids)
    ]
    return [*thoughts, *texts, *images, *calls]


def joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Unsigned texts of one kind that touch are one text, also where the next one is signed of itself."""
    made: list[dict[str, Any]] = []
    for part in parts:
        last = made[-1] if made else {}
        plain = "text" in part and "text" in last and "thoughtSignature" not in last
        if plain and part.keys() == last.keys():
            made[-1] = {**part, "text": last["text"] + part["text"]}
        elif plain and part.get("thought") is True is last.get("thought"):
            made[-1] = {**part, "text": last["text"] + part["text"]}  # thoughts go on until one is signed
        else:
            made.append(part)
    return made


def gathered(parts: list[dict[str, Any]], dialect: Gemini, pieces: int) -> dict[str, Any]:
    """The message a client has after reading ``parts`` as a stream of ``pieces`` parts an event."""
    decoder, message = dialect.decoder(), {"role": "assistant", "content": "", "reasoning_details": []}
    for at in range(0, len(parts), pieces):
        document = {"candidates": [{"content": {"parts": parts[at : at + pieces], "role": "model"}}], "responseId": "r"}
        for event in decoder.feed(b"data: " + json.dumps(document).encode() + b"\n\n"):
            delta = event.chunk["choices"][0]["delta"]
            message["content"] += delta.get("content", "")
            message["reasoning_details"] += delta.get("reasoning_details", [])
            for name in ("tool_calls", "images"):
                if name in delta:
                    message[name] = [*message.get(name, []), *delta[name]]
    return message


@examples(200)
@given(answers(), st.sampled_from([GEMINI, VERTEX]), st.integers(0, 3))
def test_an_answer_comes_back_as_it_went(parts: list[dict[str, Any]], dialect: Gemini, pieces: int) -> None:
    """Whole or streamed, sent back in the next turn: every part with its text, id, arguments and its own signature."""
    if pieces:
        message = gathered(parts, dialect, pieces)
    else:
        raw = json.dumps({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "responseId": "r"})
        message = dialect.completion(raw.encode()).body["choices"][0]["message"]
    back = turns([{"role": "user", "content": "x"}, message], dialect, thinking="level")
    returned = back[1]["parts"] if len(back) > 1 else []
    for part in returned:
        if part.get("thoughtSignature") == UNSIGNED:
            del part["thoughtSignature"]
    assert joined(returned) == joined(parts)


@examples(150)
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "calls"]), TEXT, ARGS), min_size=1, max_size=6))
def test_a_conversation_keeps_its_order(turns_: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Roles, texts, ids and arguments arrive in the order of the conversation."""
    messages: list[dict[str, Any]] = []
    wanted: list[Any] = []
    for number, (kind, text, args) in enumerate(turns_):
        if kind == "calls":
            ids = [f"{number}a", f"{number}b"]
            messages.append({"role": "assistant", "tool_calls": [call(id, f"f{id}", json.dumps(args)) for id in ids]})
            messages += [{"role": "tool", "tool_call_id": id, "content": text} for id in reversed(ids)]
            wanted += [("model", f"f{id}", id, args) for id in ids] + [("user", f"f{id}", id, text) for id in ids]
        else:
            messages.append({"role": kind, "content": text})
            wanted.append(("model" if kind == "assistant" else "user", text))
    seen: list[Any] = []
    for turn in turns(messages, thinking="level"):
        for part in turn["parts"]:
            made, result = part.get("functionCall"), part.get("functionResponse")
            if made:
                seen.append((turn["role"], made["name"], made["id"], made["args"]))
            elif result:
                seen.append((turn["role"], result["name"], result["id"], result["response"]["output"]))
            else:
                seen.append((turn["role"], part["text"]))
    assert seen == wanted

"""Conversations of callers, and what of them arrives: for the half of the dialects' contract that is about requests.

``talks`` are what a well-behaved client sends; ``wild`` is anything that the surface lets through (``chat_schema.check``). ``read_request``
reads a vendor's request back: calls, results, tools, and every text in order.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gateway.api.inference.chat.schema import check
from gateway.errors import BadRequest

Json = dict[str, Any]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture, as base64."""


# -- requests to vendors -----------------------------------------------------------------------------------------------


@dataclass
class ReadRequest:
    """What a request of any format says."""

    calls: list[tuple[Any, str, Any]] = field(default_factory=list)
    """Id (None where the format has none), name, arguments as JSON."""
    results: list[tuple[Any, str]] = field(default_factory=list)
    """Id (or the name, where the format goes by that), all of its text."""
    tools: list[str] = field(default_factory=list)
    turns: list[tuple[str, str]] = field(default_factory=list)
    """Role (``user`` or ``assistant``) and all text of a turn, tool results included."""
    texts: list[str] = field(default_factory=list)
    """Every text anywhere, in order."""


_SEALED = ("thoughtSignature", "signature", "encrypted_content")


def texts(value: Any, without: tuple[str, ...] = ()) -> Iterator[str]:
    """Every text in some JSON, in order; names of fields, and fields of the names ``without``, left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            if name not in without:
                yield from texts(one, without)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one, without)


def _turn(role: str, turn: Any) -> tuple[str, str]:
    return "assistant" if role in ("assistant", "model") else "user", "".join(texts(turn, _SEALED))


def _loaded(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def _chat(body: Json, found: ReadRequest) -> None:
    """OpenAI's messages, and those of vendors near to it."""
    for message in body["messages"]:
        found.turns.append(_turn(message["role"], message))
        for call in message.get("tool_calls", ()):
            function = call["function"]
            found.calls.append((call["id"], function["name"], _loaded(function["arguments"])))
        if message["role"] == "tool":
            found.results.append((message["tool_call_id"], " ".join(texts(message["content"]))))
    found.tools += [tool["function"]["name"] for tool in body.get("tools", ()) if "function" in tool]


def _anthropic(body: Json, found: ReadRequest) -> None:
    for turn in body["messages"]:
        found.turns.append(_turn(turn["role"], turn["content"]))
        for block in turn["content"]:
            if block["type"] == "tool_use":
                found.calls.append((block["id"], block["name"], block["input"]))
            elif block["type"] == "tool_result":
                found.results.append((block["tool_use_id"], " ".join(texts(block.get("content", "")))))
    found.tools += [tool["name"] for tool in body.get("tools", ())]


def _gemini(body: Json, found: ReadRequest) -> None:
    for turn in body["contents"]:
        found.turns.append(_turn(turn["role"], turn["parts"]))
        for part in turn["parts"]:
            if "functionCall" in part:
                call = part["functionCall"]
                found.calls.append((call.get("id"), call["name"], call["args"]))
            elif "functionResponse" in part:
                result = part["functionResponse"]
                found.results.append((result.get("id", result["name"]), " ".join(texts(result["response"]))))
    for tool in body.get("tools", ()):
        found.tools += [one["name"] for one in tool.get("functionDeclarations", ())]


def _bedrock(body: Json, found: ReadRequest) -> None:
    for message in body["messages"]:
        found.turns.append(_turn(message["role"], message["content"]))
        for block in message["content"]:
            if "toolUse" in block:
                use = block["toolUse"]
                found.calls.append((use["toolUseId"], use["name"], use["input"]))
            elif "toolResult" in block:
                result = block["toolResult"]
                found.results.append((result["toolUseId"], " ".join(texts(result["content"]))))
    found.tools += [
        tool["toolSpec"]["name"] for tool in body.get("toolConfig", {}).get("tools", ()) if "toolSpec" in tool
    ]


def _responses(body: Json, found: ReadRequest) -> None:
    for item in body["input"]:
        found.turns.append(_turn(item.get("role", "user" if item["type"].endswith("_output") else "assistant"), item))
        if item.get("type") == "function_call":
            found.calls.append((item["call_id"], item["name"], _loaded(item["arguments"])))
        elif item.get("type") == "function_call_output":
            found.results.append((item["call_id"], " ".join(texts(item["output"]))))
    found.tools += [tool["name"] for tool in body.get("tools", ()) if tool["type"] == "function"]


READERS: dict[str, Callable[[Json, ReadRequest], None]] = {
    **dict.fromkeys(("openai", "azure", "openrouter", "mistral", "cohere", "ollama"), _chat),
    **dict.fromkeys(("anthropic", "vertex-anthropic"), _anthropic),
    **dict.fromkeys(("gemini", "vertex"), _gemini),
    "bedrock": _bedrock,
    "responses": _responses,
}
"""How the requests of each dialect are read."""


def read_request(dialect: str, content: bytes) -> ReadRequest:
    """Parses a vendor's request. Raises ``AssertionError`` for a dialect without a reader."""
    body = json.loads(content)
    found = ReadRequest(texts=list(texts(body)))
    _reader(dialect)(body, found)
    return found


@cache
def _reader(dialect: str) -> Callable[[Json, ReadRequest], None]:
    """The reader of a dialect: of ``READERS``, or ``read`` in ``tests/wire/<dialect>/reader.py``."""
    if dialect in READERS:
        return READERS[dialect]
    path = Path(__file__).parents[1] / "wire" / dialect / "reader.py"
    assert path.exists(), (
        f"tests/support/dialectrequests.py has no reader for requests of {dialect}, nor is there a {path}"
    )
    read: Callable[[Json, ReadRequest], None] = importlib.import_module(f"tests.wire.{dialect}.reader").read
    return read


# -- callers' requests -------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(NAMES, deeper, max_size=3),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(NAMES, VALUES, max_size=3)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True) | st.text("abc|:/.=é", min_size=1, max_size=90)
"""Ids of this vendor, of other vendors, and made-up ones."""


def tool(name: str, parameters: Any = None) -> Json:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}} if parameters is None else parameters
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": schema}}


def call(id: str, name: str, arguments: Any) -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


@st.composite
def talks(draw: st.DrawFn) -> Json:
    """What a well-behaved client sends: every text a different word, calls with their results behind them, declared tools."""
    numbers = iter(range(1000))

    def word() -> str:
        return f"word{next(numbers)}x" + draw(st.sampled_from(["", " grüße", ' "q"', " 🌍"]))

    def content() -> Any:
        text = word()
        return [{"type": "text", "text": text}] if draw(st.booleans()) else text

    messages: list[Json] = [{"role": draw(st.sampled_from(["system", "developer"])), "content": content()}] * draw(
        st.integers(0, 1)
    )
    names: list[str] = []
    ids = iter(draw(st.lists(IDS, min_size=12, max_size=12, unique=True)))
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": content()})
        for _ in range(draw(st.integers(0, 2))):
            made = [call(next(ids), draw(NAMES), draw(ARGUMENTS)) for _ in range(draw(st.integers(1, 2)))]
            names += [one["function"]["name"] for one in made]
            text = {"content": word()} if draw(st.booleans()) else {"content": None}
            messages.append({"role": "assistant", **text, "tool_calls": made})
            messages += [{"role": "tool", "tool_call_id": one["id"], "content": content()} for one in made]
        messages.append({"role": "assistant", "content": word()})
    messages.append({"role": "user", "content": content()})
    body: Json = {"model": "a/b", "messages": messages}
    if names:
        body["tools"] = [tool(name) for name in dict.fromkeys(names)]
    return body


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=8), deeper, max_size=3),
    max_leaves=6,
)
_URLS = st.sampled_from(
    [
        f"data:image/png;base64,{PNG}", "data:application/pdf;base64,aGk=", "data:text/plain,hi%20there", "data:,", "data:;base64,%",
        "https://x.example/a.png", "http://x.example/a", "gs://b/c.png", "x", "data:", "data:image/png;base64,\u00e9", "data:audio/wav;base64,aGk=",
        "https://[::1", "https://www.youtube.com/watch?v=1", "data:video/mp4;base64,aGk=",
    ]
)  # fmt: skip
_CACHE = st.fixed_dictionaries(
    {},
    optional={
        "cache_control": st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, None, 7, {}])
    },
)
_TEXT = st.sampled_from(["hi", "", " ", "\n", "long " * 20, "🌍", "\u0000"])


def _part(kind: str, inner: Any) -> st.SearchStrategy[Json]:
    return st.builds(lambda value, more: {"type": kind, kind: value, **more}, inner, _CACHE)


_PARTS = st.one_of(
    st.builds(lambda text, more: {"type": "text", "text": text, **more}, _TEXT, _CACHE),
    _part("image_url", st.fixed_dictionaries({"url": _URLS}, optional={"detail": st.sampled_from(["auto", "low", "original", None])})),
    _part("input_audio", st.fixed_dictionaries({"data": st.sampled_from(["aGk=", "", "%"]), "format": st.sampled_from(["wav", "mp3", "x", ""])})),
    _part("file", st.fixed_dictionaries({}, optional={
        "file_data": _URLS | st.none(), "file_id": st.sampled_from(["file-1", "", None]), "filename": st.sampled_from(["a.pdf", "a", "", None])})),
    _part("video_url", st.fixed_dictionaries({"url": _URLS})),
    _part("input_video", st.none() | st.dictionaries(st.sampled_from(["url", "x"]), _URLS, max_size=1)),
)  # fmt: skip
_CONTENT = _TEXT | st.lists(_PARTS, max_size=3)
_TEXTS = _TEXT | st.lists(
    st.builds(lambda text, more: {"type": "text", "text": text, **more}, _TEXT, _CACHE), max_size=2
)
_WILD_NAMES = st.sampled_from(["get_weather", "", "a b", "x" * 70, "1st", "é", "tokenway_structured_answer", "$web"])
_WILD_IDS = st.sampled_from(["call_1", "toolu_2", "", "call|fc_3", "x" * 100, "é", " "])
_CALLS = st.builds(
    lambda id, name, arguments: {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
    _WILD_IDS, _WILD_NAMES, st.sampled_from(["{}", '{"a": [1]}', "", "x", "[1]", "null", '"t"', "{", "[" * 4000]),
)  # fmt: skip
_FORMATS = ("anthropic-claude-v1", "google-gemini-v1", "openai-responses-v1", "unknown", "x", None)
_DETAILS = st.fixed_dictionaries(
    {"type": st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted", "reasoning.server_tool_call", "x", None])},
    optional={
        "text": _TEXT | st.none() | st.integers(), "summary": _TEXT | st.none(), "data": st.sampled_from(["Eg==", "", "gemini:Eg==", None, 7]),
        "signature": st.sampled_from(["Eg==", "", None, 7]), "format": st.sampled_from(_FORMATS), "index": st.sampled_from([0, 1, -1, 2**70, None, "0"]),
        "id": st.sampled_from(["rs_1", "cohere-0", "mistral-0", "ollama-0", "thought-0", "text-0-1", "call_1", "image-0", None, 7]),
    },
)  # fmt: skip


def _optional(**fields: Any) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=fields)


def _message(role: str, content: Any, **fields: Any) -> st.SearchStrategy[Json]:
    return st.builds(lambda text, more: {"role": role, "content": text, **more}, content, _optional(**fields))


_MESSAGES = st.one_of(
    _message("system", _TEXTS, name=_TEXT),
    _message("developer", _TEXTS),
    _message("user", _CONTENT, name=_TEXT | st.none(), cache_control=st.just({"type": "ephemeral"})),
    _message(
        "assistant", _CONTENT | st.none(), tool_calls=st.lists(_CALLS, max_size=2) | st.none(), refusal=_TEXT | st.none(),
        reasoning=_TEXT | st.none(), reasoning_details=st.lists(_DETAILS, max_size=3) | st.none(),
        images=st.lists(st.builds(lambda url: {"type": "image_url", "image_url": {"url": url}}, _URLS), max_size=1) | _JUNK, annotations=_JUNK,
        audio=_JUNK, phase=_JUNK,
    ),
    st.builds(lambda id, text, more: {"role": "tool", "tool_call_id": id, "content": text, **more}, _WILD_IDS, _CONTENT,
              _optional(name=_WILD_NAMES, is_error=st.booleans())),
)  # fmt: skip
_SCHEMAS: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, {}, {"type": "object"}, {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}, "required": ["a"]},
        {"type": "string"}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, {"type": ["object", "null"], "additionalProperties": {}},
        {"anyOf": [{"type": "integer", "minimum": 3}, True]}, {"properties": []}, {"type": 7, "items": "x"}, {"type": "object", "properties": {"a": None}},
    ]
)  # fmt: skip
_TOOLS = st.one_of(
    st.builds(lambda name, schema, more: {"type": "function", "function": {"name": name or "f", "parameters": schema, **more}}, _WILD_NAMES, _SCHEMAS,
              _optional(strict=st.booleans() | st.none(), description=_TEXT | st.none(), cache_control=_JUNK)),
    st.builds(lambda kind, more: {"type": kind, **more}, st.sampled_from(
        ["web_search_20250305", "custom", "openrouter:web_search", "google_search", "mcp", "image_generation", "function", "x", ""]),
        st.dictionaries(st.sampled_from(["name", "parameters", "custom", "server_label", "require_approval", "input_schema"]), _JUNK, max_size=2)),
)  # fmt: skip
_CHOICES = st.one_of(
    st.sampled_from(["none", "auto", "required", None, {"type": "function", "function": {"name": "get_weather"}}, {"type": "function"}]),
    st.builds(lambda mode, tools: {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}, st.sampled_from(["auto", "required", 7]),
              _JUNK | st.lists(_TOOLS, max_size=2)),
    st.dictionaries(st.sampled_from(["type", "function", "name", "allowed_tools", "mode", "tools"]), _JUNK, max_size=3),
)  # fmt: skip
_ANSWERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "json_object", "json_schema", "grammar", "python"])},
    optional={
        "grammar": _TEXT,
        "json_schema": _optional(name=_TEXT, schema=_SCHEMAS, strict=st.booleans(), description=_TEXT),
    },
)
_EFFORTS = st.sampled_from(["max", "xhigh", "high", "medium", "low", "minimal", "none", None])
_FIELDS: dict[str, Any] = {
    "max_tokens": st.sampled_from([1, 100, 1500, 200_000, None]), "max_completion_tokens": st.sampled_from([1, 1500, None]),
    "temperature": st.sampled_from([0, 0.5, 1, 2, None]), "top_p": st.sampled_from([0, 0.3, 1, None]), "top_k": st.sampled_from([0, 5, 2**31 - 1, None]),
    "min_p": st.sampled_from([0.1]), "frequency_penalty": st.sampled_from([-2, 0, 1.5]), "presence_penalty": st.sampled_from([0.5, None]),
    "repetition_penalty": st.sampled_from([1.1]), "seed": st.sampled_from([0, -1, 2**63 - 1, None]),
    "stop": st.sampled_from(["x", "", " ", [], ["a", "b"], ["", "c"], ["\n"] * 16, None]), "logit_bias": st.sampled_from([{"1": 5}, {}]),
    "logprobs": st.booleans() | st.none(), "top_logprobs": st.sampled_from([0, 20, None]), "n": st.sampled_from([1, None]),
    "tools": st.lists(_TOOLS, max_size=3) | st.none(), "tool_choice": _CHOICES, "parallel_tool_calls": st.booleans() | st.none(),
    "response_format": _ANSWERS | st.none(), "structured_outputs": st.booleans(), "verbosity": st.sampled_from(["low", "xhigh", "max", None]),
    "reasoning": st.none() | _optional(effort=_EFFORTS, enabled=st.booleans() | st.none(), exclude=st.booleans(), summary=st.sampled_from(["auto", None]))
    | _optional(max_tokens=st.sampled_from([1, 1024, 5000, 2**31 - 1]), exclude=st.booleans()),
    "reasoning_effort": _EFFORTS, "include_reasoning": st.booleans() | st.none(), "modalities": st.lists(st.sampled_from(["text", "image", "audio"]), max_size=2),
    "user": st.sampled_from(["u" * 64, "", None]), "metadata": st.sampled_from([{"a": "b"}, {}, None]), "prompt_cache_key": _TEXT,
    "cache_control": st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, None]), "service_tier": st.sampled_from(["flex", "x", None]),
    "stream": st.booleans() | st.none(), "stream_options": st.sampled_from([{"include_usage": True}, None]), "usage": st.just({"include": True}),
    "provider": _JUNK.filter(lambda one: isinstance(one, dict)), "plugins": st.just([{"id": "web"}]), "audio": _JUNK, "image_config": _JUNK,
    "prediction": _JUNK | st.just({"type": "content", "content": "x"}), "web_search_options": _JUNK | st.just({}), "thinking": _JUNK, "documents": _JUNK,
    "guardrailConfig": _JUNK, "output_config": _JUNK, "include": st.lists(st.just("x"), max_size=1), "unheard_of": _JUNK,
}  # fmt: skip


def _passes(body: Json) -> bool:
    try:
        check(body)
    except BadRequest:
        return False
    return True


@st.composite
def _bodies(draw: st.DrawFn) -> Json:
    fields = draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=8, unique=True))
    more = {name: draw(_FIELDS[name]) for name in fields}
    return {"model": "a/b", "messages": draw(st.lists(_MESSAGES, min_size=1, max_size=5)), **more}


def wild() -> st.SearchStrategy[Json]:
    """Anything that the surface lets through: what no vendor knows, what contradicts itself, what is not quite of its type."""
    return _bodies().filter(_passes)


def answered(message: Json) -> list[Json]:
    """A conversation that goes on behind an assistant's message, its calls answered."""
    calls: Iterable[Json] = message.get("tool_calls", ())
    results = [{"role": "tool", "tool_call_id": one["id"], "content": f"result{i}x"} for i, one in enumerate(calls)]
    return [{"role": "user", "content": "ask"}, message, *results, {"role": "user", "content": "go on"}]

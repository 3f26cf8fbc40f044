"""Reading recorded bytes of the Anthropic dialect, and what the vendor's own SDK and strict clients demand of both sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParams
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openrouter.components import ChatResult, ChatStreamChunk
from pydantic import TypeAdapter

from providers.anthropic import Anthropic
from providers.errors import ProviderError
from providers.types import Completion, Event, Target, Usage

WIRE = Path(__file__).parents[1] / "wire/anthropic"
STREAMS: dict[str, tuple[bytes, dict[str, Any]]] = {
    path.stem: (path.read_bytes(), json.loads(path.with_suffix(".json").read_text("utf-8")))
    for path in sorted((WIRE / "streams").glob("*.sse"))
}
ANSWERS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((WIRE / "answers").glob("*.json"))}
ERRORS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((WIRE / "errors").glob("*.json"))}
DIALECT = Anthropic()
TARGET = Target("anthropic", "https://api.anthropic.com/v1", "claude-sonnet-4-5", api_key="k-1")
_SENT: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
_COUNTED: TypeAdapter[Any] = TypeAdapter(MessageCountTokensParams)
_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
SAMPLING = {"temperature", "top_p", "top_k"}
"""The SDK no longer types them (2.12); older models still take them."""


def target(**options: Any) -> Target:
    return Target(TARGET.provider, TARGET.base_url, TARGET.upstream_id, api_key="k-1", options=options)


def sent(body: dict[str, Any], *, stream: bool = False, **options: Any) -> dict[str, Any]:
    """The vendor's body for an inner one, checked against the SDK's parameter types. ``body`` must come back untouched."""
    before = json.dumps(body)
    request = DIALECT.request(target(**options), body, stream=stream)
    assert json.dumps(body) == before
    told: dict[str, Any] = json.loads(request.content)
    valid(told)
    return told


def valid(told: dict[str, Any], *, count: bool = False) -> None:
    """Assert that the SDK's types take the body and know every field of it, to the leaves; they read lists lazily."""
    known = {name: value for name, value in told.items() if name not in SAMPLING}
    assert plain((_COUNTED if count else _SENT).validate_python(known)) == known


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, str | int | float | bool | None):
        return value
    return [plain(one) for one in value]


def decoded(pieces: list[bytes]) -> tuple[list[Event], ProviderError | None]:
    """Every event, and the error that ended the stream if one did, as the driver would see them."""
    decoder, events = DIALECT.decoder(), []
    try:
        for piece in pieces:
            if decoder.error is not None or decoder.done:
                break
            events += decoder.feed(piece)
        if decoder.error is None and not decoder.done:
            events += decoder.close()
    except ProviderError as error:
        return events, error
    return events, decoder.error


def vendor_events(raw: bytes) -> list[tuple[str, Any]]:
    """The events of a well-formed body by the plainest reading: blocks between blank lines."""
    found = []
    for block in raw.decode().replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(":", 1) for line in block.split("\n") if line)
        if fields.get("data", "").strip() not in ("", "[DONE]"):
            data = json.loads(fields["data"])
            found.append((fields.get("event", data["type"]).strip(), data))
    return found


def parsed(data: Any) -> None:
    """Assert that one vendor event is what the SDK takes it for."""
    _EVENT.validate_python(data)


def heard(events: list[Event]) -> dict[str, Any]:
    """What a stream said, as a recording's description has it."""
    seen: dict[str, Any] = {"text": "", "finish": [], "usage": None}
    tools: dict[int, list[str]] = {}
    details: dict[int, list[Any]] = {}
    for event in events:
        seen["usage"] = counted(event.usage) or seen["usage"]
        seen["finish"] += [event.finish] if event.finish else []
        for choice in event.chunk["choices"]:
            delta = choice["delta"]
            seen["native"] = choice["native_finish_reason"] or seen.get("native")
            for name, field in (("text", "content"), ("reasoning", "reasoning"), ("refusal", "refusal")):
                if delta.get(field):
                    seen[name] = seen.get(name, "") + delta[field]
            for tool in delta.get("tool_calls", ()):
                one = tools.setdefault(tool["index"], ["", "", ""])
                one[0] += tool.get("id", "")
                one[1] += tool["function"].get("name", "")
                one[2] += tool["function"].get("arguments", "")
            for detail in delta.get("reasoning_details", ()):
                assert detail["format"] == "anthropic-claude-v1"
                one = details.setdefault(detail["index"], [detail["type"], detail["index"], "", ""])
                one[2] += detail.get("text", "") + detail.get("data", "")
                one[3] += detail.get("signature", "")
            seen.setdefault("annotations", []).extend(cited(delta.get("annotations", ())))
    return _shown(seen, list(tools.values()), list(details.values()))


def read(answer: Completion) -> dict[str, Any]:
    """What a whole answer said, in the same words."""
    choice = answer.body["choices"][0]
    message = choice["message"]
    seen = {"text": message["content"] or "", "finish": [choice["finish_reason"]], "usage": counted(answer.usage)}
    seen |= {"native": choice["native_finish_reason"], "annotations": cited(message.get("annotations", ()))}
    seen |= {name: message[name] for name in ("reasoning", "refusal") if message.get(name)}
    calls = [[c["id"], c["function"]["name"], c["function"]["arguments"]] for c in message.get("tool_calls", ())]
    details = [
        [d["type"], d["index"], d.get("text", "") + d.get("data", ""), d.get("signature", "")]
        for d in message.get("reasoning_details", ())
    ]
    return _shown(seen, calls, details)


def _shown(seen: dict[str, Any], tools: list[Any], details: list[Any]) -> dict[str, Any]:
    seen |= {name: value for name, value in (("tools", tools), ("details", details)) if value}
    return {name: value for name, value in seen.items() if name != "annotations" or value}


def counted(usage: Usage | None) -> dict[str, Any] | None:
    return None if usage is None else {name: n for name, n in msgspec.to_builtins(usage).items() if n}


def cited(annotations: Any) -> list[Any]:
    found = [annotation["url_citation"] for annotation in annotations]
    return [[one["url"], one["start_index"], one["end_index"]] for one in found]


def taken_by_clients(events: list[Event]) -> None:
    """Assert that the official clients' types take every chunk."""
    for event in events:
        ChatCompletionChunk.model_validate(event.chunk)
        ChatStreamChunk.model_validate(event.chunk)
        for choice in event.chunk["choices"]:
            assert {"index", "delta", "finish_reason", "native_finish_reason"} <= choice.keys()


def taken_whole(answer: Completion) -> None:
    """Assert that the official clients' types take the answer, and the vendor's SDK what passes unchanged."""
    ChatCompletion.model_validate(answer.body)
    ChatResult.model_validate({**answer.body, "system_fingerprint": None})
    Message.model_validate(answer.wire)

"""Requests as the vendors' own SDKs would have made them: each function asserts that a request's body is one that the SDK's types
accept, with no field that they do not know."""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable
from typing import Any

import botocore.session
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParams
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from cohere.types import ResponseFormatV2, Thinking, ToolV2
from cohere.types.chat_message_v2 import ChatMessageV2
from cohere.v2.client import V2Client
from google.genai import types
from mistralai.client.models import ChatCompletionRequest
from ollama._types import ChatRequest as OllamaRequest
from ollama._types import Message as OllamaMessage
from ollama._types import Options as OllamaOptions
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses
from openrouter.components import ChatRequest as OpenRouterRequest
from pydantic import BaseModel, TypeAdapter

from providers.types import HttpRequest

Json = dict[str, Any]
_PARAMS: tuple[Any, ...] = (
    MessageCreateParams,
    MessageCountTokensParams,
    chat.CompletionCreateParamsNonStreaming,
    chat.CompletionCreateParamsStreaming,
    responses.ResponseCreateParamsNonStreaming,
    responses.ResponseCreateParamsStreaming,
)
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in _PARAMS}
_CONVERSE = botocore.session.get_session().get_service_model("bedrock-runtime")
SAMPLING = {"temperature", "top_p", "top_k"}
"""Anthropic's SDK no longer types them (2.12); older models still take them."""
NEWER = {"truncate", "shift"}
"""Fields of Ollama's server since 0.12.6 that the SDK has no names for."""


def plain(value: Any) -> Any:
    """What an SDK's type has parsed, as JSON; pydantic validates ``Iterable`` fields only when they are iterated."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, str | int | float | bool | None):
        return value
    return [plain(one) for one in value]


def anthropic(body: Json, *, count: bool = False) -> None:
    """Checks every field, at any depth."""
    known = {name: value for name, value in body.items() if name not in SAMPLING}
    kind = MessageCountTokensParams if count else MessageCreateParams
    assert plain(_ADAPTERS[kind].validate_python(known)) == known


def vertex_anthropic(body: Json) -> None:
    """Anthropic's types; the model is in the URL."""
    sent = {**body, "model": "m"}
    assert sent.pop("anthropic_version") == "vertex-2023-10-16"
    assert all(isinstance(one, str) for one in sent.pop("anthropic_beta", []))
    anthropic(sent)


def openai(body: Json) -> None:
    """Checks every field, at any depth; ``reasoning_content`` of a turn is what compatible vendors have beside OpenAI's fields."""
    turns = [{name: value for name, value in turn.items() if name != "reasoning_content"} for turn in body["messages"]]
    known = {**body, "messages": turns}
    streamed = body.get("stream") is True
    kind = chat.CompletionCreateParamsStreaming if streamed else chat.CompletionCreateParamsNonStreaming
    assert plain(_ADAPTERS[kind].validate_python(known)) == known


def responses_api(body: Json) -> None:
    """Every key of every item is known."""
    streamed = body.get("stream") is True
    kind = responses.ResponseCreateParamsStreaming if streamed else responses.ResponseCreateParamsNonStreaming
    seen = plain(_ADAPTERS[kind].validate_python(body))
    assert seen.keys() == body.keys()
    assert len(seen["input"]) == len(body["input"])
    for ours, theirs in zip(body["input"], seen["input"], strict=True):
        assert theirs.keys() == ours.keys(), ours


def gemini(body: Json) -> None:
    """Google's types forbid unknown fields."""
    rest = {name: value for name, value in body.items() if name not in ("contents", "generationConfig")}
    types.GenerateContentConfig.model_validate({**rest, **body.get("generationConfig", {})})
    for content in body["contents"]:
        types.Content.model_validate(content)
        assert content["role"] in ("user", "model")
        assert content["parts"]
    for tool in body.get("tools", ()):
        types.Tool.model_validate(tool)


def _with_bytes(shape: Any, value: Any) -> Any:
    """JSON of the wire as botocore's parameters: base64 text where the model says blob."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        return {
            name: _with_bytes(shape.members[name], one) if name in shape.members else one for name, one in value.items()
        }
    if shape.type_name == "list":
        return [_with_bytes(shape.member, one) for one in value]
    return value


def bedrock(request: HttpRequest, model: str, *, stream: bool = False) -> None:
    """botocore validates the body, and serialises it to the same URL and body."""
    body: Json = json.loads(request.content)
    operation = _CONVERSE.operation_model("ConverseStream" if stream else "Converse")
    params = _with_bytes(operation.input_shape, {**body, "modelId": model})
    report = ParamValidator().validate(params, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    made = create_serializer("rest-json").serialize_to_request(params, operation)
    assert json.loads(made["body"]) == body
    assert request.url == "https://bedrock-runtime.us-east-1.amazonaws.com" + made["url_path"]


def _extras(value: Any) -> list[str]:
    """Fields that the SDK's types do not know, anywhere inside."""
    if isinstance(value, list):
        return [name for one in value for name in _extras(one)]
    if not isinstance(value, BaseModel):
        return []
    found = list(value.model_extra or {})
    return found + [name for field in type(value).model_fields for name in _extras(getattr(value, field))]


def checked(kind: Any, value: Any) -> Any:
    """``value`` as the SDK's type, with nothing in it that the type does not know."""
    read = TypeAdapter(kind).validate_python(value)
    assert _extras(read) == []
    return read


_COHERE = (
    ("messages", list[ChatMessageV2]),
    ("tools", list[ToolV2]),
    ("response_format", ResponseFormatV2),
    ("thinking", Thinking),
)


def cohere(body: Json) -> None:
    """Fields of the SDK's ``chat``, their contents to the field."""
    assert body.keys() <= {*inspect.signature(V2Client.chat).parameters, "stream"}
    for name, kind in _COHERE:
        if name in body:
            checked(kind, body[name])


def mistral(body: Json) -> None:
    """Asserts that the SDK's type keeps every field."""
    read = ChatCompletionRequest.model_validate(body).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert read == body


def ollama(body: Json) -> None:
    """Checks every field; newer servers read ids of results, which the SDK does not know."""
    OllamaRequest.model_validate({**body, "messages": None})
    assert body.keys() <= set(OllamaRequest.model_fields) | NEWER
    for message in body["messages"]:
        OllamaMessage.model_validate({**message, "images": [{"value": data} for data in message.get("images", ())]})
        assert message.keys() <= set(OllamaMessage.model_fields) | {"tool_call_id"}
    OllamaOptions.model_validate(body.get("options", {}))


def openrouter(body: Json) -> None:
    """The SDK's type, which accepts unknown fields."""
    OpenRouterRequest.model_validate(body)


ORACLES: dict[str, Callable[[Json], None]] = {
    "anthropic": anthropic,
    "azure": openai,
    "cohere": cohere,
    "gemini": gemini,
    "mistral": mistral,
    "ollama": ollama,
    "openai": openai,
    "openrouter": openrouter,
    "responses": responses_api,
    "vertex": gemini,
    "vertex-anthropic": vertex_anthropic,
}
"""The checks of the dialects whose body can be checked without its URL."""


def has_judge(dialect: str) -> bool:
    """Whether ``judge`` knows the dialect."""
    return dialect in ORACLES or dialect == "bedrock"


def judge(dialect: str, request: HttpRequest, model: str, *, stream: bool) -> None:
    """Assert that the vendor's SDK could have sent this."""
    if dialect == "bedrock":
        bedrock(request, model, stream=stream)
        return
    assert dialect in ORACLES, f"tests/support/dialectoracles.py has no judge of requests of {dialect}"
    ORACLES[dialect](json.loads(request.content))

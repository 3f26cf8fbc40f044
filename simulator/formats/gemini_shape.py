"""Requests of Gemini's ``generateContent``, field by field.

google-genai 3.4, types.py, and ai.google.dev/api/generate-content (2026-11).
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from simulator.formats.wire_format import Json


class _Strict(Struct, forbid_unknown_fields=True, rename="camel"):
    pass


class Blob(_Strict):
    mime_type: str
    data: str
    display_name: str | None = None


class FileData(_Strict):
    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class FunctionCall(_Strict):
    name: str
    args: Json = field(default_factory=dict)
    id: str | None = None


class FunctionResponse(_Strict):
    name: str
    response: Json
    id: str | None = None
    parts: list[Json] | None = None
    will_continue: bool | None = None
    scheduling: str | None = None


class Part(_Strict):
    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: Json | None = None
    code_execution_result: Json | None = None
    video_metadata: Json | None = None
    media_resolution: Any = None


class Content(_Strict):
    parts: list[Part] = []
    role: str = "user"


class SystemInstruction(_Strict):
    parts: list[Part] = []
    role: str | None = None


class ThinkingConfig(_Strict):
    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(_Strict):
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    candidate_count: int | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    response_mime_type: str | None = None
    response_schema: Json | None = None
    response_json_schema: Any = None
    response_modalities: list[str] | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    thinking_config: ThinkingConfig | None = None
    media_resolution: str | None = None
    speech_config: Json | None = None
    image_config: Json | None = None


class FunctionDeclaration(_Strict):
    name: str
    description: str | None = None
    parameters: Json | None = None
    parameters_json_schema: Any = None
    response: Json | None = None
    response_json_schema: Any = None
    behavior: str | None = None


class Tool(_Strict):
    function_declarations: list[FunctionDeclaration] = []
    google_search: Json | None = None
    google_search_retrieval: Json | None = None
    code_execution: Json | None = None
    url_context: Json | None = None


class FunctionCallingConfig(_Strict):
    mode: Literal["AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"] = "AUTO"
    allowed_function_names: list[str] | None = None


class ToolConfig(_Strict):
    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Json | None = None


class GenerateRequest(_Strict):
    """Of ``:generateContent`` and ``:streamGenerateContent``."""

    contents: list[Content] = []
    system_instruction: SystemInstruction | None = None
    generation_config: GenerationConfig = field(default_factory=GenerationConfig)
    tools: list[Tool] = []
    tool_config: ToolConfig | None = None
    safety_settings: list[Json] | None = None
    cached_content: str | None = None
    labels: dict[str, str] | None = None
    service_tier: str | None = None
    store: bool | None = None
    model: str | None = None


BODY = msgspec.json.Decoder(Json)
FREE: Final = frozenset(
    {"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels", "default", "example", "enum"}
)
"""Fields whose inside is the caller's own."""


def camel(value: Any, *, named: bool = True) -> Any:
    """The same with field names in camel case: the JSON of protocol buffers takes either, and google-genai 3.4 sends both."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    found: Json = {}
    for key, inner in value.items():
        head, *tail = key.split("_")
        name = head + "".join(word.title() for word in tail) if named else key
        found[name] = inner if name in FREE else camel(inner, named=name != "properties")
    return found

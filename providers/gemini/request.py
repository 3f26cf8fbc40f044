"""The inner language's request as Gemini's: generation config, thinking, tools. Pure. Conversations: ``gemini_messages``.

Vendor facts (google-genai 3.4 ``types`` and ``models``, ai.google.dev, read 2026-11): thinking is a budget in tokens for
Gemini 2.5 (0 off, -1 as it likes; Flash at most 24,576, Pro 128 to 32,768, Flash-Lite from 512) and a level for Gemini 3,
never both; Google's own OpenAI endpoint maps low, medium, high to 1,024, 8,192, 24,576. Up to Gemini 2.5 functions exclude
JSON answers and search ("Function calling with a response mime type: 'application/json' is unsupported",
github.com/googleapis/python-genai/issues/867). ``seed`` is an int32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat import effort
from providers.errors import failed
from providers.gemini.messages import Voice, contents
from providers.gemini.schema import json_schema, openapi
from providers.types import Json

BUDGETS: Final = {"max": 24576, "xhigh": 24576, "high": 24576, "medium": 8192, "low": 1024, "minimal": 512}
"""Tokens that an effort may think where the caller set no limit; else they are a share of it."""
LEVELS: Final = ("low", "medium", "high")
_NUMBERS: Final = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)
_OWN_TOOLS: Final = {
    "google_search": "googleSearch",
    "code_execution": "codeExecution",
    "url_context": "urlContext",
    "google_maps": "googleMaps",
}
_IMAGE_CONFIG: Final = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}
_TIERS: Final = {
    "default": "standard",
    "standard": "standard",
    "flex": "flex",
    "priority": "priority",
    "fast": "priority",
}


def written(body: Json, options: Mapping[str, Any], voice: Voice) -> Json:
    """The body for ``generateContent``. Raises ``ProviderError`` (unsupported) naming the field that Gemini cannot take."""
    system, turns = contents(body.get("messages") or [], voice)
    made: Json = {"contents": turns}
    if system:
        made["systemInstruction"] = {"parts": system}
    config = _config(body, options)
    _format(body.get("response_format"), options, config)
    _output(body, config)
    tools, choice = _tools(body, options, voice)
    if tools:
        if "responseMimeType" in config and not voice.third:
            raise failed("unsupported", "response_format and tools exclude each other before Gemini 3")
        made["tools"] = tools
    if choice:
        made["toolConfig"] = {"functionCallingConfig": choice}
    if config:
        made["generationConfig"] = config
    if options.get("safety_settings"):
        made["safetySettings"] = options["safety_settings"]
    tier = _TIERS.get(str(body.get("service_tier")))
    if tier is not None:
        made["serviceTier"] = tier
    for name, value in options.get("extra_body", {}).items():
        made[name] = value
    return made


def _config(body: Json, options: Mapping[str, Any]) -> Json:
    config: Json = {theirs: body[ours] for ours, theirs in _NUMBERS if body.get(ours) is not None}
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit:
        config["maxOutputTokens"] = limit
    if body.get("top_k"):  # 0 means off, which is the vendor's own default
        config["topK"] = body["top_k"]
    if isinstance(body.get("seed"), int):
        config["seed"] = body["seed"] & 0x7FFFFFFF
    stop = body.get("stop")
    if stop:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if body.get("logprobs") is True:
        config["responseLogprobs"] = True
        if body.get("top_logprobs"):
            config["logprobs"] = body["top_logprobs"]
    if isinstance(body.get("n"), int) and body["n"] > 1:
        config["candidateCount"] = body["n"]
    thinking = _thinking(body, options, limit)
    if thinking:
        config["thinkingConfig"] = thinking
    return config


def _thinking(body: Json, options: Mapping[str, Any], limit: Any) -> Json:
    style, include = options.get("thinking", "budget"), body.get("include_reasoning")
    if style == "none":
        return {}
    if effort.on(body) is None:
        return {"includeThoughts": True} if options.get("thoughts") and include is None else {}
    wanted, tokens = effort.wanted(body)
    made: Json = {}
    if wanted is not None or tokens is not None:
        if style == "level":
            made["thinkingLevel"] = _level(wanted, tokens, limit, options)
        else:
            made["thinkingBudget"] = _budget(wanted, tokens, limit, options)
    if wanted != "none":
        asked = body.get("reasoning")
        excluded = isinstance(asked, dict) and asked.get("exclude") is True
        made["includeThoughts"] = not (excluded or include is False)
    return made


def _budget(wanted: str | None, tokens: int | None, limit: Any, options: Mapping[str, Any]) -> int:
    low, high = options.get("thinking_budget_min"), options.get("thinking_budget_max", 24576)
    if wanted == "none":
        return int(low or 0)  # a model that cannot stop thinking has a least budget
    if tokens is None:
        word = wanted or "medium"
        tokens = effort.share(word, limit) if isinstance(limit, int) else BUDGETS[word]
    return int(max(low or 512, min(tokens, high)))


def _level(wanted: str | None, tokens: int | None, limit: Any, options: Mapping[str, Any]) -> str:
    known = options.get("thinking_levels", LEVELS)
    if tokens is not None:
        return effort.of_budget(tokens, limit if isinstance(limit, int) else None, known).upper()
    # A model that knows levels cannot stop thinking.
    return effort.nearest("minimal" if wanted in (None, "none") else wanted, known).upper()


def _format(wanted: Any, options: Mapping[str, Any], config: Json) -> None:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind is None or kind == "text":
        return
    if kind not in ("json_object", "json_schema"):
        raise failed("unsupported", f"response_format.type {str(kind)[:40]!r} is not known to Gemini")
    config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        schema = wanted.get("json_schema")
        schema = schema.get("schema") if isinstance(schema, dict) else None
        if schema is None:
            return
        where = "response_format.json_schema.schema"
        if options.get("schema") == "openapi":
            config["responseSchema"] = openapi(schema, where)
        else:
            config["responseJsonSchema"] = json_schema(schema, where)


def _output(body: Json, config: Json) -> None:
    """Pictures and sound."""
    wanted = body.get("modalities")
    if isinstance(wanted, list) and set(wanted) - {"text"}:
        if "audio" in wanted:  # a speaking model says nothing beside
            wanted = ["audio"]
        config["responseModalities"] = [str(one).upper() for one in wanted]
    audio = body.get("audio")
    if isinstance(audio, dict) and "AUDIO" in config.get("responseModalities", ()):
        if audio.get("format", "pcm16") not in ("pcm16", "pcm"):
            raise failed("unsupported", "audio.format: Gemini speaks pcm16 only")
        if isinstance(audio.get("voice"), str):
            config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": audio["voice"]}}}
    image = body.get("image_config")
    if isinstance(image, dict):
        known = {theirs: image[ours] for ours, theirs in _IMAGE_CONFIG.items() if image.get(ours) is not None}
        if known:
            config["imageConfig"] = known


def _tools(body: Json, options: Mapping[str, Any], voice: Voice) -> tuple[list[Json], Json]:
    """``tools`` and the function calling config."""
    choice, only = _choice(body.get("tool_choice"))
    functions: list[Json] = []
    own: list[Json] = []
    for index, tool in enumerate(body.get("tools") or ()):
        kind = tool.get("type", "function") if isinstance(tool, dict) else None
        if kind == "function":
            declared = _function(tool.get("function"), options, f"tools[{index}].function")
            if only is None or declared["name"] in only:
                functions.append(declared)
        elif kind in _OWN_TOOLS:
            own.append({_OWN_TOOLS[kind]: {name: value for name, value in tool.items() if name != "type"}})
        else:
            raise failed("unsupported", f"tools[{index}].type {str(kind)[:40]!r} is not known to Gemini")
    if isinstance(body.get("web_search_options"), dict) and not any("googleSearch" in tool for tool in own):
        own.append({"googleSearch": {}})
    if functions and own:
        # Gemini 3 on AI Studio mixes them, but then leaves parts in its answers that only it can read back.
        raise failed("unsupported", "functions and Gemini's own tools (web_search_options) exclude each other")
    return ([{"functionDeclarations": functions}] if functions else own), choice if functions else {}


def _function(function: Any, options: Mapping[str, Any], where: str) -> Json:
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise failed("unsupported", f"{where} has no name")
    if not (name[0].isalpha() or name[0] == "_"):
        raise failed("unsupported", f"{where}.name must begin with a letter or an underscore for Gemini")
    made: Json = {"name": name}
    if isinstance(function.get("description"), str):
        made["description"] = function["description"]
    schema = function.get("parameters")
    if schema:
        if options.get("schema") == "openapi":
            converted = openapi(schema, f"{where}.parameters")
            if converted.get("properties"):  # an object without properties is refused; no parameters are not
                made["parameters"] = converted
        else:
            converted = json_schema(schema, f"{where}.parameters")
            converted.setdefault("type", "object")
            made["parametersJsonSchema"] = converted
    return made


def _choice(wanted: Any) -> tuple[Json, frozenset[str] | None]:
    """The calling config, and the only functions to be told of (None: all)."""
    if wanted in ("auto", None):
        return ({"mode": "AUTO"} if wanted else {}), None
    if wanted in ("none", "required"):
        return {"mode": "NONE" if wanted == "none" else "ANY"}, None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    inner = wanted.get(kind) if isinstance(kind, str) else None
    if kind == "function" and isinstance(inner, dict) and isinstance(inner.get("name"), str):
        return {"mode": "ANY", "allowedFunctionNames": [inner["name"]]}, None
    if kind == "allowed_tools" and isinstance(inner, dict) and isinstance(inner.get("tools"), list):
        functions = [tool.get("function") for tool in inner["tools"] if isinstance(tool, dict)]
        names = [one["name"] for one in functions if isinstance(one, dict) and isinstance(one.get("name"), str)]
        if inner.get("mode") == "required":
            return {"mode": "ANY", "allowedFunctionNames": names}, None
        return {"mode": "AUTO"}, frozenset(names)
    raise failed("unsupported", "tool_choice is in a form that Gemini does not know")

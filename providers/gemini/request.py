"""A request of the inner language as Gemini's: generation config, thinking, formats. Pure.

Vendor facts (google-genai 3.4 ``types`` and ``models``, ai.google.dev, read 2026-11): thinking is a budget in tokens for
Gemini 2.5 (0 is off, -1 is automatic; Flash at most 24,576, Pro 128 to 32,768, Flash-Lite from 512) and a level for Gemini 3,
never both; Google's own OpenAI endpoint maps low, medium, high to 1,024, 8,192, 24,576. Up to Gemini 2.5 functions and JSON
answers exclude each other ("Function calling with a response mime type: 'application/json' is unsupported",
github.com/googleapis/python-genai/issues/867). ``seed`` is an int32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from providers.chat import effort
from providers.errors import failed
from providers.gemini.messages import Profile, contents
from providers.gemini.schema import json_schema, openapi
from providers.gemini.tools import tools_of
from providers.types import Json

BUDGETS: Final = {"max": 24576, "xhigh": 24576, "high": 24576, "medium": 8192, "low": 1024, "minimal": 512}
"""Thinking budgets of efforts, in tokens, when the caller sets no output limit; else they are a share of the limit."""
LEVELS: Final = ("low", "medium", "high")
_NUMBERS: Final = (
    ("temperature", "temperature"),
    ("top_p", "topP"),
    ("presence_penalty", "presencePenalty"),
    ("frequency_penalty", "frequencyPenalty"),
)
_IMAGE_CONFIG: Final = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}
_TIERS: Final = {
    "default": "standard",
    "standard": "standard",
    "flex": "flex",
    "priority": "priority",
    "fast": "priority",
}


def request_body(body: Json, options: Mapping[str, Any], profile: Profile) -> Json:
    """The body of ``generateContent``. Raises ``ProviderError`` (unsupported) naming the field that Gemini cannot take."""
    system, turns = contents(body.get("messages") or [], profile)
    made: Json = {"contents": turns}
    if system:
        made["systemInstruction"] = {"parts": system}
    config = _config(body, options)
    _format(body.get("response_format"), options, config)
    _output(body, config)
    tools, choice = tools_of(body, options)
    if tools:
        if "responseMimeType" in config and not profile.gemini_3:
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
    config: Json = {vendor_name: body[ours] for ours, vendor_name in _NUMBERS if body.get(ours) is not None}
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
    if effort.requested(body) is None:
        return {"includeThoughts": True} if options.get("thoughts") and include is None else {}
    level, tokens = effort.requested_effort(body)
    made: Json = {}
    if level is not None or tokens is not None:
        if style == "level":
            made["thinkingLevel"] = _level(level, tokens, limit, options)
        else:
            made["thinkingBudget"] = _budget(level, tokens, limit, options)
    if level != "none":
        reasoning = body.get("reasoning")
        excluded = isinstance(reasoning, dict) and reasoning.get("exclude") is True
        made["includeThoughts"] = not (excluded or include is False)
    return made


def _budget(level: str | None, tokens: int | None, limit: Any, options: Mapping[str, Any]) -> int:
    low, high = options.get("thinking_budget_min"), options.get("thinking_budget_max", 24576)
    if level == "none":
        return int(low or 0)  # thinking cannot be switched off where a minimum is set
    if tokens is None:
        level = level or "medium"
        tokens = effort.budget_of(level, limit) if isinstance(limit, int) else BUDGETS[level]
    return int(max(low or 512, min(tokens, high)))


def _level(level: str | None, tokens: int | None, limit: Any, options: Mapping[str, Any]) -> str:
    known = options.get("thinking_levels", LEVELS)
    if tokens is not None:
        return effort.from_budget(tokens, limit if isinstance(limit, int) else None, known).upper()
    # Models with levels cannot switch thinking off.
    return effort.nearest("minimal" if level in (None, "none") else level, known).upper()


def _format(requested: Any, options: Mapping[str, Any], config: Json) -> None:
    kind = requested.get("type") if isinstance(requested, dict) else None
    if kind is None or kind == "text":
        return
    if kind not in ("json_object", "json_schema"):
        raise failed("unsupported", f"response_format.type {str(kind)[:40]!r} is unknown to Gemini")
    config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        schema = requested.get("json_schema")
        schema = schema.get("schema") if isinstance(schema, dict) else None
        if schema is None:
            return
        where = "response_format.json_schema.schema"
        if options.get("schema") == "openapi":
            config["responseSchema"] = openapi(schema, where)
        else:
            config["responseJsonSchema"] = json_schema(schema, where)


def _output(body: Json, config: Json) -> None:
    """Images and audio."""
    modalities = body.get("modalities")
    if isinstance(modalities, list) and set(modalities) - {"text"}:
        if "audio" in modalities:  # a model with audio output returns nothing else
            modalities = ["audio"]
        config["responseModalities"] = [str(one).upper() for one in modalities]
    audio = body.get("audio")
    if isinstance(audio, dict) and "AUDIO" in config.get("responseModalities", ()):
        if audio.get("format", "pcm16") not in ("pcm16", "pcm"):
            raise failed("unsupported", "audio.format: Gemini returns pcm16 only")
        if isinstance(audio.get("voice"), str):
            config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": audio["voice"]}}}
    image = body.get("image_config")
    if isinstance(image, dict):
        known = {vendor_name: image[ours] for ours, vendor_name in _IMAGE_CONFIG.items() if image.get(ours) is not None}
        if known:
            config["imageConfig"] = known

"""What Google checks beyond types.

ai.google.dev/gemini-api/docs/function-calling and /docs/thought-signatures (2026-11), messages as quoted in issues of
github.com/googleapis/python-genai and github.com/google-gemini/gemini-cli (2025 to 2026).
"""

from __future__ import annotations

import re
from typing import Any, Final

from simulator.formats.gemini_shape import Content, FunctionCall, FunctionDeclaration, GenerateRequest
from simulator.formats.signed import unseal
from simulator.formats.wire_format import Json, Refusal
from simulator.steps import encode

FUNCTION_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
DUMMIES: Final = frozenset({"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"})
"""Signatures for calls that another model made; documented as always accepted."""
SCHEMA: Final = frozenset(
    {
        *(
            "type",
            "format",
            "title",
            "description",
            "nullable",
            "enum",
            "items",
            "minItems",
            "maxItems",
            "properties",
            "required",
        ),
        *("minProperties", "maxProperties", "minLength", "maxLength", "pattern", "example", "default", "anyOf"),
        *("propertyOrdering", "minimum", "maximum", "additionalProperties"),
    }
)
"""Keys of Google's Schema message; all others belong into ``parametersJsonSchema``."""


def owner(call: FunctionCall) -> str:
    """What a call's signature is bound to: the name and the arguments, whatever their order."""
    return f"{call.name} {encode(_sorted(call.args)).decode()}"


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def check(body: GenerateRequest, signs: bool) -> list[str | None]:
    """Raises ``Refusal``; returns the thought that came back with each content. ``signs``: the model signs its calls."""
    if not body.contents:
        raise Refusal(400, "* GenerateContentRequest.contents: contents is not specified\n")
    thinking = body.generation_config.thinking_config
    if thinking is not None and thinking.thinking_budget is not None and thinking.thinking_level is not None:
        raise Refusal(400, "You can only set only one of thinking budget and thinking level.")
    for at, tool in enumerate(body.tools):
        for index, declared in enumerate(tool.function_declarations):
            _check_declaration(declared, f"tools[{at}].function_declarations[{index}]")
    for at, content in enumerate(body.contents):
        _check_content(content, at)
    _check_turns(body.contents)
    if signs:
        _check_signed(body.contents)
    return [_thought(content, at) for at, content in enumerate(body.contents)]


def _check_declaration(declared: FunctionDeclaration, place: str) -> None:
    if not FUNCTION_NAME.fullmatch(declared.name):
        raise Refusal(
            400,
            f"* GenerateContentRequest.{place}.name: Invalid function name. Must start with a letter or an underscore. Must be "
            "alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128.\n",
        )
    if declared.parameters is not None:
        if declared.parameters_json_schema is not None:
            raise Refusal(400, f"{place}: only one of parameters and parametersJsonSchema may be set")
        _check_schema(declared.parameters, f"{place}.parameters")


def _check_schema(schema: Json, place: str) -> None:
    for name in schema.keys() - SCHEMA:
        raise Refusal(400, f"Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field.")
    if isinstance(schema.get("type"), list):
        raise Refusal(400, f"Invalid value at '{place}.type' (type): Proto field is not repeating, cannot start list.")
    for name, inner in (schema.get("properties") or {}).items():
        _check_schema(inner, f"{place}.properties[{name}]")
    for inner in [schema["items"]] if "items" in schema else []:
        _check_schema(inner, f"{place}.items")
    for at, inner in enumerate(schema.get("anyOf") or ()):
        _check_schema(inner, f"{place}.any_of[{at}]")


def _check_content(content: Content, at: int) -> None:
    if content.role not in ("user", "model", "function"):
        raise Refusal(400, "Please use a valid role: user, model.")
    if not content.parts:
        raise Refusal(400, f"* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty.\n")
    for index, part in enumerate(content.parts):
        place = f"GenerateContentRequest.contents[{at}].parts[{index}]"
        data: list[Any] = [part.text, part.inline_data, part.file_data, part.function_call, part.function_response]
        data += [part.executable_code, part.code_execution_result]
        if sum(one is not None for one in data) != 1:
            raise Refusal(400, f"* {place}.data: required oneof field 'data' must have one initialized field\n")
        named = part.function_response or part.function_call
        if named is not None and not named.name:
            kind = "function_response" if part.function_response else "function_call"
            raise Refusal(400, f"* {place}.{kind}.name: Name cannot be empty.\n")


def _check_turns(contents: list[Content]) -> None:
    """Function responses follow their calls at once, with the same number, names and ids."""
    waiting: list[FunctionCall] = []
    for at, content in enumerate(contents):
        answers = [part.function_response for part in content.parts if part.function_response is not None]
        calls = [part.function_call for part in content.parts if part.function_call is not None]
        if calls and (content.role != "model" or at == 0):
            raise Refusal(
                400,
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
            )
        if answers and not waiting:
            raise Refusal(
                400, "Please ensure that function response turn comes immediately after a function call turn."
            )
        if len(answers) != len(waiting):
            raise Refusal(
                400,
                "Please ensure that the number of function response parts is equal to the number of function call parts of the "
                "function call turn.",
            )
        for answer in answers:
            fits = [call for call in waiting if call.name == answer.name and (not answer.id or answer.id == call.id)]
            if not fits:
                known = ", ".join(f"{call.name} ({call.id})" for call in waiting)
                raise Refusal(
                    400, f"The function response {answer.name} ({answer.id}) answers none of the calls {known}."
                )
            waiting.remove(fits[0])
        waiting = calls


def _check_signed(contents: list[Content]) -> None:
    """In the current turn (after the user's last words) the first call of every step carries its signature."""
    user_texts = [at for at, one in enumerate(contents) if one.role == "user" and any(part.text for part in one.parts)]
    for at in range(user_texts[-1] + 1 if user_texts else 0, len(contents)):
        calls = [(index, part) for index, part in enumerate(contents[at].parts) if part.function_call is not None]
        if calls and not calls[0][1].thought_signature:
            name = calls[0][1].function_call.name if calls[0][1].function_call else ""
            text = f"Function call `default_api:{name}` in the `{at + 1}.` content block is missing a `thought_signature`, "
            raise Refusal(400, text + f"position {calls[0][0] + 1}.")


def _thought(content: Content, at: int) -> str | None:
    found = None
    for part in content.parts:
        if not part.thought_signature or part.thought_signature in DUMMIES:
            continue
        opened = unseal(part.thought_signature)
        bound = "text" if part.function_call is None else owner(part.function_call)
        if opened is None or opened[0] != bound:
            raise Refusal(400, f"Corrupted thought signature. (content {at + 1})")
        found = opened[1] or found
    return found

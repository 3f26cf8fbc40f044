"""Every dialect's own vendor, simulated, and every surface's own SDK: what the matrix of surface and dialect is made of.

A vendor is one simulated server; dialects differ in the path of their wire format and in how the gateway authenticates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator import SimulatedVendor
from tests.support.vendor_clients import (
    Answer,
    AnthropicClient,
    Call,
    ChatClient,
    ClientRequest,
    OpenRouterClient,
    ResponsesClient,
    VendorClient,
    join_details,
)

KEY = "key-of-the-vendors"
VARIABLE = "TEST_MATRIX_KEY"


@dataclass(frozen=True)
class Sold:
    """How a provider's file of a dialect is written, against a simulated vendor."""

    dialect: str
    path: str
    """The path after the server's root."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the provider's file."""
    label: str = ""
    """A prefix of the script in the model's name."""
    cached: bool = True
    """The vendor reports what came from a cache."""

    def row(self) -> dict[str, Any]:
        """The provider's fields, without the base URL."""
        return {"dialect": self.dialect, "api_key_env": VARIABLE, **self.more}

    def base_url(self, sim: SimulatedVendor) -> str:
        """The base URL that the gateway uses for this wire format."""
        return f"http://{sim.host}:{sim.port}{self.path}"


SOLD: dict[str, Sold] = {
    "openai": Sold("openai", "/v1", {"options": {"reasoning_replay": "reasoning_content"}}),
    "responses": Sold("responses", "/v1"),
    "anthropic": Sold("anthropic", "/v1"),
    "gemini": Sold("gemini", "/v1beta", {"options": {"thinking": "level"}}),
    "gemini-2-5": Sold("gemini", "/v1beta", label="gemini-2.5/"),
    "vertex": Sold("vertex", "/v1/projects/p/locations/global/publishers/google", {"options": {"thinking": "level"}}),
    "vertex-anthropic": Sold("vertex-anthropic", "/v1/projects/p/locations/global"),
    "bedrock": Sold("bedrock", "", {"options": {"region": "eu-central-1", "family": "anthropic"}}),
    "bedrock-signed": Sold(
        "bedrock",
        "",
        {
            "api_key_env": None,
            "credentials_env": {"access_key_id": "TEST_MATRIX_ID", "secret_access_key": VARIABLE},
            "options": {"region": "eu-central-1", "family": "anthropic"},
        },
    ),
    "azure": Sold("azure", "", {"options": {"api_version": "2026-05-01-preview"}}),
    "azure-v1": Sold("azure", ""),
    "cohere": Sold("cohere", "/v2"),
    "mistral": Sold("mistral", "/mistral/v1"),
    "ollama": Sold("ollama", "", cached=False),
    "openrouter": Sold("openrouter", "/openrouter/api/v1"),
}
"""By the provider's slug."""
VARIANTS = ("gemini-2-5", "bedrock-signed", "azure-v1")
"""Variants of a dialect above: another generation, signature or URL."""


class RoutedChat(ChatClient):
    """OpenAI's SDK with OpenRouter's additions in ``extra_body``, as its users write them."""

    name = "chat"
    signs = demands = True
    mount = "/api/v1"

    def body(self, request: ClientRequest) -> dict[str, Any]:
        """Reasoning is requested by fields that the SDK does not know."""
        return super().body(request) | ({"extra_body": {"reasoning": {"effort": "low"}}} if request.thinks else {})

    async def whole(self, request: ClientRequest) -> Answer:
        """With the message's further fields."""
        async with self.sdk() as sdk:
            response = await sdk.chat.completions.create(**self.body(request))
        choice = response.choices[0]
        extra: dict[str, Any] = choice.message.model_extra or {}
        answer = self._answer_with_usage(response.usage)
        answer.text, answer.finish, answer.reasoning = (
            choice.message.content or "",
            choice.finish_reason,
            extra.get("reasoning") or "",
        )
        for call in choice.message.tool_calls or ():
            answer.calls.append(Call(call.id, call.function.name, json.loads(call.function.arguments)))
        return self._with_details(answer, extra.get("reasoning_details") or [])

    async def streamed(self, request: ClientRequest) -> Answer:
        """With the deltas' further fields; an error chunk is raised by the SDK itself."""
        details: list[dict[str, Any]] = []
        calls: dict[int, list[str]] = {}
        text, reasoning, finish, usage = "", "", None, None
        async with self.sdk() as sdk:
            async for chunk in await sdk.chat.completions.create(**self.body(request), stream=True):
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    extra: dict[str, Any] = choice.delta.model_extra or {}
                    text, reasoning = text + (choice.delta.content or ""), reasoning + (extra.get("reasoning") or "")
                    join_details(details, extra.get("reasoning_details") or [])
                    finish = choice.finish_reason or finish
                    for call in choice.delta.tool_calls or ():
                        known = calls.setdefault(call.index, [call.id or "", "", ""])
                        known[1] += call.function.name or "" if call.function else ""
                        known[2] += call.function.arguments or "" if call.function else ""
        answer = self._answer_with_usage(usage)
        answer.text, answer.finish, answer.reasoning = text, finish, reasoning
        answer.calls = [Call(id, name, json.loads(arguments)) for id, name, arguments in calls.values()]
        return self._with_details(answer, details)

    def _with_details(self, answer: Answer, details: Sequence[Any]) -> Answer:
        with_turn = self._with_turn(answer)
        if details:
            with_turn.turn[0]["reasoning_details"] = [*details]
        elif answer.reasoning:
            with_turn.turn[0]["reasoning"] = answer.reasoning
        return with_turn


class RoutedCompletions(RoutedChat):
    """The old completions: a prompt, a text."""

    name = "completions"

    async def whole(self, request: ClientRequest) -> Answer:
        """One text."""
        async with self.sdk() as sdk:
            response = await sdk.completions.create(**self._prompt(request))
        answer = self._answer_with_usage(response.usage)
        extra: dict[str, Any] = response.choices[0].model_extra or {}
        answer.text, answer.finish, answer.reasoning = (
            response.choices[0].text,
            response.choices[0].finish_reason,
            extra.get("reasoning") or "",
        )
        return answer

    async def streamed(self, request: ClientRequest) -> Answer:
        """Texts."""
        text, reasoning, finish, usage = "", "", None, None
        async with self.sdk() as sdk:
            async for chunk in await sdk.completions.create(**self._prompt(request), stream=True):
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text, finish = text + choice.text, choice.finish_reason or finish
                    reasoning += (choice.model_extra or {}).get("reasoning") or ""
        answer = self._answer_with_usage(usage)
        answer.text, answer.finish, answer.reasoning = text, finish, reasoning
        return answer

    def _prompt(self, request: ClientRequest) -> dict[str, Any]:
        body: dict[str, Any] = {"model": request.model, "prompt": request.text, **request.more}
        return body | ({"extra_body": {"reasoning": {"effort": "low"}}} if request.thinks else {})


class RoutedResponses(ResponsesClient):
    """OpenAI's SDK on the gateway's Responses API."""

    mount = "/api/v1"


class RoutedMessages(AnthropicClient):
    """Anthropic's SDK on the gateway's Messages API."""

    name = "messages"
    mount = "/api"


class RoutedOpenRouter(OpenRouterClient):
    """OpenRouter's SDK on the gateway's chat completions."""

    mount = "/api/v1"


SURFACES: dict[str, type[VendorClient]] = {
    "chat": RoutedChat,
    "chat-openrouter": RoutedOpenRouter,
    "completions": RoutedCompletions,
    "responses": RoutedResponses,
    "messages": RoutedMessages,
}
"""Every surface of text, by the SDK that its users have."""
_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
_JSON_SCHEMA = {"name": "answer", "schema": _SCHEMA, "strict": True}
_SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
_PAST = [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": [{"type": "text", "text": "more"}]}]
_USUAL: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "stop": ["zzz"],
    "user": "u-1",
    "max_tokens": 100,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "chat": {
        **_USUAL,
        **{"messages": [*_SYSTEM, *_PAST], "presence_penalty": 0.1, "frequency_penalty": 0.1},
        "response_format": {"type": "json_schema", "json_schema": _JSON_SCHEMA},
    },
    "completions": {**_USUAL, "presence_penalty": 0.1, "frequency_penalty": 0.1},
    "responses": {
        **{"instructions": "Be brief.", "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 100, "user": "u-1"},
        "text": {"format": {"type": "json_schema", **_JSON_SCHEMA}},
    },
    "messages": {
        **{"system": "Be brief.", "max_tokens": 100, "stop_sequences": ["zzz"], "metadata": {"user_id": "u-1"}},
        "extra_body": {"temperature": 0.5, "top_k": 40},
    },
}
SETTINGS["chat-openrouter"] = SETTINGS["chat"]
"""Parameters that a caller may set: a vendor must not get one that it refuses."""

"""The vendors' own clients behind one small interface, so that one test can run against every wire format of a simulated vendor.

request = ClientRequest("toolcall+parallel", stream=True, tools=True)
answer = await CLIENTS["anthropic"](sim, key="k").ask(request)                   # the answer in common terms
answer = await client.ask(replace(request, past=client.after(request, answer)))  # answer.calls get the result "21"
"""

from __future__ import annotations

import asyncio
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import anthropic
import botocore.config
import botocore.exceptions
import botocore.session
import cohere
import cohere.core
import httpx
import httpx2
import ollama
import openai
import openrouter
import openrouter.errors
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from google.oauth2.credentials import Credentials
from mistralai.client import Mistral
from mistralai.client import errors as mistral_errors

from simulator import SimulatedVendor

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""All clients use plain HTTP here; loading the system's certificates for each client would take most of the time."""
_NO_REQUEST = httpx2.Request("POST", "/")
"""OpenAI's SDK wants a request for every error; an error inside a stream is raised here with this one."""
ONCE = genai_types.HttpRetryOptions(attempts=1)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "u": {"enum": ["C", "F"]}}, "required": ["n", "u"]}
TOOLS = ("measure", "look_up")
RESULT = "21"
BUDGET = 1_024


@dataclass
class Call:
    """A call of a tool."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass
class Answer:
    """An answer in common terms, and ``turn``: the assistant's turn as this client sends it back."""

    text: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None
    prompt: int | None = None
    cached: int = 0
    completion: int | None = None
    """With reasoning."""
    reasoned: int = 0
    turn: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class ClientRequest:
    """One request. ``past``: turns after the user's first message, in the SDK's own types."""

    model: str = "ok"
    stream: bool = False
    tools: bool = False
    thinks: bool = False
    max_tokens: int | None = None
    past: Sequence[Any] = ()
    text: str = "hello you"
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request, in the SDK's own types."""


class VendorClient(ABC):
    """One vendor's SDK."""

    name: ClassVar[str]
    failures: ClassVar[tuple[type[BaseException], ...]]
    """What the SDK raises for a refusal."""
    cached: ClassVar[bool] = True
    """The vendor reports tokens from a cache."""
    counts_reasoning: ClassVar[bool] = True
    """The vendor reports how many tokens were reasoning."""
    signs: ClassVar[bool] = True
    """Reasoning comes back signed or sealed."""
    demands: ClassVar[bool] = True
    """A turn of calls without its reasoning is refused."""
    length: ClassVar[str] = "length"
    """The vendor's finish reason for an answer cut by max_tokens."""
    mount: ClassVar[str] = ""
    """What the SDK's base URL ends in, at a simulated vendor."""

    def __init__(self, where: SimulatedVendor | str, key: str, *, mount: str | None = None) -> None:
        self.root = where if isinstance(where, str) else f"http://{where.host}:{where.port}"
        self.base = self.root + (self.mount if mount is None else mount)
        self.key = key

    async def ask(self, request: ClientRequest) -> Answer:
        """One answer, whole or streamed."""
        return await (self.streamed(request) if request.stream else self.whole(request))

    @abstractmethod
    async def whole(self, request: ClientRequest) -> Answer: ...

    @abstractmethod
    async def streamed(self, request: ClientRequest) -> Answer: ...

    @abstractmethod
    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        """The past with this answer and a result for each of its calls."""

    @abstractmethod
    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        """The past with the reasoning changed or left out."""

    @staticmethod
    @abstractmethod
    def status(error: Any) -> int:
        """The status of an error that the SDK raised."""


class AnthropicClient(VendorClient):
    name = "anthropic"
    failures = (anthropic.APIStatusError,)
    length = "max_tokens"

    def _sdk(self) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(
            base_url=self.base,
            api_key=self.key,
            max_retries=0,
            http_client=anthropic.DefaultAsyncHttpxClient(verify=NO_TLS),
        )

    def _body(self, request: ClientRequest) -> dict[str, Any]:
        messages = [{"role": "user", "content": request.text}, *request.past]
        body: dict[str, Any] = {"model": request.model, "messages": messages, "max_tokens": request.max_tokens or 4_096}
        if request.tools:
            body["tools"] = [{"name": name, "description": "d", "input_schema": SCHEMA} for name in TOOLS]
        if request.thinks:
            body["thinking"] = {"type": "enabled", "budget_tokens": BUDGET}
        return {**body, **request.more}

    async def whole(self, request: ClientRequest) -> Answer:
        async with self._sdk() as sdk:
            return self._answer(await sdk.messages.create(**self._body(request)))

    async def streamed(self, request: ClientRequest) -> Answer:
        async with self._sdk() as sdk, sdk.messages.stream(**self._body(request)) as stream:
            return self._answer(await stream.get_final_message())

    def _answer(self, message: Any) -> Answer:
        usage = message.usage
        answer = Answer(finish=message.stop_reason, prompt=usage.input_tokens, completion=usage.output_tokens)
        answer.cached = usage.cache_read_input_tokens or 0
        answer.prompt = (answer.prompt or 0) + answer.cached
        answer.reasoned = usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else 0
        for block in message.content:
            if block.type == "text":
                answer.text += block.text
            elif block.type == "thinking":
                answer.reasoning += block.thinking
            elif block.type != "redacted_thinking":
                answer.calls.append(Call(block.id, block.name, block.input))
        answer.turn = [
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]}
        ]
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULT} for call in answer.calls]
        return [*request.past, *answer.turn, {"role": "user", "content": results or "go on"}]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        content = turn[0]["content"]
        changed = content[1:] if lost else [content[0] | {"thinking": content[0]["thinking"] + "!"}, *content[1:]]
        return [turn[0] | {"content": changed}, *turn[1:]]

    @staticmethod
    def status(error: Any) -> int:
        """Errors inside a stream are raised with the stream's own status."""
        kinds = {"rate_limit_error": 429, "overloaded_error": 529, "api_error": 500}
        if error.status_code == 200:
            return kinds[error.body["error"]["type"]]
        return int(error.status_code)


class VertexAnthropicClient(AnthropicClient):
    name = "vertex-anthropic"

    def _sdk(self) -> anthropic.AsyncAnthropicVertex:  # type: ignore[override]
        return anthropic.AsyncAnthropicVertex(
            base_url=self.base + "/v1",
            region="global",
            project_id="p",
            access_token=self.key,
            max_retries=0,
            http_client=anthropic.DefaultAsyncHttpxClient(verify=NO_TLS),
        )


class ResponsesClient(VendorClient):
    name = "responses"
    mount = "/v1"
    failures = (openai.APIError,)
    length = "incomplete"

    def _sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self.base,
            api_key=self.key,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(verify=NO_TLS),
        )

    def _body(self, request: ClientRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "input": [{"role": "user", "content": request.text}, *request.past],
            "store": False,
        }
        if request.max_tokens:
            body["max_output_tokens"] = request.max_tokens
        if request.tools:
            body["tools"] = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": None} for name in TOOLS]
        if request.thinks:
            body |= {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
        return {**body, **request.more}

    async def whole(self, request: ClientRequest) -> Answer:
        async with self._sdk() as sdk:
            return self._answer(await sdk.responses.create(**self._body(request)))

    async def streamed(self, request: ClientRequest) -> Answer:
        deltas: dict[str, str] = {}
        async with self._sdk() as sdk:
            response = None
            async for event in await sdk.responses.create(**self._body(request), stream=True):
                if event.type.endswith(".delta"):
                    deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
                if event.type == "response.output_item.done":
                    item = event.item
                    whole = item.arguments if item.type == "function_call" else None
                    whole = item.content[0].text if item.type == "message" else whole
                    assert whole is None or deltas.get(item.id, "") == whole, "the deltas are the item"
                if event.type == "response.failed":
                    error = event.response.error
                    raise openai.APIError(error.message, _NO_REQUEST, body={"code": error.code})
                if event.type == "error":
                    raise openai.APIError(event.message, _NO_REQUEST, body={"code": event.code})
                response = getattr(event, "response", response)
            assert response is not None
            return self._answer(response)

    def _answer(self, response: Any) -> Answer:
        answer = Answer(finish=response.status)
        if response.usage:
            answer.prompt, answer.completion = response.usage.input_tokens, response.usage.output_tokens
            answer.cached = response.usage.input_tokens_details.cached_tokens
            answer.reasoned = response.usage.output_tokens_details.reasoning_tokens
        for item in response.output:
            if item.type == "message":
                answer.text += item.content[0].text
            elif item.type == "reasoning":
                answer.reasoning += "".join(part.text for part in [*item.summary, *(item.content or ())])
            else:
                answer.calls.append(Call(item.call_id, item.name, json.loads(item.arguments)))
        answer.turn = [item.model_dump(exclude_none=True) for item in response.output]
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        results = [{"type": "function_call_output", "call_id": call.id, "output": RESULT} for call in answer.calls]
        return [*request.past, *answer.turn, *(results or [{"role": "user", "content": "go on"}])]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        if lost:
            return turn[1:]
        packet = turn[0]["encrypted_content"]
        return [turn[0] | {"encrypted_content": packet[:-8] + "AAAA" + packet[-4:]}, *turn[1:]]

    @staticmethod
    def status(error: Any) -> int:
        known = {"rate_limit_exceeded": 429, "server_error": 500}
        return int(getattr(error, "status_code", 0) or known[error.code])


class GeminiClient(VendorClient):
    name = "gemini"
    failures = (genai_errors.APIError,)
    length = "MAX_TOKENS"

    def _sdk(self) -> genai.Client:
        options = genai_types.HttpOptions(base_url=self.root, api_version="v1beta", retry_options=ONCE)
        return genai.Client(api_key=self.key, http_options=options)

    def _config(self, request: ClientRequest) -> genai_types.GenerateContentConfig:
        more: dict[str, Any] = {}
        if request.tools:
            made = [genai_types.FunctionDeclaration(name=name, parameters_json_schema=SCHEMA) for name in TOOLS]
            more["tools"] = [genai_types.Tool(function_declarations=made)]
        if request.thinks:
            more["thinking_config"] = genai_types.ThinkingConfig(include_thoughts=True)
        return genai_types.GenerateContentConfig(max_output_tokens=request.max_tokens, **more)

    def _contents(self, request: ClientRequest) -> list[Any]:
        return [genai_types.Content(role="user", parts=[genai_types.Part(text=request.text)]), *request.past]

    async def whole(self, request: ClientRequest) -> Answer:
        sdk = self._sdk()
        try:
            response = await sdk.aio.models.generate_content(
                model=request.model, contents=self._contents(request), config=self._config(request)
            )
        finally:
            await sdk.aio.aclose()
        return self._answer([response])

    async def streamed(self, request: ClientRequest) -> Answer:
        sdk = self._sdk()
        try:
            stream = await sdk.aio.models.generate_content_stream(
                model=request.model, contents=self._contents(request), config=self._config(request)
            )
            return self._answer([chunk async for chunk in stream])
        finally:
            await sdk.aio.aclose()

    def _answer(self, responses: list[Any]) -> Answer:
        parts = [part for response in responses for part in response.candidates[0].content.parts]
        finish = responses[-1].candidates[0].finish_reason
        answer, usage = Answer(finish=finish.value if finish else None), responses[-1].usage_metadata
        if usage is not None:
            answer.prompt, answer.cached = usage.prompt_token_count, usage.cached_content_token_count or 0
            answer.reasoned = usage.thoughts_token_count or 0
            answer.completion = usage.candidates_token_count + answer.reasoned
        kept = []
        for number, part in enumerate(parts):
            if part.function_call is not None:
                call = part.function_call
                answer.calls.append(Call(call.id or f"#{number}", call.name, call.args))
            elif part.thought:
                answer.reasoning += part.text
            else:
                answer.text += part.text or ""
            if part.function_call is not None or part.thought_signature is not None or part.text:
                kept.append(part)
        answer.turn = [genai_types.Content(role="model", parts=kept)]
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        parts = []
        for call in answer.calls:
            id = None if call.id.startswith("#") else call.id
            response = genai_types.FunctionResponse(id=id, name=call.name, response={"result": RESULT})
            parts.append(genai_types.Part(function_response=response))
        return [
            *request.past,
            *answer.turn,
            genai_types.Content(role="user", parts=parts or [genai_types.Part(text="go on")]),
        ]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        parts = []
        for part in turn[0].parts:
            if part.thought_signature is None:
                parts.append(part)
                continue
            signature = None if lost else part.thought_signature[:-1] + b"!"
            parts.append(part.model_copy(update={"thought_signature": signature}))
        return [turn[0].model_copy(update={"parts": parts}), *turn[1:]]

    @staticmethod
    def status(error: Any) -> int:
        return int(error.code)


class VertexClient(GeminiClient):
    name = "vertex"

    def _sdk(self) -> genai.Client:
        options = genai_types.HttpOptions(base_url=self.root, api_version="v1", retry_options=ONCE)
        credentials = Credentials(token=self.key)  # type: ignore[no-untyped-call]
        return genai.Client(
            enterprise=True, project="p", location="global", credentials=credentials, http_options=options
        )


@cache
def _amazon() -> botocore.session.Session:
    """One session: reading the service's model takes longer than any test."""
    return botocore.session.Session()


class BedrockClient(VendorClient):
    name = "bedrock"
    failures = (botocore.exceptions.ClientError, botocore.exceptions.EventStreamError)
    length = "max_tokens"
    counts_reasoning = False

    def _sdk(self) -> Any:
        config = botocore.config.Config(retries={"max_attempts": 0})
        return _amazon().create_client(
            "bedrock-runtime",
            "eu-central-1",
            endpoint_url=self.root,
            config=config,
            aws_access_key_id="AKID",
            aws_secret_access_key=self.key,
        )

    def _with(self, do: Callable[[Any], Any]) -> Any:
        with closing(self._sdk()) as sdk:
            return do(sdk)

    def _body(self, request: ClientRequest) -> dict[str, Any]:
        messages = [{"role": "user", "content": [{"text": request.text}]}, *request.past]
        body: dict[str, Any] = {"modelId": request.model, "messages": messages}
        if request.max_tokens:
            body["inferenceConfig"] = {"maxTokens": request.max_tokens}
        if request.tools:
            body["toolConfig"] = {
                "tools": [{"toolSpec": {"name": name, "inputSchema": {"json": SCHEMA}}} for name in TOOLS]
            }
        if request.thinks:
            body["additionalModelRequestFields"] = {"thinking": {"type": "enabled", "budget_tokens": BUDGET}}
        return body

    async def whole(self, request: ClientRequest) -> Answer:
        response = await asyncio.to_thread(self._with, lambda sdk: sdk.converse(**self._body(request)))
        return self._answer(response["output"]["message"]["content"], response["stopReason"], response.get("usage"))

    async def streamed(self, request: ClientRequest) -> Answer:
        def reasoning_fields(sdk: Any) -> list[Any]:
            with closing(sdk.converse_stream(**self._body(request))["stream"]) as stream:  # an error leaves it open
                return [*stream]

        events = await asyncio.to_thread(self._with, reasoning_fields)
        blocks: dict[int, dict[str, Any]] = {}
        finish, usage = None, None
        for event in events:
            if "contentBlockStart" in event:
                start = event["contentBlockStart"]
                blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
            elif "contentBlockDelta" in event:
                _add(
                    blocks.setdefault(event["contentBlockDelta"]["contentBlockIndex"], {}),
                    event["contentBlockDelta"]["delta"],
                )
            finish = event.get("messageStop", {}).get("stopReason", finish)
            usage = event.get("metadata", {}).get("usage", usage)
        content = [blocks[at] for at in sorted(blocks)]
        for block in content:
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
        return self._answer(content, finish, usage)

    def _answer(self, content: list[Any], finish: str | None, usage: dict[str, int] | None) -> Answer:
        answer = Answer(finish=finish)
        if usage:
            answer.cached = usage["cacheReadInputTokens"]
            answer.prompt, answer.completion = usage["inputTokens"] + answer.cached, usage["outputTokens"]
        for block in content:
            answer.text += block.get("text", "")
            if "reasoningContent" in block:
                answer.reasoning += block["reasoningContent"]["reasoningText"]["text"]
            if "toolUse" in block:
                use = block["toolUse"]
                answer.calls.append(Call(use["toolUseId"], use["name"], use["input"]))
        answer.turn = [{"role": "assistant", "content": content}]
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        results = [{"toolResult": {"toolUseId": call.id, "content": [{"text": RESULT}]}} for call in answer.calls]
        return [*request.past, *answer.turn, {"role": "user", "content": results or [{"text": "go on"}]}]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        first, *rest = turn[0]["content"]
        inner = first["reasoningContent"]["reasoningText"]
        changed = {"reasoningContent": {"reasoningText": inner | {"text": inner["text"] + "!"}}}
        return [turn[0] | {"content": rest if lost else [changed, *rest]}, *turn[1:]]

    @staticmethod
    def status(error: Any) -> int:
        """Errors inside a stream have a kind and no status."""
        known = {"throttlingException": 429, "serviceUnavailableException": 503, "internalServerException": 500}
        found = error.response["ResponseMetadata"]["HTTPStatusCode"] if "ResponseMetadata" in error.response else 200
        return known[error.response["Error"]["Code"]] if found == 200 else int(found)


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "reasoningContent" in delta:
        inner = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
        for name, text in delta["reasoningContent"].items():
            inner[name] = inner.get(name, "") + text
    else:
        block["text"] = block.get("text", "") + delta["text"]


class ChatClient(VendorClient):
    """OpenAI's SDK, where a vendor speaks its chat completions."""

    failures = (openai.APIError,)
    signs = demands = False

    def sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=self.base,
            api_key=self.key,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(verify=NO_TLS),
        )

    def body(self, request: ClientRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": "user", "content": request.text}, *request.past],
        }
        if request.max_tokens:
            body["max_tokens"] = request.max_tokens
        if request.tools:
            body["tools"] = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in TOOLS]
        return {**body, **request.more}

    async def whole(self, request: ClientRequest) -> Answer:
        async with self.sdk() as sdk:
            response = await sdk.chat.completions.create(**self.body(request))
        choice = response.choices[0]
        answer = self._answer_with_usage(response.usage)
        answer.text, answer.finish = choice.message.content or "", choice.finish_reason
        for call in choice.message.tool_calls or ():
            answer.calls.append(Call(call.id, call.function.name, json.loads(call.function.arguments)))
        return self._with_turn(answer)

    async def streamed(self, request: ClientRequest) -> Answer:
        calls: dict[int, list[str]] = {}
        text, finish, usage = "", None, None
        async with self.sdk() as sdk:
            body = self.body(request) | {"stream_options": {"include_usage": True}}
            async for chunk in await sdk.chat.completions.create(**body, stream=True):
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    finish = choice.finish_reason or finish
                    for call in choice.delta.tool_calls or ():
                        known = calls.setdefault(call.index, [call.id or "", "", ""])
                        known[1] += call.function.name or ""
                        known[2] += call.function.arguments or ""
        answer = self._answer_with_usage(usage)
        answer.text, answer.finish = text, finish
        answer.calls = [Call(id, name, json.loads(arguments)) for id, name, arguments in calls.values()]
        return self._with_turn(answer)

    def _answer_with_usage(self, usage: Any) -> Answer:
        answer = Answer()
        if usage is not None:
            answer.prompt, answer.completion = usage.prompt_tokens, usage.completion_tokens
            answer.cached = usage.prompt_tokens_details.cached_tokens
            answer.reasoned = usage.completion_tokens_details.reasoning_tokens
        return answer

    def _with_turn(self, answer: Answer) -> Answer:
        calls = [_function_call(call) for call in answer.calls]
        answer.turn = [{"role": "assistant", "content": answer.text or None} | ({"tool_calls": calls} if calls else {})]
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        results = [{"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in answer.calls]
        return [*request.past, *answer.turn, *(results or [{"role": "user", "content": "go on"}])]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        raise NotImplementedError(f"{self.name} shows no reasoning")

    @staticmethod
    def status(error: Any) -> int:
        known = {"rate_limit_exceeded": 429, "429": 429, "service_unavailable": 503, "ServiceUnavailable": 503}
        return int(getattr(error, "status_code", 0) or known[str(error.code)])


def _function_call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}


class AzureClient(ChatClient):
    name = "azure"

    def sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncAzureOpenAI(
            azure_endpoint=self.root,
            api_key=self.key,
            api_version="2026-05-01-preview",
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(verify=NO_TLS),
        )


class AzureV1Client(ChatClient):
    name = "azure-v1"
    mount = "/openai/v1"


class MistralClient(VendorClient):
    name = "mistral"
    failures = (mistral_errors.SDKError, mistral_errors.HTTPValidationError, mistral_errors.ResponseValidationError)
    counts_reasoning = demands = False

    @asynccontextmanager
    async def _sdk(self) -> AsyncIterator[Mistral]:
        with httpx2.Client(verify=NO_TLS) as plain:
            async with httpx2.AsyncClient(verify=NO_TLS) as http:
                yield Mistral(api_key=self.key, server_url=self.root + "/mistral", client=plain, async_client=http)

    def _body(self, request: ClientRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": "user", "content": request.text}, *request.past],
        }
        if request.max_tokens:
            body["max_tokens"] = request.max_tokens
        if request.tools:
            body["tools"] = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in TOOLS]
        if request.thinks:
            body["reasoning_effort"] = "high"
        return body

    async def whole(self, request: ClientRequest) -> Answer:
        async with self._sdk() as sdk:
            response = await sdk.chat.complete_async(**self._body(request))
        message = response.choices[0].message
        assert message is not None
        dump = message.model_dump(exclude_none=True)
        return self._answer(
            dump.get("content") or "", dump.get("tool_calls") or [], response.choices[0].finish_reason, response.usage
        )

    async def streamed(self, request: ClientRequest) -> Answer:
        content: list[dict[str, Any]] = []
        calls: dict[int, dict[str, Any]] = {}
        finish, usage = None, None
        async with self._sdk() as sdk:
            async for event in await sdk.chat.stream_async(**self._body(request)):
                choice = event.data.choices[0]
                delta = choice.delta.model_dump(exclude_none=True)
                for piece in _pieces(delta.get("content")):
                    _join(content, piece)
                for call in delta.get("tool_calls") or ():
                    known = calls.setdefault(
                        call["index"], call | {"function": {"name": call["function"]["name"], "arguments": ""}}
                    )
                    known["function"]["arguments"] += call["function"]["arguments"]
                finish, usage = choice.finish_reason or finish, event.data.usage or usage
        return self._answer(content, list(calls.values()), finish, usage)

    def _answer(self, content: Any, calls: list[Any], finish: Any, usage: Any) -> Answer:
        answer = Answer(finish=finish)
        if usage is not None:
            answer.prompt, answer.completion = usage.prompt_tokens, usage.completion_tokens
            details = (usage.model_extra or {}).get("prompt_tokens_details") or {}
            answer.cached = details.get("cached_tokens", 0)
        content = _pieces(content)
        for chunk in content:
            answer.text += chunk["text"] if chunk["type"] == "text" else ""
            answer.reasoning += "".join(part["text"] for part in chunk.get("thinking", ()))
        for call in calls:
            function = call["function"]
            answer.calls.append(Call(call["id"], function["name"], json.loads(function["arguments"])))
        kept = [{k: v for k, v in chunk.items() if k != "TYPE"} for chunk in content]
        answer.turn = [
            {
                "role": "assistant",
                "content": kept,
                "tool_calls": [_function_call(call) for call in answer.calls] or None,
            }
        ]
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        results = [
            {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": RESULT} for call in answer.calls
        ]
        return [*request.past, *answer.turn, *(results or [{"role": "user", "content": "go on"}])]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        first, *rest = turn[0]["content"]
        text = first["thinking"][0]["text"] + "!"
        changed = first | {"thinking": [{"type": "text", "text": text}]}
        return [turn[0] | {"content": rest if lost else [changed, *rest]}, *turn[1:]]

    @staticmethod
    def status(error: Any) -> int:
        return int(error.status_code)


def _pieces(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content or ())


def _join(content: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """A streamed chunk goes on with the last one of its type."""
    last = content[-1] if content and content[-1]["type"] == piece["type"] else None
    if last is None:
        content.append(piece)
    elif piece["type"] == "text":
        last["text"] += piece["text"]
    else:
        text = "".join(part["text"] for part in [*last["thinking"], *piece["thinking"]])
        last |= piece | {"thinking": [{"type": "text", "text": text}]}


class OpenRouterClient(VendorClient):
    name = "openrouter"
    mount = "/openrouter/api/v1"
    demands = False
    failures = (openrouter.errors.OpenRouterError, RuntimeError)

    @asynccontextmanager
    async def _sdk(self) -> AsyncIterator[openrouter.OpenRouter]:
        with httpx.Client(verify=NO_TLS) as plain:
            async with httpx.AsyncClient(verify=NO_TLS) as http:
                yield openrouter.OpenRouter(
                    api_key=self.key, server_url=self.base, retry_config=None, client=plain, async_client=http
                )

    def _body(self, request: ClientRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": "user", "content": request.text}, *request.past],
        }
        if request.max_tokens:
            body["max_tokens"] = request.max_tokens
        if request.tools:
            body["tools"] = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in TOOLS]
        if request.thinks:
            body["reasoning"] = {"effort": "low"}
        return {**body, **request.more}

    async def whole(self, request: ClientRequest) -> Answer:
        async with self._sdk() as sdk:
            response = await sdk.chat.send_async(**self._body(request))
        message = response.choices[0].message
        calls = [call.model_dump(exclude_none=True) for call in message.tool_calls or ()]
        details = [detail.model_dump(exclude_none=True) for detail in message.reasoning_details or ()]
        return self._answer(
            message.content or "",
            message.reasoning or "",
            details,
            calls,
            response.choices[0].finish_reason,
            response.usage,
        )

    async def streamed(self, request: ClientRequest) -> Answer:
        text = reasoning = ""
        calls: dict[int, dict[str, Any]] = {}
        details: list[dict[str, Any]] = []
        finish, usage = None, None
        async with self._sdk() as sdk:
            stream = await sdk.chat.send_async(**self._body(request), stream=True)
            async for chunk in stream:
                if chunk.error is not None:
                    raise RuntimeError(chunk.error.code)
                usage = chunk.usage or usage
                if not chunk.choices:
                    continue
                finish, delta = chunk.choices[0].finish_reason or finish, chunk.choices[0].delta
                text, reasoning = text + (delta.content or ""), reasoning + (delta.reasoning or "")
                join_details(details, [part.model_dump(exclude_none=True) for part in delta.reasoning_details or ()])
                for call in delta.tool_calls or ():
                    known = calls.setdefault(
                        int(call.index), {"id": call.id, "function": {"name": call.function.name, "arguments": ""}}
                    )
                    known["function"]["arguments"] += call.function.arguments or ""
        return self._answer(text, reasoning, details, list(calls.values()), finish, usage)

    def _answer(
        self, text: str, reasoning: str, details: list[Any], calls: list[Any], finish: Any, usage: Any
    ) -> Answer:
        answer = Answer(text=text, reasoning=reasoning, finish=finish)
        if usage is not None:
            answer.prompt, answer.completion = int(usage.prompt_tokens), int(usage.completion_tokens)
            answer.cached = int(usage.prompt_tokens_details.cached_tokens or 0)
            answer.reasoned = int(usage.completion_tokens_details.reasoning_tokens or 0)
            assert usage.cost is not None
        for call in calls:
            answer.calls.append(Call(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
        reasoning_fields = {"reasoning_details": details} if details else {"reasoning": reasoning} if reasoning else {}
        answer.turn = [{"role": "assistant", "content": text or None, **reasoning_fields}]
        if calls:
            answer.turn[0]["tool_calls"] = [_function_call(call) for call in answer.calls]
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        results = [{"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in answer.calls]
        return [*request.past, *answer.turn, *(results or [{"role": "user", "content": "go on"}])]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        details = turn[0]["reasoning_details"]
        changed = None if lost else [details[0] | {"text": details[0]["text"] + "!"}]
        return [turn[0] | {"reasoning_details": changed}, *turn[1:]]

    @staticmethod
    def status(error: Any) -> int:
        return int(error.args[0]) if isinstance(error, RuntimeError) else int(error.status_code)


def join_details(details: list[dict[str, Any]], fragments: Sequence[dict[str, Any]]) -> None:
    """Fragments of ``reasoning_details`` as clients join them: by runs of one type and index."""
    for fragment in fragments:
        last = details[-1] if details else {}
        if (last.get("type"), last.get("index")) != (fragment["type"], fragment.get("index")):
            details.append(dict(fragment))
            continue
        for name, value in fragment.items():
            grows = name in ("text", "summary", "data") and last.get(name) is not None
            last[name] = last[name] + value if grows else value


class CohereClient(VendorClient):
    name = "cohere"
    failures = (cohere.core.ApiError, RuntimeError)
    length = "MAX_TOKENS"
    counts_reasoning = signs = demands = False

    @asynccontextmanager
    async def _sdk(self) -> AsyncIterator[cohere.AsyncClientV2]:
        async with httpx.AsyncClient(verify=NO_TLS) as http:
            yield cohere.AsyncClientV2(api_key=self.key, base_url=self.root, max_retries=0, httpx_client=http)

    def _body(self, request: ClientRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": "user", "content": request.text}, *request.past],
        }
        if request.max_tokens:
            body["max_tokens"] = request.max_tokens
        if request.tools:
            body["tools"] = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in TOOLS]
        body["thinking"] = {"type": "enabled" if request.thinks else "disabled"}
        return body

    async def whole(self, request: ClientRequest) -> Answer:
        async with self._sdk() as sdk:
            response = await sdk.chat(**self._body(request))
        blocks = [block.model_dump(exclude_none=True) for block in response.message.content or ()]
        calls = [call.model_dump() for call in response.message.tool_calls or ()]
        return self._answer(blocks, calls, response.finish_reason, response.usage)

    async def streamed(self, request: ClientRequest) -> Answer:
        blocks: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        finish, usage = None, None
        async with self._sdk() as sdk:
            async for event in sdk.chat_stream(**self._body(request)):
                delta: Any = getattr(event, "delta", None)  # every part of an event is optional in the SDK's types
                index: Any = getattr(event, "index", None)
                if event.type == "content-start":
                    blocks.append(delta.message.content.model_dump(exclude_none=True))
                elif event.type == "content-delta":
                    for name, piece in delta.message.content.model_dump(exclude_none=True).items():
                        blocks[index][name] += piece
                elif event.type == "tool-call-start":
                    calls.append(delta.message.tool_calls.model_dump())
                elif event.type == "tool-call-delta":
                    calls[index]["function"]["arguments"] += delta.message.tool_calls.function.arguments
                elif event.type == "message-end":
                    finish, usage = delta.finish_reason, delta.usage
                    if finish == "ERROR":
                        raise RuntimeError(delta.error)
        return self._answer(blocks, calls, finish, usage)

    def _answer(self, blocks: list[Any], calls: list[Any], finish: str | None, usage: Any) -> Answer:
        answer = Answer(finish=finish)
        if usage is not None:
            answer.prompt, answer.completion = (
                int(usage.billed_units.input_tokens),
                int(usage.billed_units.output_tokens),
            )
            answer.cached = int(usage.cached_tokens or 0)
        for block in blocks:
            answer.text += block.get("text", "")
            answer.reasoning += block.get("thinking", "")
        for call in calls:
            answer.calls.append(Call(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
        answer.turn = [{"role": "assistant", "content": blocks or None}]
        if calls:
            answer.turn[0]["tool_calls"] = [_function_call(call) for call in answer.calls]
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        results = [{"role": "tool", "tool_call_id": call.id, "content": RESULT} for call in answer.calls]
        return [*request.past, *answer.turn, *(results or [{"role": "user", "content": "go on"}])]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        raise NotImplementedError("Cohere signs nothing")

    @staticmethod
    def status(error: Any) -> int:
        if isinstance(error, RuntimeError):
            return 429 if "rate limit" in str(error) or "minute" in str(error) else 503
        return int(error.status_code)


class OllamaClient(VendorClient):
    name = "ollama"
    failures = (ollama.ResponseError,)
    cached = counts_reasoning = signs = demands = False

    @asynccontextmanager
    async def _sdk(self) -> AsyncIterator[ollama.AsyncClient]:
        sdk = ollama.AsyncClient(host=self.root, headers={"Authorization": f"Bearer {self.key}"}, verify=NO_TLS)
        async with aclosing(sdk._client):
            yield sdk

    def _body(self, request: ClientRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": "user", "content": request.text}, *request.past],
        }
        if request.max_tokens:
            body["options"] = {"num_predict": request.max_tokens}
        if request.tools:
            described = {"n": {"type": "integer"}, "u": {"type": "string", "enum": ["C", "F"]}}
            schema = {"type": "object", "properties": described, "required": ["n", "u"]}
            body["tools"] = [{"type": "function", "function": {"name": name, "parameters": schema}} for name in TOOLS]
        if request.thinks:
            body["think"] = True
        return body

    async def whole(self, request: ClientRequest) -> Answer:
        async with self._sdk() as sdk:
            return self._answer([await sdk.chat(**self._body(request))])

    async def streamed(self, request: ClientRequest) -> Answer:
        async with self._sdk() as sdk:
            return self._answer([part async for part in await sdk.chat(**self._body(request), stream=True)])

    def _answer(self, parts: list[Any]) -> Answer:
        end = parts[-1]
        answer = Answer(finish=end.done_reason, prompt=end.prompt_eval_count, completion=end.eval_count)
        for part in parts:
            answer.text += part.message.content or ""
            answer.reasoning += part.message.thinking or ""
            for number, call in enumerate(part.message.tool_calls or ()):
                answer.calls.append(Call(f"#{number}", call.function.name, dict(call.function.arguments)))
        calls = [{"function": {"name": call.name, "arguments": call.arguments}} for call in answer.calls]
        answer.turn = [{"role": "assistant", "content": answer.text, "thinking": answer.reasoning or None}]
        if calls:
            answer.turn[0]["tool_calls"] = calls
        return answer

    def after(self, request: ClientRequest, answer: Answer) -> list[Any]:
        results = [{"role": "tool", "tool_name": call.name, "content": RESULT} for call in answer.calls]
        return [*request.past, *answer.turn, *(results or [{"role": "user", "content": "go on"}])]

    def altered(self, turn: list[Any], *, lost: bool) -> list[Any]:
        raise NotImplementedError("Ollama signs nothing")

    @staticmethod
    def status(error: Any) -> int:
        """An error inside a stream has no status there, only its text."""
        if error.status_code > 0:
            return int(error.status_code)
        return 429 if "concurrent" in error.error else 503


_ALL: tuple[type[VendorClient], ...] = (
    *(AnthropicClient, VertexAnthropicClient, ResponsesClient, GeminiClient, VertexClient, BedrockClient),
    *(AzureClient, AzureV1Client, MistralClient, OpenRouterClient, CohereClient, OllamaClient),
)
CLIENTS: dict[str, Callable[[SimulatedVendor, str], VendorClient]] = {one.name: one for one in _ALL}
KINDS: dict[str, type[VendorClient]] = {one.name: one for one in _ALL}

"""A Responses request as an inner chat request. Pure; the request is not changed.

Items become messages: reasoning, assistant text and calls that follow each other are one assistant turn; a result is put right
after the turn that made the call, wherever in ``input`` it was. Fields that both APIs have under the same name are copied, and so
are fields that neither has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.api.inference.responses import reasoning
from gateway.api.inference.responses.client_tools import CLIENT_TOOLS
from gateway.api.inference.responses.item_schema import NATIVE_ONLY, check_item
from gateway.api.inference.responses.tools import Tool, Toolbox, tools_of
from gateway.errors import BadRequest

Json = dict[str, Any]
_NOT_CHAT = frozenset(
    {
        "input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning", "include", "top_logprobs",
        "store", "background", "background_options", "conversation", "previous_response_id", "prompt", "truncation",
        "stream_options", "prompt_cache_retention", "context_management", "messages", "client_metadata", "access_programs",
    }
)  # fmt: skip
"""Fields of this API that chat does not have, or has under another name."""
_CACHE = ("cache_control", "prompt_cache_breakpoint")
_SEALED = "gAAAA"
"""How everything begins that OpenAI has encrypted (a Fernet token)."""
_IMAGE_TYPES = {"jpg": "jpeg"}


def inner(body: Json) -> Json:
    """The inner request of a checked body. Raises BadRequest naming the item or field."""
    request = {name: value for name, value in body.items() if value is not None and name not in _NOT_CHAT}
    conversation = _conversation(body)
    request["messages"] = conversation.close()
    if body.get("max_output_tokens") is not None:
        request["max_tokens"] = body["max_output_tokens"]
    _put_tools(body, conversation.toolbox, request)
    updated = conversation.configuration
    _put_text((body.get("text") or {}) | (updated.get("text") or {}), request)
    configured = (body.get("reasoning") or {}) | (updated.get("reasoning") or {})
    effort = {name: value for name, value in configured.items() if value is not None}
    if "generate_summary" in effort:  # the old name of summary
        effort.setdefault("summary", effort.pop("generate_summary"))
    if effort:
        request["reasoning"] = effort
    count = body.get("top_logprobs") or 0
    if count or "message.output_text.logprobs" in (body.get("include") or ()):
        request["logprobs"] = True
        if count:
            request["top_logprobs"] = count
    return request


def passthrough_body(body: Json) -> Json:
    """The request as it may go to a vendor that has this API: without reasoning that another vendor made."""
    items = body["input"]
    if not isinstance(items, list) or not any(item.get("type") == "reasoning" for item in items):
        return body
    native = [reasoning.passthrough_item(item) if item.get("type") == "reasoning" else item for item in items]
    return {**body, "input": [item for item in native if item is not None]}


def native_only(body: Json) -> str | None:
    """Why only a vendor that has this API itself can take the request; None if any can."""
    items = body["input"]
    for index, item in enumerate(items if isinstance(items, list) else ()):
        why = NATIVE_ONLY.get(item.get("type", ""))
        if why is not None:
            return f"input[{index}]: {item['type']} {why}"
    return None


def _conversation(body: Json) -> _Conversation:
    items = body["input"]
    types = [check_item(item, index) for index, item in enumerate(items)] if isinstance(items, list) else []
    conversation = _Conversation(Toolbox(body))  # of checked items
    if body.get("instructions"):
        conversation.append({"role": "system", "content": body["instructions"]})
    if isinstance(items, str):
        conversation.append({"role": "user", "content": items})
        return conversation
    for index, item in enumerate(items):
        conversation.add(types[index], item, f"input[{index}]")
    return conversation


def _put_tools(body: Json, toolbox: Toolbox, request: Json) -> None:
    allowed, choice = toolbox.chat_tools, body.get("tool_choice")
    if choice is not None:
        choice, allowed = toolbox.choice(choice)
        if allowed or isinstance(choice, dict):  # vendors refuse a mode without tools
            request["tool_choice"] = choice
    if allowed:
        request["tools"] = allowed


def _put_text(text: Json, request: Json) -> None:
    format = text.get("format") or {}
    if format.get("type") == "json_object":
        request["response_format"] = {"type": "json_object"}
    elif format.get("type") == "json_schema":
        schema = {name: value for name, value in format.items() if name != "type" and value is not None}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    if text.get("verbosity") is not None:
        request["verbosity"] = text["verbosity"]


class _Call:
    """A call in the conversation; ``output``: where its result stands."""

    __slots__ = ("field", "id", "output", "turn")

    def __init__(self, id: str, turn: Json, field: str) -> None:
        self.id, self.turn, self.field, self.output = id, turn, field, ""


class _Conversation:
    """The messages that the items of ``input`` become."""

    def __init__(self, toolbox: Toolbox) -> None:
        self.toolbox = toolbox
        self.configuration: Json = {}
        """What items changed of the request's ``reasoning`` and ``text``."""
        self._messages: list[Json] = []
        self._turn: Json | None = None
        """The assistant's turn that the next items may add to; it is the last message."""
        self._results: dict[int, list[Json]] = {}
        """Results by the ``id()`` of the turn that made their calls."""
        self._calls: dict[str, _Call] = {}
        """Call id → the last call that has it."""
        self._aliases: dict[str, str] = {}
        """Id of an item that is a call → call id."""

    def append(self, message: Json) -> None:
        """Add a whole message."""
        self._turn = None
        self._messages.append(message)

    def add(self, type_: str, item: Json, field: str) -> None:
        """Add one item that has been checked. Raises BadRequest."""
        add = _ADD.get(type_)
        if add is not None:
            add(self, item, field)

    def close(self) -> list[Json]:
        """All messages. Raises BadRequest for a call without a result, and if there is nothing that a model could answer."""
        for id, call in self._calls.items():
            if not call.output:
                raise BadRequest(
                    f"{call.field}: the call {id!r} has no output; send its function_call_output.", field=call.field
                )
        found: list[Json] = []
        for message in self._messages:
            if message["role"] != "assistant" or message.get("content") is not None or message.get("tool_calls"):
                found.append(message)  # a turn of reasoning alone is left out: no vendor accepts one
                found += self._results.get(id_of(message), ())
        if not found:
            raise BadRequest("input: has no message that a model could answer; send one.", field="input")
        return found

    def _open_turn(self) -> Json:
        if self._turn is None:
            self._turn = {"role": "assistant", "content": None}
            self._messages.append(self._turn)
        return self._turn

    def message(self, item: Json, field: str) -> None:
        role, content = item["role"], item.get("content")
        if role != "assistant":
            self.append({"role": role, "content": content if isinstance(content, str) else parts(content or [], field)})
            return
        turn = self._open_turn()
        if turn["content"] is not None or "refusal" in turn:
            self._turn = None
            turn = self._open_turn()
        _put_content(turn, content, field)
        if item.get("phase") is not None:
            turn["phase"] = item["phase"]

    def agent_message(self, item: Json, field: str) -> None:
        introduction = {"type": "text", "text": f"Message from {item['author']} to {item['recipient']}:"}
        self.append({"role": "user", "content": [introduction, *parts(item["content"], field)]})

    def function_call(self, item: Json, field: str) -> None:
        name, namespace = item["name"], item.get("namespace")
        if namespace is not None:
            name = self.toolbox.name(Tool("function", name, namespace))
        self._call(item, field, name, item["arguments"])

    def client_tool_call(self, item: Json, field: str) -> None:
        kind = item["type"].removesuffix("_call")
        if item.get("call_id") is None:  # a search that the vendor ran
            return
        name = self.toolbox.name(Tool(kind, item.get("name", kind), item.get("namespace")))
        self._call(item, field, name, CLIENT_TOOLS[kind].arguments(item))

    def _call(self, item: Json, field: str, name: str, arguments: str) -> None:
        id = inner_id = item["call_id"]
        known = self._calls.get(id)
        if known is not None:
            if not known.output:
                raise BadRequest(
                    f"{field}.call_id: {id!r} is the id of {known.field} already; ids must be unique.",
                    field=f"{field}.call_id",
                )
            inner_id = f"{id}_{len(self._messages)}"  # some vendors number the calls of each turn from 0
        turn = self._open_turn()
        function = {"name": name, "arguments": arguments}
        turn.setdefault("tool_calls", []).append({"id": inner_id, "type": "function", "function": function})
        self._calls[id] = _Call(inner_id, turn, field)
        if isinstance(item.get("id"), str):
            self._aliases[item["id"]] = id

    def output(self, item: Json, field: str) -> None:
        output = item["output"]
        self._output(item, field, output if isinstance(output, str) else parts(output, field, "output"))

    def function_output(self, item: Json, field: str) -> None:
        if item.get("call_id") is None:  # of a function that the model has not called: the call is made up
            if item.get("name") is None:
                raise BadRequest(f"{field}: has neither the call_id of a call nor the name of a function.", field=field)
            id = f"call_{len(self._messages)}"
            made = {"call_id": id, "name": item["name"], "namespace": item.get("namespace")}
            self.function_call({**made, "arguments": "{}"}, field)
            item = {**item, "call_id": id}
        self.output(item, field)

    def shell_output(self, item: Json, field: str) -> None:
        self._output(item, field, msgspec.json.encode(item["output"]).decode())

    def patch_output(self, item: Json, field: str) -> None:
        self._output(item, field, item.get("output") or item.get("status") or "completed")

    def computer_output(self, item: Json, field: str) -> None:
        url = item["output"].get("image_url")
        shown: Json = (
            {"type": "image_url", "image_url": {"url": url}} if url else {"type": "text", "text": "(a picture)"}
        )
        self._output(item, field, [shown])

    def search_output(self, item: Json, field: str) -> None:
        if item.get("call_id") is None:
            return
        names = [self.toolbox.name(tool) for one in item["tools"] for tool in tools_of(one)]
        self._output(
            item, field, f"These tools can be called now: {', '.join(names)}" if names else "No tool was found."
        )

    def _output(self, item: Json, field: str, content: str | list[Json]) -> None:
        """The result of a call, which is put behind the turn that made it."""
        id = item.get("call_id") or item.get("id")
        if item["type"] == "local_shell_call_output" and id not in self._calls:
            id = self._aliases.get(id or "", id)
        call = self._calls.get(id or "")
        if call is None:
            raise BadRequest(
                f"{field}.call_id: there is no call {id!r} before this output; send the call before its output.",
                field=f"{field}.call_id",
            )
        if call.output:
            raise BadRequest(
                f"{field}.call_id: {call.output} is the output of {id!r} already; send one for each call.",
                field=f"{field}.call_id",
            )
        call.output = field
        self._turn = None
        result = {"role": "tool", "tool_call_id": call.id, "content": content}
        self._results.setdefault(id_of(call.turn), []).append(result)

    def configure(self, item: Json, field: str) -> None:
        for name in ("reasoning", "text"):
            changed = {key: value for key, value in (item.get(name) or {}).items() if value is not None}
            self.configuration[name] = self.configuration.get(name, {}) | changed

    def reasoning(self, item: Json, field: str) -> None:
        turn = self._open_turn()
        try:
            text, details = reasoning.replayed(item, len(turn.get("reasoning_details", ())))
        except ValueError as error:
            field = f"{field}.encrypted_content"
            raise BadRequest(
                f"{field}: this gateway wrote it, but {error}; send it unchanged or leave the item out.", field=field
            ) from None
        if text:
            turn["reasoning"] = turn.get("reasoning", "") + text
        if details:
            turn.setdefault("reasoning_details", []).extend(details)

    def image(self, item: Json, field: str) -> None:
        if item.get("result"):
            format = item.get("output_format") or "png"
            url = f"data:image/{_IMAGE_TYPES.get(format, format)};base64,{item['result']}"
            turn = self._open_turn()
            turn["content"] = turn["content"] or ""
            image: Json = {"type": "image_url", "image_url": {"url": url}}
            if isinstance(item.get("id"), str):  # a vendor that has this API needs its own picture's id back
                image["id"] = item["id"]
            turn.setdefault("images", []).append(image)


def id_of(message: Json) -> int:
    """The identity of a message: two equal messages are different ones."""
    return id(message)


_ADD: Mapping[str, Callable[[_Conversation, Json, str], None]] = {
    "message": _Conversation.message,
    "agent_message": _Conversation.agent_message,
    "reasoning": _Conversation.reasoning,
    "image_generation_call": _Conversation.image,
    "function_call": _Conversation.function_call,
    **{f"{kind}_call": _Conversation.client_tool_call for kind in CLIENT_TOOLS},
    "function_call_output": _Conversation.function_output,
    "custom_tool_call_output": _Conversation.output,
    "local_shell_call_output": _Conversation.output,
    "shell_call_output": _Conversation.shell_output,
    "apply_patch_call_output": _Conversation.patch_output,
    "computer_call_output": _Conversation.computer_output,
    "tool_search_output": _Conversation.search_output,
    "configuration_update": _Conversation.configure,
}
"""Item type → how it is added. The other types are left out: calls of a vendor's own tools in earlier turns, for which chat has
nothing, and whose findings the text of the answer repeats; tools, which ``Toolbox`` reads; and what only a vendor of this API can
take at all (``native_only``).
"""


def _put_content(turn: Json, content: Any, field: str) -> None:
    """Put the text and the refusal of an assistant's message into its turn."""
    if isinstance(content, str):
        turn["content"] = content
        return
    refusals = [part["refusal"] for part in content or () if part["type"] == "refusal"]
    others = [part for part in content or () if part["type"] != "refusal"]
    if refusals:
        turn["refusal"] = "".join(refusals)
    if others or not refusals:
        inner_parts = parts(others, field)
        only_text = all(part.keys() == {"type", "text"} for part in inner_parts)
        turn["content"] = "".join(part["text"] for part in inner_parts) if only_text else inner_parts
    else:
        turn["content"] = ""


def parts(content: list[Json], item: str, name: str = "content") -> list[Json]:
    """Content parts in the inner language; ``item`` is their location, ``name`` the field. Raises BadRequest."""
    return [_part(part, f"{item}.{name}[{index}]") for index, part in enumerate(content)]


def _part(part: Json, field: str) -> Json:
    kind = part["type"]
    made: Json
    if kind in ("input_text", "output_text"):
        made = {"type": "text", "text": part["text"]}
    elif kind == "input_image":
        if part.get("image_url") is None:
            raise BadRequest(f"{field}.image_url: is missing; send a URL or a data URL.", field=f"{field}.image_url")
        image = {"url": part["image_url"]}
        if part.get("detail") is not None:
            image["detail"] = part["detail"]
        made = {"type": "image_url", "image_url": image}
    elif kind == "input_file":
        made = {"type": "file", "file": _file(part, field)}
    elif kind == "input_audio":
        made = {"type": "input_audio", "input_audio": part["input_audio"]}
    elif kind == "input_video":
        made = {"type": "video_url", "video_url": {"url": part["video_url"]}}
    elif kind == "encrypted_content":
        made = {"type": "text", "text": _unsealed(part["encrypted_content"])}
    else:
        raise BadRequest(f"{field}: only an assistant's message can have a refusal.", field=field)
    for name in _CACHE:
        if part.get(name) is not None:
            made[name] = part[name]
    return made


def _unsealed(text: str) -> str:
    """A text that OpenAI would have encrypted. Codex writes what one agent tells another into such a part, and a model of another
    vendor has told it in plain words.
    """
    return "(encrypted: only the vendor that wrote it can read it)" if text.startswith(_SEALED) else text


def _file(part: Json, field: str) -> Json:
    data = part.get("file_data") or part.get("file_url")
    if data is None and part.get("file_id") is None:
        raise BadRequest(f"{field}: has no file; send file_data, file_url or file_id.", field=field)
    file = {"filename": part.get("filename"), "file_id": part.get("file_id"), "file_data": data}
    return {name: value for name, value in file.items() if value is not None}

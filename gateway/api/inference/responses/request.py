"""A Responses request as an inner chat request. Pure; the request is not changed.

Items become messages: reasoning, assistant text and calls that follow each other are one assistant turn; a result is put right
after the turn that made the call, wherever in ``input`` it was. Fields that both APIs have under the same name are copied, and so
are fields that neither has.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.responses import reasoning, tools
from gateway.api.inference.responses.item_schema import check_item
from gateway.errors import BadRequest

Json = dict[str, Any]
_NOT_CHAT = frozenset(
    {
        "input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning", "include", "top_logprobs",
        "store", "background", "background_options", "conversation", "previous_response_id", "prompt", "truncation",
        "stream_options", "prompt_cache_retention", "context_management", "messages",
    }
)  # fmt: skip
"""Fields of this API that chat does not have, or has under another name."""
_CACHE = ("cache_control", "prompt_cache_breakpoint")
_IMAGE_TYPES = {"jpg": "jpeg"}


def inner(body: Json) -> Json:
    """The inner request of a checked body. Raises BadRequest naming the item or field."""
    request = {name: value for name, value in body.items() if value is not None and name not in _NOT_CHAT}
    request["messages"] = _messages(body)
    if body.get("max_output_tokens") is not None:
        request["max_tokens"] = body["max_output_tokens"]
    _put_tools(body, request)
    _put_text(body.get("text") or {}, request)
    effort = {name: value for name, value in (body.get("reasoning") or {}).items() if value is not None}
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


def _messages(body: Json) -> list[Json]:
    items = body["input"]
    conversation = _Conversation()
    if body.get("instructions"):
        conversation.append({"role": "system", "content": body["instructions"]})
    if isinstance(items, str):
        conversation.append({"role": "user", "content": items})
    else:
        for index, item in enumerate(items):
            conversation.add(item, index)
    messages = conversation.close()
    if not messages:
        raise BadRequest("input: has no message that a model could answer; send one.", field="input")
    return messages


def _put_tools(body: Json, request: Json) -> None:
    allowed, choice = body.get("tools") or [], body.get("tool_choice")
    if choice is not None:
        choice, allowed = tools.chat_choice(choice, allowed)
        if allowed or isinstance(choice, dict):  # vendors refuse a mode without tools
            request["tool_choice"] = choice
    if allowed:
        request["tools"] = tools.chat_tools(allowed)


def _put_text(text: Json, request: Json) -> None:
    format = text.get("format") or {}
    if format.get("type") == "json_object":
        request["response_format"] = {"type": "json_object"}
    elif format.get("type") == "json_schema":
        schema = {name: value for name, value in format.items() if name != "type" and value is not None}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    if text.get("verbosity") is not None:
        request["verbosity"] = text["verbosity"]


class _Conversation:
    """The messages that the items of ``input`` become."""

    def __init__(self) -> None:
        self._messages: list[Json] = []
        self._turn: Json | None = None
        """The assistant's turn that the next items may add to; it is the last message."""
        self._results: dict[int, list[Json]] = {}
        """Results by the ``id()`` of the turn that made their calls."""
        self._calls: dict[str, tuple[Json, str]] = {}
        """Call id → its turn and its location in ``input``."""
        self._answered: dict[str, str] = {}
        """Call id → location of its result."""
        self._aliases: dict[str, str] = {}
        """Id of an item that is a call → call id."""

    def append(self, message: Json) -> None:
        """Add a whole message."""
        self._turn = None
        self._messages.append(message)

    def add(self, item: Json, index: int) -> None:
        """Add one item. Raises BadRequest."""
        add = _ADD.get(check_item(item, index))
        if add is not None:
            add(self, item, f"input[{index}]")

    def close(self) -> list[Json]:
        """All messages. Raises BadRequest for a call without a result."""
        for id, (_, field) in self._calls.items():
            if id not in self._answered:
                raise BadRequest(f"{field}: the call {id!r} has no output; send its function_call_output.", field=field)
        found: list[Json] = []
        for message in self._messages:
            if message["role"] != "assistant" or message.get("content") is not None or message.get("tool_calls"):
                found.append(message)  # a turn of reasoning alone is left out: no vendor accepts one
                found += self._results.get(id_of(message), ())
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

    def call(self, item: Json, field: str, name: str, arguments: str) -> None:
        id = item["call_id"]
        if id in self._calls:
            raise BadRequest(
                f"{field}.call_id: {id!r} is the id of {self._calls[id][1]} already; ids must be unique.",
                field=f"{field}.call_id",
            )
        turn = self._open_turn()
        function = {"name": name, "arguments": arguments}
        turn.setdefault("tool_calls", []).append({"id": id, "type": "function", "function": function})
        self._calls[id] = turn, field
        if isinstance(item.get("id"), str):
            self._aliases[item["id"]] = id

    def output(self, item: Json, field: str) -> None:
        id = item.get("call_id") or item.get("id")
        if item["type"] == "local_shell_call_output" and id not in self._calls:
            id = self._aliases.get(id or "", id)
        if id not in self._calls:
            raise BadRequest(
                f"{field}.call_id: there is no call {id!r} before this output; send the call before its output.",
                field=f"{field}.call_id",
            )
        if id in self._answered:
            raise BadRequest(
                f"{field}.call_id: {self._answered[id]} is the output of {id!r} already; send one for each call.",
                field=f"{field}.call_id",
            )
        self._answered[id] = field
        self._turn = None
        output = item["output"]
        content = output if isinstance(output, str) else parts(output, field, "output")
        result = {"role": "tool", "tool_call_id": id, "content": content}
        self._results.setdefault(id_of(self._calls[id][0]), []).append(result)

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


_ADD: dict[str, Any] = {
    "message": _Conversation.message,
    "reasoning": _Conversation.reasoning,
    "image_generation_call": _Conversation.image,
    "function_call": lambda conversation, item, field: conversation.call(item, field, item["name"], item["arguments"]),
    "custom_tool_call": lambda conversation, item, field: conversation.call(
        item, field, item["name"], tools.custom_arguments(item["input"])
    ),
    "local_shell_call": lambda conversation, item, field: conversation.call(
        item, field, tools.LOCAL_SHELL, tools.shell_arguments(item["action"])
    ),
    "function_call_output": _Conversation.output,
    "custom_tool_call_output": _Conversation.output,
    "local_shell_call_output": _Conversation.output,
}
"""Item type → how it is added. The other types, calls of a vendor's own tools in earlier turns, are left out: chat has nothing for
them, and the text of the answer repeats what they found.
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
    else:
        raise BadRequest(f"{field}: only an assistant's message can have a refusal.", field=field)
    for name in _CACHE:
        if part.get(name) is not None:
            made[name] = part[name]
    return made


def _file(part: Json, field: str) -> Json:
    data = part.get("file_data") or part.get("file_url")
    if data is None and part.get("file_id") is None:
        raise BadRequest(f"{field}: has no file; send file_data, file_url or file_id.", field=field)
    file = {"filename": part.get("filename"), "file_id": part.get("file_id"), "file_data": data}
    return {name: value for name, value in file.items() if value is not None}

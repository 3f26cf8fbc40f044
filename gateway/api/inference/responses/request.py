"""A Responses request as an inner chat request. Pure; the request is not changed.

Items become messages: reasoning, assistant text and calls that follow each other are one assistant turn; a result stands right
behind the turn that called for it, wherever in ``input`` it came. Fields that both APIs know by the same name pass as they are,
and so do fields that neither knows.
"""

from __future__ import annotations

from typing import Any

from gateway.api.inference.responses import reasoning, tools
from gateway.api.inference.responses.item_schema import check_item
from gateway.errors import BadRequest

Json = dict[str, Any]
_OURS = frozenset(
    {
        "input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning", "include", "top_logprobs",
        "store", "background", "background_options", "conversation", "previous_response_id", "prompt", "truncation",
        "stream_options", "prompt_cache_retention", "context_management", "messages",
    }
)  # fmt: skip
"""Fields of this API that chat does not have or spells otherwise."""
_CACHE = ("cache_control", "prompt_cache_breakpoint")
_IMAGE_TYPES = {"jpg": "jpeg"}


def inner(body: Json) -> Json:
    """The inner request of a checked body. Raises BadRequest naming the item or field."""
    request = {name: value for name, value in body.items() if value is not None and name not in _OURS}
    request["messages"] = _messages(body)
    if body.get("max_output_tokens") is not None:
        request["max_tokens"] = body["max_output_tokens"]
    _put_tools(body, request)
    _put_text(body.get("text") or {}, request)
    wanted = {name: value for name, value in (body.get("reasoning") or {}).items() if value is not None}
    if "generate_summary" in wanted:  # the old name of summary
        wanted.setdefault("summary", wanted.pop("generate_summary"))
    if wanted:
        request["reasoning"] = wanted
    count = body.get("top_logprobs") or 0
    if count or "message.output_text.logprobs" in (body.get("include") or ()):
        request["logprobs"] = True
        if count:
            request["top_logprobs"] = count
    return request


def passable(body: Json) -> Json:
    """The request as a vendor of this API may see it: reasoning that another vendor made stays at home."""
    items = body["input"]
    if not isinstance(items, list) or not any(item.get("type") == "reasoning" for item in items):
        return body
    seen = [reasoning.passable(item) if item.get("type") == "reasoning" else item for item in items]
    return {**body, "input": [item for item in seen if item is not None]}


def _messages(body: Json) -> list[Json]:
    given = body["input"]
    thread = _Thread()
    if body.get("instructions"):
        thread.say({"role": "system", "content": body["instructions"]})
    if isinstance(given, str):
        thread.say({"role": "user", "content": given})
    else:
        for index, item in enumerate(given):
            thread.take(item, index)
    messages = thread.close()
    if not messages:
        raise BadRequest("input: there is nothing in it that a model could answer.", field="input")
    return messages


def _put_tools(body: Json, request: Json) -> None:
    offered, choice = body.get("tools") or [], body.get("tool_choice")
    if choice is not None:
        choice, offered = tools.chat_choice(choice, offered)
        if offered or isinstance(
            choice, dict
        ):  # without tools there is nothing to choose, and vendors refuse the field
            request["tool_choice"] = choice
    if offered:
        request["tools"] = tools.chat_tools(offered)


def _put_text(text: Json, request: Json) -> None:
    form = text.get("format") or {}
    if form.get("type") == "json_object":
        request["response_format"] = {"type": "json_object"}
    elif form.get("type") == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type" and value is not None}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    if text.get("verbosity") is not None:
        request["verbosity"] = text["verbosity"]


class _Thread:
    """Messages as they grow out of items."""

    def __init__(self) -> None:
        self._messages: list[Json] = []
        self._turn: Json | None = None
        """The assistant's turn that is still open; it is the last message."""
        self._results: dict[int, list[Json]] = {}
        """Results by the ``id()`` of the turn that called for them."""
        self._calls: dict[str, tuple[Json, str]] = {}
        """Call id → its turn and where it stands in ``input``."""
        self._answered: dict[str, str] = {}
        self._aliases: dict[str, str] = {}

    def say(self, message: Json) -> None:
        """A message that is nobody's turn but its own."""
        self._turn = None
        self._messages.append(message)

    def take(self, item: Json, index: int) -> None:
        """One item. Raises BadRequest."""
        kind, where = check_item(item, index), f"input[{index}]"
        reader = _READERS.get(kind)
        if reader is not None:
            reader(self, item, where)

    def close(self) -> list[Json]:
        """All messages. Raises BadRequest for a call that nobody answered."""
        for id, (_, where) in self._calls.items():
            if id not in self._answered:
                raise BadRequest(f"{where}: the call {id!r} has no output; send its function_call_output.", field=where)
        found: list[Json] = []
        for message in self._messages:
            if message["role"] != "assistant" or message.get("content") is not None or message.get("tool_calls"):
                found.append(message)  # thoughts alone are no turn: no vendor takes them
                found += self._results.get(id_of(message), ())
        return found

    def _open(self) -> Json:
        if self._turn is None:
            self._turn = {"role": "assistant", "content": None}
            self._messages.append(self._turn)
        return self._turn

    def message(self, item: Json, where: str) -> None:
        role, content = item["role"], item.get("content")
        if role != "assistant":
            self.say({"role": role, "content": content if isinstance(content, str) else parts(content or [], where)})
            return
        turn = self._open()
        if turn["content"] is not None or "refusal" in turn:
            self._turn = None
            turn = self._open()
        _put_words(turn, content, where)
        if item.get("phase") is not None:
            turn["phase"] = item["phase"]

    def call(self, item: Json, where: str, name: str, arguments: str) -> None:
        id = item["call_id"]
        if id in self._calls:
            raise BadRequest(
                f"{where}.call_id: {id!r} is the id of {self._calls[id][1]} already.", field=f"{where}.call_id"
            )
        turn = self._open()
        function = {"name": name, "arguments": arguments}
        turn.setdefault("tool_calls", []).append({"id": id, "type": "function", "function": function})
        self._calls[id] = turn, where
        if isinstance(item.get("id"), str):
            self._aliases[item["id"]] = id

    def output(self, item: Json, where: str) -> None:
        id = item.get("call_id") or item.get("id")
        if item["type"] == "local_shell_call_output" and id not in self._calls:
            id = self._aliases.get(id or "", id)
        if id not in self._calls:
            raise BadRequest(
                f"{where}.call_id: no call {id!r} stands before this output; send the call it answers before it.",
                field=f"{where}.call_id",
            )
        if id in self._answered:
            raise BadRequest(
                f"{where}.call_id: {self._answered[id]} has answered {id!r} already.", field=f"{where}.call_id"
            )
        self._answered[id] = where
        self._turn = None
        given = item["output"]
        content = given if isinstance(given, str) else parts(given, where, "output")
        result = {"role": "tool", "tool_call_id": id, "content": content}
        self._results.setdefault(id_of(self._calls[id][0]), []).append(result)

    def thought(self, item: Json, where: str) -> None:
        turn = self._open()
        try:
            text, details = reasoning.replayed(item, len(turn.get("reasoning_details", ())))
        except ValueError as error:
            field = f"{where}.encrypted_content"
            raise BadRequest(f"{field}: this gateway wrote it, but {error}.", field=field) from None
        if text:
            turn["reasoning"] = turn.get("reasoning", "") + text
        if details:
            turn.setdefault("reasoning_details", []).extend(details)

    def image(self, item: Json, where: str) -> None:
        if item.get("result"):
            form = item.get("output_format") or "png"
            url = f"data:image/{_IMAGE_TYPES.get(form, form)};base64,{item['result']}"
            turn = self._open()
            turn["content"] = turn["content"] or ""
            image: Json = {"type": "image_url", "image_url": {"url": url}}
            if isinstance(item.get("id"), str):  # a vendor of this API wants its own picture back under its id
                image["id"] = item["id"]
            turn.setdefault("images", []).append(image)


def id_of(message: Json) -> int:
    """A message's identity: equal messages are not the same."""
    return id(message)


_READERS: dict[str, Any] = {
    "message": _Thread.message,
    "reasoning": _Thread.thought,
    "image_generation_call": _Thread.image,
    "function_call": lambda thread, item, where: thread.call(item, where, item["name"], item["arguments"]),
    "custom_tool_call": lambda thread, item, where: thread.call(
        item, where, item["name"], tools.custom_arguments(item["input"])
    ),
    "local_shell_call": lambda thread, item, where: thread.call(
        item, where, tools.LOCAL_SHELL, tools.shell_arguments(item["action"])
    ),
    "function_call_output": _Thread.output,
    "custom_tool_call_output": _Thread.output,
    "local_shell_call_output": _Thread.output,
}
"""What is not here (what a vendor's own tools did in an earlier turn) chat has no word for; the answer's text tells it again."""


def _put_words(turn: Json, content: Any, where: str) -> None:
    """The text and the refusal of an assistant's message, into its turn."""
    if isinstance(content, str):
        turn["content"] = content
        return
    refusals = [part["refusal"] for part in content or () if part["type"] == "refusal"]
    words = [part for part in content or () if part["type"] != "refusal"]
    if refusals:
        turn["refusal"] = "".join(refusals)
    if words or not refusals:
        said = parts(words, where)
        plain = all(part.keys() == {"type", "text"} for part in said)
        turn["content"] = "".join(part["text"] for part in said) if plain else said
    else:
        turn["content"] = ""


def parts(given: list[Json], where: str, field: str = "content") -> list[Json]:
    """Content parts in the inner language. Raises BadRequest."""
    return [_part(part, f"{where}.{field}[{index}]") for index, part in enumerate(given)]


def _part(part: Json, where: str) -> Json:
    kind = part["type"]
    made: Json
    if kind in ("input_text", "output_text"):
        made = {"type": "text", "text": part["text"]}
    elif kind == "input_image":
        if part.get("image_url") is None:
            raise BadRequest(f"{where}.image_url is missing: send a URL or a data URL.", field=f"{where}.image_url")
        image = {"url": part["image_url"]}
        if part.get("detail") is not None:
            image["detail"] = part["detail"]
        made = {"type": "image_url", "image_url": image}
    elif kind == "input_file":
        made = {"type": "file", "file": _file(part, where)}
    elif kind == "input_audio":
        made = {"type": "input_audio", "input_audio": part["input_audio"]}
    elif kind == "input_video":
        made = {"type": "video_url", "video_url": {"url": part["video_url"]}}
    else:
        raise BadRequest(f"{where}: only an assistant's message can hold a refusal.", field=where)
    for name in _CACHE:
        if part.get(name) is not None:
            made[name] = part[name]
    return made


def _file(part: Json, where: str) -> Json:
    data = part.get("file_data") or part.get("file_url")
    if data is None and part.get("file_id") is None:
        raise BadRequest(f"{where}: send file_data, file_url or file_id.", field=where)
    file = {"filename": part.get("filename"), "file_id": part.get("file_id"), "file_data": data}
    return {name: value for name, value in file.items() if value is not None}

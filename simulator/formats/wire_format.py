"""One wire format, from the vendor's side.

A format reads a request strictly, as its vendor documents it, and writes the answer that a ``Call`` has decided: whole, or as
frames of a stream. It knows nothing of faults and pacing: ``replay`` breaks whatever it is given, between frames and inside them.
"""

from __future__ import annotations

import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, TypeVar

import msgspec

from simulator.call import Call, ChatRequest, Part
from simulator.grammar import GrammarError, parse
from simulator.http import Request

Json = dict[str, Any]
T = TypeVar("T")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_MISSING = re.compile(r"missing required field `([^`]*)`")
_PATH = re.compile(r" - at `([^`]*)`")


class Refusal(Exception):
    """The request is refused with this status and message; ``param`` is the field, ``code`` the vendor's word for it."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


@dataclass(frozen=True, slots=True)
class ValidationProblem:
    """Why bytes are not of the documented type: where, and the unknown or missing field if that is the reason."""

    text: str
    path: str
    unknown: str | None
    missing: str | None

    @property
    def place(self) -> str:
        """Dotted, from the request's top: ``messages.content.foo``."""
        steps = [step for step in re.split(r"[.\[\]$]+", self.path) if step]
        return ".".join([*steps, *(name for name in (self.unknown, self.missing) if name)])


@dataclass(frozen=True, slots=True)
class Route:
    """A path that a format serves. ``model`` and ``stream`` where the path contains them; ``verb`` is for the format itself."""

    model: str | None = None
    stream: bool | None = None
    verb: str = ""


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A parsed request. ``chat`` is what ``call.prepare`` reads: its messages have a role and a text, and
    ``reasoning_content`` where our reasoning came back unchanged."""

    chat: ChatRequest
    id: str | None = None
    memo: Json = field(default_factory=dict)
    """What the format must remember until it answers."""
    may_reason: bool = True
    """The answer may contain reasoning: the vendor always reasons, or the request asks for it."""
    has_tokens: bool = True
    """The answer consists of tokens; a token count does not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has been decided, with the request it belongs to."""

    call: Call
    request: ParsedRequest

    def texts(self, sent: int | None = None) -> list[tuple[Part, str]]:
        """Every part with its text, as far as its tokens are among the first ``sent``."""
        left, found = self.call.planned if sent is None else sent, []
        for part in self.call.parts:
            found.append((part, "".join(part.pieces[:left])))
            left = max(0, left - len(part.pieces))
        return found

    def runs(self, part: Part) -> Iterator[tuple[str, int]]:
        """A part cut into the size of frames: text and number of tokens."""
        pieces = iter(part.pieces)
        while run := list(islice(pieces, self.call.script.batch)):
            yield "".join(run), len(run)

    @property
    def number(self) -> str:
        """Makes ids: the number of the request at this vendor."""
        return self.call.id.rpartition("-")[2]

    @property
    def reasoning(self) -> str:
        """The whole reasoning."""
        return self.call.text("reasoning_content")


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes of a stream that belong together, how many tokens they carry, and whether they are the report of usage."""

    data: bytes
    tokens: int = 0
    usage: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """What the vendor reports: ``cached`` is part of ``prompt``, ``reasoning`` part of ``completion``."""

    prompt: int
    cached: int
    completion: int
    reasoning: int


def counts(call: Call, sent: int | None = None) -> Counts | None:
    """The report for the first ``sent`` tokens, distorted by ``usage=KIND``; None for ``usage=none``."""
    made, kind = call.planned if sent is None else sent, call.script.usage
    if kind == "none":
        return None
    reasoned = sum(len(part.pieces) for part in call.parts if part.kind == "reasoning_content")
    cached = min(call.script.cached, call.prompt_tokens)
    factor = {"zero": 0, "negative": -1, "absurd": 1_000_000}.get(kind, 1)
    if factor != 1:
        cached = reasoned = 0
    return Counts(call.prompt_tokens * factor, cached, made * factor, min(reasoned, max(0, made * factor)))


def as_reported(call: Call, report: Json) -> Json:
    """A usage object as it is sent: with ``usage=text`` every number is a string."""
    if call.script.usage != "text":
        return report
    return {
        key: as_reported(call, value) if isinstance(value, dict) else str(value) if isinstance(value, int) else value
        for key, value in report.items()
    }


class WireFormat(ABC):
    """One wire format of a vendor's chat."""

    name: ClassVar[str]
    stream_kind: ClassVar[str] = "text/event-stream; charset=utf-8"
    keepalive: ClassVar[bytes] = b": keep-alive\n\n"
    """Bytes without meaning that may stand between frames; empty when the format has none."""

    @abstractmethod
    def route(self, path: str) -> Route | None:
        """None: the path is not this vendor's. ``path`` is percent-decoded."""

    @abstractmethod
    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """Reads and checks. Raises ``Refusal``."""

    @abstractmethod
    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """The whole answer, with its first ``sent`` tokens."""

    @abstractmethod
    def frames(self, answer: Answer) -> Iterator[Frame]:
        """The streamed answer, from its first frame to its end mark."""

    @abstractmethod
    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """The vendor's error body; ``more``: param, code. Without a message the usual one of the status."""

    @abstractmethod
    def error_event(self, status: int, code: str | None = None) -> bytes:
        """An error inside a stream, framed."""

    @abstractmethod
    def frame_bytes(self, data: bytes) -> bytes:
        """Any bytes in place of an event's data."""

    def credential(self, request: Request) -> str:
        """The key of the request; empty without one."""
        return request.headers.get("authorization", "").removeprefix("Bearer ").strip()

    def authorised(self, request: Request, key: str) -> bool:
        """Whether the request proves that its sender knows the key."""
        return hmac.compare_digest(self.credential(request).encode(), key.encode())

    def unauthorised(self) -> Refusal:
        """The refusal of a request without the right key."""
        return Refusal(401, "")

    def headers(self, status: int, code: str | None = None) -> Sequence[tuple[str, str]]:
        """Headers of an error beside the content type."""
        return ()

    def invalid_request(self, problem: ValidationProblem) -> Refusal:
        """A body that is not of the documented type, in the vendor's words."""
        return Refusal(400, problem.text, param=problem.place or None)

    def unknown_model(self, model: str, why: str) -> Refusal:
        """The model's name is not a script."""
        return Refusal(404, f"The model `{model}` does not exist: {why}. GET /v1/models lists the words.")

    def decode(self, decoder: msgspec.json.Decoder[T], body: bytes) -> T:
        """The request's body as its type. Raises ``Refusal``."""
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.invalid_request(_problem(str(error), "")) from None

    def convert(self, value: Any, kind: type[T], place: str) -> T:
        """A part of the body as its type; ``place`` is where it stands. Raises ``Refusal``."""
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise self.invalid_request(_problem(str(error), place)) from None


def _problem(text: str, place: str) -> ValidationProblem:
    path, unknown, missing = (pattern.search(text) for pattern in (_PATH, _UNKNOWN, _MISSING))
    where = place + (path[1].removeprefix("$") if path else "")
    return ValidationProblem(text, where, unknown and unknown[1], missing and missing[1])


def sse(data: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: %b\n" % name.encode()
    return head + b"data: %b\n\n" % (data if isinstance(data, bytes) else msgspec.json.encode(data))


def arguments_of(text: str) -> Any:
    """Arguments as an object; empty when ``max_tokens`` has cut them."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}


def reasons(model: str) -> bool:
    """Whether the model's script has reasoning: then signatures that come back are checked."""
    try:
        return parse(model).reasoning > 0
    except GrammarError:
        return False


def function(name: str, parameters: Any) -> Json:
    """A tool as ``call.prepare`` reads it."""
    return {"function": {"name": name, "parameters": parameters}}

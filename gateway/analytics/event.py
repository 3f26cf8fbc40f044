"""``Event``: what analytics knows of one generation. Metadata only, and made after the caller has got the answer.

No prompt, no answer, no arguments of tools, no address of a caller. Users appear as a keyed hash; the texts that name an app are
chosen by callers, so they are data of bounded length and never part of a command. It must not know: the store, HTTP.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import add
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import astuple

from gateway.analytics.answer_checks import NOT_LOOKED_AT, Answer
from gateway.records import COMPLETION_KINDS, PROMPT_KINDS, Attempt, Record, Tokens
from providers.errors import FAILURES

SERVED, FAILED, LIMITED, UNCOUNTED = range(4)
"""How an attempt counts for its endpoint's uptime: a success, an error, a refusal for load, or not at all."""
COUNTS_AS = {"endpoint": FAILED, "credential": FAILED, "capacity": LIMITED, "model": LIMITED, "vendor": LIMITED}
"""To whom a failure is attributed → how it counts. Of the others nobody knows whether the endpoint was at fault."""
_RESULTS = {"ok": SERVED} | {kind: COUNTS_AS.get(each.attributed_to, UNCOUNTED) for kind, each in FAILURES.items()}

_OF_CALLER = frozenset(kind for kind, each in FAILURES.items() if each.attributed_to == "caller")
_OF_REQUEST = (
    _OF_CALLER | {kind for kind, each in FAILURES.items() if each.status in (400, 413)} | {"forbidden", "blocked"}
)
"""Failures that are 400, 413, 422 or a 403 that is not about our key: the request's, by the definition of uptime."""

STREAMED, CANCELLED, ESTIMATED, FREE, OWN_KEY, REFUSED = 1, 2, 4, 8, 16, 32
"""Bits of ``Event.flags``: as a stream; the caller left; the tokens are our count; its model costs nothing; the caller pays the
vendor with a key of its own; nobody served because of the request itself, see ``refused``."""

KEY_CHARS = 16
"""64 bits: enough to tell keys apart, and a fourth of the hash."""
UNKNOWN_APP = "unknown"
APP_ID_MAX, APP_NAME_MAX = 96, 64
"""Characters."""
SHARED_HOSTS = frozenset({"github.com", "gitlab.com", "huggingface.co", "codeberg.org"})
"""Hosts of many apps: there the first two parts of the path belong to an app's identity."""


class Tried(NamedTuple):
    """One attempt at one endpoint."""

    endpoint: str
    result: int
    """SERVED, FAILED, LIMITED or UNCOUNTED."""


class Event(msgspec.Struct, frozen=True):
    """One generation. Tokens are those of the vendor's tokenizer, money is nano-USD, times are ms."""

    at_ms: int
    """Unix ms at which the request came in: it decides on the hour, the day and the week."""
    endpoint: str
    """``<provider>/<upstream id>@<model>``, which names model and provider; ``@<model>`` when no endpoint served."""
    org: str
    key: str
    """The first ``KEY_CHARS`` of the API key's hash. Private, as are ``org`` and ``user``."""
    user: bytes = b""
    """Eight bytes that stand for the end user, else for the key."""
    app: str = UNKNOWN_APP
    app_name: str = ""
    finish: str = ""
    flags: int = 0
    ok: bool = True
    """An answer was delivered, and it did not end with an error."""
    prompt: int = 0
    completion: int = 0
    """With reasoning in it."""
    reasoning: int = 0
    cache_read: int = 0
    cache_write: int = 0
    norm_prompt: int = 0
    norm_completion: int = 0
    """Our own count of the same texts, bytes / 4: comparable between models, whatever their tokenizers are."""
    tools: int = 0
    """Tools that the request offered."""
    ttft_ms: int | None = None
    total_ms: int | None = None
    cost_nano: int = 0
    fee_nano: int = 0
    charged_nano: int = 0
    tried: tuple[Tried, ...] = ()
    session: bytes = b""
    """Eight bytes that stand for a conversation that the caller named; empty without one."""
    api: str = ""
    """The API surface: completions, messages, responses, embeddings ..."""
    calls: int = 0
    """Calls of tools in the answer, where somebody has looked at them: see ``answer_checks``; else 0."""
    country: str = ""
    """ISO 3166, of the organisation, where somebody has stated it."""
    category: str = ""
    task: str = ""
    language: str = ""
    programming: str = ""
    """Programming language."""
    sampled_ppm: int = 0
    """The chance, in millionths, with which this event was chosen to be classified; 0: it was not, and the four above say nothing
    or were declared."""
    tool_error: int = 0
    """The worst that is wrong with a call: 1 arguments that are no JSON, 2 a name that nobody offered, 3 arguments that do not
    follow the schema."""
    structured: int = 0
    """Output that had to be JSON: 1 it is, 2 it is none, 3 it does not follow the schema; 0: not asked for, or not looked at."""
    asked_to_reason: int = 0
    """1: the request named an effort other than none, or a budget, for the model's reasoning."""
    pictures: int = 0
    """That the model made, where they are counted one by one."""
    audio_ms: int = 0
    """Of sound that was transcribed, where its length is counted."""

    @property
    def model(self) -> str:
        return self.endpoint.rpartition("@")[2]

    @property
    def provider(self) -> str:
        return self.endpoint.partition("/")[0] if self.endpoint[:1] != "@" else ""


FIELDS: tuple[str, ...] = Event.__struct_fields__


class Labels(NamedTuple):
    """What the organisation states, declares or lets be classified: fields of ``Event``, from ``country`` on, in their order."""

    country: str = ""
    category: str = ""
    task: str = ""
    language: str = ""
    programming: str = ""
    sampled_ppm: int = 0


UNLABELLED = Labels()


class Measured(msgspec.Struct, frozen=True):
    """What is known of a generation that has ended: its record, and what that does not say."""

    record: Record
    charged_nano: int
    tools: int
    norm_prompt: int
    norm_completion: int
    answer: Answer = msgspec.field(default_factory=lambda: NOT_LOOKED_AT)
    labels: Labels = UNLABELLED


Columns = list[Sequence[Any]]
"""Events, a column for each of ``FIELDS``."""


def event_columns(batch: Sequence[Measured], salt: bytes) -> Columns:
    """The events of generations that have ended. Columns, because most of them need no step of Python for each event."""
    measured = dict(zip(Measured.__struct_fields__, _columns(map(astuple, batch)), strict=True))
    record = dict(zip(Record.__struct_fields__, _columns(map(astuple, measured["record"])), strict=True))
    tokens = dict(zip(Tokens.__struct_fields__, _columns(map(astuple, record["tokens"])), strict=True))
    orgs, endpoints, finishes = record["organization"], record["endpoint"], record["finish_reason"]
    free = map(_is_free, endpoints, record["prices_femto"])
    denied = map(_is_refused, endpoints, record["attempts"])
    apps, app_names = _columns(map(app_of, record["http_referer"], record["app_title"]))
    users = zip(orgs, record["user"], record["key_hash"], strict=True)
    sessions = zip(orgs, record["session_id"], strict=True)
    return [
        [int(at * 1000) for at in record["created_at"]],
        [endpoint or "@" + model for endpoint, model in zip(endpoints, record["model_requested"], strict=True)],
        orgs,
        [key[:KEY_CHARS] for key in record["key_hash"]],
        [user_hash(salt, org, user or key) for org, user, key in users],
        apps,
        app_names,
        [finish or "" for finish in finishes],
        list(map(_flags, record["streamed"], record["cancelled"], record["usage_source"], free, denied)),
        list(map(_is_answer, endpoints, record["outcome"], finishes)),
        list(map(sum, zip(*[tokens[kind] for kind in PROMPT_KINDS], strict=True))),
        list(map(sum, zip(*[tokens[kind] for kind in COMPLETION_KINDS], strict=True))),
        tokens["reasoning"],
        list(map(add, tokens["cache_read"], tokens["audio_cache_read"])),
        list(map(add, tokens["cache_write"], tokens["cache_write_1h"])),
        measured["norm_prompt"],
        measured["norm_completion"],
        measured["tools"],
        record["latency_ms"],
        record["generation_time_ms"],
        record["cost_nano"],
        record["fee_nano"],
        measured["charged_nano"],
        [tuple([_tried(each.endpoint, each.kind) for each in attempts]) for attempts in record["attempts"]],
        [user_hash(salt, org, "session " + name) if name else b"" for org, name in sessions],
        record["api_type"],
        [answer.calls for answer in measured["answer"]],
        *_columns(measured["labels"]),
        *_columns([answer.found for answer in measured["answer"]]),
        [units.get("image_output", 0) for units in record["units"]],
        [units.get("audio_ms", 0) for units in record["units"]],
    ]


def columns_of(events: Sequence[Event]) -> Columns:
    """The same of events that are there already."""
    return _columns(map(astuple, events)) if events else [()] * len(FIELDS)


def events_of(columns: Columns) -> list[Event]:
    """The reverse."""
    return list(map(Event, *columns))


def _columns(rows: Iterable[Sequence[Any]]) -> Columns:
    return list(zip(*rows, strict=True))


@lru_cache(maxsize=64)
def _flags(streamed: bool, cancelled: bool, usage_source: str, free: bool, denied: bool) -> int:
    estimated = usage_source == "estimated"
    return STREAMED * streamed | CANCELLED * cancelled | FREE * free | ESTIMATED * estimated | REFUSED * denied


def _is_free(endpoint: str, prices: Mapping[str, int]) -> bool:
    return endpoint != "" and not prices.get("prompt") and not prices.get("completion")


def _is_refused(endpoint: str, attempts: Sequence[Attempt]) -> bool:
    return endpoint == "" and refused(attempts)


@lru_cache(maxsize=4096)
def _is_answer(endpoint: str, outcome: str, finish: str | None) -> bool:
    return endpoint != "" and outcome != "upstream_failed" and finish != "error"


@lru_cache(maxsize=4096)
def _tried(endpoint: str, kind: str) -> Tried:
    return Tried(endpoint, _RESULTS.get(kind, UNCOUNTED))


def result(kind: str) -> int:
    """``ok`` or the kind of a failure → how the attempt counts."""
    return _RESULTS.get(kind, UNCOUNTED)


def refused(attempts: Sequence[Attempt]) -> bool:
    """Whether a request that nobody served is itself the reason: the last vendor says so of all, or each refused it."""
    if not attempts:
        return False
    return attempts[-1].kind in _OF_CALLER or all(each.kind in _OF_REQUEST for each in attempts)


@lru_cache(maxsize=8192)
def user_hash(salt: bytes, org: str, user: str) -> bytes:
    """Eight bytes, the same for a user of an organisation until the salt changes, and telling nothing to who lacks the salt."""
    text = f"{org}\0{user}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8, key=salt).digest()


@lru_cache(maxsize=4096)
def app_of(referer: str | None, title: str | None) -> tuple[str, str]:
    """(id, name) of the app that a caller says it is: the host of its address, on hosts of many apps with the first two parts of
    the path; ``~<title>`` of one without a public address; ``unknown`` of one that says nothing.
    """
    name = _printable(title or "", APP_NAME_MAX)
    address = _address(referer) if referer else ""
    if address:
        return address, name or address
    return ("~" + name.casefold()[: APP_ID_MAX - 1], name) if name else (UNKNOWN_APP, "")


def _address(referer: str) -> str:
    try:
        parts = urlsplit(referer if "//" in referer else f"//{referer}")
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""
    labels = host.split(".")
    if len(labels) < 2 or labels[-1].isdigit() or ":" in host or _printable(host, APP_ID_MAX) != host:
        return ""  # localhost, an address of digits, or no host at all
    host = host.removeprefix("www.")
    if host in SHARED_HOSTS:
        owner = [_printable(part, 40) for part in parts.path.split("/") if part][:2]
        return "/".join([host, *owner]).casefold()[:APP_ID_MAX]
    return host


def _printable(text: str, longest: int) -> str:
    """The text without control, format and unassigned characters, its blanks joined, cut to ``longest`` characters."""
    kept = "".join(char if unicodedata.category(char)[0] not in "CZ" else " " for char in text[: 4 * longest])
    return " ".join(kept.split())[:longest].rstrip()

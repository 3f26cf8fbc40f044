"""What can go wrong between us and a vendor, as kinds of failure that decide what happens next.

Each kind is a row of ``failures.yaml``, proved by recorded vendor bodies. Code reads the row, never a status number: may another
endpoint be tried? to whom is the failure attributed? may the same endpoint be tried again? may the vendor bill for it?

    ProviderError
        .failure   the row: kind, client status, error_type, failover, attributed_to, retry_same, may_bill
        .clock     which of the four deadlines ran out, or None
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Any, Literal, Self

import msgspec
import yaml

from providers.types import Usage

AttributedTo = Literal[
    "endpoint", "capacity", "model", "vendor", "credential", "unclear", "request", "caller", "nobody"
]
"""See the head of ``failures.yaml``."""
Clock = Literal["connect", "first_content", "gap", "total"]

RAW_MAX = 4096
"""Bytes kept of a vendor's body, and characters of its message."""
CODE_MAX = 256
"""Characters kept of a vendor's code."""
PAGE = "html_page"
"""The code that stands for a body of HTML: not the vendor has answered, but something in front of it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of ``failures.yaml``."""

    kind: str
    status: int
    """The status that our client gets when no other attempt follows. A vendor's 401/402/403 is never the client's."""
    error_type: str
    failover: bool
    """May another endpoint be tried?"""
    attributed_to: AttributedTo
    """Whose health or credential it counts against."""
    retry_same: bool
    """May the same endpoint be tried again when there is no other?"""
    may_bill: bool
    """The vendor may have started work it charges for (the request was sent and not refused)."""
    larger_context: bool = False
    """Without ``failover``: an endpoint of the same model with a larger context may be tried nevertheless."""


class ProviderError(Exception):
    """A vendor failed, in one of the ways of ``failures.yaml``."""

    def __init__(
        self,
        failure: Failure,
        message: str,
        *,
        status: int | None = None,
        raw: str = "",
        retry_after_s: float | None = None,
        provider_code: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        message = message[:RAW_MAX]
        super().__init__(f"{failure.kind}: {message}")
        self.failure = failure
        self.message = message
        """At most ``RAW_MAX`` characters: an event of a stream may bring 64 MB, and every pattern of ours is looked for in it."""
        self.status = status
        """The vendor's HTTP status, when there was one."""
        self.raw = raw
        """At most 4 kB of the vendor's body, for ``error.metadata.raw``."""
        self.retry_after_s = retry_after_s
        self.provider_code = provider_code[:CODE_MAX] if provider_code is not None else None
        self.clock = clock
        self.usage: Usage | None = None
        """What the vendor has counted, where it says so with its error: it may bill that."""

    def reporting(self, usage: Usage | None) -> Self:
        """The error, with the usage that came with it."""
        self.usage = usage
        return self


@dataclass(frozen=True, slots=True)
class _Match:
    row: Failure
    status: str
    code: frozenset[str] = field(default_factory=frozenset)
    text: tuple[str, ...] = ()

    def fits(self, status: int) -> bool:
        return self.status in (str(status), f"{status // 100}xx")


def _load() -> tuple[dict[str, Failure], tuple[_Match, ...], dict[str, int]]:
    source = (files(__package__) / "failures.yaml").read_text("utf-8")
    document = yaml.load(source, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    rows: dict[str, Failure] = {}
    matches: list[_Match] = []
    for raw in document["rows"]:
        patterns = raw.pop("match", [])
        row = rows[raw["kind"]] = msgspec.convert(raw, Failure, strict=True)
        for pattern in patterns:
            code = frozenset(str(c).lower() for c in pattern.get("code", ()))
            text = tuple(str(t).lower() for t in pattern.get("text", ()))
            # A vendor may quote the request: whoever writes "invalid api key" into a prompt must not take the vendor from others.
            said_only = bool(text) and row.attributed_to == "credential"
            matched = replace(row, attributed_to="unclear") if said_only else row
            matches.append(_Match(matched, str(pattern["status"]), code, text))
    # An exact status comes before its class (429 before 4xx); the sort is stable, so the file's order decides the rest.
    matches.sort(key=lambda match: match.status.endswith("xx"))
    return rows, tuple(matches), document["status_of"]


FAILURES, _MATCHES, _STATUS_OF = _load()
"""Every row by its kind."""

_CLOCK_KINDS: dict[Clock, str] = {
    "connect": "connect_timeout",
    "first_content": "timeout_first_content",
    "gap": "timeout_gap",
    "total": "timeout_total",
}


def failed(kind: str, message: str, **more: Any) -> ProviderError:
    """The error of one row by its kind; keywords as of ``ProviderError``."""
    return ProviderError(FAILURES[kind], message, **more)


def timed_out(clock: Clock, limit_s: float) -> ProviderError:
    """The error of one of the four clocks."""
    return failed(_CLOCK_KINDS[clock], f"the {clock.replace('_', ' ')} time limit of {limit_s:g} s passed", clock=clock)


def classify(status: int, codes: frozenset[str], text: str) -> Failure:
    """The row of a vendor's refusal: of the rows for its status, the first with one of the ``codes``, else with a part of ``text``,
    else the first with neither. ``codes`` and ``text`` are lower case. A body of HTML has the code ``PAGE``. What only a text says
    about our credential is ``unclear``."""
    if text.lstrip().startswith(("<html", "<!doctype")):
        codes |= {PAGE}
    candidates = [match for match in _MATCHES if match.fits(status)]
    for match in candidates:
        if match.code and match.code & codes:
            return match.row
    for match in candidates:
        if match.text and any(part in text for part in match.text):
            return match.row
    for match in candidates:
        if not match.code and not match.text:
            return match.row
    return FAILURES["malformed"]  # 1xx and 3xx are no answers to a request


_WORDS = (str, int, float)


def failure_for(
    status: int,
    message: str,
    *,
    raw: str,
    words: Sequence[Any] = (),
    also: Iterable[str] = (),
    meant: int | None = None,
    retry_s: float | None = None,
) -> ProviderError:
    """The error that a vendor's own error stands for.

    ``words``: its codes, the most specific first. ``also``: further codes of ``failures.yaml`` that its text stands for.
    ``meant``: the status to classify it by, where the vendor's own is less specific. ``retry_s``: the
    pause that the vendor asks for.
    """
    message = message[:RAW_MAX]
    said = [
        word[:CODE_MAX] if isinstance(word, str) else str(word) for word in words if word and isinstance(word, _WORDS)
    ]
    codes = frozenset([*(word.lower() for word in said), *also])
    return ProviderError(
        classify(status if meant is None else meant, codes, f"{message} {raw}".lower()),
        message or f"the vendor answered {status}",
        status=status,
        raw=raw,
        retry_after_s=retry_s,
        provider_code=said[0] if said else None,
    )


def excerpt(document: Any) -> str:
    """The beginning of what a vendor wrote: bytes as they are, anything else as JSON."""
    content = document if isinstance(document, bytes) else msgspec.json.encode(_shortened(document, 3))
    return content[:RAW_MAX].decode("utf-8", "replace")


def _shortened(value: Any, levels: int) -> Any:
    """With no text longer than what is shown of the whole: encoding one of 60 MB takes 0.1 s."""
    if isinstance(value, str):
        return value[:RAW_MAX]
    if levels and isinstance(value, dict):
        return {name: _shortened(each, levels - 1) for name, each in value.items()}
    return value


def status_of(code: Any, type_: Any = None) -> int:
    """The HTTP status that the error object inside a 200 stands for; 500 if its code and type are unknown."""
    for word in (code, type_):
        if isinstance(word, int | float | str) and not isinstance(word, bool):
            text = str(word)[:CODE_MAX].lower().strip()
            if text.isdecimal() and 400 <= int(text[:9]) <= 599:
                return int(text)
            if text in _STATUS_OF:
                return _STATUS_OF[text]
    return 500

"""The model name as a script: ``word+word+...``, each word a flag, ``word@N`` or ``word=VALUE``.

    ok                                   16 tokens at once
    ok+ttft=200+tps=50+tokens=40         first token after 200 ms, then 50 a second, 40 in all
    cut@3+midutf8                        three tokens, then the connection ends inside a character
    status=429+retry_after=60            an error answer with a header
    flaky=0.3+status=500                 30 % of the requests get the fault, the others a good answer

Everything up to the last ``/`` is a free label (``chaos/stall@7``). At most one word may be a fault. ``WORDS`` is the
whole language; the vendor prints it at ``GET /v1/models``. ``=`` may stand for ``@``, which a catalogue's upstream_id
cannot have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

MAX_TOKENS = 1_000_000
MAX_MEGABYTES = 1_024
USAGES = ("normal", "none", "zero", "twice", "afterdone", "negative", "cumulative", "absurd", "text", "onfinish")


class GrammarError(ValueError):
    """The model name does not follow the grammar; the message names the word."""


@dataclass(frozen=True, slots=True)
class Script:
    """What one model name asks for. Times are milliseconds from the moment the request was complete."""

    tokens: int = 16
    ttft_ms: float = 0
    tps: float = 0
    """Tokens a second; 0 = as fast as the client reads."""
    batch: int = 1
    slowheaders_ms: float = 0
    every_ms: float = 50
    reasoning: int = 0
    cached: int = 0
    caching: bool = False
    echo: bool = False
    prose: bool = False
    toolcall: bool = False
    tool: str = ""
    parallel: int = 1
    recall: bool = False
    finish: str | None = None
    usage: str = "normal"
    fault: str | None = None
    """The one fault, a key of ``faults.WHOLE`` or ``faults.MIDSTREAM``."""
    at: int = 0
    """Tokens that are delivered before a midstream fault."""
    mutation: int = 0
    midutf8: bool = False
    midline: bool = False
    clean: bool = False
    rst: bool = False
    html: bool = False
    status: int = 503
    retry_after: str | None = None
    code: str | None = None
    megabytes: int = 32
    flaky: float | None = None
    drip_ms: float = 0
    split: int = 0
    crlf: bool = False
    keepalives: bool = False
    close: bool = False
    uncancellable: bool = False

    @property
    def plain(self) -> Script:
        """The same script without its fault: a flaky model uses it for the requests that succeed."""
        return replace(self, fault=None, rst=False)


@dataclass(frozen=True, slots=True)
class Word:
    """One word: how it is written, what it does, the field it sets, how its argument is read."""

    form: str
    doc: str
    field: str = ""
    read: Callable[[str], Any] | None = None
    otherwise: str | None = None
    """The argument when it is left out; None = it must be written."""

    @property
    def name(self) -> str:
        return self.form.partition("=")[0].partition("@")[0]

    @property
    def mark(self) -> str:
        """``=``, ``@`` or nothing: what separates the word from its argument."""
        return "@" if "@" in self.form else "=" if "=" in self.form else ""


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"must be between {low:g} and {high:g}")
        return value

    return read


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return read


def _blanks(text: str) -> str:
    return text.replace("_", " ")


def _usage(text: str) -> str:
    if text not in USAGES:
        raise ValueError(f"must be one of {', '.join(USAGES)}")
    return text


_MS, _COUNT, _BYTES = _number(0, 86_400_000), _whole(0, MAX_TOKENS), _whole(1, MAX_MEGABYTES)

_ALL = (
    Word("ok", "Nothing special: 16 tokens at once."),
    Word(
        "tokens=N",
        "Length of the answer in tokens (16); max_tokens cuts it with finish_reason length.",
        "tokens",
        _COUNT,
    ),
    Word("ttft=MS", "Wait before the first token; a JSON answer waits ttft + tokens / tps.", "ttft_ms", _MS),
    Word("tps=N", "Tokens a second.", "tps", _number(0.001, 1e6)),
    Word("batch=N", "N tokens in one event.", "batch", _whole(1, MAX_TOKENS)),
    Word("slowheaders=MS", "Wait before the response's headers.", "slowheaders_ms", _MS),
    Word("every=MS", "Pause between the comments of `comments` (50).", "every_ms", _number(1, 86_400_000)),
    Word("echo", "Answers with the text of the last user message.", "echo"),
    Word("prose", "Answers with readable text instead of numbered tokens.", "prose"),
    Word(
        "toolcall", "Calls the request's first tool, or get_weather; answers in text after a tool's result.", "toolcall"
    ),
    Word("tool=TEXT", "With toolcall: calls the tools whose names end in TEXT.", "tool", str),
    Word(
        "parallel=N", "With toolcall: N calls in one answer (2); the tools take turns.", "parallel", _whole(1, 64), "2"
    ),
    Word("recall", "Answers with the number of its own reasoning texts that came back unchanged.", "recall"),
    Word("reasoning=N", "N tokens of reasoning_content come first (8).", "reasoning", _COUNT, "8"),
    Word("cached=N", "Up to N prompt tokens are reported as read from the cache.", "cached", _COUNT),
    Word(
        "caching",
        "What a prompt shares with an earlier one of the last five minutes, from 1,024 tokens on, is read from the cache.",
        "caching",
    ),
    Word("finish=REASON", "finish_reason instead of stop; `blank` is null.", "finish", str),
    Word("usage=KIND", f"What the usage report says: {', '.join(USAGES)}.", "usage", _usage),
    Word("nousage", "The same as usage=none."),
    Word("uncancellable", "Bills the whole answer although the client disconnected.", "uncancellable"),
    Word(
        "flaky=P",
        "The fault (503 when no other is named) happens with probability P, by the vendor's seed.",
        "flaky",
        _number(0, 1),
    ),
    Word("keepalives", "An SSE comment before every event; blank lines before a JSON body.", "keepalives"),
    Word("crlf", "SSE lines end in CR LF.", "crlf"),
    Word("split=N", "Every write is cut into pieces of N bytes.", "split", _whole(1, 1 << 20)),
    Word("drip=MS", "One byte each MS milliseconds (100).", "drip_ms", _number(0.1, 86_400_000), "100"),
    Word("close", "Answers with Connection: close.", "close"),
    Word("endless", "Fault: tokens without end; ignores max_tokens.", "fault"),
    Word("stall@N", "Fault: silence after N tokens; stall@0 does not even send headers.", "fault", _COUNT),
    Word("roleonly", "Fault: headers and the role-only first event, then silence.", "fault"),
    Word("comments", "Fault: nothing but SSE comments (JSON: blank lines), without end.", "fault"),
    Word("cut@N", "Fault: the connection is closed after N tokens.", "fault", _COUNT),
    Word("cutusage", "Fault: closed between the finish event and the usage event.", "fault"),
    Word("midutf8", "With cut@N: inside a character.", "midutf8"),
    Word("midline", "With cut@N: inside a line.", "midline"),
    Word("clean", "With cut@N: HTTP ends properly, only the answer does not.", "clean"),
    Word("rst", "Fault: TCP reset instead of an answer; with cut@N: reset instead of FIN.", "rst"),
    Word("hangup", "Fault: closed without an answer.", "fault"),
    Word(
        "garbage@N",
        "Fault: after N tokens one event that is not a chunk, then the rest; JSON: a body that is not JSON.",
        "fault",
        _COUNT,
    ),
    Word("malformed", "Fault: the same as garbage@0."),
    Word("mutation=K", "Which garbage: 0 to 19.", "mutation", _whole(0, 10_000)),
    Word("error200", "Fault: 200 with an error body, also when the request was for a stream.", "fault"),
    Word("errorfirst", "Fault: 200, and the first event is an error.", "fault"),
    Word("erroratn@N", "Fault: an error event after N tokens, then the end.", "fault", _COUNT),
    Word("status=CODE", "Fault: an HTTP error with the vendor's usual body.", "status", _whole(300, 599)),
    Word("retry_after=TEXT", "The Retry-After header of an error, as written; _ is a blank.", "retry_after", _blanks),
    Word("code=TEXT", "error.code of an error.", "code", str),
    Word("html", "With status=CODE: an HTML page, as a proxy would send it.", "html"),
    Word("wrongtype", "Fault: 200 with an HTML page.", "fault"),
    Word("emptybody", "Fault: 200 and no body.", "fault"),
    Word("hugeline=MB", "Fault: one line (JSON: one body) of MB megabytes (32).", "megabytes", _BYTES, "32"),
    Word("gzipbomb=MB", "Fault: MB megabytes of blanks, gzipped (32).", "megabytes", _BYTES, "32"),
    Word("badchunk", "Fault: chunked encoding with a size that is not a number.", "fault"),
    Word("doublelength", "Fault: two Content-Length headers that disagree.", "fault"),
)
WORDS = {word.name: word for word in _ALL}
FAULT_VALUES = frozenset({"status", "hugeline", "gzipbomb"})
SYNONYMS = {"nousage": ("usage", "none"), "malformed": ("fault", "garbage")}


def _split(text: str) -> tuple[Word, str | None]:
    """``"stall@7"`` → (the word stall, "7"). Raises GrammarError."""
    cut = min((at for at in (text.find("="), text.find("@")) if at >= 0), default=len(text))
    name, mark, argument = text[:cut], text[cut : cut + 1], text[cut + 1 :]
    word = WORDS.get(name)
    if word is None:
        raise GrammarError(f"unknown word {name!r}")
    if mark and mark not in (word.mark, "=" if word.mark else ""):
        raise GrammarError(f"{text!r} is written {word.form}")
    if word.mark and not mark and word.otherwise is None:
        raise GrammarError(f"{name!r} needs an argument: {word.form}")
    return word, argument if mark else word.otherwise


def _apply(fields: dict[str, Any], word: Word, argument: str | None) -> None:
    value: Any = True
    if word.read is not None and argument is not None:
        try:
            value = word.read(argument)
        except ValueError as error:
            raise GrammarError(f"{word.name}: {argument!r} does not fit {word.form}: {error}") from None
    fault = word.name if word.field == "fault" or word.name in FAULT_VALUES else None
    if word.name in SYNONYMS:
        field, value = SYNONYMS[word.name]
        fault = value if field == "fault" else fault
        fields[field] = value
    elif word.field == "fault":
        fields["at"] = value if word.mark else 0
    elif word.field:
        fields[word.field] = value
    if fault:
        named = fields.setdefault("faults", [])
        named.append(fault)
        fields["fault"] = fault


@lru_cache(maxsize=4096)
def parse(name: str) -> Script:
    """The script of a model name. Raises GrammarError naming the word that is wrong."""
    fields: dict[str, Any] = {}
    for text in name.rpartition("/")[2].split("+"):
        _apply(fields, *_split(text.strip()))
    faults = fields.pop("faults", [])
    if len(faults) > 1:
        raise GrammarError(f"{faults[0]!r} and {faults[1]!r} exclude each other")
    if not faults and fields.get("rst"):
        fields["fault"] = "rst"
    if not faults and "fault" not in fields and "flaky" in fields:
        fields["fault"] = "status"
    return Script(**fields)

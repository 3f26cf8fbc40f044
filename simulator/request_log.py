"""What a simulated vendor did for each request: bills are compared with this log.

Times are ``time.monotonic`` seconds, on Linux the same clock in every process of the machine.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Literal

Ending = Literal["finished", "client_closed", "failed", "refused", "killed"]
"""Whole answer sent | client disconnected first | vendor broke its own answer | refused without work | stopped by the test."""
KEPT_REQUESTS = 100_000
SUMS = ("requests", "prompt_tokens", "sent_tokens", "billed_prompt_tokens", "billed_completion_tokens")


@dataclass(slots=True)
class Entry:
    """One request."""

    seq: int
    id: str
    """The request's ``x-request-id`` header, else ``user`` of its body, else ``<vendor>-<seq>``."""
    model: str
    stream: bool
    started_at: float
    status: int = 200
    prompt_tokens: int = 0
    planned_tokens: int | None = None
    """Length of the whole answer; None when it is endless or the request gets no answer."""
    sent_tokens: int = 0
    """Tokens handed to the socket."""
    generated_tokens: int = 0
    """Tokens the vendor worked for: those sent, and those of a JSON answer that were ready when the client disconnected."""
    billed_prompt_tokens: int = 0
    billed_completion_tokens: int = 0
    """What the vendor's invoice would say. Zero for a refused request."""
    ending: Ending | None = None
    ended_at: float | None = None

    @property
    def finished(self) -> bool:
        """The whole answer was sent, end mark included."""
        return self.ending == "finished"

    @property
    def client_closed_early(self) -> bool:
        return self.ending == "client_closed"

    def end(self, ending: Ending, generated: int) -> None:
        """The first ending counts. ``generated`` is what the vendor worked for so far."""
        if self.ending is not None:
            return
        self.ending = ending
        self.ended_at = time.monotonic()
        if ending != "refused":
            self.generated_tokens = generated
            self.billed_prompt_tokens = self.prompt_tokens
            self.billed_completion_tokens = generated

    def facts(self) -> dict[str, Any]:
        """The entry as plain data, for ``GET /__truth``."""
        return {**asdict(self), "finished": self.finished, "client_closed_early": self.client_closed_early}


class RequestLog:
    """Every request of one vendor; the last ``KEPT_REQUESTS`` in full, all of them in the totals."""

    def __init__(self, vendor: str) -> None:
        self.vendor = vendor
        self.requests: deque[Entry] = deque(maxlen=KEPT_REQUESTS)
        self.connections_accepted = 0
        self.connections_open = 0
        self._seq = 0
        self._dropped: dict[str, int] = {}

    def begin(self, request_id: str | None, model: str, *, stream: bool) -> Entry:
        """Opens the entry of one request."""
        self._seq += 1
        if len(self.requests) == KEPT_REQUESTS:
            self._count(self._dropped, self.requests[0])
        entry = Entry(self._seq, request_id or f"{self.vendor}-{self._seq}", model, stream, time.monotonic())
        self.requests.append(entry)
        return entry

    def of(self, request_id: str) -> list[Entry]:
        """The entries of one id, oldest first: more than one when the same request was tried again here."""
        return [entry for entry in self.requests if entry.id == request_id]

    @property
    def in_flight(self) -> int:
        """Kept requests without an ending."""
        return sum(entry.ending is None for entry in self.requests)

    def totals(self) -> dict[str, int]:
        """Sums over all requests since the last reset, and how many had each ending."""
        sums = dict.fromkeys(SUMS, 0) | self._dropped
        for entry in self.requests:
            self._count(sums, entry)
        return sums

    @staticmethod
    def _count(sums: dict[str, int], entry: Entry) -> None:
        sums["requests"] = sums.get("requests", 0) + 1
        ending = f"ending_{entry.ending or 'running'}"
        sums[ending] = sums.get(ending, 0) + 1
        for name in SUMS[1:]:
            sums[name] = sums.get(name, 0) + getattr(entry, name)

    def reset(self) -> None:
        """Forget the requests, also those still running. Connections stay counted."""
        self.requests.clear()
        self._dropped.clear()

    def facts(self, request_id: str | None = None) -> dict[str, Any]:
        """The body of ``GET /__truth``; with an id, only its requests."""
        chosen = self.requests if request_id is None else self.of(request_id)
        return {
            "vendor": self.vendor,
            "now": time.monotonic(),
            "connections": {"open": self.connections_open, "accepted": self.connections_accepted},
            "in_flight": self.in_flight,
            "totals": self.totals(),
            "requests": [entry.facts() for entry in chosen],
        }

"""A client that blocks, by httpx: for what runs in threads and in commands, beside any event loop, such as a store of the history.

It knows one server, keeps its connections, and follows the proxy variables of the environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import httpx

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 60


class NoAnswer(Exception):
    """The request failed below HTTP, or the answer broke off; the text says how."""


class Answer(NamedTuple):
    """An answer whose body comes piece by piece."""

    status: int
    parts: Iterator[bytes]


class BlockingClient:
    """``base_url`` without credentials; those are among the ``headers``, which appear in no log. Threads may use it at once."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._client = httpx.Client(base_url=base_url, headers=dict(headers), timeout=timeout)

    @contextmanager
    def post(self, body: bytes, query: Mapping[str, str | int]) -> Iterator[Answer]:
        """POST to the base URL. Raises NoAnswer, also from ``parts``."""
        try:
            with self._client.stream("POST", "", params=dict(query), content=body) as answer:
                yield Answer(answer.status_code, answer.iter_bytes())
        except httpx.HTTPError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

"""A ClickHouse server over its HTTP interface: one request a query, blocking, as few features as a server of 2018 has.

What must not appear in logs, the password and rows of an insert, is in headers and bodies only, and is taken out of errors. Facts:
clickhouse.com/docs/en/interfaces/http, tried on 18.16 and 26.9 (2026-11).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec

from gateway.analytics.history.parquet import HistoryError
from providers.transport.blocking import Answer, BlockingClient, NoAnswer

NONE: Mapping[str, str | int] = {}
MODERN = (22, 2)
"""From here on: deduplication tokens, TTLs, LowCardinality, codecs."""
ERROR_CHARS = 300
PLAIN_NUMBERS = {"output_format_json_quote_64bit_integers": 0}
"""Settings of a query whose integers of 64 bits are to be no texts."""
_MESSAGE = re.compile(
    r"Code: (\d+).*?DB::Exception: (.*?)(?=,? e\.what\(\)| \(version |\. Stack trace|: \(at row|\s*before: |$)", re.S
)

Row = TypeVar("Row")


class _Table(msgspec.Struct, Generic[Row]):
    """What ``FORMAT JSONCompact`` is of."""

    data: list[Row]


class ClickHouseServer:
    """One database of a server. ``url``: ``http://user:password@host:8123/database``. Threads may use it at once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.database = parts.path.strip("/") or "default"
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        base = f"{parts.scheme}://{host}:{parts.port or (8443 if parts.scheme == 'https' else 8123)}/"
        self.name = base + self.database
        """Without user and password."""
        headers = {}
        if parts.username:
            headers["X-ClickHouse-User"] = unquote(parts.username)
            headers["X-ClickHouse-Key"] = unquote(parts.password or "")
        self._client = BlockingClient(base, headers)
        self._version: tuple[int, ...] = ()
        self._lock = threading.Lock()

    @property
    def is_modern(self) -> bool:
        """Whether it knows what ``MODERN`` says. Raises HistoryError."""
        with self._lock:
            if not self._version:
                [[text]] = self.rows("SELECT version()", list[str])
                self._version = tuple(int(part) for part in re.findall(r"\d+", text)[:2])
            return self._version >= MODERN

    def run(self, sql: str, data: bytes = b"", settings: Mapping[str, str | int] = NONE) -> bytes:
        """The answer to a query, with the rows of an insert. Raises HistoryError."""
        with self._answer(sql.encode() + (b"\n" + data if data else b""), settings) as answer:
            return b"".join(answer.parts)

    def rows(self, sql: str, kind: type[Row]) -> list[Row]:
        """The rows of a query, each a list of its columns. Raises HistoryError."""
        text = self.run(f"{sql} FORMAT JSONCompact", settings=PLAIN_NUMBERS)
        try:
            return msgspec.json.decode(text, type=_Table[kind]).data  # type: ignore[valid-type]
        except msgspec.MsgspecError as error:
            raise HistoryError(f"{self.name}: an answer cannot be read: {error}") from error

    def lines(self, sql: str) -> Iterator[bytes]:
        """The rows of a query as lines of JSON, as they come. Raises HistoryError, also when the answer ends too early."""
        rest = b""
        with self._answer(f"{sql} FORMAT JSONEachRow".encode(), PLAIN_NUMBERS) as answer:
            for part in answer.parts:
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    self._check_line(line)
                    yield line
        if rest:
            self._check_line(rest)
            raise HistoryError(f"{self.name}: the answer ends within a row")

    def save(self, sql: str, path: Path) -> None:
        """``lines`` into a file."""
        with path.open("wb") as file:
            for line in self.lines(sql):
                file.write(line + b"\n")

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    @contextmanager
    def _answer(self, body: bytes, settings: Mapping[str, str | int]) -> Iterator[Answer]:
        """An answer without an error."""
        try:
            with self._client.post(body, {"database": self.database, **settings}) as answer:
                if answer.status >= 400:
                    text = b"".join(answer.parts).decode(errors="replace")
                    raise HistoryError(f"{self.name}: {_short(text) or f'status {answer.status}'}")
                yield answer
        except NoAnswer as error:
            raise HistoryError(f"{self.name}: {error}") from error

    def _check_line(self, line: bytes) -> None:
        """An error after the first rows stands within the answer, as its status has been sent."""
        if line[:1] != b"{":
            raise HistoryError(f"{self.name}: {_short(line.decode(errors='replace')) or 'the answer is no row'}")


def _short(text: str) -> str:
    """Code and message of an error, without the rows that it quotes."""
    found = _MESSAGE.search(text)
    return " ".join((f"code {found[1]}: {found[2]}" if found else "").split())[:ERROR_CHARS]

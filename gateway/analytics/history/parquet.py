"""Single Parquet files, by DuckDB: written whole or not at all, read back before they count, recognised when they are damaged.

A file is written under another name, brought to the disk, read back and compared; whoever calls gives it its name. What is read
before rows are thrown away elsewhere is checked row by row (``check``); everywhere else a damaged file is noticed by its footer
or by its pages, and named. It must not know: what lies where.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.analytics.history.schema import METADATA_KEY, VERSION, Dataset, Facts
from gateway.store.keys import bucket

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

CHECKSUM = "coalesce(sum(hash(t)), 0)::VARCHAR || ' of DuckDB ' || version()"
"""SQL over the rows ``t``: a hash of each row, added up; 0.4 µs a row, where MD5 takes 6 to 9. DuckDB's hash may be another one in
another version: then a file is read to its end, and its rows are counted."""
MEMORY_MB = 256
"""Beyond it DuckDB writes to a temporary directory."""
LEDGER_BUCKET = "ledger_bucket"
_BATCH_TABLE = "batch"


class HistoryError(Exception):
    """The history cannot be read or written; the text names the file and the reason."""


class DamagedFile(HistoryError):
    """A file is not what was once written: cut, changed, or of a later version."""

    def __init__(self, path: Path | str, why: str) -> None:
        self.path, self.why = path, " ".join(why.split())
        super().__init__(f"{path} is damaged: {self.why}")


class Unavailable(HistoryError):
    """DuckDB is not installed."""


def is_available() -> bool:
    """Whether the extra ``analytics`` is installed."""
    return importlib.util.find_spec("duckdb") is not None


class Database:
    """A DuckDB in memory that loads nothing from the network; it is opened when it is first used, which takes 40 ms.

    What does not fit into ``MEMORY_MB`` for each thread is written to the system's temporary directory. Threads may use it at once.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._opened: Connection | None = None
        self._lock = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection with tables and views of its own. Raises Unavailable; HistoryError for what DuckDB cannot do."""
        if not is_available():
            raise Unavailable("the history of analytics needs DuckDB: pip install 'tokenway[analytics]'")
        duckdb = importlib.import_module("duckdb")  # an optional dependency, loaded only when it is used
        try:
            with self._lock:
                if self._opened is None:
                    self._opened = self._open(duckdb)
            with self._opened.cursor() as cursor:
                yield cursor
        except duckdb.Error as error:
            raise HistoryError(f"{type(error).__name__}: {error}") from error

    def _open(self, duckdb: Any) -> Connection:
        config: dict[str, Any] = {
            "threads": self._threads,
            "memory_limit": f"{MEMORY_MB * self._threads}MB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(Path(tempfile.gettempdir()) / f"tokenway-duckdb-{os.getpid()}"),
        }
        opened: Connection = duckdb.connect(config=config)
        opened.create_function(LEDGER_BUCKET, bucket, ["VARCHAR"], "BIGINT")  # of an organisation
        return opened


@cache
def database(threads: int = 1) -> Database:
    """The one that everything in this process shares, and with it the bound on its memory."""
    return Database(threads)


def literal(text: object) -> str:
    """A text as SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def files(paths: Sequence[Path], *, names: bool = False) -> str:
    """SQL of the rows of files, after FROM. ``names``: with the column ``filename``."""
    listed = ", ".join(map(literal, paths))
    return f"read_parquet([{listed}], union_by_name=true, hive_partitioning=false, filename={str(names).lower()})"


def sums(opened: Connection, relation: str) -> tuple[int, str]:
    """(rows, checksum) of a relation (SQL after FROM)."""
    found = opened.execute(f"SELECT count(*), {CHECKSUM} FROM {relation} t").fetchone()  # noqa: S608 - SQL of ours
    assert found is not None
    return found


def load_lines(opened: Connection, dataset: Dataset, lines: Path) -> str:
    """Make a table of lines of JSON; its name."""
    kinds = ", ".join(f"{each.quoted}: '{each.json_type}'" for each in dataset.columns)
    select = ", ".join(each.from_json for each in dataset.columns)
    source = f"read_json({literal(lines)}, format='newline_delimited', columns={{{kinds}}})"
    opened.execute(f"CREATE OR REPLACE TEMP TABLE {_BATCH_TABLE} AS SELECT {select} FROM {source}")  # noqa: S608
    return _BATCH_TABLE


def write(opened: Connection, relation: str, path: Path, facts: Facts, *, group_rows: int = 122_880) -> None:
    """Write the rows of a relation (SQL after FROM) to a new file and bring it to the disk. Raises HistoryError, and leaves no
    file, when what can be read back is not what ``facts`` say.
    """
    metadata = literal(msgspec.json.encode(facts).decode())
    form = f"FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, ROW_GROUP_SIZE {group_rows}"
    options = f"{form}, KV_METADATA {{{METADATA_KEY}: {metadata}}}"
    try:
        opened.execute(f"COPY (FROM {relation}) TO {literal(path)} ({options})")
        check(opened, path, facts)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def check(opened: Connection, path: Path, facts: Facts) -> None:
    """Read a whole file. Raises DamagedFile when its rows are not those that ``facts`` say."""
    rows, checksum = _read(opened, path, lambda: sums(opened, files([path])))
    same_hash = checksum.partition(" ")[2] == facts.checksum.partition(" ")[2]
    if rows != facts.rows or (same_hash and checksum != facts.checksum):
        raise DamagedFile(path, f"it holds {rows} rows, checksum {checksum}, not {facts.rows}, {facts.checksum}")


def facts(opened: Connection, path: Path, dataset: Dataset) -> Facts:
    """What a file says of itself; its end and its number of rows are looked at. Raises DamagedFile."""
    name = literal(path)
    query = f"""SELECT value, (SELECT num_rows FROM parquet_file_metadata({name}))
        FROM parquet_kv_metadata({name}) WHERE key = '{METADATA_KEY}'"""  # noqa: S608 - a name of ours
    found = _read(opened, path, lambda: opened.execute(query).fetchone())
    try:
        if found is None:
            raise ValueError("it does not say what it holds")
        told = msgspec.json.decode(found[0], type=Facts)
        if told.version > VERSION:
            raise ValueError(f"it has version {told.version}; this program knows versions up to {VERSION}")
        if (told.dataset, told.rows) != (dataset.name, found[1]):
            raise ValueError(f"it says {told.rows} rows of {told.dataset}, and holds {found[1]}")
    except ValueError as error:
        raise DamagedFile(path, str(error)) from None
    return told


def _read(opened: Connection, path: Path, work: Any) -> Any:
    """The result of ``work``. Raises DamagedFile where DuckDB cannot make sense of the file, FileNotFoundError where there is
    none.
    """
    duckdb = importlib.import_module("duckdb")
    try:
        return work()
    except duckdb.Error as error:
        if not path.exists():
            raise FileNotFoundError(path) from None
        raise DamagedFile(path, str(error)) from error

"""How many pages a PDF has, from its bytes: an estimate of what vendors count. Pure; bounded work.

Pages are objects of ``/Type /Page``, and the tree that lists them says ``/Count`` (ISO 32000-1, 7.7.3). From PDF 1.5 on they may
be in compressed object streams (7.5.7), of which the largest are opened. Nothing is rendered, and nothing is followed that would
need the file's cross-references, so the beginning and the end of a large file do.

Whoever writes the file also writes what it says of itself: this is no bound for a hold.
"""

from __future__ import annotations

import re
import zlib
from itertools import islice, pairwise
from typing import NamedTuple

PAGES_MAX = 1_000
"""More no vendor takes (ai.google.dev/gemini-api/docs/document-processing, 2026-11; Anthropic: 600)."""
STREAMS_MAX = 256
MARKS_MAX = 20_000
INFLATED_MAX = 1 << 19
"""Streams that are looked at, and bytes that are inflated of them in all: a few milliseconds."""
_TREE = re.compile(rb"/Type\s*/Pages\b")
_PAGE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_COUNT = re.compile(rb"/Count\s+(\d{1,6})\b")
_STREAM = re.compile(rb"stream\r?\n")
BYTES_PER_PAGE = 50_000
"""Of pages that are out of sight: about those of a scan."""
_NEAR = 256
"""Bytes of a dictionary that are searched around a mark."""


class Pages(NamedTuple):
    """What a PDF shows of its size."""

    seen: int
    """0: none was found. Less than there are, where a part of the file is not looked at."""
    likely: int
    """As many in the rest of the file, but no more than one for ``BYTES_PER_PAGE`` of it."""


def read(data: bytes, length: int) -> Pages:
    """Pages of a PDF of ``length`` bytes, of which ``data`` is all, or the beginning and the end."""
    listed = _listed(data)
    seen = _seen(data)
    inflated = 0
    for begin, end in _streams(data):
        if inflated >= INFLATED_MAX:
            break
        head = data[max(begin - _NEAR, 0) : begin]
        head = head[head.rfind(b" obj") + 1 :]
        if b"/ObjStm" not in head:
            continue
        content = _content(data, begin, end, INFLATED_MAX - inflated)
        inflated += len(content)
        listed, seen = max(listed, _listed(content)), seen + _seen(content)
    scale = max(length / max(len(data), 1), 1.0)
    likely = listed or max(seen, min(round(seen * scale), length // BYTES_PER_PAGE))
    return Pages(min(listed or seen, PAGES_MAX), min(likely, PAGES_MAX))


def _seen(data: bytes) -> int:
    return len(_PAGE.findall(data))


def _listed(data: bytes) -> int:
    """The largest count of a page tree; outlines count, too, but they are no ``/Pages``."""
    most = 0
    for tree in islice(_TREE.finditer(data), STREAMS_MAX):
        before = data[max(tree.start() - _NEAR, 0) : tree.start()].rpartition(b"<<")[2]
        behind = data[tree.end() : tree.end() + _NEAR].partition(b"endobj")[0].partition(b"<<")[0]
        most = max([most, *map(int, _COUNT.findall(before + b" " + behind))])
    return most


def _streams(data: bytes) -> list[tuple[int, int]]:
    """(begin, end) of the largest streams, the largest first: small ones in front of the text hide nothing."""
    marks = islice(_STREAM.finditer(data), MARKS_MAX)
    begins = [mark.end() for mark in marks if data[mark.start() - 3 : mark.start()] != b"end"]
    spans = pairwise([*begins, len(data)])
    return sorted(spans, key=lambda span: span[0] - span[1])[:STREAMS_MAX]


def _content(data: bytes, begin: int, end: int, most: int) -> bytes:
    """What a stream compressed by zlib holds, at most so much of it; nothing where it is not."""
    packed = data[begin : min(end, begin + most)]
    try:
        return zlib.decompressobj().decompress(packed, most)
    except zlib.error:
        return b""

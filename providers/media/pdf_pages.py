"""How many pages a PDF has, and how much text, from its bytes: an estimate of what vendors count. Pure; bounded work.

Pages are objects of ``/Type /Page``, and the tree that lists them says ``/Count`` (ISO 32000-1, 7.7.3). From PDF 1.5 on they may
be in compressed object streams (7.5.7), of which the first are opened. Text is what is left of the first compressed streams that
are neither pictures nor fonts: 12 kB of PDF can hold 120,000 tokens of it. Nothing is rendered, and nothing is followed that would
need the file's cross-references, so the beginning and the end of a large file do.
"""

from __future__ import annotations

import re
import zlib
from itertools import islice
from typing import NamedTuple

PAGES_MAX = 1_000
"""More no vendor takes (ai.google.dev/gemini-api/docs/document-processing, 2026-11; Anthropic: 600)."""
STREAMS_MAX = 256
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
_NOT_TEXT = (b"/Image", b"/FontFile", b"/Length1", b"/XRef", b"/ICCBased", b"/XML", b"/ObjStm")
_OPERATORS = b"0123456789 .-+[]()<>{}/\\\r\n\t"
"""What positions, sizes and brackets are made of; the rest is the text and the names of the operators."""


class Pages(NamedTuple):
    """What a PDF shows of its size."""

    seen: int
    """0: none was found. Less than there are, where a part of the file is not looked at."""
    likely: int
    """As many in the rest of the file, but no more than one for ``BYTES_PER_PAGE`` of it."""
    text_bytes: int
    """Letters, about: more than the text has, because operators count as well."""


def read(data: bytes, length: int) -> Pages:
    """Pages and text of a PDF of ``length`` bytes, of which ``data`` is all, or the beginning and the end."""
    listed = _listed(data)
    seen = _seen(data)
    letters, inflated = 0, 0
    for number, mark in enumerate(_STREAM.finditer(data)):
        if number >= STREAMS_MAX or inflated >= INFLATED_MAX:
            break
        head = data[max(mark.start() - _NEAR, 0) : mark.start()]
        if head.endswith(b"end"):
            continue
        head = head[head.rfind(b" obj") + 1 :]
        objects = b"/ObjStm" in head
        if not objects and any(name in head for name in _NOT_TEXT):
            continue
        content = _inflated(data, mark.end(), INFLATED_MAX - inflated)
        inflated += len(content)
        if objects:
            listed, seen = max(listed, _listed(content)), seen + _seen(content)
        else:
            letters += len(content.translate(None, _OPERATORS))
    scale = max(length / max(len(data), 1), 1.0)
    likely = listed or max(seen, min(round(seen * scale), length // BYTES_PER_PAGE))
    return Pages(min(listed or seen, PAGES_MAX), min(likely, PAGES_MAX), round(letters * scale))


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


def _inflated(data: bytes, begin: int, most: int) -> bytes:
    """What a stream holds, at most so much of it; nothing of one that is not compressed by zlib."""
    try:
        return zlib.decompressobj().decompress(data[begin : begin + most], most)
    except zlib.error:
        return b""

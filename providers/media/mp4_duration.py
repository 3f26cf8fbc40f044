"""The duration of an MP4, M4A or MOV file, from the boxes in its beginning and end. Pure; bounded work.

The header states one duration for the whole and one for each track; a table of samples (``stts``) or the fragments (``trun``) say
what a decoder plays. They can disagree, and may come twice: so the longest of them counts. Boxes are searched for, not walked
through, as the middle of a large file is not looked at. Sources: ISO 14496-12:2022, 8.2.2 (``mvhd``), 8.3.2 (``tkhd``), 8.4.2
(``mdhd``), 8.6.1.2 (``stts``), 8.8 (fragments).
"""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Callable
from typing import NamedTuple

LOOKED_AT = 128 * 1024
"""Bytes from the beginning, and from the end, in which boxes are searched for."""
BOXES_MAX = 2_048
ENTRIES_MAX = 32_768
"""Of all tables of samples together, which may overlap. Reading takes at most about ten milliseconds of the event loop."""
_NAMES = re.compile(rb"mvhd|mehd|tkhd|mdhd|stts|trex|tfhd|tfdt|trun|tfra")


class Unreadable(ValueError):
    """A table of samples that is too long or not here as a whole, or a track without a time scale."""


def duration_ms(data: bytes) -> int:
    """Milliseconds, rounded up; 0: nothing states a duration, or not all that does can be read."""
    boxes = _Boxes()
    beginning, end = data[:LOOKED_AT], data[max(LOOKED_AT, len(data) - LOOKED_AT) :]
    try:
        for part in (beginning, end):
            for number, found in enumerate(_NAMES.finditer(part)):
                if number >= BOXES_MAX:
                    return 0
                boxes.take(found[0], part, found.end())
        return boxes.longest_ms()
    except Unreadable:
        return 0


class _Fields(NamedTuple):
    """What follows the name of a box with a version and flags."""

    version: int
    flags: int
    data: bytes
    at: int
    """Where the fields begin in ``data``."""

    def number(self, at: int, size: int = 4) -> int:
        """The unsigned number ``at`` so many bytes behind the flags; 0 behind the end of what is there."""
        begin = self.at + at
        return int.from_bytes(self.data[begin : begin + size], "big")

    def numbers(self, at: int, count: int) -> tuple[int, ...]:
        """So many numbers of four bytes, all of which are there; none may also begin behind the end."""
        begin = self.at + at
        return struct.unpack(f">{count}I", self.data[begin : begin + 4 * count])

    def wide(self, narrow_at: int, wide_at: int) -> int:
        """A number that version 1 has in 64 bits; 0 for all ones, which means that it is not known."""
        at, size = (wide_at, 8) if self.version == 1 else (narrow_at, 4)
        found = self.number(at, size)
        return found if found < 2 ** (8 * size) - 1 else 0


class _Boxes:
    """What has been read so far. Boxes follow each other in the order in which a decoder needs them."""

    def __init__(self) -> None:
        self._stated_ms = 0
        self._movie_scale = 0
        self._track = 0
        """Of the ``trak`` or ``traf`` whose boxes are being read."""
        self._scales: dict[int, int] = {}
        """Track → units a second."""
        self._units: dict[int, int] = {}
        """Track → the longest of its durations, in its units."""
        self._sample_units: dict[int, int] = {}
        """Track → units of a sample in fragments that do not say."""
        self._fragment_sample_units = 0
        self._fragments_until: dict[int, int] = {}
        self._entries = 0
        self._readers: dict[bytes, Callable[[_Fields], None]] = {
            b"mvhd": self._movie,
            b"mehd": self._fragmented_movie,
            b"tkhd": self._track_header,
            b"mdhd": self._media,
            b"stts": self._samples,
            b"trex": self._track_defaults,
            b"tfhd": self._fragment,
            b"tfdt": self._fragment_time,
            b"trun": self._fragment_samples,
            b"tfra": self._random_access,
        }

    def take(self, name: bytes, data: bytes, at: int) -> None:
        """Read the box whose name ends ``at``. Bytes within sound or pictures that look like a name have no size that a box has."""
        size = int.from_bytes(data[max(0, at - 8) : at - 4], "big")
        if size == 1:  # the size follows the name, in 64 bits
            at += 8
        elif name != b"mvhd" and (size > 2**24 or 0 < size < 16):
            return
        flags = int.from_bytes(data[at : at + 4], "big")
        self._readers[name](_Fields(flags >> 24, flags & 0xFFFFFF, data, at + 4))

    def longest_ms(self) -> int:
        """The longest duration. Raises ``Unreadable``."""
        longest_ms = self._stated_ms
        for track, units in self._units.items():
            if units and not self._scales.get(track):
                raise Unreadable(f"track {track} has no time scale")
            longest_ms = max(longest_ms, _ms(units, self._scales.get(track, 0)))
        return longest_ms

    def _movie(self, box: _Fields) -> None:
        self._movie_scale = box.number(16 if box.version == 1 else 8)
        self._stated_ms = max(self._stated_ms, _ms(box.wide(12, 20), self._movie_scale))

    def _fragmented_movie(self, box: _Fields) -> None:
        self._stated_ms = max(self._stated_ms, _ms(box.wide(0, 0), self._movie_scale))

    def _track_header(self, box: _Fields) -> None:
        self._track = box.number(16 if box.version == 1 else 8)

    def _media(self, box: _Fields) -> None:
        scale = box.number(16 if box.version == 1 else 8)
        # Of two that disagree the slower one makes the file longer.
        self._scales[self._track] = min(scale, self._scales.get(self._track) or scale)
        self._reaches(box.wide(12, 20))

    def _samples(self, box: _Fields) -> None:
        count = self._counted(box.number(0))
        if 4 + 8 * count > len(box.data) - box.at:
            raise Unreadable("a table of samples that is not here as a whole")
        entries = box.numbers(4, 2 * count)
        self._reaches(sum(map(operator.mul, entries[::2], entries[1::2])))

    def _track_defaults(self, box: _Fields) -> None:
        self._sample_units[box.number(0)] = box.number(8)

    def _fragment(self, box: _Fields) -> None:
        self._track = box.number(0)
        self._fragment_sample_units = self._sample_units.get(self._track, 0)
        if box.flags & 0x8:
            before = (0x1, 8), (0x2, 4)  # the offset of its data, the index of its description
            self._fragment_sample_units = box.number(4 + sum(size for flag, size in before if box.flags & flag))

    def _fragment_time(self, box: _Fields) -> None:
        self._fragments_until[self._track] = box.wide(0, 0)
        self._reaches(self._fragments_until[self._track])

    def _fragment_samples(self, box: _Fields) -> None:
        count, units = box.number(0), self._fragment_sample_units
        if box.flags & 0x100:  # each sample has a duration of its own
            width = (box.flags >> 8 & 0xF).bit_count()
            begin = 4 + sum(4 for flag in (0x1, 0x4) if box.flags & flag)
            count = self._counted(min(count, max(0, len(box.data) - box.at - begin) // (4 * width)))
            added = sum(box.numbers(begin, width * count)[::width])
        else:
            added = count * units
        self._fragments_until[self._track] = self._fragments_until.get(self._track, 0) + added
        self._reaches(self._fragments_until[self._track])

    def _random_access(self, box: _Fields) -> None:
        """The time of the last entry of an index of fragments."""
        self._track, sizes = box.number(0), box.number(4)
        wide = 8 if box.version == 1 else 4
        width = 2 * wide + sum((sizes >> shift & 3) + 1 for shift in (4, 2, 0))
        last = 12 + width * (box.number(8) - 1)
        if 0 < last < len(box.data) - box.at:
            self._reaches(box.number(last, wide))

    def _reaches(self, units: int) -> None:
        self._units[self._track] = max(self._units.get(self._track, 0), units)

    def _counted(self, entries: int) -> int:
        self._entries += entries
        if self._entries > ENTRIES_MAX:
            raise Unreadable("more entries than are looked at")
        return entries


def _ms(units: int, scale: int) -> int:
    return -(-units * 1_000 // scale) if scale else 0

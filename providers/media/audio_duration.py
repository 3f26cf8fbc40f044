"""The duration of a recording or film, from its bytes: for the hold, and for the bill when a provider does not report one.

Exact where the container states it (WAV, FLAC, Ogg, MP4) or where frames can be counted (MP3); otherwise an upper bound from the
size. Headers can lie, so a duration is never believed below what the bytes would last at the highest bit rate in use. Pure; no
decoding. Sources: RFC 9639 (FLAC), RFC 3533 and 7845 (Ogg, Opus), ISO 11172-3 (MP3 frames), RIFF WAVE.

Why not a library: tinytag 2.3 (MIT) estimates an MP3 from the bit rate of its first frames (45.8 s for 26.1 s when the second
half has another one), and needs 0.9 to 5 s for 5 MB that are made to be slow, during which the event loop serves nobody else; this
module needs at most 10 ms for them. mutagen is under the GPL.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from providers.media import mp4_duration

UNKNOWN_BITS_PER_S = 16_000
"""For formats that state no duration (WebM, raw AAC). Speech codecs seldom go below 16 kbit/s, so this gives an upper bound."""
HIGHEST_BITS_PER_S = 512_000
"""Lossy audio is never above; guards against headers that state less than the recording has."""
HIGHEST_LOSSLESS_BITS_PER_S = 9_216_000
"""192 kHz, 24 bit, stereo."""
MP3_FRAMES_MAX = 100_000
"""43 minutes at 44.1 kHz. Counting them takes about 50 ms, during which the event loop serves nobody else."""
MP3_GAPS_MAX, MP3_TAIL_MAX = 65_536, 4_096
"""Bytes between frames that are skipped in all, and bytes after the last frame that count as a tag."""
WAV_CHUNKS_MAX = 256
UNKNOWN_VIDEO_BITS_PER_S, HIGHEST_VIDEO_BITS_PER_S = 250_000, 100_000_000
"""Of films: a container that states no duration, and a guard against one that states too little."""
LONGEST_MS = 604_800_000
"""A week."""
_MP3_KBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1, layer III
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
)
_MP3_HZ = (44_100, 48_000, 32_000)
_OPUS_HZ = 48_000
_PCM = (1, 3, 0xFFFE)
_G711 = (6, 7)
LOWEST_MP3_BITS_PER_S = 8_000
MP3_STRANGE_MAX = 10
"""One part in so many of an MP3 may be something else than frames; with more of it, it may be another format."""


def audio_ms(data: bytes, format: str, length: int | None = None) -> int:
    """Milliseconds, rounded up, at least 1. ``format`` is the file's extension; the first bytes count for more.

    ``data`` may be the beginning and the end of a recording of ``length`` bytes: then a duration that had to be counted (MP3) is
    that of the counted part, scaled.
    """
    length = len(data) if length is None else length
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return max(1, min(_wav(data, length), LONGEST_MS) or _duration_ms(length, UNKNOWN_BITS_PER_S))
    reader, highest = _reader(data, format)
    stated_ms = reader(data) if reader is not None else 0
    if reader is _mp3:
        stated_ms = -(-stated_ms * length // max(len(data), 1))
    if not stated_ms:
        return _duration_ms(length, UNKNOWN_BITS_PER_S)
    return max(min(stated_ms, LONGEST_MS), _duration_ms(length, highest))


def audio_ms_most(data: bytes, format: str, length: int) -> int | None:
    """Milliseconds that a decoder cannot exceed, whatever the file says of itself; None where nothing in it is a bound.

    Of PCM the size is the duration, and of an MP3 frames are counted; bytes of one that are out of sight, or are no frames, last as
    long as at the lowest bit rate. Other formats may hold hours in a few bytes.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        rate = _pcm_rate(data)
        return -(-length * 1_000 // rate) if rate else None
    if _reader(data, format)[0] is not _mp3:
        return None
    counted_ms, rest, gaps = _mp3_counted(data)
    strange = rest + gaps
    if not counted_ms or strange * MP3_STRANGE_MAX > len(data):
        return None
    return counted_ms + _duration_ms(strange + length - len(data), LOWEST_MP3_BITS_PER_S)


def size_ms(length: int) -> int:
    """Milliseconds that a recording of so many bytes lasts at the lowest bit rate of speech: only silence lasts longer."""
    return _duration_ms(length, UNKNOWN_BITS_PER_S)


def _pcm_rate(data: bytes) -> int:
    """Bytes a second of a WAV of linear PCM or G.711, as a decoder computes it, the lowest of several; 0 for others."""
    at, found = 12, 0
    for _ in range(WAV_CHUNKS_MAX):
        if data[at : at + 4] == b"fmt ":
            tag, channels, hertz = (_little(data, at + begin, size) for begin, size in ((8, 2), (10, 2), (12, 4)))
            rate = hertz * channels * _little(data, at + 22, 2) // 8
            if tag not in (*_PCM[:2], *_G711):
                return 0
            found = min(rate, found or HIGHEST_LOSSLESS_BITS_PER_S // 8)
        size = _little(data, at + 4, 4)
        at += 8 + size + size % 2
        if at + 8 > len(data):
            break
    return found


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def video_ms(data: bytes, length: int) -> int:
    """Milliseconds of a film, whose first and last bytes are ``data``: as its container states, else at a low bit rate."""
    stated_ms = mp4_duration.duration_ms(data) if data[4:8] == b"ftyp" else 0
    if not stated_ms:
        return _duration_ms(length, UNKNOWN_VIDEO_BITS_PER_S)
    return max(min(stated_ms, LONGEST_MS), _duration_ms(length, HIGHEST_VIDEO_BITS_PER_S))


def _reader(data: bytes, format: str) -> tuple[Callable[[bytes], int] | None, int]:
    """The function that reads this container, and the highest bit rate of what it may hold."""
    if data[:4] == b"fLaC":
        return _flac, HIGHEST_LOSSLESS_BITS_PER_S
    if data[:4] == b"OggS":
        return _ogg, HIGHEST_BITS_PER_S
    if data[4:8] == b"ftyp":
        return mp4_duration.duration_ms, HIGHEST_BITS_PER_S
    if data[:3] == b"ID3" or format in ("mp3", "mpeg", "mpga"):
        return _mp3, HIGHEST_BITS_PER_S
    return None, HIGHEST_BITS_PER_S


def _duration_ms(length: int, bits_per_s: int) -> int:
    """How long so many bytes last at a bit rate."""
    return max(1, -(-length * 8_000 // bits_per_s))


def _wav(data: bytes, length: int) -> int:
    """Bytes of the ``data`` chunk over bytes a second. For PCM the rate is computed, as a decoder does, and not read."""
    at, rate = 12, 0
    for _ in range(WAV_CHUNKS_MAX):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"fmt " and size >= 16:
            field = data[at + 8 : at + 24]
            tag, channels = int.from_bytes(field[:2], "little"), int.from_bytes(field[2:4], "little")
            hertz, bits = int.from_bytes(field[4:8], "little"), int.from_bytes(field[14:16], "little")
            rate = int.from_bytes(field[8:12], "little")
            if tag in _PCM:
                rate = hertz * channels * bits // 8
            # A stated rate above what such recordings have would make them seem shorter than they are.
            rate = min(rate, (HIGHEST_LOSSLESS_BITS_PER_S if tag in _PCM else HIGHEST_BITS_PER_S) // 8)
        elif data[at : at + 4] == b"data":
            present = min(size, length - at - 8) if size else length - at - 8
            return -(-present * 1_000 // rate) if rate else 0
        at += 8 + size + size % 2
        if at + 8 > len(data):
            break
    return 0


def _flac(data: bytes) -> int:
    """STREAMINFO: 20 bits of sample rate, 36 bits of samples."""
    field = data[18:26]
    hertz = int.from_bytes(field[:3], "big") >> 4
    samples = int.from_bytes(field[3:8], "big") & (2**36 - 1)
    return -(-samples * 1_000 // hertz) if hertz else 0


def _ogg(data: bytes) -> int:
    """The granule position of the last page over the sample rate of the first."""
    last = data.rfind(b"OggS")
    granule = int.from_bytes(data[last + 6 : last + 14], "little", signed=True)
    hertz = _OPUS_HZ
    vorbis = data.find(b"\x01vorbis", 0, 512)
    if vorbis >= 0:
        hertz = int.from_bytes(data[vorbis + 12 : vorbis + 16], "little")
    return -(-granule * 1_000 // hertz) if hertz and granule > 0 else 0


def _mp3(data: bytes) -> int:
    """Frames, counted one by one; for what is left uncounted the size decides."""
    counted_ms, rest, _ = _mp3_counted(data)
    return counted_ms + (_duration_ms(rest, UNKNOWN_BITS_PER_S) if rest > MP3_TAIL_MAX else 0)


def _mp3_counted(data: bytes) -> tuple[int, int, int]:
    """Milliseconds of the frames; bytes behind the last one that was counted; bytes between frames, of which a few are skipped."""
    at = 0
    if data[:3] == b"ID3" and len(data) > 10:
        at = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    microseconds, gaps = 0, MP3_GAPS_MAX
    for _ in range(MP3_FRAMES_MAX):
        frame = _MP3_FRAMES.get(data[at : at + 3])
        if frame is None:
            found = _MP3_HEADER.search(data, at, at + gaps)
            if found is None:
                break
            gaps -= found.start() - at
            at = found.start()
            frame = _MP3_FRAMES[found[0]]
        microseconds += frame[1]
        at += frame[0]
    return -(-microseconds // 1_000), max(len(data) - at, 0), MP3_GAPS_MAX - gaps


def _mp3_frames() -> dict[bytes, tuple[int, int]]:
    """The first three bytes of every possible frame header → bytes and microseconds of the frame."""
    frames = {}
    for version, halved in ((3, 0), (2, 1), (0, 2)):  # MPEG 1, 2, 2.5
        table, samples = (_MP3_KBITS[0], 1_152) if version == 3 else (_MP3_KBITS[1], 576)
        for checked in (0, 1):
            second = 0xE0 | version << 3 | 1 << 1 | checked
            for kbits_at in range(1, 15):
                for hertz_at in range(3):
                    for padding in (0, 1):
                        for private in (0, 1):
                            hertz = _MP3_HZ[hertz_at] >> halved
                            third = kbits_at << 4 | hertz_at << 2 | padding << 1 | private
                            size = samples * table[kbits_at] * 125 // hertz + padding
                            frames[bytes((0xFF, second, third))] = (size, samples * 1_000_000 // hertz)
    return frames


_MP3_FRAMES = _mp3_frames()
_MP3_HEADER = re.compile(
    rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]["
    + b"".join(re.escape(bytes((third,))) for third in sorted({header[2] for header in _MP3_FRAMES}))
    + rb"]"
)

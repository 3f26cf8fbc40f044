"""Sizes before an answer: tokens, units, and how long a recording is."""

from __future__ import annotations

import base64
import struct
import wave
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import prompt_size
from gateway.api.inference.token_estimate import measure
from gateway.errors import BadRequest
from providers.media.audio_duration import audio_ms, video_ms
from tests.support.examples import examples
from tests.support.operations import wav


def mp3(frames: int, *, kbits: int = 128) -> bytes:
    """Silent MPEG-1 layer III frames at 44.1 kHz: 1152 samples each."""
    third = {128: 0x90, 320: 0xE0, 32: 0x10}[kbits]
    return (bytes([0xFF, 0xFB, third, 0xC4]) + bytes(144_000 * kbits // 44_100 - 4)) * frames


def flac(seconds: int, hertz: int = 44_100, size: int = 4_000) -> bytes:
    info = (hertz << 44 | 1 << 41 | 15 << 36 | seconds * hertz).to_bytes(8, "big")
    return b"fLaC" + b"\x80\x00\x00\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + info + bytes(16 + size)


def ogg(seconds: int, *, vorbis_hz: int | None = None, size: int = 2_000) -> bytes:
    head = b"\x01vorbis" + bytes(5) + struct.pack("<I", vorbis_hz) if vorbis_hz else b"OpusHead"
    last = b"OggS\x00\x04" + struct.pack("<q", seconds * (vorbis_hz or 48_000))
    return b"OggS\x00\x02" + bytes(20) + head + bytes(size) + last + bytes(14)


def box(name: str, *fields: int | bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box of MP4 with a version: numbers have four bytes."""
    body = bytes([version]) + flags.to_bytes(3) + b"".join(f if isinstance(f, bytes) else f.to_bytes(4) for f in fields)
    return (8 + len(body)).to_bytes(4) + name.encode() + body


def boxed(*boxes: bytes, between: bytes = b"") -> bytes:
    """A file of MP4 with these boxes."""
    return b"\x00\x00\x00\x18ftypisom" + bytes(12) + between.join(boxes)


def movie(seconds: int, scale: int = 1_000) -> bytes:
    return box("mvhd", 0, 0, scale, seconds * scale)


def track(id: int = 1, *, scale: int = 15_360, seconds: int = 0) -> bytes:
    return box("tkhd", 0, 0, id, 0) + box("mdhd", 0, 0, scale, seconds * scale, 0)


FRAGMENT = box("tfhd", 1, flags=0x20000)
WIDE_STTS = b"\x00\x00\x00\x01stts" + (32).to_bytes(8) + (0).to_bytes(4) + struct.pack(">III", 1, 90, 15_360)
MP4_90_S = {
    "mvhd": boxed(movie(90)),
    "two mvhd": boxed(movie(1), movie(90)),
    "two mvhd, the longer first": boxed(movie(90), movie(1)),
    "mdhd": boxed(movie(1), track(seconds=90)),
    "two scales": boxed(movie(1), track(scale=15_360), track(scale=90_000, seconds=0), box("stts", 1, 90, 15_360)),
    "stts": boxed(movie(1), track(seconds=1), box("stts", 2, 60, 15_360, 300, 1_536)),
    "stts with a wide size": boxed(movie(1), track(seconds=1), WIDE_STTS),
    "stts of the second track": boxed(
        movie(1), track(seconds=1), track(2, scale=48_000), box("stts", 1, 90 * 48, 1_000)
    ),
    "mehd": boxed(movie(0), box("mehd", 90_000)),
    "mehd, wide": boxed(movie(0), box("mehd", 0, 90_000, version=1)),
    "the time of a fragment": boxed(movie(0), track(), FRAGMENT, box("tfdt", 0, 90 * 15_360, version=1)),
    "samples of a fragment": boxed(
        movie(1), track(), FRAGMENT, box("tfdt", 60 * 15_360), box("trun", 2, 10 * 15_360, 20 * 15_360, flags=0x100)
    ),
    "samples and their sizes": boxed(
        movie(1), track(), FRAGMENT, box("trun", 2, 7, 45 * 15_360, 9, 45 * 15_360, 9, flags=0x301)
    ),
    "samples of the track's length": boxed(
        movie(0), track(), box("trex", 1, 1, 15_360, 0, 0), FRAGMENT, box("trun", 40), FRAGMENT, box("trun", 50)
    ),
    "samples of the fragment's length": boxed(
        movie(0), track(), box("tfhd", 1, 1, 15_360, flags=0x2000A), box("trun", 90)
    ),
    "an index of fragments": boxed(movie(0), track(), box("tfra", 1, 0, 2, 0, 9, b"abc", 90 * 15_360, 9, b"abc")),
    "boxes at the end": boxed(movie(1), bytes(9_000), track(), box("stts", 1, 90, 15_360)),
}
SIZED_MP4 = {
    "no duration": boxed(movie(0), track(), between=bytes(1_000)),
    "a fragment of an unknown track": boxed(movie(1), box("tfhd", 7), box("tfdt", 90 * 15_360), between=bytes(1_000)),
    "a table that is cut": boxed(movie(1), track(), box("stts", 3, 1, 15_360, 1, 15_360), between=bytes(1_000)),
    "too many boxes": boxed(*[movie(1)] * 5_000),
    "a table behind the end": boxed(movie(0), track(), box("trun", flags=0x100)),
    "a table behind the end, with offsets": boxed(movie(0), track(), box("trun", 3, flags=0x305)),
    "nothing behind the name": boxed(movie(0), track(), box("trun"))[:-4],
    "tables within tables": boxed(movie(1), track(), FRAGMENT, *[box("trun", 2**30, flags=0x100)] * 3, bytes(200_000)),
}
"""What cannot be read has the length that so many bytes have at a low bit rate."""


def mp4(seconds: int, *, scale: int = 1_000, version: int = 0, size: int = 2_000) -> bytes:
    if version:
        box = b"mvhd\x01\x00\x00\x00" + bytes(16) + struct.pack(">IQ", scale, seconds * scale)
    else:
        box = b"mvhd\x00\x00\x00\x00" + bytes(8) + struct.pack(">II", scale, seconds * scale)
    return b"\x00\x00\x00\x18ftypM4A " + bytes(12) + box + bytes(size)


@pytest.mark.parametrize("seconds", [0.1, 1, 2.5, 600])
@pytest.mark.parametrize("hertz", [8_000, 44_100])
def test_a_wav_is_read_exactly(seconds: float, hertz: int) -> None:
    """By its header, for files of our own and of the standard library."""
    assert audio_ms(wav(seconds, hertz), "wav") == round(seconds * 1000)
    made = BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(hertz)
        file.writeframes(bytes(4 * round(seconds * hertz)))
    assert audio_ms(made.getvalue(), "wav") == round(seconds * 1000)


def test_a_wav_that_lies_is_played_as_a_decoder_plays_it() -> None:
    """A byte rate of 4 GB a second, a chunk longer than the file or of length 0: what is there counts, at the sample rate."""
    honest = wav(10)
    assert audio_ms(honest[:28] + b"\xff\xff\xff\xff" + honest[32:], "wav") == 10_000
    for size in (0, 2**32 - 1):
        assert audio_ms(honest[:40] + struct.pack("<I", size) + honest[44:], "wav") == 10_000
    assert audio_ms(b"RIFF\x00\x00\x00\x00WAVE", "wav") >= 1


@pytest.mark.parametrize(
    ("recording", "format", "wanted_ms"),
    [
        (mp3(1_000), "mp3", 26_122),
        (mp3(100, kbits=32), "mp3", 2_613),
        (b"ID3\x04\x00\x00\x00\x00\x01\x00" + b"\xff" * 128 + mp3(1_000), "mp3", 26_122),
        (mp3(500) + mp3(500, kbits=320), "mpga", 26_122),
        (flac(60), "flac", 60_000),
        (ogg(30), "ogg", 30_000),
        (ogg(30, vorbis_hz=44_100), "oga", 30_000),
        (mp4(90), "m4a", 90_000),
        (mp4(90, version=1), "mp4", 90_000),
        (b"\x1aE\xdf\xa3" + bytes(15_996), "webm", 8_000),
        (bytes(2_000), "mp3", 1_000),
    ],
)
def test_a_recording_is_as_long_as_its_container_says(recording: bytes, format: str, wanted_ms: int) -> None:
    """Containers that tell and frames that can be counted are read; of the rest the size gives a bound."""
    assert abs(audio_ms(recording, format) - wanted_ms) <= 1


@pytest.mark.parametrize(
    ("recording", "least_ms"),
    [
        (flac(0, size=1_152_000), 1_000),
        (ogg(1, size=640_000), 10_000),
        (mp4(1, size=640_000), 10_000),
        (mp4(1, scale=2**31, size=640_000), 10_000),
    ],
)
def test_a_header_cannot_make_a_recording_shorter_than_its_bytes(recording: bytes, least_ms: int) -> None:
    """Never below what the bytes last at the highest bit rate in use."""
    assert audio_ms(recording, "mp3") >= least_ms


@pytest.mark.parametrize("name", list(MP4_90_S))
def test_the_longest_duration_of_a_film_counts(name: str) -> None:
    """A file that states its duration several times is as long as the longest; sound and films alike."""
    data = MP4_90_S[name]
    assert video_ms(data, len(data)) == audio_ms(data, "m4a") == 90_000


@pytest.mark.parametrize("name", list(SIZED_MP4))
def test_a_film_that_cannot_be_read_is_sized_by_its_bytes(name: str) -> None:
    """Neither a second that it states nor an hour of work."""
    data = SIZED_MP4[name]
    assert video_ms(data, len(data)) == -(-len(data) * 8_000 // 250_000)
    assert audio_ms(data, "mp4") == -(-len(data) * 8_000 // 16_000)


@examples(300)
@given(
    data=st.tuples(
        st.sampled_from(
            [b"", b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", b"fLaC", b"OggS", b"\0\0\0\0ftyp", b"ID3", b"\xff\xfb", b"mvhd"]
            + [boxed(movie(1), box(name)) for name in ("stts", "mehd", "tfhd", "trun", "tfra", "tfdt")]
            + [boxed(movie(1), box("trun", flags=0x105))]
        ),
        st.binary(max_size=300),
    ).map(b"".join),
    format=st.sampled_from(["wav", "mp3", "flac", "ogg", "m4a", "webm"]),
)
def test_any_bytes_have_a_length(data: bytes, format: str) -> None:
    """Whatever is sent, the answer is a number of at least one millisecond, never an exception."""
    assert audio_ms(data, format) >= 1


NOT_OF_EMBEDDINGS: list[dict[str, Any]] = [
    {"tool_calls": 5}, {"tool_calls": ["x"]}, {"tool_calls": {"a": 1}}, {"tool_calls": [{"id": [1]}]},
    {"role": "tool", "tool_call_id": {}}, {"role": [1], "images": 5},
]  # fmt: skip
"""Fields of chat's messages, which nobody has checked here."""


@pytest.mark.parametrize(
    ("given_input", "tokens"),
    [
        ("abcd", 1), (["abcd", "abcde"], 3), ([7, 8, 9], 3), ([[1], [2, 3]], 3), ("é" * 4, 2),
        *(([{"content": [{"type": "text", "text": "abcd"}], **more}], 8) for more in NOT_OF_EMBEDDINGS),
    ],
)  # fmt: skip
def test_embeddings_are_measured_in_tokens(given_input: Any, tokens: int) -> None:
    """Four bytes a token; token ids are counted, not estimated; the bound is never below the estimate; of parts only the content."""
    prompt = measure("embeddings", {"input": given_input})
    assert prompt.tokens == tokens
    assert prompt.tokens_bound >= tokens
    assert prompt.modalities is prompt_size.TEXT_ONLY
    assert prompt.units is None


def test_pictures_to_embed_are_pictures() -> None:
    """Parts count as in chat, and the modality is there for the filters."""
    url = {"type": "image_url", "image_url": {"url": "data:,"}}
    prompt = measure("embeddings", {"input": [{"content": [url]}]})
    assert (prompt.images, prompt.modalities) == (1, {"image"})
    both = measure("embeddings", {"input": [{"content": [url, {"type": "text", "text": "x"}]}]})
    assert both.modalities == {"image", "text"}


@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2), (1_000, 10)])
def test_rerank_is_measured_in_search_units(documents: int, units: int) -> None:
    """A hundred documents a unit; the query is counted with each document; a long document counts as several."""
    prompt = measure("rerank", {"query": "abcd", "documents": ["abcd"] * documents})
    assert prompt.units == {"search_unit": units}
    assert prompt.tokens == 2 * documents
    long = measure("rerank", {"query": "abcd", "documents": [{"text": "a" * 4 * 1_000}] * 100})
    assert long.units == {"search_unit": 3}
    seen = measure("rerank", {"query": "q", "documents": [{"image": "data:,"}]})
    assert (seen.images, seen.modalities) == (1, {"text", "image"})


def test_pictures_speech_and_recordings_have_their_units() -> None:
    """Pictures made, characters (not bytes) spoken, milliseconds of a recording."""
    assert measure("images", {"prompt": "p"}).units == {"image_output": 1}
    drawn = measure("images", {"prompt": "p", "n": 4, "input_references": [{}, {}]})
    assert (drawn.units, drawn.images, drawn.modalities) == ({"image_output": 4}, 2, {"text", "image"})
    assert measure("speech", {"input": "héllo"}).units == {"character": 5}
    assert measure("speech", {"input": [{"text": "ab"}, {"text": "c"}]}).units == {"character": 4}
    audio = {"data": base64.b64encode(wav(30)).decode(), "format": "WAV"}
    measured = measure("transcription", {"input_audio": audio})
    assert (measured.units, measured.tokens, measured.modalities) == ({"audio_ms": 30_000}, 500, {"audio"})
    with pytest.raises(BadRequest):
        measure("transcription", {"input_audio": {"data": "%", "format": "wav"}})


@pytest.mark.parametrize(
    ("hostile", "format"),
    [
        (b"\xff" * 5_000_000, "mp3"),
        (bytes([0xFF, 0xF3, 0x10, 0xC4]) + bytes(20) + b"\xff" * 5_000_000, "mp3"),
        (bytes([0xFF, 0xF3, 0x10, 0xC4] + [0] * 20) * 250_000, "mp3"),
        (b"RIFF\0\0\0\0WAVE" + bytes(5_000_000), "wav"),
        (b"OggS" + b"x" * 5_000_000, "ogg"),
        (
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x01\0\0\0\x01\0\0\0\x01\0\x08\0data\xff\xff\xff\xff"
            + bytes(900_000),
            "wav",
        ),
    ],
)
def test_reading_a_length_is_bounded_and_so_is_the_length(hostile: bytes, format: str) -> None:
    """Files made to be slow or endless are given up on: at most a week, and never shorter than the highest bit rate."""
    length_ms = audio_ms(hostile, format)
    assert len(hostile) * 8_000 // 512_000 <= length_ms <= 604_800_000

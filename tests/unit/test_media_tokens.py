"""Sound, films and documents are sized by seconds and pages: bytes alone never fill a context, and holds cover what vendors count."""

from __future__ import annotations

import base64
import random
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import prompt_size
from providers.media import pdf_pages, token_count
from tests.support.examples import examples
from tests.support.operations import wav
from tests.unit.test_operations_sizes import flac, mp3, mp4, ogg

ANY = token_count.UNBOUNDED
"""Nothing in the file says how long it is that could be believed: held is what fits into the context."""
NOISE = random.Random(1).randbytes(5_000_000)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sound(data: bytes, format: str) -> Any:
    return {"type": "input_audio", "input_audio": {"data": encoded(data), "format": format}}


def file(data: bytes, media_type: str = "application/pdf") -> Any:
    return {"type": "file", "file": {"filename": "f", "file_data": f"data:{media_type};base64,{encoded(data)}"}}


def film(data: bytes) -> Any:
    return {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{encoded(data)}"}}


def stream(content: bytes, entries: bytes = b"") -> bytes:
    packed = zlib.compress(content, 9)
    return b"9 0 obj\n<</Length %d/Filter/FlateDecode%b>>\nstream\n%b\nendstream\nendobj\n" % (
        len(packed),
        entries,
        packed,
    )


def page_objects(count: int, type_: bytes = b"/Type /Page") -> bytes:
    return b"".join(b"%d 0 obj\n<< %b /Parent 2 0 R >>\nendobj\n" % (number + 10, type_) for number in range(count))


def tree(count: int) -> bytes:
    return b"2 0 obj\n<< /Type /Pages /Kids [10 0 R] /Count %d >>\nendobj\n" % count


def pdf(*parts: bytes) -> bytes:
    return b"%PDF-1.7\n" + b"".join(parts) + b"trailer\n<< /Root 1 0 R >>\n%%EOF\n"


WORDS = b"BT /F1 12 Tf (The quick brown fox jumps over the lazy dog.) Tj ET\n"
OUTLINE = b"7 0 obj\n<< /Type /Outlines /Count 900 >>\nendobj\n"
PDFS: dict[str, tuple[bytes, int]] = {
    "page objects": (pdf(page_objects(3)), 3),
    "without blanks": (pdf(page_objects(3, b"/Type/Page")), 3),
    "with line ends": (pdf(page_objects(3, b"/Type\r\n/Page")), 3),
    "a tree that counts": (pdf(tree(40), page_objects(2)), 40),
    "trees within the tree": (pdf(tree(40), tree(20), tree(20)), 40),
    "outlines are no pages": (pdf(OUTLINE, tree(4), OUTLINE), 4),
    "compressed objects": (pdf(stream(page_objects(60), b"/Type/ObjStm")), 60),
    "a compressed tree": (pdf(stream(tree(120), b"/Type/ObjStm/N 9")), 120),
    "5 MB with pictures": (pdf(tree(7), stream(NOISE, b"/Subtype/Image"), page_objects(7)), 7),
    "5 MB, the tree at the end": (pdf(stream(NOISE, b"/Subtype/Image"), tree(7)), 7),
    "more pages than any vendor takes": (pdf(tree(99_999)), pdf_pages.PAGES_MAX),
    "broken streams": (pdf(b"9 0 obj\n<</Type/ObjStm>>\nstream\nxx", page_objects(2)), 2),
}


@pytest.mark.parametrize("name", PDFS)
def test_pages_are_counted(name: str) -> None:
    """However they are written; the tree's own count is preferred, as a page may be out of sight."""
    data, pages = PDFS[name]
    read = pdf_pages.read(data, len(data))
    assert (read.seen, read.likely) == (pages, pages)
    found = token_count.of([file(data)])
    assert found == (pages * 258, pages * 1_500, ANY)


ROWS: dict[str, tuple[list[Any], int, int, int, int]] = {
    "90 s of WAV": ([sound(wav(90, 44_100), "wav")], 900, 900, 2_880, 3_300),
    "10 s of WAV": ([sound(wav(10, 44_100), "wav")], 100, 100, 375, 800),
    "an hour of MP3": ([sound(mp3(137_820, kbits=32), "mp3")], 35_990, 36_100, 115_200, 440_000),
    "a minute of FLAC": ([sound(flac(60, size=3_000_000), "flac")], 600, 600, ANY, ANY + 10),
    "half an hour of Opus": ([sound(ogg(1_800, size=3_000_000), "ogg")], 18_000, 18_000, ANY, ANY + 10),
    "90 s of M4A": ([sound(mp4(90, size=1_000_000), "m4a")], 900, 900, ANY, ANY + 10),
    "a sound in a file": ([file(wav(90), "audio/wav")], 900, 900, 2_880, 3_300),
    "20 s of film": ([film(mp4(20, size=10_000_000))], 1_320, 1_320, ANY, ANY + 10),
    "5 MB of PDF without visible pages": ([file(pdf(NOISE))], 1, 258, ANY, ANY + 10),
    "12 kB of PDF, 120,000 tokens": ([file(pdf(tree(1), stream(b"(" + b"the text " * 55_000 + b") Tj")))], 258, 258, ANY, ANY + 10),
    "text without compression": ([file(pdf(tree(1), b"9 0 obj\n<< /Length 400000 >>\nstream\n(" + b"the text " * 45_000 + b") Tj\nendstream\nendobj\n"))], 258, 258, ANY, ANY + 10),
    "text that calls itself a picture": ([file(pdf(tree(1), stream(b"(" + b"the text " * 45_000 + b") Tj\n", b"/Subtype/Image")))], 258, 258, ANY, ANY + 10),
    "text that calls itself a font": ([file(pdf(tree(1), stream(b"(" + b"the text " * 45_000 + b") Tj\n", b"/Length1 5")))], 258, 258, ANY, ANY + 10),
    "text behind many small streams": ([file(pdf(tree(1), *[stream(b"q Q")] * 400, stream(b"(" + b"the text " * 45_000 + b") Tj\n")))], 258, 258, ANY, ANY + 10),
    "a WAV that claims a high rate": ([sound(b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x55\0\1\0\x44\xac\0\0\xff\xff\xff\x7f\1\0\0\0data\0\x40\x1f\0" + b"\0" * 2_048_000, "wav")], 320, 330, ANY, ANY + 10),
    "12 kB of PDF, 60 pages": ([file(pdf(stream(page_objects(60), b"/Type/ObjStm")))], 15_480, 15_480, ANY, ANY + 10),
    "an ordinary page": ([file(pdf(tree(1), stream(WORDS * 50)))], 258, 258, ANY, ANY + 10),
    "a PDF as a picture": ([{"type": "image_url", "image_url": {"url": f"data:application/pdf;base64,{encoded(pdf(tree(2)))}"}}], 516, 516, ANY, ANY + 10),
    "a text": ([file(b"words " * 10_000, "text/plain")], 10_000, 10_000, 60_000, 60_300),
    "5 MB of Word": ([file(b"PK" + NOISE, "application/vnd.openxmlformats-officedocument.wordprocessingml.document")], 0, 0, ANY, ANY + 10),
    "a picture as a file": ([file(b"\x89PNG" + NOISE[:100_000], "image/png")], 85, 85, 1_600, 48_500),
    "a URL": ([{"type": "file", "file": {"file_data": "https://example.com/a.pdf"}}], 0, 0, ANY, ANY + 10),
    "a vendor's file": ([{"type": "file", "file": {"file_id": "file-1"}}], 0, 0, ANY, ANY + 10),
    "a film by URL": ([{"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}], 0, 0, ANY, ANY + 10),
    "not base64": ([sound(b"", "wav"), {"type": "input_audio", "input_audio": {"data": "äöü" * 99, "format": "mp3"}}], 1, 99, ANY, 2 * ANY + 10),
}  # fmt: skip
"""Parts → bounds of the least that is counted, then what the bound must cover (a vendor's own figure), and its own bound."""


@pytest.mark.parametrize("name", ROWS)
def test_files_are_sized_by_what_they_hold(name: str) -> None:
    """The least stays small, so that no endpoint is ruled out by bytes; the bound covers the dearest vendor, and not much more, or says
    that it knows none."""
    parts, least, least_max, needed, most = ROWS[name]
    prompt = prompt_size.measure({"messages": [{"role": "user", "content": parts}]})
    empty = prompt_size.measure({"messages": [{"role": "user", "content": ""}]})
    assert least <= prompt.tokens_least - empty.tokens_least <= least_max
    assert needed <= prompt.tokens_bound - empty.tokens_bound <= most
    assert prompt.tokens_least <= prompt.tokens <= prompt.tokens_bound
    assert prompt.modalities > {"text"}


def test_pages_out_of_sight_are_held_and_not_required() -> None:
    """Of a large file without a visible tree: as many pages as are seen are sure, as many in the rest are likely."""
    found = token_count.of([file(pdf(stream(NOISE, b"/Subtype/Image"), page_objects(50)))])
    assert found.least == 50 * 258
    assert found.likely == len(NOISE) // pdf_pages.BYTES_PER_PAGE * 1_500


def test_many_files_are_looked_at_within_bounds() -> None:
    """Only so many bytes of one request are decoded; files behind them are estimated from their size."""
    many = [file(pdf(tree(3), stream(NOISE[:1_000_000], b"/Subtype/Image"), tree(3)))] * 14
    begun = time.process_time()
    found = token_count.of(many)
    assert time.process_time() - begun < 2
    sampled = token_count.SAMPLED_MAX // (2 * token_count.SAMPLE)
    assert sampled * 3 * 258 < found.least < 14 * 3 * 258
    assert found.most >= ANY


@examples(200)
@given(
    data=st.tuples(
        st.sampled_from([b"", b"%PDF-1.7\n", b"%PDF stream\n", b"RIFF\0\0\0\0WAVE", b"OggS", b"\0\0\0\0ftyp", b"ID3"]),
        st.lists(st.sampled_from([b"/Type /Pages", b" /Count 9", b" obj", b"stream\n", b"/ObjStm", b"\xff\xfb\x90"]) | st.binary(max_size=40)).map(b"".join),
    ).map(b"".join),
    media_type=st.sampled_from(["application/pdf", "audio/mpeg", "video/mp4", "text/plain", "", "x"]),
    kind=st.sampled_from(["file", "video_url", "input_video", "input_audio", "unheard_of"]),
)  # fmt: skip
def test_any_bytes_have_a_size(data: bytes, media_type: str, kind: str) -> None:
    """Whatever is sent, the counts are in order and never an exception."""
    url = f"data:{media_type};base64,{encoded(data)}"
    for inner in ({"url": url}, {"file_data": url}, {"data": encoded(data), "format": "mp3"}, url, None, 7, {}):
        found = token_count.of([{"type": kind, kind: inner}])  # type: ignore[misc]
        assert 0 <= found.least <= found.likely <= found.most

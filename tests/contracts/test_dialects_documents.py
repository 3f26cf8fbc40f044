"""What every dialect reads although it should not have to: broken text, and one document where a stream was asked for."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from providers.document import DocumentDecoder, legible, read_whole
from providers.errors import ProviderError
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, Completion, Event, HttpResponse
from tests.support import dialectcases as cases
from tests.support.dialectsheets import SHEETS, Sheet
from tests.support.rawserver import Peer, RawServer

ANSWERS = [(name, answer) for name, sheet in SHEETS.items() for answer in sheet.answers]
ASKED = Call({"messages": [{"role": "user", "content": "x"}]})
FIRST, SECOND = "<first>", "<second>"
"""Marks in a text, where bytes are put that no JSON writer makes."""


def marked(value: Any, text: str, mark: str) -> Any:
    """A document with ``mark`` in place of every text that is ``text``."""
    if isinstance(value, list):
        return [marked(item, text, mark) for item in value]
    if isinstance(value, dict):
        return {name: marked(item, text, mark) for name, item in value.items()}
    return mark if value == text else value


# -- broken text -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken:
    """The texts of two events that follow each other, as they stand in the vendor's JSON, and what they say."""

    first: bytes
    second: bytes
    says: str


STREAMED = {
    "an emoji over two events": Broken(rb"hey \ud83d", rb"\ude00 you", "hey 😀 you"),
    "an emoji over two events, one half each": Broken(rb"\uD83D", rb"\uDE00", "😀"),
    "a half, and another text": Broken(rb"hey \ud83d", b"you", "hey �you"),
    "a half in the middle": Broken(rb"he\ud83dy", b"you", "he�yyou"),
    "a second half alone": Broken(b"hey", rb"\ude00you", "hey�you"),
    "an escape that only looks like a half": Broken(rb"hey \\ud83d", rb"\\ude00", r"hey \ud83d\ude00"),
    "a whole emoji in escapes": Broken(rb"\ud83d\ude00", rb"\ud83d\ude00 you", "😀😀 you"),
    "half a character in UTF-8": Broken(b"hey \xf0\x9f", b"you", "hey �you"),
    "bytes that are no UTF-8": Broken(b"hey \xff\xfe", b"\xc3", "hey ���"),
    "a surrogate in UTF-8": Broken(b"hey \xed\xa0\xbd", b"you", "hey ���you"),
}


def adjacent(sheet: Sheet) -> tuple[cases.Stream, int, str, int, str]:
    """A recorded stream, and the places and texts of two of its events that follow each other."""
    for stream in sheet.streams.values():
        if stream.fails:
            continue
        found: list[tuple[int, str]] = []
        for place in stream.documents:
            events, _ = cases.decode(sheet.dialect, stream.pieces[: place + 1])
            texts = [choice["delta"].get("content") for event in events for choice in event.chunk["choices"]]
            texts = [text for text in texts if text]
            if len(texts) == len(found) + 1 and texts[-1] in json.dumps(stream.documents[place], ensure_ascii=False):
                found.append((place, texts[-1]))
            if len(found) == 2:
                return (stream, *found[0], *found[1])
    raise AssertionError(f"no stream of {sheet.name} has two texts")


def said(events: list[Event]) -> str:
    return "".join(choice["delta"].get("content") or "" for event in events for choice in event.chunk["choices"])


@pytest.mark.parametrize("name", list(SHEETS))
@pytest.mark.parametrize("broken", STREAMED.values(), ids=list(STREAMED))
def test_broken_text_in_a_stream(name: str, broken: Broken) -> None:
    """It is replaced and not fatal; an emoji whose halves come in two events arrives whole, also as events of the vendor's own."""
    sheet = SHEETS[name]
    stream, first, first_text, second, second_text = adjacent(sheet)
    pieces = list(stream.pieces)
    for place, text, mark, raw in (
        (first, first_text, FIRST, broken.first),
        (second, second_text, SECOND, broken.second),
    ):
        document = json.dumps(marked(stream.documents[place], text, mark)).encode()
        assert mark.encode() in document
        pieces[place] = stream.piece(place, document.replace(mark.encode(), raw))
    proper, _ = cases.decode(sheet.dialect, stream.pieces)
    events, error = cases.decode(sheet.dialect, pieces)
    assert error is None
    assert said(events) == said(proper).replace(first_text + second_text, broken.says, 1)
    msgspec.json.encode([event.chunk for event in events] + [event.native for event in events])


WHOLE = {
    "a byte order mark": (b"\xef\xbb\xbf", b"hey", "hey"),
    "half an emoji": (b"", rb"hey \ud83d", "hey �"),
    "halves that meet": (b"", rb"hey \ud83d\ude00", "hey 😀"),
    "half a character in UTF-8": (b"", b"hey \xf0\x9f", "hey �"),
    "all of it": (b"\xef\xbb\xbf", b"\xff\\ude00", "��"),
}


def whole(sheet: Sheet, begin: bytes, text: bytes) -> bytes:
    """A recorded answer that is a text, with another text, as bytes."""
    for case in sheet.answers.values():
        document = json.dumps(marked(case["body"], case["expected"].get("text"), FIRST)).encode()
        if document.count(FIRST.encode()) == 1 and case["expected"]["finish"] == ["stop"]:
            return begin + document.replace(FIRST.encode(), text)
    raise AssertionError(f"no answer of {sheet.name} is one text")


@pytest.mark.parametrize("name", list(SHEETS))
@pytest.mark.parametrize("row", WHOLE.values(), ids=list(WHOLE))
def test_broken_text_in_a_whole_answer(name: str, row: tuple[bytes, bytes, str]) -> None:
    """A byte order mark is skipped, and what is no text is replaced."""
    begin, text, says = row
    sheet = SHEETS[name]
    answer = read_whole(sheet.dialect.read, HttpResponse(200, {}, whole(sheet, begin, text)))
    assert answer.body["choices"][0]["message"]["content"] == says
    msgspec.json.encode([answer.body, answer.native])


@pytest.mark.parametrize("name", list(SHEETS))
def test_broken_text_in_a_refusal(name: str) -> None:
    """Its codes are found all the same."""
    sheet = SHEETS[name]
    case = sheet.refusals[sheet.recording("error_before", "refusal")]
    raw = codecs.BOM_UTF8 + json.dumps({"said": FIRST, **case["body"]}).encode().replace(FIRST.encode(), rb"\ud83d")
    refusal = HttpResponse(case["status"], case.get("headers", {}), raw)
    assert sheet.dialect.failure(legible(refusal)).failure.kind == case["kind"]


@pytest.mark.parametrize("name", list(SHEETS))
@pytest.mark.parametrize("raw", [b"", b"{", b'{"a":NaN}', b"\xff", b'{"\\ud83d', b"[" * 100_000 + b"\xff"])
def test_what_cannot_be_repaired(name: str, raw: bytes) -> None:
    """It fails as it did."""
    dialect = SHEETS[name].dialect
    with pytest.raises(ProviderError):
        read_whole(dialect.read, HttpResponse(200, {}, raw))


# -- one document where a stream was asked for -------------------------------------------------------------------------


def streamed(sheet: Sheet, raw: bytes) -> list[Event]:
    """The events of a whole answer that comes in three pieces."""

    def read(content: bytes) -> Completion:
        return read_whole(sheet.dialect.read, HttpResponse(200, {}, content))

    decoder = DocumentDecoder(sheet.dialect.decoder(), read)
    middle = len(raw) // 2
    assert not [event for piece in (b"\n ", raw[:middle], raw[middle:]) for event in decoder.feed(piece)]
    return decoder.close()


@pytest.mark.parametrize(("name", "recording"), ANSWERS)
def test_a_whole_answer_as_events(name: str, recording: str) -> None:
    """It says the same as the answer, in chunks that strict clients can read."""
    sheet, case = SHEETS[name], SHEETS[name].answers[recording]
    events = streamed(sheet, json.dumps(case["body"]).encode())
    assert cases.summary(events) == sheet.here(case["expected"])
    cases.strict(events, typed=sheet.typed(recording))


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/plain", ""])
@pytest.mark.parametrize("name", list(SHEETS))
async def test_a_document_over_a_real_connection(name: str, kind: str) -> None:
    """Whatever it calls itself: the text, and a proper end."""
    sheet = SHEETS[name]
    raw = whole(sheet, b"", b"hey")

    async def vendor(peer: Peer) -> None:
        await peer.request()
        await peer.answer(raw, kind=kind)
        await peer.wait_gone()

    async with RawServer(vendor) as server:
        upstream, target = Http1Client(), replace(sheet.targets[0], base_url=server.url)
        stream = await sheet.dialect.stream(upstream, target, ASKED, Clocks())
        events: list[Event] = []
        while found := await stream.read():
            events += found
        await stream.aclose()
        await upstream.aclose()
    assert said(events) == "hey"
    assert [event.finish for event in events if event.finish] == ["stop"]
    assert not any(event.native for event in events)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
@pytest.mark.parametrize("name", list(SHEETS))
async def test_a_stream_that_calls_itself_otherwise(name: str, kind: str) -> None:
    """It is a stream all the same."""
    sheet = SHEETS[name]
    stream = sheet.streams[sheet.recording("text", "stream")]

    async def vendor(peer: Peer) -> None:
        await peer.request()
        await peer.begin(kind=kind)
        for piece in (stream.raw[:3], stream.raw[3:]):
            await peer.chunk(piece)
        await peer.end()
        await peer.wait_gone()

    async with RawServer(vendor) as server:
        upstream, target = Http1Client(), replace(sheet.targets[0], base_url=server.url)
        opened = await sheet.dialect.stream(upstream, target, ASKED, Clocks())
        events: list[Event] = []
        while found := await opened.read():
            events += found
        await opened.aclose()
        await upstream.aclose()
    assert cases.summary(events) == sheet.here(stream.expected)

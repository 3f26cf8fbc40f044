"""The contract of a dialect, the same for every one that the registry has: the required cases, streams whole, cut and damaged, whole
answers, refusals, usage. Requests and conversations there and back: ``test_dialects_requests.py``."""

from __future__ import annotations

import json
from functools import partial
from itertools import accumulate
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from providers.errors import FAILURES, RAW_MAX, ProviderError
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, Event, HttpResponse, Usage
from tests.support import dialectcases as cases
from tests.support.dialectsheets import CASES, REFUSABLE, SHEETS, Sheet, chatting, last_count
from tests.support.examples import examples
from tests.support.rawserver import Peer, RawServer

Json = dict[str, Any]
WAYS = [(name, case, way) for name in SHEETS for case, ways in CASES.items() for way in ways]
STREAMS = [(name, stream) for name, sheet in SHEETS.items() for stream in sheet.streams]
GOOD = [(name, stream) for name, stream in STREAMS if not SHEETS[name].streams[stream].fails]
BAD = [(name, stream) for name, stream in STREAMS if SHEETS[name].streams[stream].fails]
ANSWERS = [(name, answer) for name, sheet in SHEETS.items() for answer in sheet.answers]
REFUSALS = [(name, refusal) for name, sheet in SHEETS.items() for refusal in sheet.refusals]
FIRM = ("cut", "empty")
"""How a stream may fail that has only been cut."""


# -- the required cases ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", chatting())
def test_every_dialect_has_a_sheet_of_known_cases(name: str) -> None:
    """A dialect without recordings cannot be added, and a sheet holds nothing that the suite does not check."""
    sheet = Sheet(name)
    assert sheet.document["cases"].keys() <= CASES.keys()
    assert sheet.document.get("refuses", {}).keys() <= set(REFUSABLE)
    known = {*sheet.streams, *sheet.answers}
    assert {*sheet.document["untyped"], *sheet.document.get("totals_apart", {})} <= known
    assert sheet.targets


def test_a_dialect_without_a_sheet_fails_with_instructions() -> None:
    """The failure for a new dialect says which file is missing and what belongs into it."""
    with pytest.raises(
        FileNotFoundError, match=r"(?s)tests/wire/brandnew/cases\.yaml is missing.*parallel_tools"
    ) as missing:
        Sheet("brandnew")
    assert "test_dialects.py" in str(missing.value)


def shows(case: str, expected: Json) -> bool:
    """Whether an expected answer is an example of the case."""
    tools, usage = expected.get("tools", []), expected.get("usage", {})
    match case:
        case "text":
            return bool(expected.get("text")) and "stop" in expected["finish"] and not tools
        case "tool":
            return len(tools) == 1 and isinstance(json.loads(tools[0][2]), dict) and "tool_calls" in expected["finish"]
        case "parallel_tools":
            return len({id for id, _, _ in tools}) == len(tools) > 1 and "tool_calls" in expected["finish"]
        case "reasoning":
            return bool(expected.get("reasoning"))
        case "image":
            return bool(expected.get("images"))
        case "structured":
            return isinstance(json.loads(expected["text"]), dict) and not tools
        case "cached_usage":
            return any(usage.get(kind) for kind in ("cache_read", "cache_write", "cache_write_1h"))
        case "error_within":
            return expected["error"] not in FIRM
        case _:
            return expected["error"] == "cut" and expected["before"] > 0


@pytest.mark.parametrize(("name", "case", "way"), WAYS, ids="-".join)
def test_every_case_is_shown_or_excused(name: str, case: str, way: str) -> None:
    """The recording that the sheet names for a case shows it; a case without one has a reason."""
    sheet = SHEETS[name]
    if sheet.excuse(case, way) is not None:
        return
    recording = sheet.recording(case, way)
    if way == "refusal":
        assert sheet.refusals[recording]["status"] >= 400
    else:
        expected = sheet.streams[recording].expected if way == "stream" else sheet.answers[recording]["expected"]
        assert shows(case, expected), expected


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "recording"), GOOD)
def test_a_stream_has_the_recorded_summary(name: str, recording: str) -> None:
    """Text, reasoning, calls, pictures, sources, finish and usage are the recorded ones, in chunks that strict clients can read;
    a surface of the same shape gets every event of the vendor once, in order, as it was sent."""
    sheet, stream = SHEETS[name], SHEETS[name].streams[recording]
    events, error = cases.decode(sheet.dialect, [stream.raw])
    assert error is None
    summary = cases.summary(events)
    assert summary == sheet.here(stream.expected)
    for note in summary.get("annotations", ()):
        assert 0 <= note.get("start_index", 0) <= note.get("end_index", 0) <= len(summary.get("text", ""))
    cases.strict(events, typed=sheet.typed(recording))
    wires = [event.native for event in events]
    if sheet.dialect.api_format is None:
        assert set(wires) <= {None}
    else:
        sent = [document for document in stream.documents.values() if isinstance(document, dict)]
        assert [wire and wire[1] for wire in wires] == sent
        assert all(event.chunk["choices"] or not event.content for event in events)


@pytest.mark.parametrize(("name", "recording"), BAD)
def test_a_failure_in_a_stream_is_that_failure(name: str, recording: str) -> None:
    """An error first, in the middle or at the end, a cut and an empty stream: its kind; what came before is not lost."""
    sheet, stream = SHEETS[name], SHEETS[name].streams[recording]
    for pieces in ([stream.raw], stream.pieces):
        events, error = cases.decode(sheet.dialect, pieces)
        assert error is not None
        assert error.failure.kind == stream.expected["error"]
        assert error.message
        assert len(error.raw) <= RAW_MAX
        assert sum(event.content for event in events) == stream.expected["before"]


@pytest.mark.parametrize(("name", "recording"), STREAMS)
def test_byte_by_byte_is_the_same(name: str, recording: str) -> None:
    """A stream that comes one byte at a time, cut inside of UTF-8 characters too, says the same."""
    dialect, raw = SHEETS[name].dialect, SHEETS[name].streams[recording].raw
    assert cases.same(cases.decode(dialect, [raw]), cases.decode(dialect, [bytes([byte]) for byte in raw]))


@pytest.mark.parametrize(("name", "recording"), GOOD)
def test_a_cut_stream_is_never_a_success(name: str, recording: str) -> None:
    """Cut behind every event: a success only when every choice has had its reason, else cut, or empty when nothing came. Cut
    inside of an event it is no other failure."""
    sheet, stream = SHEETS[name], SHEETS[name].streams[recording]
    for end in accumulate(map(len, stream.pieces), initial=0):
        events, error = cases.decode(sheet.dialect, [stream.raw[:end]])
        finished = [event.finish for event in events if event.finish]
        if error is None:
            assert finished == stream.expected["finish"]
        else:
            assert error.failure.kind == ("cut" if events else "empty")
            assert len(finished) < len(stream.expected["finish"])
        for less in (1, 5):
            _, error = cases.decode(sheet.dialect, [stream.raw[: max(0, end - less)]])
            assert error is None or error.failure.kind in FIRM


KINDS = {".sse": "text/event-stream", ".ndjson": "application/x-ndjson", ".jsonl": "application/vnd.amazon.eventstream"}


@pytest.mark.parametrize("name", list(SHEETS))
@pytest.mark.parametrize("case", ["text", "parallel_tools", "error_within", "cut"])
async def test_a_stream_over_a_real_connection(name: str, case: str) -> None:
    """The driver reads what the decoder says, in pieces of eleven bytes, to the proper end or the failure."""
    sheet = SHEETS[name]
    if (reason := sheet.excuse(case, "stream")) is not None:
        pytest.skip(f"{name} has no {case}: {reason}")
    stream = sheet.streams[sheet.recording(case, "stream")]

    async def vendor(peer: Peer) -> None:
        await peer.request()
        await peer.begin(kind=KINDS[stream.path.suffix])
        for at in range(0, len(stream.raw), 11):
            await peer.chunk(stream.raw[at : at + 11])
        await peer.end()
        await peer.wait_gone()

    async with RawServer(vendor) as server:
        upstream, target = Http1Client(), replace(sheet.targets[0], base_url=server.url)
        call = Call({"messages": [{"role": "user", "content": "x"}]})
        opened = await sheet.dialect.stream(upstream, target, call, Clocks())
        events: list[Event] = []
        error: ProviderError | None = None
        try:
            while found := await opened.read():
                events += found
        except ProviderError as caught:
            error = caught
        await opened.aclose()
        await upstream.aclose()
    if stream.fails:
        assert error is not None
        assert error.failure.kind == stream.expected["error"]
        assert sum(event.content for event in events) == stream.expected["before"]
    else:
        assert error is None
        assert cases.summary(events) == sheet.here(stream.expected)


async def refusing(body: bytes, status: int, peer: Peer) -> None:
    """A vendor that answers with one document."""
    await peer.request()
    await peer.answer(body, status=status)
    await peer.wait_gone()


@pytest.mark.parametrize("name", list(SHEETS))
async def test_a_refused_stream(name: str) -> None:
    """An error before the stream is its row, also as a JSON document behind a 200."""
    sheet = SHEETS[name]
    case = sheet.refusals[sheet.recording("error_before", "refusal")]

    for status in (case["status"], 200):
        async with RawServer(partial(refusing, json.dumps(case["body"]).encode(), status)) as server:
            upstream, target = Http1Client(), replace(sheet.targets[0], base_url=server.url)
            call = Call({"messages": [{"role": "user", "content": "x"}]})
            with pytest.raises(ProviderError) as caught:
                await (await sheet.dialect.stream(upstream, target, call, Clocks())).read()
            assert status == 200 or caught.value.failure.kind == case["kind"]
            await upstream.aclose()


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SHEETS))
@examples(60)
@given(st.data())
def test_any_damaged_byte_is_survived(name: str, data: st.DataObject) -> None:
    """A byte changed, lost or doubled anywhere gives events with an ending or a provider's failure, and the same ones however
    the network cuts the stream."""
    dialect, streams = SHEETS[name].dialect, SHEETS[name].streams
    raw = streams[data.draw(st.sampled_from(sorted(streams)))].raw
    at, width = data.draw(st.integers(0, len(raw))), data.draw(st.integers(0, 3))
    damaged = raw[:at] + bytes([data.draw(st.integers(0, 255))]) * width + raw[at + 1 :]
    whole = cases.decode(dialect, [damaged])
    assert whole[1] is not None or any(event.finish for event in whole[0])
    assert cases.same(whole, cases.decode(dialect, cases.cut(damaged, data.draw(st.lists(st.integers(0, 9999))))))


VENDORS = {
    name: [document for stream in sheet.streams.values() for document in stream.documents.values()]
    + [answer["body"] for answer in sheet.answers.values()]
    for name, sheet in SHEETS.items()
}
JUNK = {name: cases.junk(cases.words(documents)) for name, documents in VENDORS.items()}


@pytest.mark.parametrize("name", list(SHEETS))
@examples(120)
@given(st.data())
def test_a_hostile_event_is_survived(name: str, data: st.DataObject) -> None:
    """Whatever JSON stands in whatever place of an event, only a provider's failure comes out, and what is no failure has an
    ending."""
    dialect, streams = SHEETS[name].dialect, SHEETS[name].streams
    stream = streams[data.draw(st.sampled_from(sorted(key for key, one in streams.items() if one.documents)))]
    place = data.draw(st.sampled_from(sorted(stream.documents)))
    document = cases.grafted(data, stream.documents[place], data.draw(JUNK[name]))
    events, error = cases.decode(dialect, stream.with_document(place, document))
    assert error is not None or any(event.finish for event in events)


@pytest.mark.parametrize("name", list(SHEETS))
@examples(120)
@given(st.data())
def test_a_hostile_answer_is_survived(name: str, data: st.DataObject) -> None:
    """The same of whole answers: one that is an answer has choices."""
    dialect, answers = SHEETS[name].dialect, SHEETS[name].answers
    document = answers[data.draw(st.sampled_from(sorted(answers)))]["body"]
    raw = msgspec.json.encode(cases.grafted(data, document, data.draw(JUNK[name])))
    try:
        answer = dialect.completion(raw)
    except ProviderError:
        return
    assert answer.body["choices"]


@pytest.mark.parametrize("name", list(SHEETS))
@examples(40)
@given(st.binary(max_size=120))
def test_noise_is_never_an_answer(name: str, noise: bytes) -> None:
    """No bytes raise anything but a provider's failure, and noise is neither a stream nor an answer."""
    dialect = SHEETS[name].dialect
    assert cases.decode(dialect, [noise])[1] is not None
    assert cases.decode(dialect, [b"data: " + noise + b"\n\n"])[1] is not None
    with pytest.raises(ProviderError):
        dialect.completion(noise)


@pytest.mark.parametrize("name", list(SHEETS))
@pytest.mark.parametrize(
    "raw", [b"", b" \n", b"[]", b"null", b"<html>", b"{", b"\xff", b"[" * 50_000, b'{"a":' * 50_000]
)
def test_what_is_no_answer(name: str, raw: bytes) -> None:
    """An empty body is empty, what is no document is malformed, however deep it is nested."""
    with pytest.raises(ProviderError) as caught:
        SHEETS[name].dialect.completion(raw)
    assert caught.value.failure.kind == ("malformed" if raw.strip() else "empty")


# -- whole answers, usage, refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "recording"), ANSWERS)
def test_an_answer_has_the_recorded_summary(name: str, recording: str) -> None:
    """A whole answer is the recorded one, is one that strict clients can read, and goes unchanged to a surface of its own shape."""
    sheet, case = SHEETS[name], SHEETS[name].answers[recording]
    answer = sheet.dialect.completion(json.dumps(case["body"]).encode())
    assert cases.summary_of_completion(answer) == sheet.here(case["expected"])
    cases.strict_whole(answer, typed=sheet.typed(recording))
    assert answer.native == (case["body"] if sheet.dialect.api_format is not None else None)


@pytest.mark.parametrize(("name", "way", "recording"), [
    *((name, "stream", recording) for name, recording in GOOD), *((name, "answer", recording) for name, recording in ANSWERS)
])  # fmt: skip
def test_usage_is_disjoint(name: str, way: str, recording: str) -> None:
    """No token is counted in two kinds: the kinds of the prompt and those of the answer add up to the vendor's own counts."""
    sheet = SHEETS[name]
    if way == "stream":
        documents: Any = list(sheet.streams[recording].documents.values())
        counted = sheet.streams[recording].expected.get("usage")
    else:
        documents, counted = sheet.answers[recording]["body"], sheet.answers[recording]["expected"].get("usage")
    totals = {side: last_count(documents, fields) for side, fields in sheet.document["totals"].items()}
    usage = msgspec.convert(counted or {}, Usage)
    if counted is None:
        assert not totals["prompt"]
    elif not usage.suspect and recording not in sheet.document.get("totals_apart", {}):
        assert (usage.prompt_total, usage.completion_total) == (totals["prompt"] or 0, totals["completion"] or 0)


@pytest.mark.parametrize(("name", "recording"), REFUSALS)
def test_a_refusal_is_its_row(name: str, recording: str) -> None:
    """Bodies of refusals, and of 200s that carry an error, are the rows of the taxonomy that they stand for; the vendor's status and
    its advice when to come back are kept, and at most 4 kB of what it wrote."""
    case = SHEETS[name].refusals[recording]
    error = cases.failure_of(SHEETS[name].dialect, case)
    assert error.failure is FAILURES[case["kind"]]
    assert error.message
    assert len(error.raw) <= RAW_MAX
    if case["status"] != 200:
        assert error.status == case["status"]
        assert error.retry_after_s == case.get("retry_after_s", error.retry_after_s)


@pytest.mark.parametrize("name", list(SHEETS))
@examples(60)
@given(st.data())
def test_any_refusal_is_a_failure(name: str, data: st.DataObject) -> None:
    """Whatever stands in a refusal, it is a failure of the taxonomy with the vendor's status."""
    refusals = [one["body"] for one in SHEETS[name].refusals.values()]
    document = data.draw(st.sampled_from(refusals))
    strange = data.draw(cases.junk(cases.words(refusals)))
    content = data.draw(st.binary(max_size=60) | st.just(json.dumps(cases.grafted(data, document, strange)).encode()))
    status = data.draw(st.integers(300, 599))
    error = SHEETS[name].dialect.failure(HttpResponse(status, {"retry-after": "7"}, content))
    assert error.status == status
    assert FAILURES[error.failure.kind] is error.failure
    assert error.message
    assert len(error.raw) <= RAW_MAX

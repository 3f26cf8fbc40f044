"""What the bench parses and writes: HTTP framing, events, wrk's result, /proc, py-spy's stacks."""

from __future__ import annotations

import asyncio
import json
import os
import time
from functools import partial
from pathlib import Path

import pytest
import yaml

from bench import gateway, profile, proxyconf, shapes, wrk
from bench.arrivals import whole
from bench.pacer import Pacer
from bench.processes import parse_stat, reading, tree
from bench.streams import StreamReader, StreamTotals
from bench.talk import Route
from bench.upstream import split_request

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\n"


def test_upstream_splits_requests_by_length_and_by_chunks() -> None:
    """A request is taken when it is whole, and the next one stays in the buffer."""
    sized = b"POST /v1 HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcdGET"
    assert split_request(sized[:-5]) is None
    assert split_request(sized) == (b"POST /v1 HTTP/1.1\r\nContent-Length: 4\r\n", b"abcd", len(sized) - 3)
    chunked = b"POST /v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    found = split_request(chunked)
    assert found is not None
    assert found[2] == len(chunked)
    assert split_request(chunked[:-3]) is None


def test_client_knows_when_an_answer_is_whole() -> None:
    """By content-length in any case of letters, else by the last chunk."""
    assert not whole(_HEAD)
    assert not whole(_HEAD + b"content-length: 3\r\n\r\nab")
    assert whole(_HEAD + b"CONTENT-LENGTH: 3\r\n\r\nabc")
    assert not whole(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    assert whole(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")


def test_events_have_the_openai_shape_and_one_length() -> None:
    """Every event is JSON after `data: `; the stamp can be read back; the usage event has no choices."""
    before, after = shapes.content_event_parts()
    events = [before + shapes.stamp(moment) + after for moment in (5, time.monotonic_ns())]
    assert len({len(event) for event in events}) == 1
    chunk = json.loads(events[0].removeprefix(b"data: "))
    assert chunk["choices"][0]["delta"]["content"] == "@0000000000000000005"
    assert shapes.STAMP.findall(events[0]) == [b"0000000000000000005"]
    finish, usage, done = shapes.closing_events()
    assert json.loads(finish[6:])["choices"][0]["finish_reason"] == "stop"
    assert (json.loads(usage[6:])["choices"], done) == ([], b"data: [DONE]\n\n")
    assert json.loads(shapes.answer_body())["usage"]["total_tokens"] == shapes.PROMPT_TOKENS + shapes.COMPLETION_TOKENS


async def test_reader_counts_an_event_once_wherever_the_reads_are_cut() -> None:
    """A stream cut at every possible byte gives the same stamps, each once, and ends."""
    before, after = shapes.content_event_parts()
    events = b"".join(before + shapes.stamp(moment) + after for moment in (11, 12, 13))
    raw = b"HTTP/1.1 200 OK\r\n\r\n" + events + b"0\r\n\r\n"
    for cut in range(1, len(raw)):
        reader = StreamReader()
        reader._ended = asyncio.get_running_loop().create_future()
        reader.data_received(raw[:cut])
        reader.data_received(raw[cut:])
        assert [stamp for _, stamps in reader.reads for stamp in stamps] == [11, 12, 13]
        assert reader._ended.done()


async def test_reader_fails_a_stream_that_is_not_a_200_or_is_cut() -> None:
    """An error status and an early close both raise, so that no such stream is counted."""
    for data, lost in ((b"HTTP/1.1 503 no\r\n\r\n", False), (b"HTTP/1.1 200 OK\r\n\r\n", True)):
        reader = StreamReader()
        reader._ended = asyncio.get_running_loop().create_future()
        reader.data_received(data)
        if lost:
            reader.connection_lost(None)
        with pytest.raises(ConnectionError):
            await reader._ended


def test_batched_events_and_lost_gaps_show_in_the_tally() -> None:
    """Two events of one read are batched, and their gap of 0 differs from the upstream's by 10 ms."""
    totals = StreamTotals()
    gap_ns = 10_000_000
    totals.add(0, [(gap_ns + 1000, [gap_ns]), (3 * gap_ns + 1000, [2 * gap_ns, 3 * gap_ns])], expected=4)
    found = totals.result(gap_us=10_000)
    assert (found["events"], found["incomplete"], found["batched_share"]) == (3, 1, round(2 / 3, 5))
    assert found["gap_drift_us"]["max"] == 10_000
    assert found["transit_us"]["p50"] == 1
    assert found["first_content_us"]["p50"] == 1


def _note(seen: list[tuple[str, bool]], name: str, due_ns: int) -> None:
    seen.append((name, time.monotonic_ns() >= due_ns))


async def test_pacer_keeps_the_order_and_is_never_early() -> None:
    """Moments come in time order, equal ones in the order asked, none before its time."""
    pacer = Pacer(asyncio.get_running_loop())
    done = asyncio.Event()
    seen: list[tuple[str, bool]] = []
    base = time.monotonic_ns() + 5_000_000
    for name, offset in (("late", 4_000_000), ("first", 0), ("second", 0), ("middle", 2_000_000)):
        pacer.at(base + offset, partial(_note, seen, name, base + offset))
    pacer.at(base + 5_000_000, done.set)
    await asyncio.wait_for(done.wait(), 10)
    assert seen == [("first", True), ("second", True), ("middle", True), ("late", True)]


def test_wrk_result_is_the_line_of_the_script() -> None:
    """wrk's prose is skipped; no line is an error, not a zero."""
    text = (
        'Running 1s test\nRESULT {"requests": 500, "duration_us": 2000000, "failed": 2, "p50_us": 10, "p99_us": 20}\n'
    )
    found = wrk.parse(text)
    assert (found.per_s, found.failed) == (250, 2)
    with pytest.raises(ValueError, match="no result"):
        wrk.parse("unable to connect")


def test_stat_line_is_read_after_the_last_bracket() -> None:
    """A process name may be `a) b (c`."""
    fields = ["S", "7", *["0"] * 9, "100", "50", "3", "2", *["0"] * 6, "10"]
    found = parse_stat(f"42 (a) b (c) {' '.join(fields)} 0 0")
    assert (found.pid, found.parent, found.name) == (42, 7, "a) b (c")
    assert found.cpu_s == pytest.approx(155 / os.sysconf("SC_CLK_TCK"))
    assert found.rss_bytes == 10 * os.sysconf("SC_PAGE_SIZE")


def test_tree_is_a_process_and_all_its_descendants() -> None:
    """Siblings and unrelated processes are not counted; an unknown root has no tree."""
    line = "{} (p) S {} " + " ".join(["0"] * 21)
    everyone = [parse_stat(line.format(pid, parent)) for pid, parent in ((1, 0), (5, 1), (9, 5), (6, 1), (8, 9))]
    assert [stat.pid for stat in tree(5, everyone)] == [5, 9, 8]
    assert tree(77, everyone) == []


def test_reading_of_this_process_grows_with_its_work() -> None:
    """CPU is counted and memory is there."""
    before = reading(os.getpid())
    sum(range(6_000_000))  # many clock ticks, where the system counts in ticks
    after = reading(os.getpid())
    assert after.cpu_s > before.cpu_s
    assert after.rss_bytes > 1_000_000


def test_profile_adds_up_self_and_total_time_by_function() -> None:
    """Lines of one function are one function; recursion counts once in total; other text is skipped."""
    raw = [
        "main (a.py:1);work (b.py:2) 3",
        "main (a.py:9);work (b.py:7);work (b.py:2) 2",
        "main (a.py:4) 1",
        "junk",
        "",
    ]
    own, total = profile.self_times(raw)
    assert own == {"work (b.py)": 5, "main (a.py)": 1}
    assert total == {"main (a.py)": 6, "work (b.py)": 5}
    text = profile.text(raw, requests=100, seconds=2)
    assert "83.33   83.33  work (b.py)" in text
    assert "50 requests/s" in text


def test_catalogue_of_the_bench_is_yaml_of_the_public_shape(tmp_path: Path) -> None:
    """One provider, price list and endpoint for each kind of upstream, and they refer to each other."""
    gateway.write_catalogue(tmp_path, {"plain": "http://127.0.0.1:1/v1", "tls": "https://localhost:2/v1"})
    models = yaml.safe_load((tmp_path / "models" / "bench.yaml").read_text())
    for model in models:
        (endpoint,) = model["endpoints"]
        provider = yaml.safe_load((tmp_path / "providers" / f"{endpoint['provider']}.yaml").read_text())
        (price,) = yaml.safe_load((tmp_path / "prices" / f"{endpoint['provider']}.yaml").read_text())
        assert provider["slug"] == endpoint["provider"]
        assert price["upstream_id"] == endpoint["upstream_id"]
        assert isinstance(price["usd_per_mtok"]["prompt"], str)
    assert [model["slug"] for model in models] == ["bench/fast-1", "bench/fast-1-tls"]


def test_request_text_says_its_length_and_its_headers() -> None:
    """The client sends exactly what content-length promises, to the target's host."""
    route = Route(8000, "/v1/chat/completions", "m", (("authorization", "Bearer k"),))
    head, _, body = route.request(stream=True).partition("\r\n\r\n")
    assert f"content-length: {len(body)}" in head
    assert "authorization: Bearer k" in head
    assert "host: 127.0.0.1:8000" in head
    assert json.loads(body)["stream_options"] == {"include_usage": True}


def test_proxy_configuration_buffers_nothing(tmp_path: Path) -> None:
    """The nginx proxy, the reference, may not buffer events, and keeps its connections."""
    path = proxyconf.write(tmp_path / "home", [proxyconf.pool("plain", 1), proxyconf.server("listen 127.0.0.1:2;")])
    text = path.read_text()
    for part in ("proxy_buffering off;", "worker_processes 1;", "keepalive 512;", "access_log off;"):
        assert part in text

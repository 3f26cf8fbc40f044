"""The reader of forms: what it reads, and what it refuses because two readers could read it differently."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.inference.multipart import MAX_PARTS, Part, parse
from gateway.errors import BadRequest
from providers.transport.multipart import Field, encode
from tests.support.examples import examples

KIND = b"multipart/form-data; boundary=xx"
PART = b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'


def test_a_form_of_a_common_client_is_read() -> None:
    """httpx's form: fields, lists, a file with its name and type, bytes that look like line ends."""
    content = b"\r\n--\x00\xff\r\n"
    request = httpx.Request(
        "POST",
        "http://x.test/",
        data={"model": "a/b", "t[]": ["word", "segment"]},
        files={"file": ("héllo.wav", content, "Audio/WAV; x=y")},
    )
    assert parse(request.read(), request.headers["content-type"].encode()) == [
        Part("model", b"a/b"),
        Part("t[]", b"word"),
        Part("t[]", b"segment"),
        Part("file", content, "héllo.wav", "audio/wav"),
    ]


def test_a_quoted_boundary_and_other_header_cases_are_read() -> None:
    """RFC 2046 allows both."""
    raw = b"--a b\r\ncontent-DISPOSITION: form-data; name=plain\r\n\r\n\xc3\xa4\r\n--a b--"
    (part,) = parse(raw, b'multipart/form-data; charset=utf-8; boundary="a b"')
    assert (part.name, part.text, part.filename) == ("plain", "ä", None)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (PART + b"--xx--\r\n", b"multipart/form-data"),
        (PART + b"--xx--\r\n", b"multipart/form-data; boundary="),
        (PART + b"--xx--\r\n", b"multipart/form-data; boundary=" + b"x" * 71),
        (b"", KIND),
        (b"--xx--", KIND),
        (b"preamble\r\n" + PART + b"--xx--\r\n", KIND),
        (PART + b"--xx--\r\nepilogue", KIND),
        (PART, KIND),
        (PART + b"--xx", KIND),
        (PART + b"--xxy\r\n\r\n--xx--", KIND),
        (b"--xx\r\nno header\r\n\r\n1\r\n--xx--", KIND),
        (b'--xx\r\nContent-Disposition: form-data; name="a"\r\n--xx--', KIND),
        (b"--xx\r\nContent-Disposition: form-data\r\n\r\n1\r\n--xx--", KIND),
        (b'--xx\r\nContent-Disposition: form-data; name=""\r\n\r\n1\r\n--xx--', KIND),
        (b'--xx\r\nContent-Disposition: attachment; name="a"\r\n\r\n1\r\n--xx--', KIND),
        (
            b'--xx\r\nContent-Disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="b"\r\n\r\n1\r\n--xx--',
            KIND,
        ),
        (
            b'--xx\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ==\r\n--xx--',
            KIND,
        ),
        (b'--xx\r\nContent-Disposition: form-data; name="a"\r\nX: ' + b"x" * 5_000 + b"\r\n\r\n1\r\n--xx--", KIND),
        (PART * (MAX_PARTS + 1) + b"--xx--", KIND),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(raw: bytes, kind: bytes) -> None:
    """A 400, always."""
    with pytest.raises(BadRequest, match="multipart/form-data"):
        parse(raw, kind)


def test_a_field_that_is_no_text_is_refused_by_name() -> None:
    """UTF-8 is demanded when a field is read as text."""
    (part,) = parse(PART.replace(b"\r\n1", b"\r\n\xff") + b"--xx--", KIND)
    with pytest.raises(BadRequest) as caught:
        _ = part.text
    assert caught.value.metadata["field"] == "a"


names = st.text(st.characters(codec="utf-8", exclude_characters='"\\'), min_size=1, max_size=10)


@examples(100)
@given(fields=st.lists(st.tuples(names, st.binary(max_size=80), st.none() | names), min_size=1, max_size=5))
def test_what_the_writer_writes_the_reader_reads(fields: list[tuple[str, bytes, str | None]]) -> None:
    """Contents come back byte for byte; names too, but for line ends and zero bytes, which are escaped."""
    raw, kind = encode([Field(name, content, filename) for name, content, filename in fields])
    parts = parse(raw, kind.encode())
    assert [part.content for part in parts] == [content for _, content, _ in fields]
    for part, (name, _, filename) in zip(parts, fields, strict=True):
        if not set("\r\n\0") & set(name):
            assert part.name == name
        assert (part.filename is None) is (filename is None)


@examples(200)
@given(raw=st.binary(max_size=200).map(lambda data: data.replace(b"\n", b"\r\n--xx")) | st.binary(max_size=80))
def test_any_bytes_are_parts_or_a_refusal(raw: bytes) -> None:
    """Never anything else."""
    for body in (raw, b"--xx\r\n" + raw + b"\r\n--xx--", PART + raw + b"--xx--"):
        try:
            parts = parse(body, KIND)
        except BadRequest:
            continue
        assert all(part.name for part in parts)

"""The operations beside chat, in the format of OpenAI-compatible vendors: embeddings, rerank, images, speech, transcription.

The model name is the same script as for chat; pacing and whole-answer faults mean the same. ``tokens=N`` is the length of a vector
(16) and the number of words of a transcript. Answers depend on the request alone, so that equal requests get equal
answers: vectors and scores from a hash, a PNG of one colour, a tone of 20 ms a character, a transcript of numbered words.

Prompt tokens: ``ceil(UTF-8 bytes / 4)`` summed over the texts; an image is 64 completion tokens.
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
import zlib
from array import array
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from simulator import tokens
from simulator.call import Call, ChatRequest, Part
from simulator.chat_completion import wait
from simulator.faults import FAULTS, SPLIT_PAUSE_S
from simulator.grammar import Script
from simulator.http import Request
from simulator.steps import Hang, Send, Shut, Steps, cut_up, encode, head, whole

JSON = "application/json"
TOKENS_PER_PICTURE = 64
MS_PER_CHARACTER = 20
SPEECH_HZ = 24_000
DOCUMENTS_PER_SEARCH_UNIT = 100
SAME_AS_CHAT = frozenset(
    {"status", "error200", "errorfirst", "rst", "hangup", "comments", "wrongtype", "emptybody", "gzipbomb", "garbage"}
)
"""Faults that do not look at the answer. ``cut``, ``cutusage`` and ``stall`` are implemented here; the others exist for
streams only."""


class InvalidRequest(ValueError):
    """The request cannot be answered: 400 with this message."""


class OperationRequest(msgspec.Struct):
    """One parsed request: ``body`` has the form or JSON fields, ``files`` the uploads by their field's name."""

    path: str
    model: str
    body: dict[str, Any]
    files: dict[str, list[bytes]]
    user: str | None = None


class OperationResult(msgspec.Struct):
    """The response body and the tokens that it is billed for."""

    body: bytes
    kind: str = JSON
    prompt_tokens: int = 0
    completion: int = 0


def read(request: Request) -> OperationRequest:
    """Parses a request. Raises ``InvalidRequest`` for a body that is not valid."""
    kind = request.headers.get("content-type", "")
    files: dict[str, list[bytes]] = {}
    if kind.startswith("multipart/form-data"):
        body = _form(request.body, kind.partition("boundary=")[2].strip('"').encode(), files)
    else:
        try:
            body = msgspec.json.decode(request.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"Could not read the request: {error}") from error
    model, user = body.get("model"), body.get("user")
    if not isinstance(model, str):
        raise InvalidRequest("you must provide a model parameter")
    return OperationRequest(request.path, model, body, files, user if isinstance(user, str) else None)


def _form(raw: bytes, boundary: bytes, files: dict[str, list[bytes]]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for piece in (b"\r\n" + raw).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode("utf-8", "replace")
        if b'filename="' in head:
            files.setdefault(name, []).append(content)
        elif name.endswith("[]"):
            body.setdefault(name[:-2], []).append(content.decode("utf-8", "replace"))
        else:
            body[name] = content.decode("utf-8", "replace")
    return body


def prepare(request: OperationRequest, script: Script, *, seq: int, created: int) -> tuple[Call, OperationResult]:
    """Decides the whole answer. Raises ``InvalidRequest``."""
    if script.fault is not None and script.fault not in SAME_AS_CHAT | {"cut", "cutusage", "stall"}:
        raise InvalidRequest(f"`{script.fault}` is a fault of chat")
    made = OPERATIONS[request.path](request, script, created)
    parts = (Part("content", tokens.numbers(made.completion)),) if made.completion else ()
    call = Call(script, ChatRequest(request.model, []), f"sim-{seq}", created, made.prompt_tokens, parts)
    return call, made


def steps(call: Call, made: OperationResult) -> Steps:
    """The answer of one request, faults and slicing included."""
    script = call.script
    found = _steps(call, made)
    if script.drip_ms:
        return cut_up(found, 1, script.drip_ms / 1000)
    return cut_up(found, script.split, SPLIT_PAUSE_S) if script.split else found


def _steps(call: Call, made: OperationResult) -> Steps:
    fault = call.script.fault
    if fault in SAME_AS_CHAT:
        yield from FAULTS[fault](call)
        return
    if fault == "stall" and not call.script.at:
        yield Hang()
    yield from wait(call.due_s(call.planned))
    if fault is None:
        more = [("connection", "close")] if call.script.close else []
        yield Send(whole(200, made.body, kind=made.kind, more=more), call.planned)
        return
    part = made.body[: len(made.body) // 2]
    yield Send(head(200, [("content-type", made.kind), ("content-length", str(len(made.body)))]) + part)
    yield Hang() if fault == "stall" else Shut(rst=call.script.rst)


# -- the operations ----------------------------------------------------------------------------------------------------


def _embeddings(request: OperationRequest, script: Script, _: int) -> OperationResult:
    inputs = request.body.get("input")
    if not inputs:
        raise InvalidRequest("'input' must not be empty")
    if not isinstance(inputs, list) or isinstance(inputs[0], int):
        inputs = [inputs]
    size = request.body.get("dimensions") or script.tokens
    text = request.body.get("encoding_format") == "base64"
    rows = []
    for index, one in enumerate(inputs):
        vector = _vector(encode(one), size)
        shown = base64.b64encode(vector.tobytes()).decode() if text else vector.tolist()
        rows.append({"object": "embedding", "index": index, "embedding": shown})
    count = sum(len(one) if isinstance(one, list) else _tokens(one) for one in inputs)
    body: dict[str, Any] = {"object": "list", "data": rows, "model": request.model}
    _report(body, script, {"prompt_tokens": count, "total_tokens": count})
    return OperationResult(encode(body), prompt_tokens=count)


def _vector(seed: bytes, size: int) -> array[float]:
    """A unit vector of float32."""
    raw = hashlib.shake_256(seed).digest(2 * size)
    values = [int.from_bytes(raw[at : at + 2], "big") / 32_768 - 1 for at in range(0, 2 * size, 2)]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return array("f", [value / length for value in values])


def _rerank(request: OperationRequest, script: Script, _: int) -> OperationResult:
    query, documents = request.body.get("query"), request.body.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list):
        raise InvalidRequest("query and documents are required")
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in documents]
    query_words = set(query.lower().split())
    scores = [len(query_words & set(text.lower().split())) / (len(query_words) or 1) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[: request.body.get("top_n")]
    results = [{"index": i, "relevance_score": scores[i], "document": {"text": texts[i]}} for i in order]
    count = sum(_tokens(text) + _tokens(query) for text in texts)
    units = -(-len(texts) // DOCUMENTS_PER_SEARCH_UNIT)
    body: dict[str, Any] = {"id": "rerank-sim", "model": request.model, "results": results}
    _report(body, script, {"prompt_tokens": count, "total_tokens": count, "search_units": units})
    return OperationResult(encode(body), prompt_tokens=count)


def _images(request: OperationRequest, script: Script, created: int) -> OperationResult:
    prompt, amount = request.body.get("prompt"), str(request.body.get("n") or 1)
    if not isinstance(prompt, str) or not amount.isdecimal():
        raise InvalidRequest("prompt is required, and n is a number")
    references = [file for name in ("image", "image[]") for file in request.files.get(name, [])]
    if request.path.endswith("edits") and not references:
        raise InvalidRequest("image is required")
    pictures = [{"b64_json": base64.b64encode(_png(f"{prompt} {number}")).decode()} for number in range(int(amount))]
    text, seen = _tokens(prompt), TOKENS_PER_PICTURE * len(references)
    made = TOKENS_PER_PICTURE * int(amount)
    body: dict[str, Any] = {"created": created, "data": pictures, "output_format": "png"}
    report = {"input_tokens": text + seen, "output_tokens": made, "total_tokens": text + seen + made}
    _report(body, script, report)
    if script.usage == "normal":
        body["usage"]["input_tokens_details"] = {"text_tokens": text, "image_tokens": seen}
        body["usage"]["output_tokens_details"] = {"text_tokens": 0, "image_tokens": made}
    return OperationResult(encode(body), prompt_tokens=text + seen, completion=made)


def _png(seed: str) -> bytes:
    """Eight by eight pixels of one colour."""
    colour = hashlib.sha256(seed.encode()).digest()[:3]
    rows = (b"\x00" + colour * 8) * 8
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + data


def _speech(request: OperationRequest, script: Script, _: int) -> OperationResult:
    text, kind = request.body.get("input"), request.body.get("response_format") or "mp3"
    if not isinstance(text, str) or not text:
        raise InvalidRequest("input is required")
    length_ms = MS_PER_CHARACTER * len(text)
    if kind == "mp3":
        body, media = b"\xff\xfb\x90\xc4" + bytes(413), "audio/mpeg"  # a silent frame: 128 kbit/s, 44.1 kHz, 26 ms
        body *= -(-length_ms * 44_100 // 1_152_000)
    elif kind in ("pcm", "wav"):
        body, media = _tone(length_ms), f"audio/{kind}"
        if kind == "wav":
            body = _wav_head(len(body)) + body
    else:
        raise InvalidRequest(f"response_format {kind!r} is not made here: mp3, wav, pcm")
    return OperationResult(body, media, prompt_tokens=_tokens(text))


def _tone(length_ms: int) -> bytes:
    """440 Hz, 16 bit, mono, little-endian."""
    amount = SPEECH_HZ * length_ms // 1000
    period = [round(8_000 * math.sin(2 * math.pi * 440 * at / SPEECH_HZ)) for at in range(600)]  # 11 whole waves
    return struct.pack(f"<{amount}h", *(period[at % 600] for at in range(amount)))


def _wav_head(size: int) -> bytes:
    form = struct.pack("<HHIIHH", 1, 1, SPEECH_HZ, 2 * SPEECH_HZ, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", size)
    )


def _transcription(request: OperationRequest, script: Script, _: int) -> OperationResult:
    file = next(iter(request.files.get("file", [])), None)
    if file is None:
        raise InvalidRequest("file is required")
    seconds = _seconds(file)
    transcript = str(request.body.get("prompt", "")) if script.echo else "".join(tokens.numbers(script.tokens)).strip()
    body: dict[str, Any] = {"text": transcript}
    if request.body.get("response_format") == "verbose_json":
        language = request.body.get("language", "english")
        segment = {
            "id": 0,
            "seek": 0,
            "start": 0.0,
            "end": seconds,
            "text": transcript,
            "tokens": [],
            "temperature": 0.0,
        }
        segment |= {"avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0}
        body |= {"task": "transcribe", "language": language, "duration": seconds, "segments": [segment]}
        if "word" in request.body.get("timestamp_granularities", ()):
            words = transcript.split()
            each = seconds / (len(words) or 1)
            body["words"] = [{"word": w, "start": at * each, "end": (at + 1) * each} for at, w in enumerate(words)]
    _report(body, script, {"seconds": seconds})
    if "usage" in body:
        body["usage"]["type"] = "duration"
    return OperationResult(encode(body))


def _seconds(file: bytes) -> float:
    """The duration in the WAV header; of any other format 16 kB count as a second."""
    if file[:4] == b"RIFF" and len(file) >= 44:
        rate, size = (int.from_bytes(file[at : at + 4], "little") for at in (28, 40))
        return round(min(size, len(file) - 44) / (rate or 1), 3)
    return round(len(file) / 16_000, 3)


def _report(body: dict[str, Any], script: Script, counts: Mapping[str, float]) -> None:
    """Adds the usage, distorted by ``usage=KIND``."""
    if script.usage == "none":
        return
    factor = {"zero": 0, "negative": -1, "absurd": 1_000_000_000}.get(script.usage, 1)
    report: dict[str, Any] = {name: count * factor for name, count in counts.items()}
    body["usage"] = {name: str(count) for name, count in report.items()} if script.usage == "text" else report


def _tokens(one: Any) -> int:
    text = one if isinstance(one, str) else tokens.message_text(one) if isinstance(one, dict) else ""
    return -(-len(text.encode()) // tokens.BYTES_PER_TOKEN)


OPERATIONS: Mapping[str, Callable[[OperationRequest, Script, int], OperationResult]] = {
    "/v1/embeddings": _embeddings,
    "/v1/rerank": _rerank,
    "/v1/images/generations": _images,
    "/v1/images/edits": _images,
    "/v1/audio/speech": _speech,
    "/v1/audio/transcriptions": _transcription,
}

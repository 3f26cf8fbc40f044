"""Whole answers of Gemini in the inner language, and the parts that streams share. Pure.

A stream is a sequence of the same documents as a whole answer, so both are read by ``Answer``. A blocked prompt is a 200
without candidates (google-genai 3.4 ``types``, ai.google.dev/api/generate-content, 2026-11).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from providers.errors import ProviderError, excerpt, failed
from providers.gemini.errors import error_from_body, error_object
from providers.gemini.signatures import FORMAT, sealed
from providers.gemini.usage import searches, usage_of
from providers.types import Completion, Json, Usage
from providers.usage import later

FINISH: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "OTHER": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "ESCALATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
"""Gemini's finish reasons to ours (google-genai 3.4 ``types.FinishReason``); an unlisted one becomes ``stop``."""
_ERRORS: Final = {
    "MALFORMED_FUNCTION_CALL": "malformed",
    "MALFORMED_RESPONSE": "malformed",
    "UNEXPECTED_TOOL_CALL": "malformed",
    "TOO_MANY_TOOL_CALLS": "malformed",
    "MISSING_THOUGHT_SIGNATURE": "unsupported",
    "PUP_LIMITED_DISABLED": "forbidden",
}
"""Finish reasons that are errors, to the kinds of ``failures.yaml``."""
_VAGUE: Final = frozenset({"OTHER", "IMAGE_OTHER", "NO_IMAGE", "FINISH_REASON_UNSPECIFIED"})
"""Finish reasons that explain nothing: without any content before them, the answer is empty."""
CHOICES_MAX = 64
_decode = msgspec.json.Decoder().decode


def document(raw: bytes) -> Json:
    """The JSON object of an answer. Raises ``ProviderError``: malformed, or the error that the object is."""
    try:
        body = _decode(raw)
    except (ValueError, RecursionError) as broken:
        raise failed("malformed", f"not JSON: {broken}", raw=excerpt(raw)) from broken
    if not isinstance(body, dict) or "error" in body:
        error = error_object(body)
        if error is not None:
            usage = body.get("usageMetadata") if isinstance(body, dict) else None
            raise error_from_body(error).reporting(usage_of(usage))
        if not isinstance(body, dict):
            raise failed("malformed", "not a JSON object", raw=excerpt(raw))
    return body


class Answer:
    """One answer, whole or streamed, while its documents are read."""

    __slots__ = ("choices", "id", "model", "origin", "usage")

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.choices: dict[int, Choice] = {}
        self.usage: Usage | None = None
        self.id = ""
        self.model = ""

    def read(self, body: Json, raw: bytes) -> list[tuple[Choice, Json]]:
        """The deltas of one document. Raises ``ProviderError``."""
        if not self.id:
            id, model = body.get("responseId"), body.get("modelVersion")
            self.model = model if isinstance(model, str) else ""
            self.id = blake2b(id.encode() if isinstance(id, str) else raw, digest_size=12).hexdigest()
        candidates = body.get("candidates")
        if not isinstance(candidates, list | None):
            raise failed("malformed", "candidates is not a list")
        deltas = []
        for position, candidate in enumerate(candidates or ()):
            choice = self._choice(candidate, position)
            deltas.append((choice, choice.read(candidate)))
        if candidates is None:
            self._blocked(body.get("promptFeedback"))
        usage = body.get("usageMetadata")
        if usage is not None:
            self._count(usage)
        return deltas

    def _count(self, raw: Any) -> None:
        """Add a report of usage: final when every candidate has a finish reason. The first ones may count the prompt alone."""
        counted = usage_of(raw)
        if counted is None:
            return
        if not self.choices or any(choice.native is None for choice in self.choices.values()):
            counted = replace(counted, interim=True)
        self.usage = counted if self.usage is None else later(self.usage, counted)

    def _choice(self, candidate: Any, position: int) -> Choice:
        index = candidate.get("index", position) if isinstance(candidate, dict) else None
        if not isinstance(index, int) or not 0 <= index < CHOICES_MAX:
            raise failed("malformed", "a candidate is not an object or has no valid index")
        choice = self.choices.get(index)
        if choice is None:
            prefix = self.id if index == 0 else f"{self.id}{index:x}"
            choice = self.choices[index] = Choice(index, prefix, self.origin)
        return choice

    def _blocked(self, feedback: Any) -> None:
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if isinstance(reason, str) and not self.choices:
            choice = self.choices[0] = Choice(0, self.id, self.origin)
            choice.native = reason
            choice.blocked = True
            message = feedback.get("blockReasonMessage")
            choice.refusal = message if isinstance(message, str) else None

    def finish(self, choice: Choice) -> str:
        """Our finish reason. Raises ``ProviderError``, with the usage, for an ending that is an error."""
        try:
            return choice.finish()
        except ProviderError as error:
            raise error.reporting(self.counted()) from None

    def counted(self) -> Usage | None:
        """The usage, with the searches that Google bills."""
        made = sum(searches(choice.queries, self.model) for choice in self.choices.values())
        if self.usage is None or not made:
            return self.usage
        return replace(self.usage, units={"web_search": made})


def completion(raw: bytes, origin: str) -> Completion:
    """A whole answer. Raises ``ProviderError``."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    answer = Answer(origin)
    deltas = answer.read(document(raw), raw)
    if not answer.choices:
        raise failed("empty", "the answer has no candidates", status=200)
    choices = []
    by_index = {choice.index: delta for choice, delta in deltas}
    for index, choice in sorted(answer.choices.items()):
        finish = answer.finish(choice)
        message: Json = {"role": "assistant", "content": None, "refusal": choice.refusal}
        message.update(by_index.get(index, {}))
        for call in message.get("tool_calls", ()):
            del call["index"]
        annotations = choice.annotations()
        if annotations:
            message["annotations"] = annotations
        one: Json = {"index": index, "message": message, "finish_reason": finish, "native_finish_reason": choice.native}
        logprobs = choice.logprobs
        one["logprobs"] = {"content": logprobs, "refusal": None} if logprobs else None
        choices.append(one)
    body = {"id": answer.id, "object": "chat.completion", "created": 0, "model": answer.model, "choices": choices}
    usage = answer.counted()
    return Completion(body, replace(usage, interim=False) if usage is not None else None)


class Choice:
    """One candidate, read part by part into deltas of the inner language."""

    __slots__ = (
        "_call_ids", "_calls", "_citations", "_detail", "_grounding", "_images", "_length", "_prefix", "_texts", "_thought",
        "blocked", "index", "logprobs", "native", "origin", "queries", "refusal", "started",
    )  # fmt: skip

    def __init__(self, index: int, prefix: str, origin: str) -> None:
        self.index = index
        self.origin = origin
        self.started = False
        """A stream has emitted the role."""
        self.blocked = False
        self.native: str | None = None
        """Gemini's own finish reason, once known."""
        self.refusal: str | None = None
        self.logprobs: list[Json] = []
        self.queries: Any = None
        self._prefix = prefix
        self._texts: list[str] = []
        self._length = 0
        """Characters of content so far."""
        self._thought: int | None = None
        """Index of the open reasoning detail, to which further thoughts are appended."""
        self._detail = 0
        self._calls = 0
        self._images = 0
        self._call_ids: set[str] = set()
        self._grounding: Json | None = None
        self._citations: Any = None

    def read(self, candidate: Json) -> Json:
        """The delta of the candidate in one document. Raises ``ProviderError`` (malformed)."""
        native = candidate.get("finishReason")
        if isinstance(native, str) and native:
            self.native = native
        if len(candidate) > 2:
            self._metadata(candidate)
        content = candidate.get("content")
        if content is None:
            return {}
        parts = content.get("parts", ()) if isinstance(content, dict) else None
        if not isinstance(parts, list | tuple):
            raise failed("malformed", "a candidate's content has no list of parts")
        delta: Json = {}
        for part in parts:
            if not isinstance(part, dict):
                raise failed("malformed", "a part is not an object")
            self._part(part, delta)
        return delta

    def finish(self) -> str:
        """Our finish reason. Raises ``ProviderError`` for an ending that is an error."""
        native = self.native or "FINISH_REASON_UNSPECIFIED"
        if self.blocked:
            return "content_filter"
        if native in _ERRORS:
            raise failed(_ERRORS[native], f"Gemini ended the answer with {native}", provider_code=native, status=200)
        empty = not (self._length or self._calls or self._images)
        if native in _VAGUE and empty:
            raise failed("empty", f"Gemini ended an empty answer with {native}", provider_code=native, status=200)
        finish = FINISH.get(native, "stop")
        return "tool_calls" if finish == "stop" and self._calls else finish

    def _part(self, part: Json, delta: Json) -> None:
        text = part.get("text")
        signature = part.get("thoughtSignature")
        if not isinstance(signature, str) or not signature:
            signature = None
        thought = part.get("thought") is True
        if isinstance(text, str):
            if thought:
                self._think(text, signature, delta)
            else:
                self._text(text, signature, delta)
        elif "functionCall" in part:
            self._call(part["functionCall"], signature, delta)
        elif "inlineData" in part:
            if not thought:  # an intermediate image of the thinking
                self._inline(part["inlineData"], signature, delta)
        elif isinstance(part.get("executableCode"), dict):
            code = part["executableCode"]
            self._text(f"\n```{str(code.get('language', '')).lower()}\n{code.get('code', '')}\n```\n", signature, delta)
        elif isinstance(part.get("codeExecutionResult"), dict):
            self._text(f"\n```\n{part['codeExecutionResult'].get('output', '')}\n```\n", signature, delta)

    def _text(self, text: str, signature: str | None, delta: Json) -> None:
        self._thought = None
        if text:
            delta["content"] = delta["content"] + text if "content" in delta else text
            self._texts.append(text)
            self._length += len(text)
        if signature is not None:
            self._signature(signature, f"text-{self._length - len(text)}-{self._length}", delta)

    def _think(self, text: str, signature: str | None, delta: Json) -> None:
        if self._thought is None:
            self._thought = self._detail
            self._detail += 1
        if text:
            delta["reasoning"] = delta.get("reasoning", "") + text
            details = delta.setdefault("reasoning_details", [])
            if details and details[-1]["index"] == self._thought:
                details[-1]["text"] += text
            else:
                details.append({"type": "reasoning.text", "text": text, "format": FORMAT, "index": self._thought})
        if signature is not None:
            self._signature(signature, f"thought-{self._thought}", delta)
            self._thought = None

    def _signature(self, signature: str, id: str, delta: Json) -> None:
        delta.setdefault("reasoning_details", []).append(sealed(self.origin, signature, id, self._detail))
        self._detail += 1

    def _call(self, call: Any, signature: str | None, delta: Json) -> None:
        name = call.get("name") if isinstance(call, dict) else None
        args = call.get("args") if isinstance(call, dict) else None
        if not isinstance(name, str) or not name or not isinstance(args, dict | None):
            raise failed("malformed", "a function call without a name, or with arguments that are not an object")
        self._thought = None
        id = call.get("id")
        if not isinstance(id, str) or not id or id in self._call_ids:
            id = f"call_{self._prefix}_{self._calls}"
        self._call_ids.add(id)
        function = {"name": name, "arguments": msgspec.json.encode(args or {}).decode()}
        made = {"index": self._calls, "id": id, "type": "function", "function": function}
        delta.setdefault("tool_calls", []).append(made)
        self._calls += 1
        if signature is not None:
            self._signature(signature, id, delta)

    def _inline(self, blob: Any, signature: str | None, delta: Json) -> None:
        data = blob.get("data") if isinstance(blob, dict) else None
        mime = blob.get("mimeType") if isinstance(blob, dict) else None
        if not isinstance(data, str) or not isinstance(mime, str):
            raise failed("malformed", "inline data without data or MIME type")
        self._thought = None
        if mime.startswith("audio/"):
            audio = delta.setdefault(
                "audio", {"id": f"audio_{self._prefix}", "data": "", "expires_at": 0, "transcript": ""}
            )
            audio["data"] = _concatenated(audio["data"], data)
        else:
            image = {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}"}}
            delta.setdefault("images", []).append(image)
        if signature is not None and not mime.startswith("audio/"):
            self._signature(signature, f"image-{self._images}", delta)
        self._images += 1

    def _metadata(self, candidate: Json) -> None:
        """Sources, citations and log probabilities."""
        grounding = candidate.get("groundingMetadata")
        if isinstance(grounding, dict) and grounding:
            self._grounding = grounding
            self.queries = grounding.get("webSearchQueries") or self.queries
        citations = candidate.get("citationMetadata")
        if isinstance(citations, dict):
            self._citations = citations.get("citations") or citations.get("citationSources")
        result = candidate.get("logprobsResult")
        if isinstance(result, dict):
            self.logprobs += _logprobs(result)

    def annotations(self) -> list[Json]:
        """Sources of the text so far, as ``url_citation``; offsets count characters of ``content``."""
        made = []
        grounding = self._grounding or {}
        chunks = grounding.get("groundingChunks")
        sources = [_source(chunk) for chunk in chunks] if isinstance(chunks, list) else []
        supports = grounding.get("groundingSupports")
        text = "".join(self._texts).encode() if supports else b""
        for support in supports if isinstance(supports, list) else ():
            segment = support.get("segment") if isinstance(support, dict) else None
            numbers = support.get("groundingChunkIndices") if isinstance(support, dict) else None
            start, end = _offsets(segment, text)
            for number in numbers if isinstance(numbers, list) else ():
                if isinstance(number, int) and 0 <= number < len(sources) and sources[number] is not None:
                    made.append(_citation(sources[number], start, end))
        if not made:
            made = [_citation(source, 0, 0) for source in sources if source is not None]
        for citation in self._citations if isinstance(self._citations, list) else ():
            if isinstance(citation, dict) and isinstance(citation.get("uri"), str):
                title = citation.get("title")
                source = (citation["uri"], title if isinstance(title, str) else "")
                made.append(_citation(source, *_offsets(citation, "".join(self._texts).encode())))
        return made


def _concatenated(before: str, more: str) -> str:
    """Two base64 texts as one; either may be padded."""
    try:
        return b64encode(b64decode(before) + b64decode(more)).decode() if before else more
    except ValueError as error:
        raise failed("malformed", f"audio is not base64: {error}") from error


def _source(chunk: Any) -> tuple[str, str] | None:
    for kind in ("web", "maps", "retrievedContext"):
        inner = chunk.get(kind) if isinstance(chunk, dict) else None
        if isinstance(inner, dict) and isinstance(inner.get("uri"), str):
            title = inner.get("title")
            return inner["uri"], title if isinstance(title, str) else ""
    return None


def _citation(source: tuple[str, str] | None, start: int, end: int) -> Json:
    url, title = source or ("", "")
    return {
        "type": "url_citation",
        "url_citation": {"url": url, "title": title, "start_index": start, "end_index": end},
    }


def _offsets(segment: Any, text: bytes) -> tuple[int, int]:
    """Start and end in characters; Gemini counts bytes of UTF-8."""
    offsets = []
    for name in ("startIndex", "endIndex"):
        at = segment.get(name, 0) if isinstance(segment, dict) else 0
        at = min(max(at, 0), len(text)) if isinstance(at, int) else 0
        offsets.append(len(text[:at].decode("utf-8", "ignore")))
    return offsets[0], offsets[1]


def _logprobs(result: Json) -> list[Json]:
    chosen, top = result.get("chosenCandidates"), result.get("topCandidates")
    made = []
    for position, one in enumerate(chosen if isinstance(chosen, list) else ()):
        token = _token(one)
        if token is None:
            continue
        others = top[position] if isinstance(top, list) and position < len(top) else None
        ranked = others.get("candidates") if isinstance(others, dict) else None
        token["top_logprobs"] = [t for t in map(_token, ranked if isinstance(ranked, list) else ()) if t is not None]
        made.append(token)
    return made


def _token(one: Any) -> Json | None:
    token = one.get("token") if isinstance(one, dict) else None
    value = one.get("logProbability") if isinstance(one, dict) else None
    if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}

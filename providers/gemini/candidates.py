"""One candidate of Gemini's, read part by part into deltas of the inner language. Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Final

import msgspec

from providers.errors import failed
from providers.gemini.signatures import FORMAT, sealed
from providers.types import Json

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
"""Gemini's finish reasons to ours (google-genai 3.4 ``types.FinishReason``); what is not listed is ``stop``."""
_BROKEN: Final = {
    "MALFORMED_FUNCTION_CALL": "malformed",
    "MALFORMED_RESPONSE": "malformed",
    "UNEXPECTED_TOOL_CALL": "malformed",
    "TOO_MANY_TOOL_CALLS": "malformed",
    "MISSING_THOUGHT_SIGNATURE": "unsupported",
    "PUP_LIMITED_DISABLED": "credential",
}
"""Reasons that are no ending of an answer, and the failure they are."""
_VAGUE: Final = frozenset({"OTHER", "IMAGE_OTHER", "NO_IMAGE", "FINISH_REASON_UNSPECIFIED"})
"""Reasons that explain nothing: with nothing said before, the answer is empty."""


class Choice:
    """What is known of one candidate so far."""

    __slots__ = (
        "_calls", "_cited", "_detail", "_grounds", "_ids", "_images", "_pieces", "_prefix", "_said", "_thought",
        "began", "blocked", "index", "logprobs", "native", "origin", "queries", "refusal",
    )  # fmt: skip

    def __init__(self, index: int, prefix: str, origin: str) -> None:
        self.index = index
        self.origin = origin
        self.began = False
        self.blocked = False
        self.native: str | None = None
        """Gemini's own finish reason, once it has come."""
        self.refusal: str | None = None
        self.logprobs: list[Json] = []
        self.queries: Any = None
        self._prefix = prefix
        self._pieces: list[str] = []
        self._said = 0
        """Characters of text so far."""
        self._thought: int | None = None
        """Index of the reasoning detail that thoughts go on in."""
        self._detail = 0
        self._calls = 0
        self._images = 0
        self._ids: set[str] = set()
        self._grounds: Json | None = None
        self._cited: Any = None

    def read(self, candidate: Json) -> Json:
        """The delta of one document's candidate. Raises ``ProviderError`` (malformed)."""
        native = candidate.get("finishReason")
        if isinstance(native, str) and native:
            self.native = native
        if len(candidate) > 2:
            self._aside(candidate)
        content = candidate.get("content")
        if content is None:
            return {}
        parts = content.get("parts", ()) if isinstance(content, dict) else None
        if not isinstance(parts, list | tuple):
            raise failed("malformed", "a candidate's content has no list of parts")
        delta: Json = {}
        for part in parts:
            if not isinstance(part, dict):
                raise failed("malformed", "a part is no object")
            self._part(part, delta)
        return delta

    def finish(self) -> str:
        """Our finish reason. Raises ``ProviderError`` for an ending that is none."""
        native = self.native or "FINISH_REASON_UNSPECIFIED"
        if self.blocked:
            return "content_filter"
        if native in _BROKEN:
            raise failed(_BROKEN[native], f"Gemini ended the answer with {native}", provider_code=native, status=200)
        nothing = not (self._said or self._calls or self._images)
        if native in _VAGUE and nothing:
            raise failed("empty", f"Gemini said nothing and ended with {native}", provider_code=native, status=200)
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
                self._say(text, signature, delta)
        elif "functionCall" in part:
            self._call(part["functionCall"], signature, delta)
        elif "inlineData" in part:
            if not thought:  # a sketch on the way to the picture
                self._show(part["inlineData"], signature, delta)
        elif isinstance(part.get("executableCode"), dict):
            code = part["executableCode"]
            self._say(f"\n```{str(code.get('language', '')).lower()}\n{code.get('code', '')}\n```\n", signature, delta)
        elif isinstance(part.get("codeExecutionResult"), dict):
            self._say(f"\n```\n{part['codeExecutionResult'].get('output', '')}\n```\n", signature, delta)

    def _say(self, text: str, signature: str | None, delta: Json) -> None:
        self._thought = None
        if text:
            delta["content"] = delta["content"] + text if "content" in delta else text
            self._pieces.append(text)
            self._said += len(text)
        if signature is not None:
            self._seal(signature, f"text-{self._said - len(text)}-{self._said}", delta)

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
            self._seal(signature, f"thought-{self._thought}", delta)
            self._thought = None

    def _seal(self, signature: str, id: str, delta: Json) -> None:
        delta.setdefault("reasoning_details", []).append(sealed(self.origin, signature, id, self._detail))
        self._detail += 1

    def _call(self, call: Any, signature: str | None, delta: Json) -> None:
        name = call.get("name") if isinstance(call, dict) else None
        args = call.get("args") if isinstance(call, dict) else None
        if not isinstance(name, str) or not name or not isinstance(args, dict | None):
            raise failed("malformed", "a function call without a name or with arguments that are no object")
        self._thought = None
        id = call.get("id")
        if not isinstance(id, str) or not id or id in self._ids:
            id = f"call_{self._prefix}_{self._calls}"
        self._ids.add(id)
        function = {"name": name, "arguments": msgspec.json.encode(args or {}).decode()}
        made = {"index": self._calls, "id": id, "type": "function", "function": function}
        delta.setdefault("tool_calls", []).append(made)
        self._calls += 1
        if signature is not None:
            self._seal(signature, id, delta)

    def _show(self, blob: Any, signature: str | None, delta: Json) -> None:
        data = blob.get("data") if isinstance(blob, dict) else None
        mime = blob.get("mimeType") if isinstance(blob, dict) else None
        if not isinstance(data, str) or not isinstance(mime, str):
            raise failed("malformed", "inline data without data or type")
        self._thought = None
        if mime.startswith("audio/"):
            audio = delta.setdefault(
                "audio", {"id": f"audio_{self._prefix}", "data": "", "expires_at": 0, "transcript": ""}
            )
            audio["data"] = _joined(audio["data"], data)
        else:
            image = {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}"}}
            delta.setdefault("images", []).append(image)
        if signature is not None and not mime.startswith("audio/"):
            self._seal(signature, f"image-{self._images}", delta)
        self._images += 1

    def _aside(self, candidate: Json) -> None:
        """What is neither content nor its end."""
        grounds = candidate.get("groundingMetadata")
        if isinstance(grounds, dict) and grounds:
            self._grounds = grounds
            self.queries = grounds.get("webSearchQueries") or self.queries
        cited = candidate.get("citationMetadata")
        if isinstance(cited, dict):
            self._cited = cited.get("citations") or cited.get("citationSources")
        result = candidate.get("logprobsResult")
        if isinstance(result, dict):
            self.logprobs += _logprobs(result)

    def annotations(self) -> list[Json]:
        """Sources of the text so far, as ``url_citation``; places count characters of ``content``."""
        made = []
        grounds = self._grounds or {}
        chunks = grounds.get("groundingChunks")
        sources = [_source(chunk) for chunk in chunks] if isinstance(chunks, list) else []
        supports = grounds.get("groundingSupports")
        text = "".join(self._pieces).encode() if supports else b""
        for support in supports if isinstance(supports, list) else ():
            segment = support.get("segment") if isinstance(support, dict) else None
            numbers = support.get("groundingChunkIndices") if isinstance(support, dict) else None
            start, end = _place(segment, text)
            for number in numbers if isinstance(numbers, list) else ():
                if isinstance(number, int) and 0 <= number < len(sources) and sources[number] is not None:
                    made.append(_citation(sources[number], start, end))
        if not made:
            made = [_citation(source, 0, 0) for source in sources if source is not None]
        for cited in self._cited if isinstance(self._cited, list) else ():
            if isinstance(cited, dict) and isinstance(cited.get("uri"), str):
                title = cited.get("title")
                source = (cited["uri"], title if isinstance(title, str) else "")
                made.append(_citation(source, *_place(cited, "".join(self._pieces).encode())))
        return made


def _joined(before: str, more: str) -> str:
    """Two base64 texts as one."""
    try:
        return b64encode(b64decode(before) + b64decode(more)).decode() if before else more
    except ValueError as error:
        raise failed("malformed", f"sound is not base64: {error}") from error


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


def _place(segment: Any, text: bytes) -> tuple[int, int]:
    """Gemini counts bytes of UTF-8, clients count characters."""
    places = []
    for name in ("startIndex", "endIndex"):
        at = segment.get(name, 0) if isinstance(segment, dict) else 0
        at = min(max(at, 0), len(text)) if isinstance(at, int) else 0
        places.append(len(text[:at].decode("utf-8", "ignore")))
    return places[0], places[1]


def _logprobs(result: Json) -> list[Json]:
    chosen, top = result.get("chosenCandidates"), result.get("topCandidates")
    made = []
    for place, one in enumerate(chosen if isinstance(chosen, list) else ()):
        token = _token(one)
        if token is None:
            continue
        others = top[place] if isinstance(top, list) and place < len(top) else None
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

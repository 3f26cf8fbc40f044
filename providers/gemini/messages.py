"""Conversations as Gemini's ``contents``: roles, parts, media, calls, results and signatures. Pure.

Gemini knows two roles, ``user`` and ``model``; results of calls are a user's turn of their own, in the order of the calls
(ai.google.dev/gemini-api/docs/function-calling, read 2026-11). Ids of calls go out from Gemini 3 on: Vertex refused them for
older models (github.com/anomalyco/opencode/pull/50504, 2026-09).
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from providers.chat.messages import data_of
from providers.errors import failed
from providers.gemini.signatures import Signed, excuse
from providers.types import Json

FILES_API: Final = "https://generativelanguage.googleapis.com/v1beta/files/"
_YOUTUBE = ("youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be")
_MIME: Final = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif", "heic": "image/heic",
    "heif": "image/heif", "pdf": "application/pdf", "txt": "text/plain", "md": "text/plain", "csv": "text/csv",
    "html": "text/html", "json": "application/json", "mp3": "audio/mp3", "wav": "audio/wav", "ogg": "audio/ogg",
    "flac": "audio/flac", "aac": "audio/aac", "aiff": "audio/aiff", "m4a": "audio/mp4", "opus": "audio/opus", "mp4": "video/mp4",
    "mpeg": "video/mpeg", "mov": "video/quicktime", "webm": "video/webm", "avi": "video/x-msvideo", "3gp": "video/3gpp",
}  # fmt: skip
_DEFAULT_MIME: Final = {"image": "image/jpeg", "file": "application/pdf", "video": "video/mp4", "audio": "audio/wav"}


class Voice(msgspec.Struct, frozen=True):
    """How one endpoint wants to be spoken to."""

    origin: str
    """``gemini`` or ``vertex``: whose signatures may return."""
    takes_urls: bool
    """Vertex fetches http(s) and gs:// itself."""
    third: bool
    """Gemini 3 and later: ids of calls, pictures inside results, signatures demanded."""


def native_uri(url: str) -> bool:
    """AI Studio takes this URL as it is: a file of its Files API, or a video of YouTube."""
    return url.startswith(FILES_API) or _on_youtube(url)


def _on_youtube(url: str) -> bool:
    return url.startswith("https://") and _split(url).hostname in _YOUTUBE


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # no URL, though it begins as one
        return urlsplit("")


def contents(messages: list[Json], voice: Voice) -> tuple[list[Json], list[Json]]:
    """Parts of the system instruction, and the turns. Raises ``ProviderError`` (unsupported) naming the field."""
    writer = _Writer(voice)
    for index, message in enumerate(messages):
        writer.take(message, f"messages[{index}]")
    writer.flush()
    if not writer.turns:  # Gemini refuses a request without turns
        return [], [{"role": "user", "parts": writer.system or [{"text": " "}]}]
    if voice.third:
        excuse(writer.turns)
    return writer.system, writer.turns


def media(url: Any, voice: Voice, kind: str, where: str, *, name: Any = None) -> Json:
    """A picture, file, video or sound as a part; ``kind`` is ``image``, ``file``, ``video`` or ``audio``."""
    if not isinstance(url, str) or not url:
        raise failed("unsupported", f"{where} has no URL")
    if url[:5].lower() == "data:":
        mime, data = data_of(url, where)
        return {"inlineData": {"mimeType": _mime(mime, name, kind), "data": data}}
    if native_uri(url):
        mime = "video/mp4" if _on_youtube(url) else _mime("", name, kind)
        return {"fileData": {"mimeType": mime, "fileUri": url}}
    if voice.takes_urls and url.startswith(("gs://", "https://", "http://")):
        return {"fileData": {"mimeType": _mime("", name or _split(url).path, kind), "fileUri": url}}
    raise failed("unsupported", f"{where} is a URL that this vendor does not fetch")


def _mime(mime: str, name: Any, kind: str) -> str:
    if mime and mime != "application/octet-stream":
        return "image/jpeg" if mime == "image/jpg" else mime
    suffix = name.rpartition(".")[2].lower() if isinstance(name, str) else ""
    return _MIME.get(suffix) or _DEFAULT_MIME[kind]


def parts_of(content: Any, voice: Voice, where: str) -> list[Json]:
    """A message's content as parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    if not isinstance(content, list):
        raise failed("unsupported", f"{where} is neither text nor parts")
    made = (_part(one, voice, f"{where}[{index}]") for index, one in enumerate(content))
    return [part for part in made if part is not None]


def _part(part: Any, voice: Voice, where: str) -> Json | None:
    kind = part.get("type") if isinstance(part, dict) else None
    inner = part.get(kind) if isinstance(kind, str) else None
    if kind in ("text", "refusal"):
        if not isinstance(inner, str):
            raise failed("unsupported", f"{where}.{kind} is no text")
        return {"text": inner} if inner else None
    if kind in ("image_url", "video_url", "input_video") and isinstance(inner, dict | str):
        url = inner if isinstance(inner, str) else inner.get("url")
        return media(url, voice, "image" if kind == "image_url" else "video", f"{where}.{kind}.url")
    if kind == "input_audio" and isinstance(inner, dict):
        data, form = inner.get("data"), str(inner.get("format", "wav")).lower()
        if not isinstance(data, str) or not data:
            raise failed("unsupported", f"{where}.input_audio.data is no text")
        if data[:5].lower() == "data:":
            return media(data, voice, "audio", f"{where}.input_audio.data", name=f".{form}")
        return {"inlineData": {"mimeType": _MIME.get(form, f"audio/{form}"), "data": data}}
    if kind == "file" and isinstance(inner, dict):
        url, name = inner.get("file_data"), inner.get("filename")
        if url is None and isinstance(inner.get("file_id"), str):
            url = inner["file_id"]
            url = FILES_API + url.removeprefix("files/") if url.startswith("files/") else url
        return media(url, voice, "file", f"{where}.file", name=name)
    raise failed("unsupported", f"{where} is a part of type {str(kind)[:40]!r}, which Gemini does not take")


class _Writer:
    """Turns being written."""

    def __init__(self, voice: Voice) -> None:
        self.system: list[Json] = []
        self.turns: list[Json] = []
        self._voice = voice
        self._kind = ""
        self._calls: dict[str, str] = {}
        """Names of the functions called so far, by the id of the call."""
        self._order: dict[str, int] = {}
        """Places of the calls in the last assistant message."""
        self._results: list[tuple[int, list[Json]]] = []

    def take(self, message: Json, where: str) -> None:
        role = message.get("role")
        if role == "tool":
            self._results.append(self._result(message, where))
            return
        self.flush()
        if role in ("system", "developer"):
            self.system += parts_of(message.get("content"), self._voice, f"{where}.content")
        elif role == "user":
            parts = parts_of(message.get("content"), self._voice, f"{where}.content") or [{"text": " "}]
            name = message.get("name")
            if isinstance(name, str) and name and "text" in parts[0]:
                parts[0] = {"text": f"{name}: {parts[0]['text']}"}
            self._add("user", "user", parts)
        elif role == "assistant":
            self._add("model", "model", self._answer(message, where))
        else:
            raise failed("unsupported", f"{where}.role is {str(role)[:40]!r}, which Gemini does not know")

    def flush(self) -> None:
        """Write the results gathered so far as one turn, in the order of their calls."""
        if self._results:
            self._results.sort(key=lambda result: result[0])
            self._add("results", "user", [part for _, parts in self._results for part in parts])
            self._results = []

    def _add(self, kind: str, role: str, parts: list[Json]) -> None:
        if not parts:
            return
        if kind == self._kind:
            self.turns[-1]["parts"] += parts
        else:
            self.turns.append({"role": role, "parts": parts})
            self._kind = kind

    def _result(self, message: Json, where: str) -> tuple[int, list[Json]]:
        id = message.get("tool_call_id")
        name = self._calls.get(id) if isinstance(id, str) else None
        name = name or message.get("name")
        if not isinstance(name, str) or not name:
            raise failed("unsupported", f"{where}.tool_call_id names no call of this conversation")
        parts = parts_of(message.get("content"), self._voice, f"{where}.content")
        # Always as text: Google's own number type is a double, and a parsed result would lose digits of long ids.
        response: Json = {"name": name, "response": {"output": "\n".join(p["text"] for p in parts if "text" in p)}}
        if self._voice.third and isinstance(id, str):
            response["id"] = id
        seen = [part for part in parts if "text" not in part]
        place = self._order.get(id, len(self._order)) if isinstance(id, str) else 0
        if seen and self._voice.third:
            response["parts"] = seen
            seen = []
        return place, [{"functionResponse": response}, *seen]

    def _answer(self, message: Json, where: str) -> list[Json]:
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list) or not all(isinstance(one, dict) for one in calls):
            raise failed("unsupported", f"{where}.tool_calls is no list of calls")
        signed = Signed(message.get("reasoning_details"), [one.get("id") for one in calls], self._voice.origin)
        parts = signed.thoughts
        said = parts_of(message.get("content"), self._voice, f"{where}.content")
        text = "".join(part["text"] for part in said if "text" in part)
        refusal = message.get("refusal")
        parts += signed.texts(text or (refusal if isinstance(refusal, str) else ""))
        parts += [part for part in said if "text" not in part]
        images = message.get("images")
        for index, image in enumerate(images if isinstance(images, list) else ()):
            url = image.get("image_url", {}).get("url") if isinstance(image, dict) else None
            part = media(url, self._voice, "image", f"{where}.images[{index}]")
            parts.append(_sign(part, signed.images.get(index)))
        self._order = {}
        for index, call in enumerate(calls):
            parts.append(_sign(self._call(call, f"{where}.tool_calls[{index}]"), signed.calls.get(call.get("id"))))
        return parts

    def _call(self, call: Json, where: str) -> Json:
        function = call.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise failed("unsupported", f"{where} is no call of a function")
        raw = function.get("arguments")
        try:
            args = msgspec.json.decode(raw) if isinstance(raw, str) and raw.strip() else raw or {}
        except (ValueError, RecursionError):
            args = None
        if not isinstance(args, dict):
            raise failed("unsupported", f"{where}.function.arguments is no JSON object")
        made: Json = {"name": name, "args": args}
        id = call.get("id")
        if isinstance(id, str) and id:
            self._calls[id] = name
            self._order[id] = len(self._order)
            if self._voice.third:
                made["id"] = id
        return {"functionCall": made}


def _sign(part: Json, signature: str | None) -> Json:
    if signature is not None:
        part["thoughtSignature"] = signature
    return part

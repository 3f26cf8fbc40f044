"""Messages of the inner language as Gemini's ``contents``: roles, parts, media, calls, results, signatures. Pure.

Gemini knows two roles, ``user`` and ``model``; results of calls are a separate user turn, in the order of the calls
(ai.google.dev/gemini-api/docs/function-calling, read 2026-11). Ids of calls are sent to Gemini 3 and later: Vertex refused them for
older models (github.com/anomalyco/opencode/pull/50504, 2026-09).
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from providers.chat.messages import arguments_object, data_of
from providers.chat.turns import instructions_first
from providers.errors import failed
from providers.gemini.signatures import Signed, mark_unsigned
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


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What one endpoint accepts."""

    origin: str
    """``gemini`` or ``vertex``: each takes back only its own signatures."""
    takes_urls: bool
    """The vendor fetches http(s) and gs:// itself: Vertex."""
    gemini_3: bool
    """Gemini 3 and later: takes ids of calls and images inside results, requires signatures."""


def native_uri(url: str) -> bool:
    """Whether AI Studio opens this URL itself: a file of its Files API, or a YouTube video."""
    return url.startswith(FILES_API) or _on_youtube(url)


def _on_youtube(url: str) -> bool:
    return url.startswith("https://") and _split(url).hostname in _YOUTUBE


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # not a valid URL, though it begins as one
        return urlsplit("")


def contents(messages: list[Json], profile: Profile) -> tuple[list[Json], list[Json]]:
    """Parts of the system instruction, and the turns. Raises ``ProviderError`` (unsupported) naming the field."""
    writer = _Writer(profile)
    for index, message in enumerate(instructions_first(messages)):
        writer.add(message, f"messages[{index}]")
    writer.flush()
    if not writer.turns:  # Gemini refuses a request without turns
        return [], [{"role": "user", "parts": writer.system or [{"text": " "}]}]
    if profile.gemini_3:
        mark_unsigned(writer.turns)
    return writer.system, writer.turns


def media(url: Any, profile: Profile, kind: str, where: str, *, name: Any = None) -> Json:
    """An image, file, video or audio as a part; ``kind`` is ``image``, ``file``, ``video`` or ``audio``."""
    if not isinstance(url, str) or not url:
        raise failed("unsupported", f"{where} has no URL")
    if url[:5].lower() == "data:":
        mime, data = data_of(url, where)
        return {"inlineData": {"mimeType": _mime(mime, name, kind), "data": data}}
    if native_uri(url):
        mime = "video/mp4" if _on_youtube(url) else _mime("", name, kind)
        return {"fileData": {"mimeType": mime, "fileUri": url}}
    if profile.takes_urls and url.startswith(("gs://", "https://", "http://")):
        return {"fileData": {"mimeType": _mime("", name or _split(url).path, kind), "fileUri": url}}
    raise failed("unsupported", f"{where} is a URL that this vendor does not fetch")


def _mime(mime: str, name: Any, kind: str) -> str:
    if mime and mime != "application/octet-stream":
        return "image/jpeg" if mime == "image/jpg" else mime
    suffix = name.rpartition(".")[2].lower() if isinstance(name, str) else ""
    return _MIME.get(suffix) or _DEFAULT_MIME[kind]


def parts_of(content: Any, profile: Profile, where: str) -> list[Json]:
    """A message's content as parts."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    if not isinstance(content, list):
        raise failed("unsupported", f"{where} is neither text nor parts")
    made = (_part(one, profile, f"{where}[{index}]") for index, one in enumerate(content))
    return [part for part in made if part is not None]


def _part(part: Any, profile: Profile, where: str) -> Json | None:
    kind = part.get("type") if isinstance(part, dict) else None
    inner = part.get(kind) if isinstance(kind, str) else None
    if kind in ("text", "refusal"):
        if not isinstance(inner, str):
            raise failed("unsupported", f"{where}.{kind} is not a text")
        return {"text": inner} if inner else None
    if kind in ("image_url", "video_url", "input_video") and isinstance(inner, dict | str):
        url = inner if isinstance(inner, str) else inner.get("url")
        return media(url, profile, "image" if kind == "image_url" else "video", f"{where}.{kind}.url")
    if kind == "input_audio" and isinstance(inner, dict):
        data, form = inner.get("data"), str(inner.get("format", "wav")).lower()
        if not isinstance(data, str) or not data:
            raise failed("unsupported", f"{where}.input_audio.data is not a text")
        if data[:5].lower() == "data:":
            return media(data, profile, "audio", f"{where}.input_audio.data", name=f".{form}")
        return {"inlineData": {"mimeType": _MIME.get(form, f"audio/{form}"), "data": data}}
    if kind == "file" and isinstance(inner, dict):
        url, name = inner.get("file_data"), inner.get("filename")
        if url is None and isinstance(inner.get("file_id"), str):
            url = inner["file_id"]
            url = FILES_API + url.removeprefix("files/") if url.startswith("files/") else url
        return media(url, profile, "file", f"{where}.file", name=name)
    raise failed("unsupported", f"{where} is a part of type {str(kind)[:40]!r}, which Gemini does not take")


class _Writer:
    """Collects system parts and turns, message by message."""

    def __init__(self, profile: Profile) -> None:
        self.system: list[Json] = []
        self.turns: list[Json] = []
        self._profile = profile
        self._kind = ""
        self._calls: dict[str, str] = {}
        """Names of the functions called so far, by the id of the call."""
        self._order: dict[str, int] = {}
        """Positions of the calls in the last assistant message, by id."""
        self._results: list[tuple[int, list[Json]]] = []

    def add(self, message: Json, where: str) -> None:
        role = message.get("role")
        if role == "tool":
            self._results.append(self._result(message, where))
            return
        self.flush()
        if role in ("system", "developer"):
            self.system += parts_of(message.get("content"), self._profile, f"{where}.content")
        elif role == "user":
            parts = parts_of(message.get("content"), self._profile, f"{where}.content") or [{"text": " "}]
            name = message.get("name")
            if isinstance(name, str) and name and "text" in parts[0]:
                parts[0] = {"text": f"{name}: {parts[0]['text']}"}
            self._add("user", "user", parts)
        elif role == "assistant":
            self._add("model", "model", self._assistant(message, where))
        else:
            raise failed("unsupported", f"{where}.role is {str(role)[:40]!r}, which is unknown to Gemini")

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
            raise failed("unsupported", f"{where}.tool_call_id does not name a call of this conversation")
        parts = parts_of(message.get("content"), self._profile, f"{where}.content")
        # Always a text: Google's number type is a double, so a parsed result would lose digits of long ids.
        response: Json = {"name": name, "response": {"output": "\n".join(p["text"] for p in parts if "text" in p)}}
        if self._profile.gemini_3 and isinstance(id, str):
            response["id"] = id
        media_parts = [part for part in parts if "text" not in part]
        position = self._order.get(id, len(self._order)) if isinstance(id, str) else 0
        if media_parts and self._profile.gemini_3:
            response["parts"] = media_parts
            media_parts = []
        return position, [{"functionResponse": response}, *media_parts]

    def _assistant(self, message: Json, where: str) -> list[Json]:
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list) or not all(isinstance(one, dict) for one in calls):
            raise failed("unsupported", f"{where}.tool_calls is not a list of calls")
        signed = Signed(message.get("reasoning_details"), [one.get("id") for one in calls], self._profile.origin)
        parts = signed.thoughts
        content = parts_of(message.get("content"), self._profile, f"{where}.content")
        text = "".join(part["text"] for part in content if "text" in part)
        refusal = message.get("refusal")
        parts += signed.texts(text or (refusal if isinstance(refusal, str) else ""))
        parts += [part for part in content if "text" not in part]
        images = message.get("images")
        for index, image in enumerate(images if isinstance(images, list) else ()):
            url = image.get("image_url", {}).get("url") if isinstance(image, dict) else None
            part = media(url, self._profile, "image", f"{where}.images[{index}]")
            parts.append(_sign(part, signed.images.get(index)))
        self._order = {}
        for index, call in enumerate(calls):
            parts.append(_sign(self._call(call, f"{where}.tool_calls[{index}]"), signed.calls.get(call.get("id"))))
        return parts

    def _call(self, call: Json, where: str) -> Json:
        function = call.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not name:
            raise failed("unsupported", f"{where} is not a function call")
        made: Json = {"name": name, "args": arguments_object(function.get("arguments"))}
        id = call.get("id")
        if isinstance(id, str) and id:
            self._calls[id] = name
            self._order[id] = len(self._order)
            if self._profile.gemini_3:
                made["id"] = id
        return {"functionCall": made}


def _sign(part: Json, signature: str | None) -> Json:
    if signature is not None:
        part["thoughtSignature"] = signature
    return part

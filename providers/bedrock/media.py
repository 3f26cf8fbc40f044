"""Images, audio, videos and documents of the inner language as Converse content blocks that hold the bytes. Pure.

Formats from botocore 1.44.5's service model of bedrock-runtime. Document names must be unique in a request, without dots
and extension (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_DocumentBlock.html and
github.com/maximhq/bifrost/issues/7003, both read 2026-11). URLs are not fetched here; ``s3://`` is refused, because
Bedrock would read it with the operator's rights.
"""

from __future__ import annotations

import re
from typing import Any

from providers.chat.messages import data_of, unsupported
from providers.media.base64_text import without_blanks
from providers.types import Json

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_VIDEOS = {
    "video/mp4": "mp4", "video/mpeg": "mpeg", "video/quicktime": "mov", "video/mov": "mov", "video/webm": "webm",
    "video/x-matroska": "mkv", "video/x-flv": "flv", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
}  # fmt: skip
_AUDIO = frozenset({"mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "m4a", "webm"})
_DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/markdown": "md",
    "application/json": "txt", "application/msword": "doc", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
_EXTENSIONS = frozenset(_DOCUMENTS.values())


class Media:
    """Makes the blocks of one request; remembers the names of its documents."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def block(self, part: Any, place: str) -> Json:
        """The block of one part. Raises ``ProviderError``: unsupported, naming what cannot be sent."""
        kind = part.get("type") if isinstance(part, dict) else None
        match kind:
            case "image_url":
                mime, data = _inline(_inner(part, "image_url", place).get("url"), f"{place}.image_url.url")
                return {"image": {"format": _known(_IMAGES, mime, place), "source": {"bytes": data}}}
            case "video_url" | "input_video":
                mime, data = _inline(_inner(part, str(kind), place).get("url"), f"{place}.{kind}.url")
                return {"video": {"format": _known(_VIDEOS, mime, place), "source": {"bytes": data}}}
            case "input_audio":
                audio = _inner(part, "input_audio", place)
                if audio.get("format") not in _AUDIO or not isinstance(audio.get("data"), str):
                    raise unsupported(f"{place}.input_audio.format", f"{audio.get('format')!r}")
                return {"audio": {"format": audio["format"], "source": {"bytes": audio["data"]}}}
            case "file":
                return self._file(_inner(part, "file", place), place)
        raise unsupported(f"{place}.type", f"{kind!r}")

    def _file(self, file: Json, place: str) -> Json:
        mime, data = _inline(file.get("file_data"), f"{place}.file.file_data")
        if mime in _IMAGES:
            return {"image": {"format": _IMAGES[mime], "source": {"bytes": data}}}
        name = file.get("filename") if isinstance(file.get("filename"), str) else ""
        stem, _, extension = str(name).rpartition(".")
        known = extension.lower() if extension.lower() in _EXTENSIONS else None
        format_ = _DOCUMENTS.get(mime) or known or ("txt" if mime.startswith("text/") else None)
        if format_ is None:
            raise unsupported(f"{place}.file.file_data", f"a document of type {mime!r}")
        return {"document": {"format": format_, "name": self._unique(stem or str(name)), "source": {"bytes": data}}}

    def _unique(self, name: str) -> str:
        base = re.sub(r"\s+", " ", re.sub(r"[^a-zA-Z0-9\s()\[\]-]", " ", name)).strip()[:180].strip() or "document"
        result, number = base, 1
        while result.lower() in self._names:
            number += 1
            result = f"{base} {number}"
        self._names.add(result.lower())
        return result


def _inner(part: Json, name: str, place: str) -> Json:
    value = part.get(name)
    if isinstance(value, str):  # a bare URL instead of an object, as some clients send it
        return {"url": value}
    if not isinstance(value, dict):
        raise unsupported(f"{place}.{name}", "is not an object")
    return value


def _known(formats: dict[str, str], mime: str, place: str) -> str:
    if mime not in formats:
        raise unsupported(place, f"media of type {mime!r}")
    return formats[mime]


def _inline(url: Any, place: str) -> tuple[str, str]:
    """MIME type and base64 of a data URL."""
    if not isinstance(url, str) or not url.startswith("data:"):
        raise unsupported(place, "this vendor takes media only inside the request")
    mime, data = data_of(url, place)
    data = without_blanks(data) if any(character.isspace() for character in data[:128]) else data
    if not data:
        raise unsupported(place, "an empty data URL")
    return mime or "text/plain", data

"""Finds the URLs of images, videos and files in a request of any operation, and replaces them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from providers.types import Json

Path = tuple[str | int, ...]
Found = tuple[Path, str, str]
"""Path of the URL in the request, type of its part, the URL."""

NETWORK = ("http:", "https:", "ftp:", "ftps:", "file:")
"""Schemes that a lenient program would fetch. Others (``gs:``, ``s3:``) name a vendor's own stores; a text without a scheme is
bare base64."""
_KEYS = ("url", "file_data")


def media_urls(body: Json) -> Iterator[Found]:
    """Every URL of an image, video or file, data URLs included. Nothing else of the request is read."""
    for index, message in enumerate(body.get("messages") or ()):
        content = message.get("content")
        if type(content) is list:
            yield from _parts(content, ("messages", index, "content"))
        if "images" in message:
            yield from _parts(message["images"], ("messages", index, "images"))
    if "messages" in body:
        return
    given = body.get("input")
    for index, one in enumerate(given if type(given) is list else ()):
        if type(one) is dict:
            yield from _parts(one.get("content"), ("input", index, "content"))
    yield from _parts(body.get("input_references"), ("input_references",))
    documents = body.get("documents")
    for index, document in enumerate(documents if type(documents) is list else ()):
        if type(document) is dict and type(document.get("image")) is str:
            yield ("documents", index, "image"), "image_url", document["image"]


def _parts(parts: Any, where: Path) -> Iterator[Found]:
    for index, part in enumerate(parts if type(parts) is list else ()):
        kind = part.get("type") if type(part) is dict else None
        if kind == "text" or type(kind) is not str:
            continue
        inner = part.get(kind)
        if type(inner) is str:  # a bare URL instead of an object, as some clients send it
            yield (*where, index, kind), kind, inner
        elif type(inner) is dict:
            for key in _KEYS:
                if type(inner.get(key)) is str:
                    yield (*where, index, kind, key), kind, inner[key]


def is_network_url(url: str) -> bool:
    """Whether any program would fetch this URL over the network, by the most lenient reading: browsers strip and ignore a lot."""
    head = url[:64].lstrip("\0\t\n\r\f\v ").replace("\t", "").replace("\n", "").replace("\r", "").lower()
    return head.startswith(NETWORK)


def field_name(path: Path) -> str:
    """``("messages", 0, "content")`` → ``messages[0].content``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def replaced(body: Json, values: Mapping[Path, str]) -> Json:
    """The request with these values at these paths; only the containers on the paths are copied."""
    copied: dict[Path, Any] = {(): dict(body)}
    for path, value in values.items():
        for length in range(1, len(path)):
            if path[:length] not in copied:
                parent = copied[path[: length - 1]]
                copied[path[:length]] = parent[path[length - 1]] = parent[path[length - 1]].copy()
        copied[path[:-1]][path[-1]] = value
    whole: Json = copied[()]
    return whole

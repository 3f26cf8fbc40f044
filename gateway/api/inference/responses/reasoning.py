"""Reasoning items ↔ ``reasoning_details``, so that an item that a client sends back is what the vendor sent before.

    reasoning.summary    summary[]                     reasoning.encrypted   encrypted_content
    reasoning.text       content[], signature          all                   id, format

A vendor's text becomes ``summary[]`` for a client that asks for a summary, and back. An item's ``signature`` and ``format`` are
OpenRouter's additions; a client that knows only OpenAI's fields loses them. A request
with ``include: ["reasoning.encrypted_content"]`` means that the client will send that field back, so for vendors whose details do
not fit OpenAI's fields it holds all of them, sealed (encoded, not encrypted: it is the caller's own answer).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import msgspec

Json = dict[str, Any]
OPENAI_FORMAT = "openai-responses-v1"
_SEAL = "twr1."
_OWN_ID = re.compile(r"rs_[0-9a-f]{20}_\d+")
"""Ids that ``item_id`` made, which no vendor knows."""
_TEXT = {"reasoning.text": "text", "reasoning.summary": "summary", "reasoning.encrypted": "data"}


def item_id(suffix: str, index: int) -> str:
    """The id of a reasoning item whose vendor gave none."""
    return f"rs_{suffix}_{index}"


def plain(text: str) -> Json:
    """The detail of a vendor that sends reasoning as plain text."""
    return {"type": "reasoning.text", "text": text}


def fragments(delta: Json) -> list[Json]:
    """The reasoning details of a delta or message. ``reasoning`` repeats their text, so it counts only when they have none."""
    details = delta.get("reasoning_details")
    found = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    text = delta.get("reasoning")
    if isinstance(text, str) and text and not any(one.get("text") or one.get("summary") for one in found):
        return [plain(text), *found]
    return found


def visible(fragment: Json) -> tuple[str, str]:
    """The field of a fragment that has its text (``text``, ``summary``, ``data``, or "" for none), and the text."""
    kind = fragment.get("type")
    field = _TEXT.get(kind, "") if isinstance(kind, str) else ""
    value = fragment.get(field) if field else None
    return field, value if isinstance(value, str) else ""


def continues(last: Json, fragment: Json) -> bool:
    """Whether a fragment belongs to the same item as ``last``."""
    if last.get("format") != fragment.get("format") and fragment.get("format") is not None:
        return False
    if fragment.get("id") is not None and last.get("id") is not None:
        return bool(fragment["id"] == last["id"])
    if _of_responses(last.get("format")):  # its fragments belong to one item, up to the encrypted one
        return True
    return bool(last.get("index") == fragment.get("index"))


def _of_responses(format_: Any) -> bool:
    return isinstance(format_, str) and format_.endswith("responses-v1")


def merge(details: list[Json], fragment: Json) -> None:
    """Add a fragment to a list of whole details: adjacent fragments of one type and index are one detail. In place."""
    last = details[-1] if details else None
    field, text = visible(fragment)
    same = last is not None and last.get("type") == fragment.get("type") and last.get("index") == fragment.get("index")
    if last is None or not same or field == "data":
        details.append(dict(fragment))
        return
    if text:
        last[field] = (last.get(field) or "") + text
    for name, value in fragment.items():
        if name != field and value is not None:
            last[name] = value


# -- sealing ----------------------------------------------------------------------------------------------------------


def fits_openai(details: list[Json]) -> bool:
    """Whether OpenAI's own fields can hold these details without loss."""
    return all(
        one.get("type") in ("reasoning.summary", "reasoning.encrypted") and one.get("format") == OPENAI_FORMAT
        for one in details
    )


def seal(details: list[Json]) -> str:
    """All details as one opaque text."""
    return _SEAL + base64.urlsafe_b64encode(msgspec.json.encode(details)).decode()


def sealed(text: str) -> bool:
    """Whether ``seal`` made this text."""
    return text.startswith(_SEAL)


def unseal(text: str) -> list[Json]:
    """The details in a sealed text. Raises ValueError for a text that was changed."""
    try:
        details = msgspec.json.decode(base64.b64decode(text[len(_SEAL) :], b"-_", validate=True), type=list[Json])
    except (binascii.Error, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError("it was changed since") from error
    return details


# -- input ------------------------------------------------------------------------------------------------------------


def replayed(item: Json, start: int) -> tuple[str, list[Json]]:
    """Plain text and details of an item of ``input``; the details are numbered from ``start``. Raises ValueError as ``unseal``.

    Without a ``format``, a summary or encrypted content can only be OpenAI's, unless the item's id is this gateway's; plain text
    may be any vendor's.
    """
    encrypted = item.get("encrypted_content") or ""
    if sealed(encrypted):
        details = unseal(encrypted)
        return "".join(text for field, text in map(visible, details) if field in ("text", "summary")), details
    summary = [one["text"] for one in item.get("summary") or ()]
    content = [one["text"] for one in item.get("content") or ()]
    format_ = item.get("format")
    if summary and not content and format_ is not None and not _of_responses(format_):
        summary, content = [], summary  # the text of a vendor without summaries, given to a client that asked for one
    details = [{"type": "reasoning.summary", "summary": text} for text in summary]
    details += [{"type": "reasoning.text", "text": text} for text in content]
    if item.get("signature") is not None:
        if not content:
            details.append({"type": "reasoning.text", "text": ""})
        details[-1]["signature"] = item["signature"]
    if encrypted:
        details.append({"type": "reasoning.encrypted", "data": encrypted})
    id_ = item.get("id")
    ours = isinstance(id_, str) and _OWN_ID.fullmatch(id_) is not None
    if format_ is None and not encrypted and item.get("signature") is None and (ours or not summary):
        return "".join(summary or content), []
    common = {"format": format_ or OPENAI_FORMAT}
    if id_ is not None and not ours:
        common["id"] = id_
    return "".join(summary or content), [{**one, **common, "index": index} for index, one in enumerate(details, start)]


def passthrough_item(item: Json) -> Json | None:
    """A reasoning item as it may go to a vendor that has this API; None for another vendor's, which it would refuse."""
    format_ = item.get("format")
    if sealed(item.get("encrypted_content") or "") or not (format_ is None or _of_responses(format_)):
        return None
    if format_ != OPENAI_FORMAT:
        return item
    return {name: value for name, value in item.items() if name not in ("format", "signature")}

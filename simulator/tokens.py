"""What the simulator counts as a token, so that anyone can recompute its counts.

One token is one streamed piece of at most 4 UTF-8 bytes: a text is cut greedily from the left, not inside a character.
The prompt has, summed over the messages, ``ceil(UTF-8 bytes of the text / 4) + 4``, plus 3 once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import count
from typing import Any

BYTES_PER_TOKEN = 4
PER_MESSAGE, PER_PROMPT = 4, 3

PROSE = (
    "This answer was made by a simulated vendor. It costs real bookkeeping and no real money: the request was routed, "
    "a hold was taken, these words were streamed one token at a time, and the usage will be settled to the last digit. "
    "Kill this vendor and ask again: another one will answer. "
)


def pieces(text: str) -> list[str]:
    """The tokens of a text; their concatenation is the text again."""
    if text.isascii():
        return [text[at : at + BYTES_PER_TOKEN] for at in range(0, len(text), BYTES_PER_TOKEN)]
    found: list[str] = []
    start = size = 0
    for at, char in enumerate(text):
        width = len(char.encode())
        if size + width > BYTES_PER_TOKEN:
            found.append(text[start:at])
            start, size = at, 0
        size += width
    if start < len(text):
        found.append(text[start:])
    return found


def message_text(message: dict[str, Any]) -> str:
    """The text of a chat message; of a list of parts, the text parts. Any other content counts as empty."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return ""


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    """Tokens of a prompt, by the formula above."""
    total = PER_PROMPT
    for message in messages:
        size = len(message_text(message).encode())
        total += PER_MESSAGE + -(-size // BYTES_PER_TOKEN)
    return total


def numbered() -> Iterator[str]:
    """``"000 "``, ``"001 "``, ...: tokens that show a gap or a repetition at a glance."""
    return (f"{number % 1000:03d} " for number in count())


@lru_cache(maxsize=256)
def numbers(amount: int) -> list[str]:
    """The first ``amount`` numbered tokens."""
    return [f"{number % 1000:03d} " for number in range(amount)]


@lru_cache(maxsize=256)
def prose(amount: int) -> list[str]:
    """``amount`` tokens of readable text, from the beginning again when it is used up."""
    source = pieces(PROSE)
    return [source[at % len(source)] for at in range(amount)]

"""The order of a conversation's messages and of a turn's blocks, where vendors are stricter than the inner language. Pure."""

from __future__ import annotations

from typing import Any

from providers.types import Json

SYSTEM = ("system", "developer")
PLAIN_FIELDS = frozenset({"role", "content", "name"})
INDEX_MAX = 1000
"""A larger index of a reasoning detail is no place in an answer."""


def is_plain(messages: list[Json]) -> bool:
    """Whether a conversation is instructions followed by texts of the user and the assistant, and nothing else: such a one every
    vendor takes as it is. Most are, and one look at each message saves the four that the checks for everything else take."""
    talking = False
    for message in messages:
        role = message.get("role")
        if role == "user" or role == "assistant":
            talking = True
        elif role != "system" or talking:
            return False
        if type(message.get("content")) is not str or (len(message) > 2 and not message.keys() <= PLAIN_FIELDS):
            return False
    return True


def instructions_first(messages: list[Json]) -> list[Json]:
    """The messages with instructions at the beginning only; later ones become a part of the user's words, where they stand.

    For vendors and chat templates that take none later (Qwen 3.5: "System message must be at the beginning", github.com/ollama/
    ollama/issues/17774, 2026). They are not moved to the front: that would change the beginning of the prompt with each of them,
    and no prompt cache would be read again. Coding agents mark such words in the same way. None come between calls and results.
    """
    start = _first_turn(messages)
    if start is None:
        return messages
    made = messages[:start]
    held: list[Json] = []
    joins = False  # the last message holds such words: the user's next one is joined to it
    for message in messages[start:]:
        role = message.get("role")
        if role in SYSTEM:
            words: Json = {"role": "user", "content": reminder(message.get("content"))}
            if made and (made[-1]["role"] == "tool" or made[-1].get("tool_calls")):
                held.append(words)
            elif words["content"]:
                _add_words(made, words)
                joins = True
            continue
        if held and role != "tool":
            joins = _add_held(made, held)
        if role == "user" and joins:
            _add_words(made, message)
        else:
            made.append(message)
            joins = False
    _add_held(made, held)
    return made


def _first_turn(messages: list[Json]) -> int | None:
    """Where the conversation begins behind its first instructions, if more instructions follow later; else None."""
    roles = [message.get("role") for message in messages]
    start = next((index for index, role in enumerate(roles) if role not in SYSTEM), len(roles))
    later = roles[start:]
    return start if "system" in later or "developer" in later else None


def results_first(messages: list[Json]) -> list[Json]:
    """The messages with no instructions between calls and their results, for vendors that take instructions anywhere else."""
    if _first_turn(messages) is None:
        return messages
    made: list[Json] = []
    for message in messages:
        place = len(made)
        while message.get("role") == "tool" and place and made[place - 1].get("role") in SYSTEM:
            place -= 1
        made.insert(place, message)
    return made


def _add_held(made: list[Json], held: list[Json]) -> bool:
    """Adds the words that waited for a turn's results; whether there were any."""
    words = [one for one in held if one["content"]]
    held.clear()
    for one in words:
        _add_words(made, one)
    return bool(words)


def reminder(content: Any) -> Any:
    """The content of a system message as words of the user's; empty for an empty one."""
    if isinstance(content, str):
        return f"<system-reminder>\n{content}\n</system-reminder>" if content and not content.isspace() else ""
    parts = [part for part in content if part.get("text")] if isinstance(content, list) else []
    return [{**part, "text": f"<system-reminder>\n{part['text']}\n</system-reminder>"} for part in parts]


def _add_words(made: list[Json], words: Json) -> None:
    """Adds a user's message; it is joined with the user's message before it, because some templates demand that roles alternate."""
    last = made[-1] if made else None
    if last is None or last["role"] != "user" or last.get("name") != words.get("name"):
        made.append(words)
        return
    before, more = last.get("content"), words.get("content")
    if isinstance(before, str) and isinstance(more, str):
        joined: Any = f"{before}\n\n{more}"
    else:
        joined = [*_parts(before), *_parts(more)]
    made[-1] = {**last, "content": joined}


def _parts(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())


def interleaved(thinking: list[tuple[Any, Json]], details: Any, others: list[list[Json]]) -> list[Json]:
    """Thinking blocks, each with the index of its detail, among a turn's other blocks: its text, then one group for each call.

    The index of a reasoning detail is its place in the vendor's answer, so that an index which no detail has is the text's or a
    call's. A vendor that signs its thinking wants it back between the very calls where it stood (github.com/UKGovernmentBEIS/
    inspect_ai/issues/4922, 2026).
    """
    groups = [group for group in others if group]
    if len(thinking) < 2:
        return [block for _, block in thinking] + [block for group in groups for block in group]
    taken = [one.get("index") for one in details if isinstance(one, dict)]
    made: list[Json] = []
    placed = 0
    for index, block in thinking:
        before = (
            sum(place not in taken for place in range(index)) if isinstance(index, int) and index < INDEX_MAX else 0
        )
        while placed < before and groups:
            made += groups.pop(0)
            placed += 1
        made.append(block)
    return made + [block for group in groups for block in group]

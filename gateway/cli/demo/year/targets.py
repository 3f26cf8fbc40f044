"""Targets of the synthetic year, as tables: tokens a week, shares by origin, shares of named models, the tail.

An anchor is ``mm-dd:value``, the value in the week that begins on this Monday; ``*`` marks dates of 2024, all others are of
2025. Between anchors values are linear; before the first they are that of the first (for a model: zero), after the last that of
the last.
The figures follow public reports about the year 2025; names and shares of the tail are made up.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from typing import Final, Literal

import msgspec

Origin = Literal["closed", "chinese_closed", "chinese_oss", "other_oss"]
Size = Literal["small", "medium", "large"]
Tier = Literal["flash", "lite", "mini", "fast"]

FIRST_WEEK: Final = date(2024, 11, 4)
LAST_WEEK: Final = date(2025, 12, 29)
WEEKS: Final = tuple(FIRST_WEEK + timedelta(weeks=n) for n in range((LAST_WEEK - FIRST_WEEK).days // 7 + 1))

WEEK_TRILLIONS: Final = """
    11-04*:.24 01-06:.45 02-24:1.0 05-05:1.7 06-30:2.1 08-04:2.7 09-01:3.5 09-22:4.3 10-13:4.8 11-10:6.2 11-24:7.9
    12-08:6.8 12-15:6.3 12-22:5.9 12-29:6.0"""
"""Tokens of a week in 10^12."""

ORIGIN_PERCENT: Final[dict[Origin, str]] = {
    "chinese_oss": """11-04*:1.2 12-30*:3.5 01-20:7 02-10:17 04-07:12 05-26:8 06-30:8.5 07-14:12.5 07-21:20 07-28:28.5
        08-04:27.5 08-25:22 09-22:20 10-20:17 11-10:20 11-24:17.5 12-22:17 12-29:20""",
    "other_oss": "11-04*:17 01-06:15.5 02-24:13 05-26:12.5 07-28:11.5 08-25:13.5 11-24:15 12-29:15",
    "chinese_closed": "11-04*:1 04-07:2 12-29:3",
}
"""Percent of a week's tokens; closed models have the rest."""

NAMED: Final = """
google/gemini-2.0-flash-001|C|-|-|02-03:.3 02-10:3 04-07:9 05-26:11 06-30:10 08-25:6.5 10-20:6 11-24:5 12-29:5
google/gemini-2.5-flash|C|R|-|04-14:.3 04-21:1.5 05-26:6 06-30:9 08-25:11 09-22:10.5 11-24:11 12-29:10.5
google/gemini-2.5-pro|C|R|-|03-24:.2 03-31:1.5 04-21:6 06-30:6 09-22:4.2 11-24:3.4 12-29:3
google/gemini-flash-1.5|C|-|-|11-04*:9 02-10:7.5 05-26:4 08-25:1.5 12-29:.3
google/gemini-2.5-flash-lite|C|-|-|06-16:.3 06-23:2.5 12-29:2
openai/gpt-4.1-mini|C|-|-|04-14:.8 05-05:3.8 07-07:4.3 09-22:4.1 11-24:4.0 12-29:3.9
openai/gpt-4o-mini|C|-|-|11-04*:8 01-06:8 04-07:5 08-25:1.8 12-29:1
openai/gpt-4o|C|-|-|11-04*:4 04-07:2 08-25:.8 12-29:.3
openai/gpt-5|C|R|-|08-04:.2 08-11:1.2 09-22:2.2 11-24:2.6 12-29:2.6
openai/o-series|C|R|-|12-09*:.2 02-10:.7 04-21:1.5 12-29:.8
anthropic/claude-3.5-sonnet|C|-|-|11-04*:22 01-06:20 02-24:12 05-26:4 08-25:.8 12-29:.2
anthropic/claude-3.7-sonnet|C|-|-|02-24:2 03-17:12 05-19:10 06-30:5 08-25:2.5 12-29:.5
anthropic/claude-sonnet-4|C|-|-|05-19:.5 05-26:3.2 06-30:6.4 07-28:7.2 09-22:6.8 10-20:6.2 12-29:6.2
anthropic/claude-sonnet-4.5|C|R|-|09-29:2 10-20:5 11-24:5.2 12-29:5
anthropic/claude-opus-4.5|C|R|-|11-24:1 12-08:2.2 12-29:2.2
x-ai/grok-code-fast-1|C|R|-|08-25:5 09-15:9 09-29:9.5 10-06:17 10-20:10.5 10-27:12.5 11-03:16.5 11-17:10.5
    11-24:17 12-08:9 12-15:10 12-22:14 12-29:10
x-ai/grok-4-fast|C|R|-|09-15:1 09-22:5 10-06:2 11-17:2 11-24:3 12-08:2.5 12-29:2
deepseek/deepseek-chat|K|-|L|11-04*:.3 12-30*:1.6 02-10:6.2 03-24:3 05-26:.8 12-29:.1
deepseek/deepseek-r1|K|R|L|01-20:3 02-10:9.3 04-07:5 06-30:2 12-29:.6
deepseek/deepseek-chat-v3-0324|K|-|L|03-24:.5 05-26:3 06-30:3.6 07-28:7.5 09-22:5.5 11-24:3.2 12-29:2.8
deepseek/deepseek-chat-v3.1|K|-|L|08-18:.5 08-25:3 09-22:4.8 11-24:4.2 12-29:3.8
qwen/qwen-2.5-coder-32b-instruct|K|-|M|11-11*:.3 01-06:.7 05-26:.5 12-29:.15
qwen/qwen3-coder|K|-|L|07-21:3 07-28:7 08-11:6.5 09-22:2.2 12-29:1.4
qwen/qwen3-235b-a22b-07-25|K|R|L|07-21:.5 09-22:1 12-29:.9
qwen/qwen3-30b-a3b|K|R|M|04-28:.1 12-08:.3 12-15:.4 12-22:1.4 12-29:5.6
qwen/other-medium|K|-|M|03-10:.3 05-26:1.2 09-22:1.4 12-29:1.2
moonshotai/kimi-k2|K|-|L|07-14:1 07-28:3 08-11:2.2 09-22:.5 12-29:.4
z-ai/glm-4.5|K|R|L|07-28:.6 09-08:1.2 10-06:.5 12-29:.2
z-ai/glm-4.6|K|R|L|09-29:.3 10-06:1.1 11-24:.8 12-29:.8
minimax/minimax-m2|K|R|L|10-20:.3 10-27:3.4 11-10:4.4 11-24:2.6 12-29:1
tngtech/deepseek-r1t2-chimera|O|R|L|04-28:.3 07-28:1.1 12-29:.8
meta-llama/llama-3.x-small|O|-|S|11-04*:5 04-07:2.0 08-25:.7 12-29:.4
meta-llama/llama-3.3-70b|O|-|L|11-04*:3.5 12-09*:3.5 05-26:2.0 12-29:.8
meta-llama/llama-4-maverick|O|-|L|04-07:1.3 06-30:.7 12-29:.3
mistralai/mistral-nemo|O|-|S|11-04*:3 05-26:1.4 12-29:.6
mistralai/mistral-small-3|O|-|M|02-03:.4 05-26:1.3 12-29:1.3
openai/gpt-oss-120b|O|R|L|08-04:.3 08-11:1.0 11-24:1.5 12-29:2.0
openai/gpt-oss-20b|O|R|M|08-04:.2 10-06:.8 12-29:.9
google/gemma|O|-|S|11-04*:.9 03-17:.9 12-29:.45
"""
"""``slug | C closed, K Chinese open, O other open | R reasoning | size S, M, L | date:percent of all tokens``; an indented
line continues the row above."""

TIERS: Final[dict[str, Tier]] = {
    "google/gemini-2.0-flash-001": "flash",
    "google/gemini-2.5-flash": "flash",
    "google/gemini-flash-1.5": "flash",
    "google/gemini-2.5-flash-lite": "lite",
    "openai/gpt-4.1-mini": "mini",
    "openai/gpt-4o-mini": "mini",
    "x-ai/grok-code-fast-1": "fast",
    "x-ai/grok-4-fast": "fast",
}
FAMILIES: Final = {
    "google/gemini-2.0-flash-001": "google/gemini-flash",
    "google/gemini-2.5-flash": "google/gemini-flash",
    "deepseek/deepseek-chat-v3-0324": "deepseek/deepseek-v3",
    "deepseek/deepseek-chat-v3.1": "deepseek/deepseek-v3",
}
"""Models that the reports count together; every other model is a family of its own."""

TAIL: Final[dict[Origin, int]] = {"closed": 110, "chinese_oss": 55, "other_oss": 75, "chinese_closed": 15}
"""How many further models an origin has. They share what the named ones leave of its target by ``rank ** TAIL_EXPONENT``."""
TAIL_NAMES: Final[dict[Origin, tuple[str, ...]]] = {
    "closed": ("lab", "chat", "assistant", "code", "long-context"),
    "chinese_closed": ("cn-lab", "chat", "assistant"),
    "chinese_oss": ("cn-community", "qwen-finetune", "deepseek-distill", "coder", "bilingual"),
    "other_oss": ("community", "llama-finetune", "mistral-merge", "medical", "legal", "state-space"),
}
"""Made-up names: the author's prefix, then what the models are called by turns."""
TAIL_AUTHORS: Final[dict[Origin, int]] = {"closed": 30, "chinese_closed": 5, "chinese_oss": 12, "other_oss": 18}
TAIL_EXPONENT: Final = -0.5
TAIL_MIN_PERCENT: Final = 1.0
"""What the tail of an origin has at least, also where the named models exceed its target."""
TAIL_MODEL_MAX_PERCENT: Final = 0.8
"""No tail model reaches the top nine."""
TAIL_REASONING_PERCENT: Final = "01-06:0 12-01:55"
TAIL_SIZE_PERCENT: Final[dict[Size, str]] = {
    "small": "11-04*:60 12-29:25",
    "medium": "11-04*:15 12-29:30",
    "large": "11-04*:25 12-29:45",
}
TAIL_KNOWN: Final = """
openai/gpt-4|C|-|-|11-04*
openai/gpt-5-pro|C|R|-|10-06
qwen/qwen-2-7b-instruct|K|-|S|11-04*
ibm/granite-4.0-micro|O|-|S|10-06
"""
"""Real models at the end of their origin's tail, with the week they appear in: the reports name their prices."""

NOISE_SIGMA: Final = 0.03
"""Of the logarithm of a named model's share."""

_ORIGINS: Final[dict[str, Origin]] = {"C": "closed", "K": "chinese_oss", "O": "other_oss"}
_SIZES: Final[dict[str, Size | None]] = {"-": None, "S": "small", "M": "medium", "L": "large"}


class Model(msgspec.Struct, frozen=True):
    """A model of the synthetic year. ``size`` by total parameters, of open models: < 15B, 15 to 70B, more."""

    slug: str
    origin: Origin
    reasoning: bool
    size: Size | None
    family: str
    tier: Tier | None = None
    rank: int = 0
    """Place in the tail of its origin, from 1; 0: a named model."""
    since: date = FIRST_WEEK

    @property
    def author(self) -> str:
        return self.slug.partition("/")[0]


class Anchors:
    """A value by week, linear between anchors; ``start`` is the first anchor's Monday."""

    def __init__(self, text: str) -> None:
        points = [each.split(":") for each in text.split()]
        self._points = [(monday(day), float(value)) for day, value in points]
        self.start = self._points[0][0]

    def at(self, week: date) -> float:
        if week <= self.start:
            return self._points[0][1]
        for (left, low), (right, high) in pairwise(self._points):
            if week <= right:
                return low + (high - low) * ((week - left).days / (right - left).days)
        return self._points[-1][1]


@cache
def anchors(text: str) -> Anchors:
    """The anchors of a text, read once."""
    return Anchors(text)


def monday(day: str) -> date:
    """``mm-dd`` of 2025, ``mm-dd*`` of 2024."""
    return date.fromisoformat(f"{2024 if day.endswith('*') else 2025}-{day.rstrip('*')}")


def named_models() -> list[tuple[Model, Anchors]]:
    """The rows of ``NAMED``, in its order."""
    found = []
    for row in NAMED.replace("\n    ", " ").split("\n"):
        if row:
            slug, origin, reasoning, size, anchors = row.split("|")
            shares = Anchors(anchors)
            model = Model(
                slug=slug,
                origin=_ORIGINS[origin],
                reasoning=reasoning == "R",
                size=_SIZES[size],
                family=FAMILIES.get(slug, slug),
                tier=TIERS.get(slug),
                since=shares.start,
            )
            found.append((model, shares))
    return found


def tail_models(origin: Origin) -> list[Model]:
    """The tail of an origin by rank. Every second model reasons; sizes of open ones go round small, large, medium."""
    prefix, *kinds = TAIL_NAMES[origin]
    known = _known_tail(origin)
    models = []
    for rank in range(1, TAIL[origin] - len(known) + 1):
        slug = f"{prefix}-{1 + rank % TAIL_AUTHORS[origin]:02d}/{kinds[rank % len(kinds)]}-{rank:03d}"
        size: Size | None = ("small", "large", "medium")[rank // 2 % 3] if origin.endswith("oss") else None
        models.append(Model(slug=slug, origin=origin, reasoning=rank % 2 == 0, size=size, family=slug, rank=rank))
    start = len(models)
    return models + [msgspec.structs.replace(model, rank=start + n) for n, model in enumerate(known, 1)]


def _known_tail(origin: Origin) -> list[Model]:
    rows = [row.split("|") for row in TAIL_KNOWN.split()]
    return [
        Model(
            slug=slug,
            origin=origin,
            reasoning=reasoning == "R",
            size=_SIZES[size],
            family=slug,
            since=monday(day),
        )
        for slug, letter, reasoning, size, day in rows
        if _ORIGINS[letter] == origin
    ]

"""Category shares by week and group of models, fitted to the totals in ``laws``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from gateway.cli.demo.year import laws
from gateway.cli.demo.year.cube import Cube
from gateway.cli.demo.year.targets import Model, Origin, anchors

_FIT_ROUNDS: Final = 12
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "closed": ("anthropic", "google", "x-ai", "openai", "closed"),
    "chinese_oss": ("deepseek", "qwen", "chinese_oss"),
    "other_oss": ("other_oss",),
}


def group(model: Model) -> str:
    """The group whose category profile a model has: an author with a profile of its own, else the model's origin."""
    origin = _part(model.origin)
    return model.author if model.author in _GROUPS[origin] else origin


def category_shares(cube: Cube) -> list[dict[str, tuple[float, ...]]]:
    """For each week: group → share of its tokens in each of ``laws.CATEGORIES``; a share is 0 to 1."""
    return [_week(week, _group_tokens(cube, n)) for n, week in enumerate(cube.weeks)]


def _part(origin: Origin) -> str:
    return "closed" if origin == "chinese_closed" else origin


def _group_tokens(cube: Cube, week: int) -> dict[str, float]:
    """Group → share of the week's tokens."""
    found = dict.fromkeys(laws.PROFILES, 0)
    for model, tokens in zip(cube.models, cube.tokens[week], strict=True):
        found[group(model)] += tokens
    return {name: tokens / cube.total(week) for name, tokens in found.items()}


def _week(week: date, tokens: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
    found = {}
    for origin, totals in _totals(week, tokens).items():
        groups = _GROUPS[origin]
        seeds = [_profile(name, week) for name in groups]
        fitted = fitted_table(seeds, [tokens[name] for name in groups], totals)
        for name, row in zip(groups, fitted, strict=True):
            whole = sum(row) or 1.0
            programming, roleplay, technology, rest = (value / whole for value in row)
            parts = laws.REST.get(name, laws.REST[""])
            found[name] = (programming, roleplay, technology, *(rest * part for part in parts))
    return found


def _profile(name: str, week: date) -> tuple[float, float, float, float]:
    since, changed = laws.PROFILE_CHANGED.get(name, ("9999-12-31", laws.PROFILES[name]))
    return changed if week.isoformat() >= since else laws.PROFILES[name]


def _totals(week: date, tokens: Mapping[str, float]) -> dict[str, tuple[float, float, float, float]]:
    """Origin → tokens of programming, roleplay, technology and the rest, as shares of the whole week.

    Programming of the whole week and roleplay of the open models come first; closed models get the roleplay that their own
    share of it asks for, as far as there is room.
    """
    closed, chinese, other = (sum(tokens[name] for name in groups) for groups in _GROUPS.values())
    programming_percent, chinese_roleplay, chinese_code = laws.CHINESE_OSS
    chinese_programming = chinese * anchors(programming_percent).at(week) / 100
    other_programming = other * anchors(laws.OTHER_OSS[0]).at(week) / 100
    other_technology = other * laws.OTHER_OSS[1]
    wanted = laws.OSS_ROLEPLAY * (chinese + other) - chinese_roleplay * chinese
    other_roleplay = min(wanted, laws.OTHER_OSS_ROLEPLAY_MAX * other)
    open_roleplay = chinese_roleplay * chinese + other_roleplay
    closed_programming = anchors(laws.PROGRAMMING_PERCENT).at(week) / 100 - chinese_programming - other_programming
    closed_technology = closed * laws.CLOSED_TECHNOLOGY
    share = anchors(laws.CLOSED_ROLEPLAY_PERCENT).at(week) / 100
    room = closed * (1 - laws.CLOSED_REST_MIN) - closed_programming - closed_technology
    parts = {
        "closed": (closed, closed_programming, min(open_roleplay * share / (1 - share), room), closed_technology),
        "chinese_oss": (
            chinese,
            chinese_programming,
            chinese_roleplay * chinese,
            chinese_code * chinese - chinese_programming,
        ),
        "other_oss": (other, other_programming, other_roleplay, other_technology),
    }
    return {origin: (*part, whole - sum(part)) for origin, (whole, *part) in parts.items()}  # type: ignore[misc]


def fitted_table(
    seeds: Sequence[Sequence[float]], rows: Sequence[float], columns: Sequence[float]
) -> list[list[float]]:
    """A table near ``seeds`` with these sums of its rows and columns: iterative proportional fitting, columns last."""
    table = [list(row) for row in seeds]
    for _ in range(_FIT_ROUNDS):
        for row, total in zip(table, rows, strict=True):
            scale = total / (sum(row) or 1.0)
            row[:] = [value * scale for value in row]
        for n, total in enumerate(columns):
            scale = total / (sum(row[n] for row in table) or 1.0)
            for row in table:
                row[n] *= scale
    return table

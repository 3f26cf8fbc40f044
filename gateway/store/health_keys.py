"""Names of the keys through which processes share what they know about endpoints. All of them expire by themselves.

Changing a name needs no migration: the statistics of the last day start anew.
"""

from __future__ import annotations

PREFIX = "tw:health"


def counts(cell_s: int, number: int) -> str:
    """Hash: ``<endpoint id> <process>`` → ``ok 12 fail 1 ...`` of the ``number``-th span of ``cell_s`` seconds."""
    return f"{PREFIX}:counts:{cell_s}:{number}"


def facts() -> str:
    """Hash: ``<kind> <subject> <process>`` → ``<until> <at>`` (unix s), see ``Fact``; only of what is not healthy."""
    return f"{PREFIX}:facts"

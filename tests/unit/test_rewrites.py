"""When the append-only file of the embedded server is written anew."""

from __future__ import annotations

import pytest

from gateway.store.rewrites import LOOK_INTERVAL_S, SMALL_BYTES, Rewrites

MB = 2**20
BUSY_RATE, QUIET_RATE = 5_000, 20
"""Commands a second."""


def asked(rate: float, **facts: int) -> bool:
    """What is decided after an hour of much traffic, at this rate."""
    rewrites, commands = Rewrites(), 0
    for _ in range(240):
        assert not rewrites.due({"total_commands_processed": commands, "aof_current_size": 0})
        commands += int(BUSY_RATE * LOOK_INTERVAL_S)
    rewrites.due({"total_commands_processed": commands, "aof_current_size": 0})
    return rewrites.due({"total_commands_processed": commands + int(rate * LOOK_INTERVAL_S), **facts})


@pytest.mark.parametrize(
    ("rate", "facts", "due"),
    [
        (QUIET_RATE, {"aof_base_size": 100 * MB, "aof_current_size": 250 * MB}, True),
        (BUSY_RATE * 0.4, {"aof_base_size": 100 * MB, "aof_current_size": 250 * MB}, True),
        (BUSY_RATE, {"aof_base_size": 100 * MB, "aof_current_size": 250 * MB}, False),
        (BUSY_RATE, {"aof_base_size": 100 * MB, "aof_current_size": 400 * MB}, True),
        (QUIET_RATE, {"aof_base_size": 100 * MB, "aof_current_size": 199 * MB}, False),
        (QUIET_RATE, {"aof_base_size": 89, "aof_current_size": SMALL_BYTES}, False),
        (QUIET_RATE, {"aof_base_size": 89, "aof_current_size": 2 * SMALL_BYTES}, True),
        (QUIET_RATE, {}, False),
    ],
)
def test_grown_and_quiet_or_grown_much(rate: float, facts: dict[str, int], due: bool) -> None:
    """A file that has doubled waits for a quiet time; one that has quadrupled waits no longer; a small one is left alone."""
    assert asked(rate, **facts) == due


@pytest.mark.parametrize(
    "what", ["loading", "aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress"]
)
def test_never_two_at_once(what: str) -> None:
    """Not while the server loads, rewrites already, or writes a backup."""
    assert not asked(QUIET_RATE, aof_base_size=100 * MB, aof_current_size=1000 * MB, **{what: 1})


def test_a_restarted_server_is_looked_at_anew() -> None:
    """Its count of commands has begun again, which is not a quiet time."""
    rewrites, grown = Rewrites(), {"aof_base_size": 100 * MB, "aof_current_size": 250 * MB}
    for commands, due in ((10**9, False), (100, False), (200, True)):
        assert rewrites.due({"total_commands_processed": commands, **grown}) == due

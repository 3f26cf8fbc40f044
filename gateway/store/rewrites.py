"""When the append-only file of the embedded server is written anew: in a quiet minute, never while it loads or twice at once.

The server would do it by itself the moment the file has doubled, which is as likely as not the busiest moment of the day. It forks
for it, and pages that are written meanwhile exist twice. It must not know: how the server is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LOOK_INTERVAL_S = 15.0
SMALL_BYTES = 32 * 2**20
"""A smaller file counts as if it had this size after its last rewrite."""
GROWN_TIMES, LATEST_TIMES = 2, 4
"""Of its size after the last rewrite: from when a quiet time is waited for, and from when it is no longer waited for."""
QUIET_SHARE, QUIET_PER_S = 0.5, 200
"""A quiet time has at most so much of the average's commands, or so many a second."""
FORGETTING = 0.01
"""How fast the average follows: half of a change in a quarter of an hour."""
BUSY = ("loading", "async_loading", "aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")


@dataclass
class Rewrites:
    """Decides from what the server tells of itself (``INFO``, persistence and stats), looked at every ``LOOK_INTERVAL_S``."""

    _commands: int | None = None
    _average: float | None = None

    def due(self, facts: Mapping[str, int]) -> bool:
        """Whether to write the file anew now."""
        quiet = self._quiet(facts.get("total_commands_processed", 0))
        size, base = facts.get("aof_current_size", 0), max(facts.get("aof_base_size", 0), SMALL_BYTES)
        if size < base * GROWN_TIMES or any(facts.get(name) for name in BUSY):
            return False
        return quiet or size >= base * LATEST_TIMES

    def _quiet(self, commands: int) -> bool:
        """``commands``: processed since the server started. A server that was restarted is looked at anew."""
        before, self._commands = self._commands, commands
        if before is None or commands < before:
            return False
        rate = float(commands - before)
        if self._average is None:
            self._average = rate
        quiet = rate <= max(self._average * QUIET_SHARE, QUIET_PER_S * LOOK_INTERVAL_S)
        self._average += (rate - self._average) * FORGETTING
        return quiet

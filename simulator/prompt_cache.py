"""What a simulated vendor remembers of the prompts that it has read (``caching``): their beginnings, in whole messages."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from simulator import tokens

TTL_S = 300.0
"""A beginning that nobody reads again is forgotten."""
LEAST_TOKENS = 1024
"""A shorter beginning is not cached."""
MAX_KEPT = 10_000


class PromptCache:
    """Of one vendor. ``clock``: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at: dict[tuple[str, bytes], float] = {}
        """(model, digest of the messages up to one) → when it was last read, the oldest first."""

    def read(self, model: str, messages: list[dict[str, Any]]) -> int:
        """Tokens of the longest beginning that is known; all beginnings of this prompt are known from now on."""
        now, digest, size, known = self._clock(), hashlib.blake2b(digest_size=12), tokens.PER_PROMPT, 0
        for message in messages:
            text = tokens.message_text(message)
            digest.update(f"{message.get('role')}:{len(text)}:{text}".encode())
            size += tokens.prompt_tokens([message]) - tokens.PER_PROMPT
            if size < LEAST_TOKENS:
                continue
            key = model, digest.digest()
            if now - self._read_at.pop(key, float("-inf")) < TTL_S:
                known = size
            self._read_at[key] = now
            if len(self._read_at) > MAX_KEPT:
                del self._read_at[next(iter(self._read_at))]
        return known

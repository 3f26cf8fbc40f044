"""The time to the first token that a whole JSON answer stands for.

A JSON answer shows only how long it took and how many tokens it has: ``answer = first token + tokens × time per token``. The two
parts are told apart by answers of different lengths (least squares, the latest ones counting most), and by streams where there are
some. Until then, and where all answers are of the same length, the first token counts as long as ``TYPICAL_TOKENS`` more.
"""

from __future__ import annotations

TYPICAL_TOKENS = 100
"""A round figure, for example 1 s to the first token at 100 tokens a second."""
LEAST_TOKENS, MOST_TOKENS = 1.0, 100_000.0
PRIOR_WEIGHT = 0.1
"""The typical proportion counts as much as two answers."""
FADE = 0.98
"""What an answer weighs after the next one: the last fifty decide."""


class JsonLatency:
    """Of one endpoint. Not shared: each process learns the proportion by itself, and shares the estimates."""

    __slots__ = ("_ms", "_ms_tokens", "_tokens", "_tokens_squared", "_weight")

    def __init__(self) -> None:
        self._weight = self._tokens = self._tokens_squared = self._ms = self._ms_tokens = 0.0

    def learn(self, ms: float, tokens: int) -> None:
        """An answer of ``tokens`` tokens took ``ms`` milliseconds. The first token of a stream is an answer of none.

        Long answers vary by more, in proportion to their length, so each weighs by its inverse square.
        """
        weight = 1.0 / (TYPICAL_TOKENS + tokens) ** 2
        self._weight = FADE * self._weight + weight
        self._tokens = FADE * self._tokens + weight * tokens
        self._tokens_squared = FADE * self._tokens_squared + weight * tokens * tokens
        self._ms = FADE * self._ms + weight * ms
        self._ms_tokens = FADE * self._ms_tokens + weight * ms * tokens

    def first_token_worth(self) -> float:
        """The time to the first token, counted in tokens that follow: the solution's two parts, divided by each other.

        The prior is the observation ``first - TYPICAL_TOKENS × per token = 0``, so the equations always have a solution.
        """
        prior = PRIOR_WEIGHT / TYPICAL_TOKENS**2
        a = self._weight + prior
        b = self._tokens - prior * TYPICAL_TOKENS
        c = self._tokens_squared + prior * TYPICAL_TOKENS**2
        first = c * self._ms - b * self._ms_tokens
        per_token = a * self._ms_tokens - b * self._ms
        if not self._ms:
            return TYPICAL_TOKENS
        if per_token <= 0:
            return MOST_TOKENS
        return min(max(first / per_token, LEAST_TOKENS), MOST_TOKENS)


def estimate(ms: float, tokens: int, worth: float) -> float:
    """Milliseconds to the first token of an answer, where that is ``worth`` so many tokens: a share of its own time, never more."""
    return min(ms * worth / (worth + tokens), ms)  # rounding may make it a hair more

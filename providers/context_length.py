"""The sizes in a vendor's refusal of a prompt that is too long, so that a client reads them in the words of its own API. Pure.

Sources: the refusals recorded under ``tests/wire`` (each names its own) and, read 2026-11, vLLM's ``serving_engine.py``, xAI's and
Moonshot's error bodies in github.com/anomalyco/opencode and github.com/cline/cline.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class ContextOverflow(NamedTuple):
    """A prompt that does not fit a context, alone or together with the output that was asked for. All in tokens."""

    prompt: int
    limit: int
    output: int = 0
    """The output that was asked for; 0 where the vendor names only the sum, or refused the prompt by itself."""

    @property
    def words(self) -> str:
        """OpenAI's sentence, which most clients know (platform.openai.com/docs/guides/error-codes and recorded bodies, 2026-11)."""
        if not self.output:
            return (
                f"This model's maximum context length is {self.limit} tokens. However, your messages resulted in "
                f"{self.prompt} tokens. Please reduce the length of the messages."
            )
        return (
            f"This model's maximum context length is {self.limit} tokens. However, you requested {self.prompt + self.output} "
            f"tokens ({self.prompt} in the messages, {self.output} in the completion). Please reduce the length of the "
            "messages or completion."
        )


_P, _O, _L = r"(?P<prompt>\d+)", r"(?P<output>\d+)", r"(?P<limit>\d+)"
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"prompt is too long: {_P} tokens > {_L}",  # Anthropic, also behind Bedrock and Vertex
        rf"exceed context limit: {_P} \+ {_O} > {_L}",  # Anthropic, with max_tokens
        rf"context length is (?:only )?{_L} tokens\D*\d+ tokens \((?:about )?{_P} (?:in|of)\D*{_O} (?:in|of)",  # OpenAI
        rf"too large: {_O}\. This model's maximum context length is {_L} tokens\D*your request has {_P} input",  # vLLM
        rf"maximum context length (?:is|of) {_L} tokens\D*?{_P} tokens",  # OpenAI
        rf"You passed {_P} input tokens and requested {_O} output tokens\D*context length is only {_L}",  # vLLM
        rf"token count \(?(?:is )?{_P}\)?[^\d]*(?:allowed|up to) \(?{_L}",  # Gemini
        rf"request \({_P} tokens\) exceeds the available context size \({_L} tokens\)",  # llama.cpp
        rf"contains {_P} tokens and \d+ draft tokens, too large for model with {_L}",  # Mistral
        rf"maximum prompt length is {_L} but the request contains {_P}",  # xAI
        rf"must be <= {_L}\. Given: {_P} `inputs` tokens and {_O}",  # TGI, Together
        rf"exceeded model token limit: {_L} \(requested: {_P}\)",  # Moonshot
    )
)
_TEXT_MAX: Final = 2000


def overflow_of(message: str) -> ContextOverflow | None:
    """The sizes that a refusal names; None where it names none, or sizes that are no overflow."""
    text = message[:_TEXT_MAX]
    for pattern in _PATTERNS:
        found = pattern.search(text)
        if found is None:
            continue
        groups = found.groupdict()
        overflow = ContextOverflow(int(groups["prompt"]), int(groups["limit"]), int(groups.get("output") or 0))
        if overflow.prompt + overflow.output > overflow.limit:
            return overflow
    return None

"""The request parameters that an endpoint may or may not support, under the names of the catalogue's ``supported_parameters``."""

from __future__ import annotations

from typing import Final

PARAMETERS: Final = frozenset(
    {
        "temperature", "top_p", "top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty",
        "max_tokens", "max_completion_tokens", "stop", "seed", "logit_bias", "logprobs", "top_logprobs", "prediction",
        "response_format", "structured_outputs", "tools", "tool_choice", "parallel_tool_calls", "web_search_options",
        "reasoning", "reasoning_effort", "include_reasoning", "verbosity",
    }
)  # fmt: skip
"""Other fields of a request (``model``, ``messages`` ...) are not abilities of an endpoint."""
DROPPABLE: Final = PARAMETERS - {"max_tokens", "max_completion_tokens", "stop"}
"""Parameters that are left out for an endpoint without them. ``stop`` and the output limits never are: they change the bill."""

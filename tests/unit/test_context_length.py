"""The sizes in vendors' refusals of long prompts, and the sentences in which clients read them."""

from __future__ import annotations

import pytest

from gateway.api.inference.messages.response import envelope
from gateway.errors import UpstreamFailed
from providers.context_length import ContextOverflow, overflow_of

OPENAI = "This model's maximum context length is {limit} tokens. However, your messages resulted in {prompt} tokens. Please reduce the length of the messages."
CLAUDE = "prompt is too long: {prompt} tokens > {limit} maximum"
CLAUDE_OUTPUT = (
    "input length and `max_tokens` exceed context limit: {prompt} + {output} > {limit}, decrease input length or `max_tokens` "
    "and try again"
)
REFUSALS = {
    "prompt is too long: 213462 tokens > 200000 maximum": ContextOverflow(213462, 200000),
    "The model returned the following errors: prompt is too long: 227255 tokens > 200000 maximum": ContextOverflow(
        227255, 200000
    ),
    CLAUDE_OUTPUT.format(prompt=178902, output=32000, limit=200000): ContextOverflow(178902, 200000, 32000),
    OPENAI.format(prompt=8227, limit=8192): ContextOverflow(8227, 8192),
    "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (1000 in the messages, 4000 in the "
    "completion).": ContextOverflow(1000, 4097, 4000),
    "This endpoint's maximum context length is 8192 tokens. However, you requested about 10000 tokens (9000 of text input, 1000 in "
    "the output).": ContextOverflow(9000, 8192, 1000),
    "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request "
    "has 100 input tokens (5000 > 4096 - 100).": ContextOverflow(100, 4096, 5000),
    "You passed 1015 input tokens and requested 10 output tokens. However, the model's context length is only 1024 tokens, resulting "
    "in a maximum input length of 1014 tokens.": ContextOverflow(1015, 1024, 10),
    "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).": ContextOverflow(
        1048577, 1048576
    ),
    "The input token count is 1500000 but model only supports up to 1048576.": ContextOverflow(1500000, 1048576),
    "request (3031 tokens) exceeds the available context size (2048 tokens), try increasing it": ContextOverflow(
        3031, 2048
    ),
    "Prompt contains 140000 tokens and 0 draft tokens, too large for model with 131072 maximum context length": ContextOverflow(
        140000, 131072
    ),
    "This model's maximum prompt length is 131072 but the request contains 200000 tokens.": ContextOverflow(
        200000, 131072
    ),
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 512 `max_new_tokens`": (
        ContextOverflow(9000, 8193, 512)
    ),
    "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)": ContextOverflow(
        300000, 262144
    ),
    "Input is too long for requested model.": None,
    "Your input exceeds the context window of this model. Please adjust your input and try again.": None,
    "prompt is too long: 5 tokens > 200000 maximum": None,
    "": None,
}


@pytest.mark.parametrize("message", list(REFUSALS))
def test_the_sizes_of_a_refusal(message: str) -> None:
    """Each vendor's sentence gives its sizes, or none where it has none that make sense."""
    assert overflow_of(message) == REFUSALS[message]


@pytest.mark.parametrize("message", list(REFUSALS))
def test_each_surface_says_it_as_its_clients_expect(message: str) -> None:
    """OpenAI's sentence by default, Anthropic's two on Messages; the vendor's own words where it names no sizes."""
    error = UpstreamFailed(message, status=400, error_type="context_length_exceeded")
    overflow, anthropic = REFUSALS[message], envelope(error)["error"]["message"]
    if overflow is None:
        assert "maximum context length" in error.message
        assert anthropic.startswith("prompt is too long")
        assert error.message.endswith(message)
        assert anthropic.endswith(message)
        return
    prompt, limit, output = overflow
    names = {"prompt": prompt, "limit": limit, "output": output}
    assert f"maximum context length is {limit} tokens" in error.message
    assert str(prompt) in error.message
    expected = CLAUDE if prompt > limit or not output else CLAUDE_OUTPUT
    assert anthropic == expected.format(**names)
    assert overflow_of(error.message) == overflow


def test_other_errors_keep_their_words() -> None:
    """Only a context that is too small is said in other words."""
    error = UpstreamFailed("prompt is too long: 9 tokens > 8 maximum", status=400, error_type="invalid_request")
    assert (error.message, error.overflow) == ("prompt is too long: 9 tokens > 8 maximum", None)
    assert envelope(error)["error"]["message"] == error.message

"""The bound of a prompt is above what real tokenizers count of it, whatever is written and however a chat template prints it."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import wordllama
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gateway import prompt_size
from tests.support.examples import examples

TOKENIZERS = ("llama-2", "cl100k_base", "o200k_base", "o200k_harmony", "qwen3.5")
"""SentencePiece with bytes to fall back to; GPT-4; GPT-4o and later; gpt-oss; Qwen, which normalises."""
GROW = "".join(map(chr, (0x344, 0xB5D, 0xF43, 0xF76, 0xF78, 0xF93, 0x2ADC, 0xFA6C, 0xFB2C, 0x1D15E, 0x1D160, 0x1D1C0)))
"""Characters of which the normal form is longer."""
RARE = st.characters(min_codepoint=0x1200, max_codepoint=0x137F) | st.characters(
    min_codepoint=0x12000, max_codepoint=0x123FF
)
TEXTS = st.one_of(
    st.text(string.digits, min_size=1),
    st.text(string.punctuation),
    st.text(string.ascii_letters),
    st.text("qzjQxXkK"),
    st.text(string.whitespace),
    st.text(RARE),
    st.text(GROW),
    st.text("a\u0301\u0316\u1112\u1161\u11ab"),
    st.text(),
    st.sampled_from(
        ["The quick brown fox. ", "def read(path): return path.read_text()\n", "你好,世界。", "नमस्ते ", "😀👩‍👩‍👧"]
    ),
).flatmap(lambda text: st.integers(1, 40).map(lambda times: text * times))
SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=6),
    max_leaves=30,
)


@cache
def llama() -> Tokenizer:
    return Tokenizer.from_file(
        str(Path(wordllama.__file__).parent / "tokenizers" / "l2_supercat_tokenizer_config.json")
    )


def counted(tokenizer: str, *texts: str) -> list[int]:
    """How many tokens a tokenizer makes of each text."""
    if tokenizer == "llama-2":
        return [len(found.ids) for found in llama().encode_batch(texts, add_special_tokens=False)]
    toktok: Any = pytest.importorskip("toktok")
    return list(toktok.batch_count(list(texts), tokenizer))


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@examples(400)
@given(text=TEXTS)
def test_no_tokenizer_makes_more_of_a_text(tokenizer: str, text: str) -> None:
    """One token for each byte, more only where a normal form is longer. The one is SentencePiece's blank in front."""
    assert counted(tokenizer, text)[0] <= prompt_size.text_bound(text) + 1


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_character(tokenizer: str) -> None:
    """Each character that is longer in its normal form, and one of each block of 32, alone and in a word."""
    characters = [*GROW, *map(chr, range(0x20, 0xD800, 32)), *map(chr, range(0xE000, 0x30000, 32))]
    texts = [text for each in characters for text in (each * 8, f"a{each}a" * 8)]
    for text, tokens in zip(texts, counted(tokenizer, *texts), strict=True):
        assert tokens <= prompt_size.text_bound(text) + 1, text


def chatml(body: dict[str, Any]) -> str:
    """Qwen's and SmolLM's: tools as lines of JSON, calls and results in tags."""
    found = ["<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."]
    if body.get("tools"):
        found.append("\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n<tools>")
        found += ["\n" + json.dumps(tool, ensure_ascii=False) for tool in body["tools"]]
        found.append("\n</tools>")
    for message in body["messages"]:
        found.append(f"<|im_end|>\n<|im_start|>{message['role']}\n{message.get('content') or ''}")
        for call in message.get("tool_calls", ()):
            found.append(f'\n<tool_call>\n{{"name": "{call["function"]["name"]}", ')
            found.append(f'"arguments": {call["function"]["arguments"]}}}\n</tool_call>')
        if message["role"] == "tool":
            found.append(f"## Return of {message['tool_call_id']}\n")
    return "".join(found) + "<|im_end|>\n<|im_start|>assistant\n<think>\n"


def indented(body: dict[str, Any]) -> str:
    """Llama 3.1's: the date, and tools and calls printed with an indent of four."""
    found = ["<|begin_of_text|>Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"]
    found += [json.dumps(tool, indent=4, ensure_ascii=False) + "\n\n" for tool in body.get("tools", ())]
    for message in body["messages"]:
        found.append(
            f"<|start_header_id|>{message['role']}<|end_header_id|>\n\n{message.get('content') or ''}<|eot_id|>"
        )
        for call in message.get("tool_calls", ()):
            found.append(json.dumps(json.loads(call["function"]["arguments"]), indent=4, ensure_ascii=False))
    return "".join(found)


def escaped(body: dict[str, Any]) -> str:
    """A template that prints JSON in ASCII, and everything of a message."""
    return json.dumps([body.get("tools"), body.get("response_format")]) + "".join(
        f"<m>{message['role']}: {message.get('content') or ''}" + json.dumps(message.get("tool_calls", ()))
        for message in body["messages"]
    )


@pytest.mark.parametrize(("template", "model"), [(chatml, "qwen/q"), (indented, "acme/m"), (escaped, "deepseek/d")])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@examples(60)
@given(text=TEXTS, schema=SCHEMAS, arguments=SCHEMAS, id=st.text(string.ascii_letters + string.digits, min_size=1))
def test_no_template_makes_more_of_a_request(
    tokenizer: str, template: Callable[[Any], str], model: str, text: str, schema: Any, arguments: Any, id: str
) -> None:
    """Tools, schemas, calls and their results, whatever is in them."""
    call = {"id": id, "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": arguments})}}
    body = {
        "messages": [
            {"role": "user", "content": text},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": text},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"enum": [schema, text, *[1, 2] * 50]}}}
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"const": schema}}},
    }
    (bound,) = prompt_size.measure(body).bounds([(model, None)])
    assert counted(tokenizer, template(body))[0] <= bound


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_bound_of_plain_text_is_not_far(tokenizer: str) -> None:
    """Of prose it is five times the count, so a hold is large, but no more than that; of digits it is what Qwen and Llama count."""
    prose = "The quick brown fox jumps over the lazy dog, and nobody knows why. " * 100
    assert prompt_size.text_bound(prose) < 6 * counted(tokenizer, prose)[0]
    if tokenizer in ("llama-2", "qwen3.5"):
        assert prompt_size.text_bound("1234567890" * 100) <= counted(tokenizer, "1234567890" * 100)[0]

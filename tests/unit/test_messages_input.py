"""Messages requests in the inner language: what each block becomes, and what survives the way to Anthropic's own dialect."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.inference.chat import schema as chat_schema
from gateway.api.inference.messages import request, schema, thinking
from gateway.errors import BadRequest
from providers.anthropic.messages import conversation
from tests.support.examples import examples

CACHED = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


def inner(**body: Any) -> dict[str, Any]:
    """Checked and translated; the request is untouched and the result a valid chat request."""
    given_body = {"model": "t/a", "messages": [{"role": "user", "content": "hi"}], **body}
    before = copy.deepcopy(given_body)
    schema.check(given_body, schema.MessagesRequest)
    chat = request.inner(given_body)
    assert given_body == before
    chat_schema.check(chat)
    return chat


def user(*blocks: dict[str, Any]) -> Any:
    """What the inner user message holds."""
    messages = inner(messages=[{"role": "user", "content": list(blocks)}])["messages"]
    assert [message["role"] for message in messages] == ["user"]
    return messages[0]["content"]


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    """The inner assistant message; calls get their results."""
    results = [{"type": "tool_result", "tool_use_id": b["id"]} for b in blocks if b["type"] == "tool_use"]
    turns = [
        {"role": "assistant", "content": list(blocks)},
        *([{"role": "user", "content": results}] if results else []),
    ]
    message: dict[str, Any] = inner(messages=turns)["messages"][0]
    return message


def result(content: Any, **more: Any) -> dict[str, Any]:
    """The inner tool message of one result."""
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    block = {"type": "tool_result", "tool_use_id": "a", **({} if content is None else {"content": content}), **more}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [block]}]
    message: dict[str, Any] = inner(messages=turns)["messages"][1]
    assert (message["role"], message["tool_call_id"]) == ("tool", "a")
    return message


def text(content: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": content, **more}


def test_system_in_every_form() -> None:
    """A text, blocks joined, blocks with breakpoints kept apart; nothing when there is nothing."""
    assert inner(system="Be.")["messages"][0] == {"role": "system", "content": "Be."}
    assert inner(system=[text("A"), text("B")])["messages"][0]["content"] == "A\n\nB"
    kept = inner(system=[text("A", cache_control=CACHED), text("B")])["messages"][0]["content"]
    assert kept == [{"type": "text", "text": "A", "cache_control": CACHED}, {"type": "text", "text": "B"}]
    for nothing in (None, "", []):
        assert [m["role"] for m in inner(system=nothing)["messages"]] == ["user"]


def test_system_turns_in_the_middle() -> None:
    """They stay where they are; one that was for one answer only goes with the next message of the user."""
    system = {"role": "system", "content": "Hurry.", "clear_at": "next_user_message"}
    hi = {"role": "user", "content": "hi"}
    assert [m["role"] for m in inner(messages=[hi, system])["messages"]] == ["user", "system"]
    assert [m["role"] for m in inner(messages=[hi, system, hi])["messages"]] == ["user", "user"]
    assert [m["role"] for m in inner(messages=[hi, {**system, "clear_at": "never"}, hi])["messages"]] == [
        "user",
        "system",
        "user",
    ]


def test_text_and_pictures() -> None:
    """Lone text is a text; pictures by data and by URL; breakpoints ride on the part."""
    assert user(text("a")) == "a"
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
        "cache_control": CACHED,
    }
    linked = {"type": "image", "source": {"type": "url", "url": "https://e.test/a.png"}}
    assert user(text("a"), text("b"), picture, linked) == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}, "cache_control": CACHED},
        {"type": "image_url", "image_url": {"url": "https://e.test/a.png"}},
    ]


def test_documents() -> None:
    """PDFs are files; text is text, with its title and context; a file's id stays an id."""

    def document(source: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"type": "document", "source": source, **more}

    pdf = document({"type": "base64", "media_type": "application/pdf", "data": "aGk="}, title="A", cache_control=CACHED)
    file = {"file_data": "data:application/pdf;base64,aGk=", "filename": "A"}
    assert user(pdf) == [{"type": "file", "file": file, "cache_control": CACHED}]
    linked = user(document({"type": "url", "url": "https://e.test/a.pdf"}, context="Read it."))
    assert linked == [
        {"type": "text", "text": "Read it."},
        {"type": "file", "file": {"file_data": "https://e.test/a.pdf", "filename": "document.pdf"}},
    ]
    written = {"type": "text", "media_type": "text/plain", "data": "body"}
    assert user(document(written)) == "body"
    assert user(document(written, title="T", context="C")) == [text("T\nC"), text("body")]
    blocks = {
        "type": "content",
        "content": [text("x"), {"type": "image", "source": {"type": "url", "url": "https://e.test"}}],
    }
    assert [part["type"] for part in user(document(blocks))] == ["text", "image_url"]
    assert user(document({"type": "file", "file_id": "file_1"})) == [{"type": "file", "file": {"file_id": "file_1"}}]
    found = {"type": "search_result", "source": "https://e.test", "title": "T", "content": [text("x"), text("y")]}
    assert user(found) == "Source: https://e.test\nTitle: T\nx\ny"
    assert user({"type": "container_upload", "file_id": "f"}) == [{"type": "file", "file": {"file_id": "f"}}]


def test_results_of_tools() -> None:
    """Text as text, pictures as parts, a breakpoint on the last part, a failure in words where the text is silent about it."""
    assert result("x")["content"] == "x"
    assert result(None)["content"] == ""
    assert result([text("x"), text("y")])["content"] == "x\ny"
    picture = {"type": "image", "source": {"type": "url", "url": "https://e.test"}}
    assert [part["type"] for part in result([text("x"), picture])["content"]] == ["text", "image_url"]
    assert result("x", cache_control=CACHED)["content"] == [{"type": "text", "text": "x", "cache_control": CACHED}]
    failed = result("no such file", is_error=True)
    assert (failed["is_error"], failed["content"]) == (True, "Error: no such file")
    assert result("ERROR 5", is_error=True)["content"] == "ERROR 5"
    assert result(None, is_error=True)["content"] == "Error"
    assert result([picture], is_error=True)["content"][0] == text("Error")
    assert "is_error" not in result("x", is_error=False)


def test_results_come_before_the_users_words() -> None:
    """Each result is a message of its own, in order, ahead of what the user says beside it."""
    uses = [{"type": "tool_use", "id": id, "name": "f", "input": {"a": 1}} for id in "ab"]
    results = [{"type": "tool_result", "tool_use_id": id, "content": id} for id in "ba"]
    turns = [
        {"role": "assistant", "content": uses},
        {"role": "user", "content": [results[0]]},
        {"role": "user", "content": [text("And now?"), results[1]]},
    ]
    messages = inner(messages=turns)["messages"]
    assert [(m["role"], m.get("tool_call_id"), m["content"]) for m in messages[1:]] == [
        ("tool", "b", "b"),
        ("tool", "a", "a"),
        ("user", None, "And now?"),
    ]


def test_assistant_turns() -> None:
    """Texts joined, calls with their arguments as text, thinking as details with the plain twin, pictures."""
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {"ä": [1, {"b": None}]}}
    turn = assistant(text("A"), text("B"), use)
    assert turn["content"] == "AB"
    assert turn["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"ä":[1,{"b":null}]}'}}
    ]
    assert assistant(use)["content"] is None
    assert assistant() == {"role": "assistant", "content": ""}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    assert assistant(text("x"), picture)["images"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    ]
    assert assistant({"type": "compaction", "content": "Before: x"})["content"] == "Before: x"


def test_thinking_in_its_order() -> None:
    """Anthropic's own signatures and redacted blocks keep their order; what a server ran inside the turn counts as thought."""
    turn = assistant(
        {"type": "thinking", "thinking": "One.", "signature": "S1"},
        {"type": "redacted_thinking", "data": "D"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u"}]},
        {"type": "thinking", "thinking": "Two.", "signature": ""},
        text("A"),
    )
    native = thinking.NATIVE
    assert turn["reasoning"] == "One.Two."
    assert turn["reasoning_details"] == [
        {"type": "reasoning.text", "text": "One.", "signature": "S1", "format": native, "index": 0},
        {"type": "reasoning.encrypted", "data": "D", "format": native, "index": 1},
        {
            **{"type": "reasoning.server_tool_call", "tool_name": "web_search", "tool_call_id": "s"},
            **{"arguments": '{"query":"x"}', "result": '[{"url":"u"}]', "format": native, "index": 2},
        },
        {"type": "reasoning.text", "text": "Two.", "index": 3},
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"reasoning": {"max_tokens": 2000}}),
        ({"thinking": {"type": "disabled"}}, {"reasoning": {"enabled": False}}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning": {"enabled": True}}),
        ({"thinking": {"type": "between_tools"}}, {"reasoning": {"enabled": True}}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, {"reasoning": {"effort": "low"}}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "max"}},
            {"reasoning": {"max_tokens": 2000}, "verbosity": "max"},
        ),
        ({"output_config": {"effort": "high"}}, {"verbosity": "high"}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {"reasoning": {"enabled": True, "exclude": True}}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"metadata": {"user_id": "u"}, "user": "v"}, {"user": "v"}),
        ({"service_tier": "standard_only"}, {}),
        ({"service_tier": "auto"}, {}),
        ({"fallbacks": [{"model": "t/b"}]}, {"models": ["t/b"]}),
        ({"models": ["t/b"]}, {"models": ["t/b"]}),
        ({"cache_control": CACHED}, {"cache_control": CACHED}),
        ({"provider": {"sort": "price"}, "session_id": "s"}, {"provider": {"sort": "price"}, "session_id": "s"}),
        ({"temperature": 0, "top_p": 0.5, "top_k": 3}, {"temperature": 0, "top_p": 0.5, "top_k": 3}),
        ({"speed": "fast", "container": "c", "context_management": {}, "novelty": 1}, {}),
    ],
)
def test_fields(body: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each field's counterpart, and nothing besides."""
    chat = inner(max_tokens=9000, **body)
    for name in ("model", "messages", "max_tokens"):
        del chat[name]
    assert chat == expected


def test_structured_output() -> None:
    """``output_config.format`` and its older spelling are a strict JSON schema."""
    form = {"type": "json_schema", "schema": {"type": "object"}}
    expected = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
    assert inner(output_config={"format": form})["response_format"] == expected
    assert inner(output_format=form)["response_format"] == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)
def test_tool_choice(choice: dict[str, Any], expected: dict[str, Any]) -> None:
    """Anthropic's choices in OpenAI's words."""
    chat = inner(tools=[TOOL], tool_choice=choice)
    assert {name: chat[name] for name in ("tool_choice", "parallel_tool_calls") if name in chat} == expected


def test_tools() -> None:
    """The caller's tools become functions with all fields; Anthropic's own stay as they are."""
    own = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    rich = {
        **TOOL,
        "description": "D",
        "strict": True,
        "defer_loading": True,
        "cache_control": CACHED,
        "type": "custom",
    }
    function = {
        "name": "f",
        "description": "D",
        "parameters": {"type": "object"},
        "strict": True,
        "defer_loading": True,
    }
    assert inner(tools=[rich, own])["tools"] == [
        {"type": "function", "function": function, "cache_control": CACHED},
        own,
    ]


def test_tools_that_come_and_go() -> None:
    """What system turns add and take away: the list at the end of the conversation is the one that is sent."""

    def change(kind: str, **tool: Any) -> dict[str, Any]:
        return {"role": "system", "content": [{"type": f"tool_{kind}", "tool": tool}, text("Mind.")]}

    added = change("addition", type="tool_definition", definition={**TOOL, "name": "g"})
    gone = change("removal", type="tool_reference", name="f")
    back = change("addition", type="tool_reference", name="f")
    mcp = change("addition", type="mcp_toolset_reference", server_name="s")
    hi = {"role": "user", "content": "hi"}

    def names(*turns: Any, **more: Any) -> list[str]:
        chat = inner(messages=[hi, *turns], tools=[TOOL], **more)
        assert all(message["content"] == "Mind." for message in chat["messages"][1:])
        return [tool["function"]["name"] for tool in chat.get("tools", ())]

    assert names(added, mcp) == ["f", "g"]
    assert names(gone) == []
    assert names(added, gone) == ["g"]
    assert names(gone, back) == ["f"]
    assert names(added, tool_choice={"type": "tool", "name": "g"}) == ["f", "g"]
    with pytest.raises(BadRequest, match="no tool is called 'f'"):
        names(added, gone, tool_choice={"type": "tool", "name": "f"})


# -- there and back ----------------------------------------------------------------------------------------------------

WORDS = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
IDS = st.text("abcXYZ0189_-", min_size=1, max_size=12)
INPUTS = st.dictionaries(
    WORDS, st.one_of(WORDS, st.integers(-99, 99), st.none(), st.lists(WORDS, max_size=2)), max_size=3
)


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A conversation as Anthropic itself would have it: signed thinking first, calls last, results next."""
    made: list[dict[str, Any]] = [{"role": "user", "content": [text(draw(WORDS))]}]
    for _ in range(draw(st.integers(0, 3))):
        blocks: list[dict[str, Any]] = []
        for signature in draw(st.lists(IDS, max_size=2)):
            blocks.append({"type": "thinking", "thinking": draw(WORDS), "signature": signature})
        if draw(st.booleans()):
            blocks.append({"type": "redacted_thinking", "data": draw(IDS)})
        blocks.append(text("x" + draw(WORDS)))
        ids = draw(st.lists(IDS, max_size=3, unique=True))
        blocks += [{"type": "tool_use", "id": id, "name": draw(IDS), "input": draw(INPUTS)} for id in ids]
        answers: list[dict[str, Any]] = [
            {"type": "tool_result", "tool_use_id": id, "content": draw(WORDS)} for id in draw(st.permutations(ids))
        ]
        made += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [*answers, text(draw(WORDS))]}]
    return made


@examples(150)
@given(turns())
def test_a_conversation_survives_the_translation(made: list[dict[str, Any]]) -> None:
    """Through the inner language and out again by Anthropic's dialect: roles, order, ids, arguments, signatures, words."""
    chat = inner(messages=made)
    _, again = conversation(chat["messages"], mid_system=False)
    assert again == made

"""What Anthropic gets for a chat request: turns, tool calls and results, media. Checked against the SDK's types."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from providers.errors import ProviderError
from tests.support.anthropicwire import sent

HI = {"role": "user", "content": "hi"}
PNG = "data:image/png;base64,iVBORw0KGgo="


def turns(*messages: dict[str, Any], **options: Any) -> list[tuple[str, Any]]:
    return [(turn["role"], turn["content"]) for turn in sent({"messages": list(messages)}, **options)["messages"]]


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return sent({"messages": [{"role": "user", "content": list(parts)}]})["messages"][0]["content"]


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def refusal(body: dict[str, Any], **options: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        sent({"messages": [HI], **body}, **options)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_system_and_developer_messages_become_the_system_prompt() -> None:
    """The first ones, as text or parts, in order; later ones stay where they are: as system turns where the model takes them."""
    messages = [
        {"role": "system", "content": "one"},
        {"role": "developer", "content": [text("two"), text("three")]},
        HI,
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "and?"},
        {"role": "developer", "content": "four"},
        {"role": "user", "content": "go"},
    ]
    vendor_body = sent({"messages": messages})
    assert [block["text"] for block in vendor_body["system"]] == ["one", "two", "three"]
    assert [turn["role"] for turn in vendor_body["messages"]] == ["user", "assistant", "user"]
    words = ["and?", "<system-reminder>\nfour\n</system-reminder>", "go"]
    assert [block["text"] for block in vendor_body["messages"][2]["content"]] == words
    vendor_body = sent({"messages": messages}, mid_system=True)
    assert [block["text"] for block in vendor_body["system"]] == ["one", "two", "three"]
    assert [turn["role"] for turn in vendor_body["messages"]] == ["user", "assistant", "user", "system"]
    assert [block["text"] for block in vendor_body["messages"][2]["content"]] == ["and?", "go"]


def test_instructions_alone_become_the_turn_that_is_demanded() -> None:
    """A request of system messages only still has a user turn."""
    vendor_body = sent({"messages": [{"role": "system", "content": "Write a haiku."}]})
    assert "system" not in vendor_body
    assert vendor_body["messages"] == [{"role": "user", "content": [text("Write a haiku.")]}]


def test_neighbours_of_one_role_are_one_turn() -> None:
    """Consecutive messages of a role are merged; empty ones vanish; a speaker's name goes before the words."""
    assert turns(
        {"role": "user", "content": "a", "name": "Ann"},
        {"role": "user", "content": [text("b"), text(" ")]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": [text("d"), {"type": "refusal", "refusal": "e"}]},
        {"role": "assistant", "content": None, "refusal": "f"},
    ) == [("user", [text("Ann: a"), text("b"), text("c")]), ("assistant", [text("d"), text("e"), text("f")])]


def test_tool_calls_and_results() -> None:
    """Calls become tool_use with an object, results one user turn in which they come first; ids are kept."""
    vendor_body = turns(
        HI,
        {"role": "assistant", "content": "Look:", "tool_calls": [call("c-1", "f", '{"a": [1]}'), call("c-2", "g", "")]},
        {"role": "tool", "tool_call_id": "c-1", "content": "one"},
        {"role": "user", "content": "quick!"},
        {
            "role": "tool",
            "tool_call_id": "c-2",
            "content": [text("two"), {"type": "image_url", "image_url": {"url": PNG}}],
        },
        {"role": "tool", "tool_call_id": "c-3", "content": "", "is_error": True},
    )
    assert vendor_body[1] == (
        "assistant",
        [
            text("Look:"),
            {"type": "tool_use", "id": "c-1", "name": "f", "input": {"a": [1]}},
            {"type": "tool_use", "id": "c-2", "name": "g", "input": {}},
        ],
    )
    first, second, third, last = vendor_body[2][1]
    assert first == {"type": "tool_result", "tool_use_id": "c-1", "content": "one"}
    assert [part["type"] for part in second["content"]] == ["text", "image"]
    assert third == {"type": "tool_result", "tool_use_id": "c-3", "is_error": True}
    assert last == text("quick!")


def test_ids_of_other_vendors_fit_and_stay_apart() -> None:
    """An id outside the vendor's alphabet is spelled anew, alike in call and result, unlike any other id."""
    ids = ["functions.f:0", "functions.f.0", "", "call_ok"]
    calls = [call(id, "f", "{}") for id in ids]
    results = [{"role": "tool", "tool_call_id": id, "content": "x"} for id in ids]
    vendor_body = turns(HI, {"role": "assistant", "tool_calls": calls}, *results)
    made = [block["id"] for block in vendor_body[1][1]]
    assert made == [block["tool_use_id"] for block in vendor_body[2][1]]
    assert len(set(made)) == 4
    assert made[3] == "call_ok"
    assert all(id.replace("_", "").replace("-", "").isalnum() for id in made)


@pytest.mark.parametrize("broken", ["{", "[1]", "null", "7", '{"a":'])
def test_broken_arguments_go_back_in_an_object(broken: str) -> None:
    """Arguments that are no JSON object are shown to the model as it wrote them."""
    vendor_body = turns(
        HI,
        {"role": "assistant", "tool_calls": [call("c", "f", broken)]},
        {"role": "tool", "tool_call_id": "c", "content": "?"},
    )
    assert vendor_body[1][1][0]["input"] == {"_unparsed_arguments": broken}


def test_pictures_by_url_and_by_value() -> None:
    """An image goes out as URL, or as base64 with its media type; percent-encoded data is encoded anew."""
    image = [user({"type": "image_url", "image_url": {"url": url, "detail": "high"}})[0] for url in (
        "https://a.example/x.png", PNG, "data:image/jpg;base64,AAAA", "data:image/gif,%47%49%46",
    )]  # fmt: skip
    assert image[0] == {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}}
    assert image[1]["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    assert image[2]["source"]["media_type"] == "image/jpeg"
    assert base64.b64decode(image[3]["source"]["data"]) == b"GIF"


def test_documents_by_url_by_value_and_by_id() -> None:
    """PDFs and text files become documents with their title; an uploaded file is named by its id."""
    pdf, url, plain, csv, id, picture = user(
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "https://a.example/b.pdf"}},
        {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8;base64,w6Q="}},
        {"type": "file", "file": {"file_data": "data:text/csv,a%2Cb", "filename": "t.csv"}},
        {"type": "file", "file": {"file_id": "file_011"}},
        {"type": "file", "file": {"file_data": PNG, "filename": "p.png"}},
    )
    assert pdf == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        "title": "a.pdf",
    }
    assert url["source"] == {"type": "url", "url": "https://a.example/b.pdf"}
    assert plain["source"] == {"type": "text", "media_type": "text/plain", "data": "ä"}
    assert (csv["source"]["data"], csv["title"]) == ("a,b", "t.csv")
    assert id["source"] == {"type": "file", "file_id": "file_011"}
    assert picture["type"] == "image"


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}, "input_audio"),
        ({"type": "video_url", "video_url": {"url": "https://a/b.mp4"}}, "video_url"),
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA"}}, "image/bmp"),
        ({"type": "image_url", "image_url": {"url": "ftp://a/b.png"}}, "image_url"),
        ({"type": "image_url", "image_url": {}}, "image_url"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,AA"}}, "application/zip"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,A"}}, "base64"),
        ({"type": "file", "file": {"filename": "x"}}, "file_data"),
        ({"type": "holo"}, "holo"),
        ("junk", "None"),
    ],
)
def test_parts_that_cannot_be_expressed_are_refused(part: Any, named: str) -> None:
    """Audio, video, foreign media types and unknown parts are ``unsupported``, and the message names them."""
    assert named in refusal({"messages": [{"role": "user", "content": [part]}]})


def test_a_prefill_is_the_last_turn() -> None:
    """A trailing assistant message goes out without white space at its end; for a model that takes none it is refused."""
    prefill = {"role": "assistant", "content": "The answer is ( \n"}
    assert turns(HI, prefill)[1] == ("assistant", [text("The answer is (")])
    assert "prefill" in refusal({"messages": [HI, prefill]}, prefill=False)
    assert "prefill" in refusal({"messages": [HI, prefill], "max_tokens": 9000, "reasoning": {"effort": "low"}})

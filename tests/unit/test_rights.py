"""What a request may not do with the operator's money, account and network: dialects x fields, tools and references x spellings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers import rights
from providers.errors import ProviderError
from providers.rights import RIGHTS
from providers.types import NativeRequest

HELLO = [{"role": "user", "content": "hi"}]
NATIVE: dict[str, dict[str, Any]] = {
    "messages": {"model": "m", "messages": HELLO, "max_tokens": 9},
    "responses": {"model": "m", "input": "hi", "store": False},
}
SURFACES = ("chat", *NATIVE)
Json = dict[str, Any]


def check(surface: str, more: Json, **options: Any) -> str:
    """The refusal's words; "" where it passes."""
    try:
        if surface in NATIVE:
            rights.check_native_fields(NativeRequest(surface, {**NATIVE[surface], **more}), options)
        else:
            rights.check_fields({"model": "m", "messages": HELLO, **more}, surface, options)
    except ProviderError as error:
        return error.message if error.failure.kind == "unsupported" else repr(error)
    return ""


FIELDS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(
        ("api_base", "base_url", "api_key", "api_version", "organization", "azure_endpoint", "webhook_url", "vertex_project"),
        ("x", ""),
    ),
    **dict.fromkeys(("extra_headers", "litellm_params", "aws_session_token", "performance_config"), ({"a": 1}, "")),
    **dict.fromkeys(("best_of", "candidate_count", "num_return_sequences"), (4, "")),
    "batch": (True, ""),
    "store": (True, "stored"),
    "previous_response_id": ("resp_1", "stored"),
    "conversation": ("conv_1", "stored"),
    "prompt": ({"id": "pmpt_1"}, "stored"),
    "thread": ({"type": "continue"}, "stored"),
    "background": (True, "background"),
    "cached_content": ("cachedContents/1", "cached_content"),
    "data_sources": ([{"type": "azure_search"}], "data_sources"),
    "vector_store_ids": (["vs_1"], "data_sources"),
    "container": ("container_1", "containers"),
    "mcp_servers": ([{"type": "url", "url": "https://mcp.example.com", "name": "x"}], "mcp"),
    "guardrail_config": ({"guardrailIdentifier": "g"}, "guardrails"),
    "search_parameters": ({"mode": "on"}, "search"),
    "enable_search": (True, "search"),
    "speed": ("fast", ""),
    "inference_geo": ("us", ""),
}  # fmt: skip
"""Field → a value that asks for something, and the right that a catalogue may give for it; "": none."""


def spellings(name: str) -> list[str]:
    head, *rest = name.split("_")
    camel = head + "".join(word.title() for word in rest)
    return [name, name.upper(), camel, camel[:1].upper() + camel[1:], name.replace("_", "-")]


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("name", FIELDS)
def test_fields(surface: str, name: str) -> None:
    """Refused by name at the top and in what a server may unpack, however they are spelt; a row may open some of them."""
    value, right = FIELDS[name]
    assert right in ("", *RIGHTS)
    for spelling in spellings(name):
        for path, more in (
            (spelling, {spelling: value}),
            (f"extra_body.{spelling}", {"extra_body": {spelling: value}}),
            (f"extraBody.google.{spelling}", {"extraBody": {"google": {spelling: value}}}),
        ):
            assert check(surface, more).startswith(f"{path}: "), more
            opened = check(surface, more, allows=[right])
            assert bool(opened) == (right == ""), more
    for nothing in (None, False, [], {}):
        assert check(surface, {name: nothing}) == ""


@pytest.mark.parametrize("surface", SURFACES)
def test_what_passes(surface: str) -> None:
    """A vendor's new parameter works at once, unless the catalogue closes the vendor."""
    for more in (
        {"a_new_parameter": 1},
        {"temperature": 0, "metadata": {"store": "x"}, "user": "u"},
        {"guided_json": {"properties": {"store": {"type": "string"}}}},
        {"extra_body": {"a_new_parameter": {"store": 1}}},
    ):
        assert check(surface, more) == "", more
    assert check(surface, {"a_new_parameter": 1}, unknown_fields="pass") == ""
    assert check(surface, {"a_new_parameter": 1}, unknown_fields="refuse").startswith("a_new_parameter: is unknown")
    assert check(surface, {"store": False, "temperature": 1}, unknown_fields="refuse") == ""


@pytest.mark.parametrize("name", ["Model", "TOOLS", "Stream"])
@pytest.mark.parametrize("surface", SURFACES)
def test_a_known_field_spelt_otherwise(surface: str, name: str) -> None:
    """A server that ignores case would take it for the field that we have checked, held and billed."""
    assert check(surface, {name: "x"}).startswith(f"{name}: is written {name.lower()}")
    assert check(surface, {"extra_body": {name: "x"}}) if name != "Stream" else True


@pytest.mark.parametrize("operation", ["images", "embeddings", "speech", "transcription", "rerank"])
def test_other_operations(operation: str) -> None:
    """Address, credentials and files are refused; words that mean something else there are not."""
    for name in ("api_base", "apiKey", "file_id", "store"):
        assert check(operation, {name: "x"}).startswith(f"{name}: ")
    assert check(operation, {"n": 2, "background": "opaque", "speed": 2, "prompt": "x"}) == ""


def test_voices() -> None:
    """A name is a vendor's own voice, an id one that the operator has made."""
    assert check("speech", {"voice": {"id": "voice_1"}}).startswith("voice: ")
    assert check("chat", {"audio": {"voice": {"id": "voice_1"}, "format": "wav"}}).startswith("audio.voice: ")
    assert check("speech", {"voice": {"id": "voice_1"}}, allows=["voices"]) == ""
    assert check("speech", {"voice": "alloy"}) == check("chat", {"audio": {"voice": "alloy"}}) == ""


@pytest.mark.parametrize("allows", [None, "files", {"files": True}])
def test_what_is_no_list_allows_nothing(allows: Any) -> None:
    assert check("chat", {"file_id": "f"}, allows=allows)
    assert check("chat", {"a_new_parameter": 1}, unknown_fields="refused")


def test_nothing_is_looked_into_for_ever() -> None:
    more: Json = {"store": True}
    for _ in range(60):
        more = {"extra_body": more}
    assert "nested too deeply" in check("chat", more)


# -- references --------------------------------------------------------------------------------------------------------

REFERENCES: dict[str, tuple[Json, str]] = {
    "a file of OpenAI's": ({"type": "file", "file": {"file_id": "file-1"}}, "files"),
    "upper case": ({"type": "file", "file": {"FILE_ID": "file-1"}}, "files"),
    "Gemini": ({"type": "file", "fileData": {"fileUri": "https://x.example/1"}}, "files"),
    "Gemini, snake case": ({"type": "file", "file_data": {"file_uri": "files/1"}}, "files"),
    "Google's bucket": ({"type": "image_url", "image_url": {"url": "gs://bucket/x.png"}}, "files"),
    "Amazon's bucket": ({"type": "image_url", "image_url": "s3://bucket/x.png"}, "files"),
    "upper case scheme": ({"type": "image_url", "image_url": {"url": "GS://bucket/x.png"}}, "files"),
    "a tab in the scheme": ({"type": "image_url", "image_url": {"url": "g\ts://bucket/x.png"}}, "files"),
    "this machine": ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "files"),
    "Bedrock": ({"type": "video_url", "video_url": {"url": "x"}, "s3Location": {"uri": "s3://b/x"}}, "files"),
    "a file of Gemini's": (
        {"type": "file", "file": {"file_data": "https://generativelanguage.googleapis.com/v1beta/files/abc"}}, "files",
    ),
    "the same with a port": (
        {"type": "file", "file": {"file_data": "HTTPS://u@generativelanguage.googleapis.com:443/v1beta/files/abc"}}, "files",
    ),
    "a file of OpenAI's by URL": ({"type": "image_url", "image_url": {"url": "https://api.openai.com/v1/files/f/content"}}, "files"),
    "Anthropic": ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, "files"),
    "Anthropic's container": ({"type": "container_upload", "file_id": "file_1"}, "files"),
    "in a result": (
        {"type": "tool_result", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}, "files",
    ),
    "Responses": ({"type": "input_image", "file_id": "file-1"}, "files"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("place", ["messages", "input"])
def test_references(name: str, place: str) -> None:
    """A part of a message or an item that points at what the operator has stored, in each format."""
    part, right = REFERENCES[name]
    body = {place: [{"role": "user", "content": [{"type": "text", "text": "gs://is/just/text"}, part]}]}
    with pytest.raises(ProviderError, match=rf"^unsupported: {place}\[0\]\.content\[1\]\.") as caught:
        rights.check_media(body, "chat", {})
    assert caught.value.message.endswith(f"names {right}")
    rights.check_media(body, "chat", {"allows": [right]})
    native = NativeRequest("messages" if place == "messages" else "responses", body)
    with pytest.raises(ProviderError, match="names"):
        rights.check_native_media(native, {})


def test_media_that_pass() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "https://pictures.example.com/files/x.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=x"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    ]
    rights.check_media({"messages": [{"role": "user", "content": parts}]}, "chat", {})


# -- tools -------------------------------------------------------------------------------------------------------------

PRICED = {"web_search", "image_output"}
TOOLS: list[tuple[str, Json, bool, bool]] = [
    ("responses", {"type": "web_search"}, True, False),
    ("responses", {"type": "web_search_preview_2025_03_11"}, True, False),
    ("responses", {"type": "image_generation"}, True, False),
    ("responses", {"type": "code_interpreter", "container": {"type": "auto"}}, False, False),
    ("responses", {"type": "a_new_tool"}, False, False),
    ("responses", {"type": "shell"}, True, True),
    ("responses", {"type": "shell", "environment": {"type": "container_auto"}}, False, False),
    ("responses", {"type": "apply_patch"}, True, True),
    ("anthropic", {"type": "web_search_20250305"}, True, False),
    ("anthropic", {"type": "web_fetch_20250910"}, True, True),
    ("anthropic", {"type": "bash_20250124"}, True, True),
    ("anthropic", {"type": "code_execution_20250825"}, False, False),
    ("anthropic", {"type": "advisor_20260301"}, False, False),
    ("gemini", {"type": "google_search"}, True, False),
    ("gemini", {"type": "url_context"}, True, True),
    ("gemini", {"type": "code_execution"}, True, True),
    ("vertex", {"type": "google_maps"}, False, False),
    ("mistral", {"type": "image_generation"}, False, False),
]
"""Dialect, tool, whether it can be billed where searches and pictures have a price, and where they have none."""


@pytest.mark.parametrize(("dialect", "tool", "priced", "unpriced"), TOOLS, ids=json.dumps)
def test_tools_have_a_price(dialect: str, tool: Json, priced: bool, unpriced: bool) -> None:
    assert rights.is_paid(tool, dialect, PRICED, {}) == priced
    assert rights.is_paid(tool, dialect, set(), {}) == unpriced
    assert rights.is_paid(tool, dialect, set(), {"allows": [tool["type"]]})
    assert rights.is_paid(tool, dialect, set(), {"reports_cost": True})


@pytest.mark.parametrize(
    ("tool", "right"),
    [
        ({"type": "mcp", "server_label": "x", "server_url": "https://mcp.example.com"}, "mcp"),
        ({"type": "mcp", "connector_id": "connector_gmail"}, "mcp"),
        ({"type": "mcp_toolset", "mcp_server_name": "x"}, "mcp"),
        ({"type": "connector", "connector_id": "c"}, "mcp"),
        ({"type": "file_search", "vector_store_ids": ["vs_1"]}, "data_sources"),
        ({"type": "document_library", "library_ids": ["l"]}, "data_sources"),
        ({"type": "web_search", "Vector-Store-Ids": ["vs_1"]}, "data_sources"),
        ({"type": "code_interpreter", "container": "cntr_1"}, "containers"),
        ({"type": "shell", "environment": {"type": "container_reference", "container_id": "c"}}, "containers"),
        ({"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}, "files"),
        ({"type": "image_generation", "input_image_mask": {"file_id": "f"}}, "files"),
    ],
    ids=json.dumps,
)
def test_tools_use_nothing_of_the_operators(tool: Json, right: str) -> None:
    with pytest.raises(ProviderError, match=rf"^unsupported: tools \({tool['type']}\)"):
        rights.check_tools([tool], {})
    rights.check_tools([tool], {"allows": [right, "data_sources", "mcp"]})
    function = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"file_id": {}}}}}
    assert rights.own_tools([function, {"type": "custom", "name": "x"}, {"name": "claude's"}], None) == []

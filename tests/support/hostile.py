"""Vendors of every dialect that answer in their own wire format, and can be made to answer wrongly in any way.

The bytes are those of the dialects' contract suites, ``tests/wire/<dialect>``: a short text, whole and as a stream, that ends properly.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.store.client import connect
from providers import registry
from tests.support.gateway import Caller, Sale, Stage, events, staged
from tests.support.invariants import forget_health
from tests.support.rawserver import Peer, RawServer
from tests.wire.bedrock import frames as bedrock

WIRE = Path(__file__).parents[1] / "wire"
CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Grüße 👋"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
}
SOURCES = {
    "openai": ("openai/streams/openai-text.sse", None),
    "azure": ("azure/streams/text.sse", None),
    "vertex": ("gemini/streams/text.sse", "gemini/answers/text.json"),
    "bedrock": ("bedrock/streams/claude-text.jsonl", "bedrock/answers/text.json"),
    "ollama": ("ollama/streams/text.ndjson", "ollama/answers/text.json"),
    "openrouter": ("openrouter/streams/aimock-text.sse", None),
}
"""Where it is not ``<dialect>/streams/text.sse`` and ``<dialect>/answers/text.json``; None = an OpenAI completion."""
TYPES = {".jsonl": "application/vnd.amazon.eventstream", ".ndjson": "application/x-ndjson"}
KEYS = {"vertex": "AIzaHostileVendorsOfTests"}
_COUNT = re.compile(r'("[A-Za-z_]*(?:[tT]oken(?!ize)|eval_count)[A-Za-z_]*"\s*:\s*)(\d+)')
_USAGE = re.compile(r'"(usage|usageMetadata|prompt_eval_count|eval_count)"(\s*:)')
Plan = Callable[[Peer], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """A proper answer of a dialect, before its framing."""

    dialect: str
    events: tuple[str, ...]
    """Of the stream, as text: an SSE event, or a line of JSON."""
    document: str
    suffix: str

    @property
    def kind(self) -> str:
        return TYPES.get(self.suffix, "text/event-stream")

    @property
    def frames(self) -> list[bytes]:
        """The stream's events as bytes."""
        if self.suffix == ".jsonl":
            return [bedrock.line(event) for event in self.events]
        return [event.encode() for event in self.events]

    def counting(self, value: str) -> Answer:
        """Every token count is replaced by this JSON."""
        return self._edited(lambda text: _COUNT.sub(rf"\g<1>{value}", text))

    def silent(self) -> Answer:
        """No usage at all."""
        return self._edited(lambda text: _USAGE.sub(r'"x_\1"\2', text))

    def _edited(self, edit: Callable[[str], str]) -> Answer:
        return replace(self, events=tuple(edit(event) for event in self.events), document=edit(self.document))

    def odd(self) -> bytes:
        """An unknown event, in this dialect's framing."""
        strange = {"type": "vendor.surprise", "surprise": [1, {"deep": None}], "choices": [], "candidates": []}
        if self.suffix == ".jsonl":
            return bedrock.line(json.dumps({"surpriseEvent": strange}))
        if self.suffix == ".ndjson":  # lines have no event names, so the unknown part is a field
            message = {"role": "assistant", "content": "", "mood": "fine"}
            return json.dumps({"model": "m", "message": message, "surprise": strange, "done": False}).encode() + b"\n"
        return b"event: vendor.surprise\nid: 7\nretry: 5\ndata: " + json.dumps(strange).encode() + b"\n\n"


def answer(dialect: str) -> Answer:
    """The proper answer of a dialect's contract suite."""
    stream, document = SOURCES.get(dialect, (f"{dialect}/streams/text.sse", f"{dialect}/answers/text.json"))
    path = WIRE / stream
    text = path.read_text("utf-8").replace("\r\n", "\n")
    parts = text.split("\n\n") if path.suffix == ".sse" else text.splitlines()
    glue = {".sse": "\n\n", ".ndjson": "\n", ".jsonl": ""}[path.suffix]
    events = tuple(part + glue for part in parts if part.strip())
    whole = CHAT if document is None else json.loads((WIRE / document).read_text("utf-8"))
    return Answer(dialect, events, json.dumps(whole.get("body", whole), ensure_ascii=False), path.suffix)


def dialects() -> list[str]:
    """Every dialect of chat whose contract suite has a text recording."""
    known = [name for name in registry.names() if "chat" in registry.operations(name)]
    missing = [name for name in known if not (WIRE / SOURCES.get(name, (f"{name}/streams/text.sse", None))[0]).exists()]
    assert not missing, f"no text stream in tests/wire for {missing}"
    return known


class HostileVendor:
    """A server that answers every request as ``plan`` says."""

    def __init__(self, dialect: str) -> None:
        self.proper = answer(dialect)
        self.plan: Plan = self.streams(self.proper.frames)
        self.server = RawServer(self._script)

    async def _script(self, peer: Peer) -> None:
        while True:
            await peer.request()
            await self.plan(peer)

    def streams(self, frames: list[bytes], *, kind: str | None = None, end: bool = True) -> Plan:
        """These pieces, each in a chunk of its own; without an end the connection closes after the last."""
        kind = self.proper.kind if kind is None else kind

        async def plan(peer: Peer) -> None:
            await peer.begin(kind=kind)
            for frame in frames:
                await peer.chunk(frame)
            if end:
                await peer.end()
            else:
                peer.writer.close()

        return plan

    def tells(self, body: bytes, *, kind: str = "application/json", status: int = 200) -> Plan:
        """This body, whole."""

        async def plan(peer: Peer) -> None:
            await peer.answer(body, kind=kind, status=status)

        return plan

    def stalls(self, frames: list[bytes]) -> Plan:
        """Sends these pieces, then nothing until the other side has closed."""

        async def plan(peer: Peer) -> None:
            await peer.begin(kind=self.proper.kind)
            for frame in frames:
                await peer.chunk(frame)
            await peer.wait_gone()

        return plan


@dataclass
class Rig:
    """A gateway that sells every dialect, each by a vendor of its own."""

    stage: Stage
    vendors: dict[str, HostileVendor]
    passer_by: Caller
    """A caller for tests that do not check the bill."""

    async def streamed(self, dialect: str, caller: Caller | None = None) -> tuple[Any, list[Any]]:
        """One stream, read to its end."""
        forget_health(self.stage)
        response = await (caller or self.passer_by).chat(f"m/{dialect}", stream=True)
        await self.stage.gateway.settled()
        return response, events(response.text)

    async def whole(self, dialect: str, caller: Caller | None = None) -> Any:
        forget_health(self.stage)
        return await (caller or self.passer_by).chat(f"m/{dialect}")


@asynccontextmanager
async def rigged(directory: Path, redis_url: str, **settings: Any) -> AsyncIterator[Rig]:
    """A gateway whose every model is one dialect's: ``m/<dialect>``, sold by a hostile vendor. One attempt a request."""
    emptied = await connect(redis_url, timeout_s=5)
    await emptied.redis.flushall()
    await emptied.aclose()
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        vendors = {name: HostileVendor(name) for name in dialects()}
        urls, rows = {}, {}
        for name, vendor in vendors.items():
            urls[name] = (await stack.enter_async_context(vendor.server)).url
            variable = f"HOSTILE_{name.upper().replace('-', '_')}"
            patch.setenv(variable, KEYS.get(name, "a-key-of-tests"))
            rows[name] = {"dialect": name, "api_key_env": variable}
        sales = [Sale(f"m/{name}", name, "up-1", "2", "3") for name in vendors]
        settings = {"max_attempts": 1, "health_share_interval_s": 3600, **settings}
        made = await stack.enter_async_context(
            staged(directory, redis_url, *sales, urls=urls, provider=rows, **settings)
        )
        yield Rig(made, vendors, await made.caller("1000000"))

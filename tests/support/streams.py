"""A vendor that streams given chunks of chat completions, and the stream that reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from providers.base import Stream
from providers.registry import dialect
from providers.transport.client import Upstream
from providers.types import Call, Clocks, Target
from tests.support.rawserver import Peer, RawServer
from tests.support.upstream import QUICK

OPENAI = dialect("openai")
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def event(content: str | None = None, finish: str | None = None) -> bytes:
    delta = {"role": "assistant"} if content is None else {"content": content}
    return (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
    )


ROLE, HEY, STOP, DONE = event(), event("hey"), event("", "stop"), b"data: [DONE]\n\n"


async def begin(upstream: Upstream, server: RawServer, clocks: Clocks = QUICK) -> Stream:
    return await OPENAI.stream(upstream, Target("acme", server.url, "m"), Call(REQUEST), clocks)


def saying(*pieces: bytes | float, then: str = "end") -> Callable[[Peer], object]:
    """A vendor that answers each request with these pieces; a number is a pause; afterwards end, hold, close or reset."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.begin()
            for piece in pieces:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    await peer.chunk(piece)
            if then == "hold":
                await peer.wait_gone()
            if then in ("close", "reset"):
                await asyncio.sleep(0.02)
                if then == "reset":
                    peer.reset()
                return
            await peer.end()

    return script

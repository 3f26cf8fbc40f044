"""More requests than a process takes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support import wireshape
from tests.support.gateway import Sale
from tests.support.invariants import calm

GatewayFactory = Callable[..., Any]


async def test_more_than_the_process_takes(gateway: GatewayFactory) -> None:
    """Beyond the limit of requests at once the process answers 503 with Retry-After, before it looks at the key."""
    stage = await gateway(Sale("t/a", "alpha", "ok+ttft=300"), max_in_flight=5)
    caller = await stage.caller()
    answers = await asyncio.gather(*(caller.chat("t/a", stream=n % 2 == 0) for n in range(20)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 15
    for answer in refused:
        wireshape.refused(answer, 503, "provider_overloaded")
        assert int(answer.headers["retry-after"]) >= 1
    await calm(stage)

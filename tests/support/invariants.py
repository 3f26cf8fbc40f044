"""What must hold after every fault; and money computed a second time, by other means.

before = our_tasks()
...
await calm(stage, before)

"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any

from gateway.ledger.entries import AuditReport, Entry
from simulator import SimulatedVendor
from tests.support.gateway import Caller, Sale, Stage
from tests.support.vendor import until

NANO = Decimal("0.000000001")
OURS = (os.sep + "gateway" + os.sep, os.sep + "providers" + os.sep)
TERMINAL = {"stop", "length", "tool_calls", "content_filter", "error"}


def our_tasks() -> set[asyncio.Task[Any]]:
    """Tasks that run the product's code; the simulated vendors have none."""
    found = set()
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and any(part in code.co_filename for part in OURS) and "/tests/" not in code.co_filename:
            found.add(task)
    return found


async def calm(stage: Stage, tasks: set[asyncio.Task[Any]] | None = None) -> AuditReport:
    """Asserts that nothing is left of any request (no open request, settlement, hold, task or vendor's work) and that the ledger balances.

    ``tasks``: those of ours that ran before; no others may run now.
    """
    services = stage.gateway.services
    await stage.gateway.settled()
    assert not services.background.open
    assert services.background.pending == 0
    assert not stage.gateway.in_flight.requests
    assert stage.gateway.in_flight.now == 0
    for sim in stage.vendors.values():
        await until(partial(_idle, sim))
    report = await services.ledger.audit()
    assert report.clean, report.differences
    assert report.open_holds == 0
    assert report.held_nano == 0
    assert report.residue_nano == 0
    if tasks is not None:
        try:
            await until(lambda: not our_tasks() - tasks)
        except AssertionError:
            raise AssertionError(f"still running: {our_tasks() - tasks}") from None
    return report


def _idle(vendor: SimulatedVendor) -> bool:
    return vendor.log.in_flight == 0


def forget_health(stage: Stage) -> None:
    """Every endpoint is as if it had never been tried. Only for a stage that does not share health (a long interval)."""
    registry = stage.gateway.services.health
    registry._endpoints.clear()
    registry._pauses._known.clear()
    stage.gateway.services.retry_budget._models.clear()
    for sim in stage.vendors.values():
        sim.log.reset()


# -- money, computed a second time -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Price:
    """A bill in nano-dollars, from decimal prices: nothing is shared with the code under test."""

    cost: int
    fee: int

    @property
    def total(self) -> int:
        return self.cost + self.fee


def nano(usd: Decimal) -> int:
    """Dollars → nano-dollars, half up."""
    return int((usd / NANO).quantize(Decimal(1), ROUND_HALF_UP))


def price(
    sale: Sale, prompt_tokens: int, completion_tokens: int, fee_percent: str = "5", *, searches: int = 0
) -> Price:
    """What so many tokens and searches of this sale cost, and the fee."""
    usd = (prompt_tokens * Decimal(sale.prompt) + completion_tokens * Decimal(sale.completion)) / 1_000_000
    usd += searches * Decimal(sale.web_search or 0)
    cost = nano(usd)
    return Price(cost, int((Decimal(cost) * Decimal(fee_percent) / 100).quantize(Decimal(1), ROUND_HALF_UP)))


def truth_cost(stage: Stage, sale: Sale) -> int:
    """The cost of the work in the vendor's own log at this sale's prices, in nano-dollars; one rounding a request."""
    return sum(
        price(sale, entry.billed_prompt_tokens, entry.billed_completion_tokens).cost
        for entry in stage.vendors[sale.provider].log.requests
    )


# -- the shape of an ending --------------------------------------------------------------------------------------------


def one_ending(events: list[Any]) -> dict[str, Any]:
    """Assert that a stream ends once: one terminal finish reason, one ``[DONE]``, which is last. The terminal chunk."""
    assert events
    assert events[-1] == "[DONE]"
    assert events.count("[DONE]") == 1
    chunks = events[:-1]
    ends = [c for c in chunks if c["choices"] and c["choices"][0]["finish_reason"] is not None]
    assert len(ends) == 1, ends
    assert ends[0]["choices"][0]["finish_reason"] in TERMINAL
    after = chunks[chunks.index(ends[0]) + 1 :]
    assert all(not chunk["choices"] for chunk in after), after
    return ends[0]  # type: ignore[no-any-return]


def content(events: Iterable[Any]) -> str:
    """The content text of a stream."""
    choices = [choice for event in events if isinstance(event, dict) for choice in event["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def charged(caller: Caller) -> tuple[Entry, list[Entry]]:
    """The one settled line of a caller with one generation, and the loss lines of its failed attempts."""
    lines = await caller.lines()
    settled = [line for line in lines if line.type == "settled"]
    assert len(settled) == 1, lines
    return settled[0], [line for line in lines if line.type == "loss"]

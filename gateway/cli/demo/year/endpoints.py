"""Who serves a model, how fast, and when it is down.

A closed model is served by its author and by a cloud, an open one by three to eight hosts that share it by their price. Names of
providers are those of the shipped catalogue; their speeds and outages here are made up.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.cli.demo.year.geography import Choice
from gateway.cli.demo.year.targets import FIRST_WEEK, WEEKS, Model

HOSTS: Final = (
    "alibaba", "ambient", "baseten", "berget", "cerebras", "chutes", "clarifai", "cloudferro", "cloudflare", "cortecs", "crusoe",
    "databricks", "deepinfra", "deepseek", "digitalocean", "dinference", "evroc", "fireworks", "friendli", "gmicloud", "groq",
    "hpc-ai", "huggingface", "hyperbolic", "inference-net", "io-net", "libertai", "lilac", "meganova", "minimax", "mixlayer",
    "moonshotai", "nearai", "nebius", "neuralwatt", "novita", "nscale", "ovhcloud", "regolo", "sambanova", "scaleway",
    "siliconflow", "stackit", "submodel", "synthetic", "tensormesh", "together", "venice", "vultr", "wandb", "z-ai",
)  # fmt: skip
FIRST_PARTY: Final = {
    "google": ("google-ai-studio", "google-vertex"),
    "openai": ("openai", "azure"),
    "anthropic": ("anthropic", "amazon-bedrock"),
    "x-ai": ("xai", "azure"),
}
CLOUDS: Final = ("azure", "amazon-bedrock", "google-vertex")
FIRST_PARTY_SHARE: Final = 0.85
HOSTS_OF_A_MODEL: Final = (3, 8)
PRICE_SPREAD: Final = (0.8, 1.6)
"""A host's price against the model's; its share is one through the square of it."""
FIRST_CONTENT_MS: Final = (180.0, 1500.0)
TOKENS_PER_S: Final = (30.0, 160.0)
LATENCY_SIGMA: Final = 0.45
OUTAGES: Final = (1, 4)
OUTAGE_HOURS: Final = (1.0, 8.0)
FAILED_ATTEMPT: Final = 0.003
"""Chance of a failed first attempt outside outages."""
_HOUR_MS: Final = 3_600_000
YEAR_MS: Final = len(WEEKS) * 7 * 24 * _HOUR_MS


class Endpoint(NamedTuple):
    """Latencies are medians. ``outages``: their starts and ends by turns, rising, in milliseconds from the first week."""

    provider: str
    first_content_ms: float
    tokens_per_s: float
    outages: tuple[int, ...]

    def is_down(self, offset_ms: int) -> bool:
        return bisect(self.outages, offset_ms) % 2 == 1


def endpoints(model: Model, seed: int) -> tuple[Sequence[Endpoint], Choice]:
    """The endpoints of a model, and the choice among them by their share."""
    rng = random.Random(f"{seed}/endpoints/{model.slug}")
    if model.origin.endswith("oss"):
        names: Sequence[str] = rng.sample(HOSTS, rng.randint(*HOSTS_OF_A_MODEL))
        shares = [rng.uniform(*PRICE_SPREAD) ** -2 for _ in names]
    else:
        names = FIRST_PARTY.get(model.author) or (model.author, rng.choice(CLOUDS))
        shares = [FIRST_PARTY_SHARE, 1 - FIRST_PARTY_SHARE]
    return [_endpoint(name, model, rng) for name in names], Choice(shares)


def _endpoint(provider: str, model: Model, rng: random.Random) -> Endpoint:
    begins = (model.since - FIRST_WEEK).days * 24 * _HOUR_MS
    outages: list[int] = []
    for start in sorted(int(rng.uniform(begins, YEAR_MS)) for _ in range(rng.randint(*OUTAGES))):
        if not outages or start > outages[-1]:
            outages += start, start + int(rng.uniform(*OUTAGE_HOURS) * _HOUR_MS)
    return Endpoint(provider, rng.uniform(*FIRST_CONTENT_MS), rng.uniform(*TOKENS_PER_S), tuple(outages))

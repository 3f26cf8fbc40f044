"""``docs/catalog-disagreements.md``: where the price lists contradict each other, and what was done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tools.catalog.choose import TOLERANCE, Dispute
from tools.catalog.inputs import Inputs
from tools.catalog.merge import Merged

INTRODUCTION = """\
# Prices on which the sources disagree

Written by `python -m tools.catalog build`; see [the catalogue](catalog.md) for how it is made. Prices are dollars per million
tokens: prompt / completion / cache read. Listed is every endpoint whose sources differ by more than {percent} %.
The rules, in their order: a choice made by hand (`tools/catalog/choices.yaml`) · two of three agree · the newer source · the
source that names the vendor's page. A price is refused that is above 1000, negative, zero where the vendor charges, or more
than twenty times off the median of the other sellers.

Sources: {sources}.

"""


def text_of(inputs: Inputs, merged: Merged) -> str:
    """The whole page."""
    sources = " · ".join(f"{name} {version}" for name, version in inputs.versions.items())
    lines = [INTRODUCTION.format(percent=f"{TOLERANCE * 100:f}".rstrip("0").rstrip("."), sources=sources)]
    for why, times in sorted(Counter(dispute.why.partition(":")[0] for dispute in merged.disputes).items()):
        lines.append(f"- {why}: {times}\n")
    lines.append("\n| Endpoint | litellm | models.dev | genai-prices | Taken | Why |\n|---|---|---|---|---|---|\n")
    for dispute in sorted(merged.disputes, key=lambda one: (one.provider, one.upstream_id)):
        lines.append(_line(dispute))
    return "".join(lines)


def _line(dispute: Dispute) -> str:
    shown: Mapping[str, str] = dispute.prices
    cells = [shown.get(source, "–") for source in ("litellm", "models.dev", "genai-prices")]
    name = f"{dispute.provider} `{dispute.upstream_id}`"
    return "| " + " | ".join([name, *cells, dispute.chosen, dispute.why.replace("|", "/")]) + " |\n"

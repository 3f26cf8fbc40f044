"""The Markdown of a run, and the generated section of ``bench/README.md``. Pure but for ``publish``."""

from __future__ import annotations

from pathlib import Path

from bench import figures
from bench.figures import ROWS, SHAKY_SPREAD, Result, Row

BEGIN = "<!-- figures: begin (written by `python -m bench --write`) -->"
NOTHING = "-"
END = "<!-- figures: end -->"


def number(value: float) -> str:
    """Three significant digits, thousands with a comma."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def cell(result: Result, target: str, row: Row) -> str:
    """``~`` before a figure whose repeats lay apart by more than a quarter, ``≥`` where the load's core was the bottleneck."""
    found = figures.of(result, target, row)
    if (
        found is None
        or (row.sample.startswith("ledger_") and not found.value)
        or ("ledger_cpu" in row.sample and not found.value)
    ):
        return NOTHING
    shaky = "~" if found.spread > SHAKY_SPREAD and row.unit not in ("ms", "%") else ""
    bound = "≥ " if figures.load_bound(result, target, row) else ""
    times = figures.ratio(result, target, row)
    return f"{bound}{shaky}{number(found.value)} {row.unit}" + (f" ({number(times)}x)" if times else "")


def _budget(result: Result, row: Row) -> str:
    if row.limit is None:
        return ""
    verdict = {None: "", True: " ✓", False: " ✗ missed"}
    times = figures.ratio(result, "gateway", row)
    found = f"≤ {row.limit:g} {row.unit}{verdict[figures.met(result, row)]}"
    return found if row.times is None or times is None else f"{found}; ≤ {row.times:g}x{verdict[times <= row.times]}"


def table(result: Result) -> str:
    """Rows are figures, columns are targets; in brackets the ratio to nginx."""
    names = list(result["targets"])
    titles = [result["targets"][name]["title"] for name in names]
    lines = ["| | " + " | ".join(titles) + " | budget |", "|---|" + "---:|" * len(names) + "---|"]
    for row in ROWS:
        cells = [cell(result, name, row) for name in names]
        if any(text != NOTHING for text in cells):
            lines.append(f"| {row.title} | " + " | ".join(cells) + f" | {_budget(result, row)} |")
    failed = [str(result["failed"].get(name, 0)) for name in names]
    lines.append("| **Failed requests** | " + " | ".join(failed) + " | 0 |")
    return "\n".join(lines)


def caption(result: Result) -> str:
    """The time, the machine, how quiet it was, and notes that are not in the table."""
    machine, effort, noise = result["machine"], result["effort"], result["noise"]
    changed = " with uncommitted changes" if machine["changed"] else ""
    settings = "".join(f", {name}={value}" for name, value in result["settings"].items())
    place = f"{machine['cores']} cores of {machine['cpu']}, Linux {machine['kernel']}"
    software = f"Python {machine['python']}, nginx {machine['nginx']}, {machine['wrk']}"
    commit = f"commit {machine['commit'] or 'none'}{changed}"
    rounds = f"median of {effort['rounds']} rounds (TLS: {effort['tls_rounds']})"
    busy = f"the machine was at most {noise['busy_share_max']:.0%} busy with other things before a round"
    stolen = f"stolen by the hypervisor {noise['steal_share']:.1%}"
    lines = [
        f"{result['begun'][:10]}, {place}, {software}; {commit}{settings}.",
        f"{effort['name'].capitalize()} run of {result['seconds']} s, {rounds}; {busy}, {stolen}.",
        "In brackets: times nginx. `~`: the rounds lay more than a quarter apart. "
        "`≥`: the load's core was the narrower one, the target can do more.",
        *_books(result),
        *(f"Note: {note}" for note in result["notes"]),
    ]
    return "\n\n".join(line.replace("\n", " ") for line in lines)


def _books(result: Result) -> list[str]:
    lines = []
    for name, books in result["books"].items():
        verdict = {200: "clean", 409: "NOT CLEAN"}.get(
            books["audit_status"], f"not available (status {books['audit_status']})"
        )
        title = result["targets"][name]["title"]
        lines.append(
            f"{title}'s own audit of the ledger after the run: {verdict}; metrics answered {books['metrics_status']}."
        )
    return lines


def section(result: Result) -> str:
    """What stands between the markers."""
    return f"{table(result)}\n\n{caption(result)}"


def replaced(text: str, body: str) -> str:
    """The text with a new generated section. Raises ValueError when the markers are not there once each, in order."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError("the markers of the generated section are missing or doubled")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n\n{body}\n\n{END}{after}"


def publish(result: Result, readme: Path) -> None:
    """Raises ValueError when the README has lost its markers."""
    readme.write_text(replaced(readme.read_text(), section(result)))

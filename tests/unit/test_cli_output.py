"""What commands print on a terminal and into a pipe."""

from __future__ import annotations

import io
import re

import pytest

from gateway.cli.output import facts, progress, table

HASH = "0123456789abcdef" * 4
ROWS = [[HASH, "[bold]not markup[/bold]", None], ["short", True, "1.50"]]


class Terminal(io.StringIO):
    """A text stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_plain_aligned_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Left-aligned columns two spaces apart, whatever FORCE_COLOR says; no spinner."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("working"):
        table(["HASH", "NAME", "USD"], ROWS)
        facts([("a", 1), ("long", None)])
    captured = capsys.readouterr()
    assert captured.out == (
        f"HASH{' ' * 60}  NAME                     USD\n"
        f"{HASH}  [bold]not markup[/bold]  -\n"
        f"short{' ' * 59}  yes                      1.50\n"
        "a     1\nlong  -\n"
    )
    assert captured.err == ""


def test_a_terminal_gets_a_table_with_every_cell_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """On forty columns long cells are folded, not cut; text is never read as markup."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")  # no colours, so that the text can be compared
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    table(["HASH", "USD"], [[HASH, None]])
    facts([("HASH", HASH), ("NAME", "[bold]")])
    text = terminal.getvalue()
    assert "─" in text
    assert "[bold]" in text
    assert re.sub("[^0-9a-f]", "", text.replace("[bold]", "")) == HASH * 2

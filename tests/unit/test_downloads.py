"""Charts as files: CSV that every spreadsheet reads and none runs, SVG that needs nothing else."""

from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree

import pytest

from gateway.analytics.series import OTHERS, Chart, Series
from gateway.web import figures
from gateway.web.charts import Dot, Scatter
from gateway.web.downloads import csv_file, file_of, svg_file
from gateway.web.figures import Figure
from gateway.web.row_charts import Mark, Row, Rows
from tests.support.pages import HOSTILE

WEEKS = ("2025-11-03", "2025-11-10", "2025-11-17")
SVG = "{http://www.w3.org/2000/svg}"


def chart(*labels: str, partial: bool = True) -> Chart:
    named = [
        Series(label, label, "#3B82F6" if place else None, (5 * place, None, 2**53 + 1))
        for place, label in enumerate(labels)
    ]
    series = (*named, Series(OTHERS, "Others", None, (1, 2, 3)))
    return Chart(WEEKS, series, "tokens_native", partial, {})


def kinds(label: str) -> list[Figure]:
    """A figure of each kind, with this name in it."""
    plot = Scatter(
        (Dot(label, 1.5, 2, label, 3), Dot("b", 2, 0.25, "g")), (label, "g"), "Price", "Use", "usd", "tokens"
    )
    bars = Rows((Row(label, (Mark(label, 12.5, 10.0, 15.25, label),), label),), (label,), "Share", "percent")
    dots = Rows(
        (
            Row(
                label,
                (Mark("1 turn", 0.01), Mark("more", 2.0)),
            ),
        ),
        ("1 turn", "more"),
        "Cost",
        "usd",
        log=True,
    )
    releases = [("2025-11-05", label), ("2025-11-19", "B")]
    return [
        figures.bars(chart(label, "b"), label, share=True, markers=releases, unknown=[1]),
        figures.lined(chart(label, "b"), label, markers=releases),
        figures.dotted(plot, label),
        figures.rowed(bars, label),
        figures.rowed(dots, label),
    ]


def read(figure: Figure) -> list[list[str]]:
    return list(csv.reader(io.StringIO(csv_file(figure).decode(), newline=""), strict=True))


def test_figures_of_a_chart_to_the_digit() -> None:
    """RFC 4180: a header, CR LF, a line for each bucket; an empty field for what was not measured; which bucket is not over."""
    figure = figures.bars(chart("One, two", 'Say "three"'), "Tokens")
    assert csv_file(figure).endswith(b"3\r\n")
    assert csv_file(figure).count(b"\r\n") == 4
    assert read(figure) == [
        ["date", "unit", "complete", "One, two", 'Say "three"', "Others"],
        ["2025-11-03", "tokens_native", "yes", "0", "5", "1"],
        ["2025-11-10", "tokens_native", "yes", "", "", "2"],
        ["2025-11-17", "tokens_native", "no", "9007199254740993", "9007199254740993", "3"],
    ]
    _, _, scatter, bars, dots = kinds("A")
    assert read(scatter) == [
        ["name", "group", "Price (usd)", "Use (tokens)"],
        ["A", "A", "1.5", "2"],
        ["b", "g", "2", "0.25"],
    ]
    assert read(bars)[1] == ["A", "A", "12.5", "10", "15.25", "A"]
    assert [row[:3] for row in read(dots)[1:]] == [["A", "1 turn", "0.01"], ["A", "more", "2"]]


FORMULAS = (
    "=1+1",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    '=HYPERLINK("http://evil.example","x")',
    "=cmd|' /C calc'!A0",
)


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_is_a_formula(name: str) -> None:
    """A name that a spreadsheet would run begins with an apostrophe, in every kind of file; numbers stay numbers."""
    for figure in kinds(name):
        cells = [cell for row in read(figure) for cell in row]
        assert any(name.strip() in cell for cell in cells)
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))]
        assert any(cell.replace(".", "").isdigit() for cell in cells)


def test_drawings_need_nothing_else() -> None:
    """Well-formed, with a size, a title, a legend and a source; no style, no class, no variable, no inherited currentColor."""
    for figure in kinds("Grok <Code> & co"):
        text = svg_file(figure, "http://gateway.example/rankings").decode()
        root = ElementTree.fromstring(text)
        assert root.tag == f"{SVG}svg"
        assert float(root.get("width", 0)) > 900
        assert float(root.get("height", 0)) > 100
        words = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
        assert words[0] == "Grok <Code> & co"
        assert words[-1] == "http://gateway.example/rankings"
        assert "class=" not in text
        assert "var(" not in text
        assert "<style" not in text
        assert "light-dark" not in text
        colors = set(re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]{6})"', text))
        assert len(colors) >= 4, colors
    bars = ElementTree.fromstring(svg_file(kinds("A")[0], "x"))
    painted = [each.get("fill") for each in bars.iter(f"{SVG}path") if "z" in each.get("d", "")]
    assert {"#3B82F6", "#aeb5c0", "#4f46e5"} <= set(painted)
    lines = ElementTree.fromstring(svg_file(kinds("A")[1], "x"))
    assert "#3B82F6" in {each.get("stroke") for each in lines.iter(f"{SVG}g")}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    """In a drawing they are character data; the name of a file has letters, digits and hyphens only."""
    for figure in kinds(name):
        root = ElementTree.fromstring(svg_file(figure, name))
        assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
            *("svg", "g", "rect", "line", "text", "title", "circle", "polyline", "path", "defs", "pattern"),
        }
        assert re.fullmatch(r"[a-z0-9-]{1,60}", figure.name), figure.name
        csv_file(figure).decode()


def test_files_are_found_by_name() -> None:
    """The name of the chart with the ending of the kind; anything else is none."""
    figure = figures.bars(chart("a"), "Tokens by model")
    for wanted, kind in (("tokens-by-model.csv", bytes), ("tokens-by-model.svg", bytes)):
        assert isinstance(file_of([None, figure], wanted, "x"), kind)
    for wanted in (
        "",
        "tokens-by-model",
        "tokens-by-model.png",
        ".csv",
        "other.csv",
        "Tokens by model.csv",
        "../tokens-by-model.csv",
    ):
        assert file_of([None, figure], wanted, "x") is None, wanted

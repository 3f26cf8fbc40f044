"""Charts and their labels: geometry, states, and names that stay names."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from gateway.analytics.series import OTHERS, Chart, Series
from gateway.web import axes, charts, figures, numbers
from gateway.web.frame import BAR_MAX_PX, NARROW, WIDE
from gateway.web.markup import external
from tests.support.pages import HOSTILE

WEEKS = ("2025-11-03", "2025-11-10", "2025-11-17", "2025-11-24")
SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "g", "rect", "line", "text", "title", "circle", "polyline", "path", "defs", "pattern", "use"}
TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td", "b"}
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]")


def chart(*rows: tuple[str, tuple[int | None, ...]], buckets: tuple[str, ...] = WEEKS, partial: bool = False) -> Chart:
    series = tuple(Series(key=name, label=name, color=None, values=values) for name, values in rows)
    return Chart(buckets=buckets, series=series, unit="tokens", partial_last=partial, meta={})


USUAL = chart(("a", (30, 40, 50, 60)), ("b", (20, None, 10, 5)), (OTHERS, (50, 60, 70, 80)))


def parsed(svg: str) -> ElementTree.Element:
    """The drawing as XML, which is stricter than HTML."""
    return ElementTree.fromstring(svg)


def bars(svg: str) -> list[list[tuple[str, float, float]]]:
    """For each bucket (colour, y, height) of its parts in the order of the document; a part is one closed outline of a path."""
    found: dict[float, list[tuple[str, float, float]]] = {}
    groups = [group for group in parsed(svg).iter("g") if (group.get("class") or "").startswith("bars")]
    for path in (path for group in groups for path in group.iter("path")):
        colour = path.get("class") or path.get("color") or ""
        for left, top, height in re.findall(r"M([\d.]+) ([\d.]+)h[\d.]+v([\d.]+)h-[\d.]+z", path.get("d", "")):
            found.setdefault(float(left), []).append((colour, float(top), float(height)))
    return [found[left] for left in sorted(found)]


def test_bars_stand_on_zero_and_add_up() -> None:
    """Others is drawn first and touches the axis, each part stands on the one before, heights are in proportion."""
    drawn = bars(charts.stacked_bars(USUAL, title="Tokens"))
    assert [len(bucket) for bucket in drawn] == [3, 2, 3, 3]
    for bucket in drawn:
        assert bucket[0][0] == "c-others"
        assert bucket[0][1] + bucket[0][2] == pytest.approx(WIDE.floor, abs=0.2)
        for below, above in pairwise(bucket):
            assert above[1] + above[2] == pytest.approx(below[1], abs=0.2)
    (grey, _, fifty), (_, _, thirty), _ = drawn[0]
    assert grey == "c-others"
    assert thirty / fifty == pytest.approx(30 / 50, rel=0.02)


def test_shares_fill_the_height() -> None:
    """In a chart of shares every bar with traffic is as high as the axis, whatever its sum; a bucket without traffic has none."""
    shares = chart(("a", (1, 900, 0, 7)), ("b", (3, 100, 0, 0)))
    drawn = bars(charts.stacked_bars(shares, title="Shares", share=True))
    heights = [sum(height for _, _, height in bucket) for bucket in drawn]
    full = WIDE.floor - WIDE.top
    assert heights == pytest.approx([full, full, full], abs=0.3)


STATES = {
    "no bucket": chart(buckets=()),
    "no series": chart(),
    "nothing measured": chart(("a", (None, None, None, None))),
    "zeros": chart(("a", (0, 0, 0, 0))),
}


@pytest.mark.parametrize("state", STATES)
def test_empty_charts_say_so(state: str) -> None:
    """An axis and a sentence instead of bars, in the drawing and for screen readers."""
    for draw in (charts.stacked_bars, charts.lines):
        if state == "zeros" and draw is charts.lines:
            continue  # measured and zero is a line on the axis
        root = parsed(draw(STATES[state], title="Tokens"))
        assert root.get("aria-label") == f"Tokens. {charts.NOTHING}."
        assert charts.NOTHING in [text.text for text in root.iter("text")]
        assert list(root.iter("rect")) == []


def test_one_bar_is_not_a_wall() -> None:
    """A single bucket gives one bar of a bar's width."""
    single = charts.stacked_bars(chart(("a", (5,)), buckets=WEEKS[:1]), title="Tokens")
    (path,) = [path for path in parsed(single).iter("path") if path.get("class") == "c0"]
    assert f"h{BAR_MAX_PX:.0f}v" in path.get("d", "")


def test_a_running_week_is_marked() -> None:
    """The last bar is hatched and said to be so far, in the drawing, its tooltip and the table; the others are not."""
    running = chart(("a", (1, 2, 3, 4)), partial=True)
    svg = charts.stacked_bars(running, title="Tokens")
    (hatch,) = [pattern.get("id") for pattern in parsed(svg).iter("pattern")]
    (partial,) = [group for group in parsed(svg).iter("g") if group.get("class") == "bars partial"]
    assert [rect.get("fill") for rect in parsed(svg).iter("rect") if rect.get("fill")] == [f"url(#{hatch})"]
    assert len(list(partial.iter("path"))) == 1, "the three bars before it are drawn elsewhere"
    titles = [title.text or "" for title in parsed(svg).iter("title")]
    assert [title.endswith("(so far)") for title in (text.splitlines()[0] for text in titles)] == [False] * 3 + [True]
    assert figures.table(running, title="T").count("(so far)") == 1
    assert 'stroke-dasharray="3 3"' in charts.lines(running, title="Tokens")
    other = charts.stacked_bars(running, title="Another")
    assert hatch not in other, "two charts of a page share no id"


def test_gaps_are_never_bridged() -> None:
    """What was not measured parts a line in two; a value without neighbours is a dot; None is a dash in the table, 0 is 0."""
    holes = chart(("a", (1, 2, None, 4)), ("b", (None, None, 0, None)))
    root = parsed(charts.lines(holes, title="Latency"))
    assert [len((line.get("points") or "").split()) for line in root.iter("polyline")] == [2]
    assert len([path for path in root.iter("path") if path.get("class") == "point"]) == 2
    rows = re.findall(r"<tr><th scope=\"row\">([^<]+)</th>(.*?)</tr>", figures.table(holes, title="Latency"))
    assert [(day, re.findall(r">([^<]*)</td>", cells)) for day, cells in rows] == [
        ("2025-11-24", ["4", "–"]),
        ("2025-11-17", ["–", "0"]),
        ("2025-11-10", ["2", "–"]),
        ("2025-11-03", ["1", "–"]),
    ]


def test_a_chart_speaks() -> None:
    """The label for screen readers has the span and the three largest; a tooltip has the day, the sum, and the parts by size."""
    many = chart(
        *((name, (value, value, value, value)) for name, value in (("a", 5), ("b", 90), ("c", 20), ("d", 1_500)))
    )
    root = parsed(charts.stacked_bars(many, title="Tokens"))
    assert root.get("aria-label") == "Tokens, 3 Nov 2025 to 24 Nov 2025. Largest: d 6K, b 360, c 80."
    tip = next(root.iter("title")).text or ""
    assert tip.splitlines() == [
        "3 Nov 2025", "Total: 1.6K", "d: 1.5K", "b: 90", "c: 20", "a: 5",
    ]  # fmt: skip
    shares = parsed(charts.stacked_bars(many, title="Tokens", share=True))
    assert (next(shares.iter("title")).text or "").splitlines()[2:4] == ["d: 92.87\u202f%", "b: 5.57\u202f%"]


def test_a_narrow_drawing_shows_the_shapes_of_the_wide_one() -> None:
    """The shapes are on a page once; moved between the axes of the narrow drawing they lie where its own axis says."""
    for draw in (charts.stacked_bars, charts.lines):
        wide, narrow = parsed(draw(USUAL, title="T")), parsed(draw(USUAL, title="T", size=NARROW))
        (use,) = narrow.iter("use")
        (shapes,) = [group for group in wide.iter("g") if f"#{group.get('id')}" == use.get("href")]
        assert list(narrow.iter("polyline")) == [
            path for path in narrow.iter("path") if "h" not in (path.get("d") or "h")
        ]
        across, _, _, down, move_x, move_y = map(float, re.findall(r"-?[\d.]+", use.get("transform") or ""))
        assert (WIDE.left * across + move_x, WIDE.floor * down + move_y) == pytest.approx(
            (NARROW.left, NARROW.floor), abs=0.1
        )
        assert (WIDE.width - WIDE.right) * across + move_x == pytest.approx(NARROW.width - NARROW.right, abs=0.1)
        tops = [
            float(number) for number in re.findall(r"(?:M[\d.]+ |,)([\d.]+)", ElementTree.tostring(shapes, "unicode"))
        ]
        most = max(charts.bucket_totals(USUAL)) if draw is charts.stacked_bars else 80
        labels = [float(text.text or "") for text in narrow.iter("text") if (text.text or "").isdecimal()]
        expected = NARROW.floor - (NARROW.floor - NARROW.top) * most / max(labels)
        assert min(tops) * down + move_y == pytest.approx(expected, abs=0.3)


def test_counts_beyond_doubles_are_exact_in_the_table() -> None:
    """2^53 + 1 is written to the digit."""
    assert "9,007,199,254,740,993" in figures.table(chart(("a", (2**53 + 1, 0, 0, 0))), title="T")


def test_hostile_names_stay_text() -> None:
    """Sixty names as title, label, unit, bucket, colour and group of every drawing: well-formed, only our elements, nothing that acts."""
    for name in HOSTILE:
        series = (
            Series(key=name, label=name, color=name, values=(3, 2, None, 1)),
            Series(key=OTHERS, label=name, color='#123456" onload="x', values=(1, 1, 1, 1)),
        )
        dangerous = Chart(buckets=(*WEEKS[:3], name), series=series, unit=name, partial_last=True, meta={name: name})
        dots = tuple(charts.Dot(name, x, 2.5, name, weight=3 * x) for x in (1.0, 50.0, 0.0))
        guide = charts.Guide(name, ((2.0, None), (2.0, None)))
        plot = charts.Scatter(dots, (name,), x_name=name, y_name=name, x_unit=name, y_unit=name, guides=(guide,))
        made = [
            charts.stacked_bars(dangerous, title=name),
            charts.stacked_bars(dangerous, title=name, share=True, size=NARROW),
            charts.lines(dangerous, title=name),
            charts.scatter(plot, title=name),
            charts.sparkline((1, None, 3), title=name),
            figures.table(dangerous, title=name),
            figures.ranked_table(dangerous, title=name),
            figures.scatter_table(plot, title=name),
            charts.strip((99.0, None, 12.5), WEEKS[:3], title=name),
            figures.legend(dangerous),
            figures.group_legend(plot),
            figures.figure(lambda size, c=dangerous, t=name: charts.lines(c, title=t, size=size), figures.folded(figures.table(dangerous, title=name))),
        ]  # fmt: skip
        for markup in made:
            root = parsed(markup)
            assert {each.tag for each in root.iter()} <= DRAWN | TABLE | {
                "ul",
                "li",
                "figure",
                "div",
                "details",
                "summary",
            }, name[:80]
            attributes = {attribute for each in root.iter() for attribute in each.attrib}
            assert not {each for each in attributes if each.startswith("on") or each == "style"}
            assert all(re.fullmatch("#shapes-[0-9a-f]+", each.get("href") or "#shapes-0") for each in root.iter())
            assert not FORBIDDEN.search(markup), name[:80]
            assert len(markup) < 60_000, name[:80]


NUMBERS = [
    (numbers.short, 0, "0"),
    (numbers.short, 999, "999"),
    (numbers.short, 1_000, "1K"),
    (numbers.short, 1_234, "1.2K"),
    (numbers.short, 999_950, "1M"),
    (numbers.short, 163_840, "164K"),
    (numbers.short, 1_200_000_000, "1.2B"),
    (numbers.short, 3_400_000_000_000, "3.4T"),
    (numbers.short, 2**63, "9223Q"),
    (numbers.short, 37.62, "37.6"),
    (numbers.exact, 1_234_567, "1,234,567"),
    (numbers.percent, 100.0, "100\u202f%"),
    (numbers.percent, 99.999, "99.99\u202f%"),
    (numbers.percent, 0.0, "0\u202f%"),
    (numbers.dollars_per_mtok, 150_000_000, "$0.15"),
    (numbers.dollars_per_mtok, 75_000_000, "$0.075"),
    (numbers.dollars_per_mtok, 15_000_000_000, "$15.00"),
    (numbers.dollars_per_mtok, 1_000_000, "$0.001"),
    (numbers.dollars_per_mtok, 1_234_500_000_000, "$1,234.50"),
    (numbers.dollars_per_mtok, 0, "$0"),
    (numbers.milliseconds, 412.3, "412\u202fms"),
    (numbers.milliseconds, 999.7, "1.0\u202fs"),
]


def test_numbers_as_people_read_them() -> None:
    """Each kind of figure, with its edges."""
    for write, value, expected in NUMBERS:
        assert write(value) == expected, (write.__name__, value)


ROUND = [
    (7.9e12, 5, [0, 2e12, 4e12, 6e12, 8e12]),
    (1.0, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    (9, 4, [0, 2.5, 5, 7.5, 10]),
    (0, 5, [0, 1]),
    (float("inf"), 5, [0, 1]),
]


def test_axes_are_round_and_begin_at_zero() -> None:
    """The last value is at least the highest bar."""
    for most, wanted, expected in ROUND:
        assert axes.round_values(most, wanted) == pytest.approx(expected), most
    assert axes.powers_of_ten(3, 4_000) == [1, 10, 100, 1_000, 10_000]
    assert axes.powers_of_ten(10, 10) == [10, 100]


def test_months_are_named_where_they_begin() -> None:
    """A year of weeks has its months, the year beside the first and beside January, and none of them overlap."""
    weeks = [f"2025-{month:02d}-{day:02d}" for month in range(1, 13) for day in (6, 13, 20, 27)]
    centers = [60 + 18.0 * place for place in range(len(weeks))]
    assert [label for _, label in axes.time_ticks(weeks, centers)][:3] == ["Jan 2025", "Feb", "Mar"]
    turn = axes.time_ticks(["2024-12-30", *weeks], [42.0, *centers])
    assert turn[0][1] == "Jan 2025"
    assert [label for _, label in axes.time_ticks(WEEKS, [50.0, 150, 250, 350])] == [
        "3 Nov",
        "10 Nov",
        "17 Nov",
        "24 Nov",
    ]
    narrow = axes.time_ticks(weeks, [40 + 7.0 * place for place in range(48)])
    assert [label for _, label in narrow] == ["Jan 2025", "Mar", "May", "Jul", "Sep", "Nov"]
    assert len(axes.time_ticks(weeks, [float(place) for place in range(48)])) == 1
    assert axes.day_label("not a day") == "not a day"


def test_only_web_addresses_are_linked() -> None:
    """What a browser would run, or what would end the attribute, is no link."""
    assert external("https://acme.example/privacy?a=1&b=2") == "https://acme.example/privacy?a=1&b=2"
    for bad in (
        None,
        "",
        "javascript:alert(1)",
        "//evil.example",
        "https://x y",
        'https://x"y',
        "data:text/html,x",
        "ftp://x",
    ):
        assert external(bad) is None, bad

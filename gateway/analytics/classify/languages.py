"""Which natural language, and which programming language, a text is in: scripts, small words, fences and signs. Pure.

It must not know: categories.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import msgspec

from gateway.analytics.classify.taxonomy import OTHER_LANGUAGE, ProgrammingLanguage, Taxonomy

SCRIPTS: tuple[tuple[str, str], ...] = (
    ("kana", "\u3040-\u30ff"),
    ("hangul", "\uac00-\ud7af\u1100-\u11ff"),
    ("han", "\u4e00-\u9fff\u3400-\u4dbf"),
    ("thai", "\u0e00-\u0e7f"),
    ("cyrillic", "\u0400-\u04ff"),
    ("greek", "\u0370-\u03ff"),
    ("hebrew", "\u0590-\u05ff"),
    ("arabic", "\u0600-\u06ff\u0750-\u077f"),
    ("devanagari", "\u0900-\u097f"),
    ("latin", "A-Za-z\u00c0-\u024f\u1e00-\u1eff"),
)
"""Script → its characters. Japanese mixes kana with Han; one kana in eight tells."""
KANA_SHARE = 8
SCRIPT_SHARE = 4
"""One letter in so many is enough for a script: prompts quote English, names and code."""
SHORT_WORDS = 8
"""Different words, for Han characters, up to which a text without small ones is taken for the first language of its script."""
PROSE_CHARS = 1_500
"""Of a text, enough to tell its language."""
NAMED, FENCED, FILE, SIGN = 2, 6, 2, 2
"""How much each hint counts for a programming language."""
LEAST = 2
SIGNS_MAX = 3
_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_NAME = re.compile(r"(?<![\w.])[.a-z][a-z0-9]*(?:\+\+|#)?(?![\w+#])", re.ASCII)
_ENDING = re.compile(r"\b[\w-]+\.([a-z]{1,6})\b")
_FENCE = re.compile(r"^[ \t]*```([\w+#-]+)", re.MULTILINE)
_CODE = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)


class NaturalLanguages:
    """Tells the languages of a taxonomy apart."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._by_script: dict[str, dict[str, frozenset[str]]] = {}
        for name, language in taxonomy.languages.items():
            self._by_script.setdefault(language.script, {})[name] = frozenset(language.words)
        self._scripts = [(name, re.compile(f"[{chars}]")) for name, chars in SCRIPTS]

    def of(self, text: str) -> str:
        """The language of the prose in a text, ``OTHER_LANGUAGE`` when it is none that is known, empty without any letters."""
        prose = _CODE.sub(" ", text)[:PROSE_CHARS]
        letters = sum(map(len, _WORD.findall(prose)))
        if not letters:
            prose, letters = text[:PROSE_CHARS], sum(map(len, _WORD.findall(text[:PROSE_CHARS])))
        if not letters:
            return ""
        script = "latin" if prose.isascii() else self._script(prose, letters)
        known = self._by_script.get(script, {})
        words = Counter(prose if script == "han" else _WORD.findall(prose.lower()))
        return _nearest(known, words)

    def _script(self, prose: str, letters: int) -> str:
        """The script with enough letters; empty for one that is not known."""
        found = {name: len(pattern.findall(prose)) for name, pattern in self._scripts}
        if found["kana"] and found["kana"] * KANA_SHARE >= found["kana"] + found["han"]:
            return "kana"
        name = max(found, key=lambda each: found[each] if each != "latin" else 0)
        if found[name] * SCRIPT_SHARE >= letters:
            return name
        return "latin" if found["latin"] * 2 >= letters else ""


def _nearest(known: Mapping[str, frozenset[str]], words: Counter[str]) -> str:
    """The language with the most of its small words, the first one of the script where a short text has none."""
    scores = {name: sum(words[word] for word in small) for name, small in known.items()}
    best = max(scores, key=lambda name: scores[name], default=OTHER_LANGUAGE)
    return best if scores.get(best) or len(known) == 1 or len(words) <= SHORT_WORDS else OTHER_LANGUAGE


class _Hints(msgspec.Struct, frozen=True):
    names: frozenset[str]
    fences: frozenset[str]
    files: frozenset[str]
    signs: tuple[re.Pattern[str], ...]


class ProgrammingLanguages:
    """Tells which programming language a text is about, or in."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._hints = {name: _hints(each) for name, each in taxonomy.programming_languages.items()}

    def of(self, text: str) -> str:
        """The language with the most hints; empty when there are none."""
        fences = Counter(name.lower() for name in _FENCE.findall(text))
        lower = text.lower()
        names, files = Counter(_NAME.findall(lower)), Counter(_ENDING.findall(lower))
        best, most = "", LEAST - 1
        for name, hints in self._hints.items():
            score = FENCED * sum(fences[each] for each in hints.fences)
            score += NAMED * sum(names[each] for each in hints.names) + FILE * sum(files[each] for each in hints.files)
            score += SIGN * sum(min(len(sign.findall(text)), SIGNS_MAX) for sign in hints.signs)
            if score > most:
                best, most = name, score
        return best


def _hints(language: ProgrammingLanguage) -> _Hints:
    return _Hints(
        frozenset(language.names),
        frozenset(language.fences),
        frozenset(language.files),
        tuple(re.compile(sign) for sign in language.signs),
    )

"""``Classifier``: an excerpt → category, task and languages. Vectors of examples, words and signs of a taxonomy; nothing is learnt.

A label's score is the likeness of the text to the label's examples plus what words, signs and tools add; a softmax makes shares of
it. The category is the one with more than half, if any: a request has one, or none. It must not know: the store, who asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy

from gateway.analytics.classify.excerpt import Excerpt
from gateway.analytics.classify.languages import NaturalLanguages, ProgrammingLanguages
from gateway.analytics.classify.taxonomy import NO_CATEGORY, Label, Taxonomy
from gateway.analytics.classify.vectors import Vectors

PRIMARY = 0.5
"""Share that the first category needs; as the study of 2025 dropped labels below it (arXiv 2601.10088, section 2)."""
PRIMARY_TASK = 0.3
"""The same for tasks, of which there are more than twice as many."""
SHARPNESS = 22.0
"""Likenesses of texts lie close together: 0.1 between two labels is a factor of nine."""
CODE_SHARE = 0.2
"""Share of programming from which a programming language is looked for: a spring sale is not Java."""
SYSTEM_WEIGHT = 0.25
"""Of the system prompt's vector. "Act as ..." must not make every application a roleplay."""
WORD, SIGN, TOOL = 0.06, 0.10, 0.10
"""What each different word, sign and tool adds to a label's likeness ..."""
CATEGORY = 0.12
"""What a category that is certain adds to the likeness of a task that belongs to it."""
CODE_CHARS = 2_000
"""Of a text, searched for signs: regular expressions take longer than everything else."""
WORDS_MAX, SIGNS_MAX, TOOLS_MAX = 3, 2, 1
"""... and how many of them count."""
STEM_LENGTHS = range(4, 10)
"""Lengths of the beginnings of words that the taxonomy may name (``симптом*``)."""
NEAREST = 3
"""Examples of a label whose likeness counts: the nearest ones."""
_WORD = re.compile(r"\w+(?:['’-]\w+)*(?:\+\+|#)?")


class Found(NamedTuple):
    """What a request is about. Empty: not clear."""

    category: str = ""
    task: str = ""
    language: str = ""
    programming: str = ""
    scores: tuple[tuple[str, float], ...] = ()
    """The categories with their shares, the likeliest first."""


class _Labels:
    """The labels of one kind, with the vectors of their examples."""

    def __init__(self, labels: Mapping[str, Label], vectors: Vectors) -> None:
        self._names = tuple(labels)
        self._signs = [tuple(re.compile(sign) for sign in label.signs) for label in labels.values()]
        self._categories = [label.categories for label in labels.values()]
        self._tools = [frozenset(label.tools) for label in labels.values()]
        examples = [vectors.of_all(label.examples) for label in labels.values()]
        rows = numpy.concatenate(examples)
        self.mean = rows.mean(axis=0)
        self._examples = _unit(rows - self.mean)
        width, first = max(map(len, examples)), 0
        self._places = numpy.full((len(examples), width), len(rows))
        for n, own in enumerate(examples):
            self._places[n, : len(own)] = numpy.arange(first, first + len(own))
            first += len(own)
        self._words: dict[str, list[int]] = {}
        self._stems: dict[str, list[int]] = {}
        self._phrases: list[tuple[str, int]] = []
        for n, label in enumerate(labels.values()):
            self._learn(n, label.words)

    def _learn(self, number: int, words: tuple[str, ...]) -> None:
        for word in words:
            if word.endswith("*"):
                self._stems.setdefault(word[:-1], []).append(number)
            elif _alone(word):
                self._words.setdefault(word, []).append(number)
            else:
                self._phrases.append((word, number))

    def shares(self, text: _Text, vector: Any, categories: Mapping[str, float]) -> dict[str, float]:
        """Label → its share, in the order of the taxonomy. ``categories``: their shares, where they say something of the label."""
        likenesses = numpy.append(self._examples @ _unit(vector - self.mean), -1.0)[self._places]
        likenesses.sort(axis=1)
        scores = text.trust * likenesses[:, -NEAREST:].mean(axis=1)
        for n, count in enumerate(self._hits(text)):
            signs = sum(sign.search(text.code) is not None for sign in self._signs[n]) if self._signs[n] else 0
            tools = len(text.tools & self._tools[n])
            scores[n] += text.word * min(count, WORDS_MAX) + SIGN * min(signs, SIGNS_MAX) + TOOL * min(tools, TOOLS_MAX)
            scores[n] += CATEGORY * sum(categories.get(category, 0.0) for category in self._categories[n])
        powers = numpy.exp(SHARPNESS * (scores - scores.max()))
        return dict(zip(self._names, (powers / powers.sum()).tolist(), strict=True))

    def _hits(self, text: _Text) -> list[int]:
        """For each label the number of its words in the text."""
        hits = [0] * len(self._names)
        for word in text.words:
            for n in self._words.get(word, ()):
                hits[n] += 1
            for length in STEM_LENGTHS:
                for n in self._stems.get(word[:length], ()):
                    hits[n] += 1
        for phrase, n in self._phrases:
            hits[n] += phrase in text.lower
        return hits


class _Text(NamedTuple):
    """A text as the labels look at it."""

    code: str
    lower: str
    words: frozenset[str]
    tools: frozenset[str]
    trust: float
    """How far the likeness of vectors counts."""
    word: float
    """What each word adds."""


def _text(excerpt: Excerpt, language: str) -> _Text:
    lower = excerpt.turn.lower()
    words = frozenset(_WORD.findall(lower))
    if language in ("English", ""):
        trust, word = 1.0, WORD
    elif excerpt.turn.isascii() or _latin(lower):
        trust, word = 0.6, WORD * 1.7
    else:
        trust, word = 0.3, WORD * 2.2
    return _Text(excerpt.turn[:CODE_CHARS], lower, words, frozenset(excerpt.tools), trust, word)


def _latin(text: str) -> bool:
    letters = [char for char in text[:400] if char.isalpha()]
    return sum(char < "\u0250" or "\u1e00" <= char <= "\u1eff" for char in letters) * 2 > len(letters)


def _unit(rows: Any) -> Any:
    """Rows, or one, of length 1."""
    lengths = numpy.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / numpy.where(lengths == 0, 1, lengths)


def _alone(word: str) -> bool:
    """Whether a word is found between blanks: scripts without them, and phrases, are searched in the whole text."""
    return " " not in word and not any("\u0e00" <= char <= "\u0e7f" or char >= "\u3000" for char in word)


class Classifier:
    """One per process; may be called from any one thread."""

    def __init__(self, taxonomy: Taxonomy, vectors: Vectors) -> None:
        self._vectors = vectors
        self._categories = _Labels(taxonomy.categories, vectors)
        self._tasks = _Labels(taxonomy.all_tasks, vectors)
        self._languages, self._programming = NaturalLanguages(taxonomy), ProgrammingLanguages(taxonomy)

    def classify(self, excerpt: Excerpt) -> Found:
        """The labels of a request."""
        vector = self._vectors.of(excerpt.turn)
        if excerpt.system:
            vector = vector + SYSTEM_WEIGHT * self._vectors.of(excerpt.system)
        language = self._languages.of(excerpt.turn)
        text = _text(excerpt, language)
        categories = self._categories.shares(text, vector, {})
        tasks = self._tasks.shares(text, vector, categories)
        ranked = tuple(sorted(categories.items(), key=lambda each: -each[1]))
        first, share = ranked[0]
        task = max(tasks, key=lambda name: tasks[name])
        return Found(
            category=first if share >= PRIMARY and first != NO_CATEGORY else "",
            task=task if tasks[task] >= PRIMARY_TASK else "",
            language=language,
            programming=self._programming.of(text.code) if categories["programming"] >= CODE_SHARE else "",
            scores=ranked,
        )

"""The local classifier: what it reads of a request, which labels it finds, and which requests are chosen for it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from gateway.accounts import OrganizationAnalytics
from gateway.analytics.buckets import DAY_MS, WEEK_MS, bucket, start_ms
from gateway.analytics.classify import labelling, taxonomy, vectors
from gateway.analytics.classify.excerpt import TURN_CHARS, Excerpt, excerpt
from gateway.analytics.classify.labelling import Labelling
from gateway.analytics.classify.languages import NaturalLanguages, ProgrammingLanguages
from gateway.analytics.classify.sampling import MILLION, TARGET_A_WEEK, Sampler, chance_ppm
from gateway.analytics.event import Labels, Measured
from gateway.records import Record
from gateway.store.client import Store

PROMPTS = Path(__file__).parents[1] / "golden" / "classify" / "prompts.yaml"
TAXONOMY = taxonomy.shipped()
HOSTILE = (
    *(
        "",
        "\n",
        "\t",
        " ",
        "\x00",
        ".",
        "#",
        "'",
        "-",
        "+",
        "*",
        "^",
        "?",
        "```",
        "```a\n",
        "a.",
        "; \n",
        "{ ",
        "\n\t",
        "*a b",
        "1+1",
    ),
    *(
        "select ",
        "def f(",
        "fn f(",
        "func f(",
        "<div",
        "impl<",
        "{{user",
        "translate a ",
        "import a\n",
        ".a { \n",
        "a \n{",
        "的",
        "ปวด",
    ),
)
"""What a text consists of on which a regular expression could take very long. All of the gateway would wait."""
ORG, ID = "org-a", "gen-1700000000-abcdefgh"


def test_the_taxonomy_is_whole() -> None:
    """Twelve categories, 29 tasks in four groups; what apps may declare and what tasks refer to are categories."""
    assert len(TAXONOMY.category_names) == 12
    assert (len(TAXONOMY.all_tasks), len(TAXONOMY.tasks)) == (29, 4)
    assert {c for c in TAXONOMY.app_categories.values() if c} <= set(TAXONOMY.category_names)
    assert {c for task in TAXONOMY.all_tasks.values() for c in task.categories} <= set(TAXONOMY.category_names)
    assert TAXONOMY.group_of("sql_database") == "code"
    assert TAXONOMY.group_of("of another version") == ""


@pytest.mark.parametrize(
    ("header", "counted", "ignored", "category"),
    [
        ("cli-agent", ("cli-agent",), (), "programming"),
        (" General-Chat , ROLEPLAY,", ("general-chat", "roleplay"), (), "roleplay"),
        ("general-chat,general-chat", ("general-chat",), (), ""),
        ("coding,legal", ("legal",), ("coding",), "legal"),
        ("game,legal,cli-agent", ("game", "legal"), ("cli-agent",), "roleplay"),
        ("\u202e" + "x" * 500, (), ("\u202e" + "x" * 29,), ""),
        (",,", (), (), ""),
    ],
)
def test_declared_categories(header: str, counted: tuple[str, ...], ignored: tuple[str, ...], category: str) -> None:
    """Two known values count, whatever their case; the rest is named, cut. The first that stands for a category is it."""
    found = taxonomy.declared(header)
    assert (found.categories, found.ignored) == (counted, ignored)
    assert taxonomy.category_of(found) == category


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [turn("user", "What is a monad in Haskell?")]}, Excerpt("What is a monad in Haskell?")),
        (
            {"messages": [turn("system", "s" * 900), turn("user", "first"), turn("assistant", "no"), turn("user", "u" * 30)]},
            Excerpt("u" * 30, "s" * 500),
        ),
        (
            {"messages": [turn("user", "Fix the parser"), turn("assistant", "done?"), turn("user", "go on"), turn("tool", "t")]},
            Excerpt("Fix the parser\ngo on"),
        ),
        (
            {
                "messages": [
                    turn("user", [{"type": "image_url", "image_url": {"url": "data:x"}}, {"type": "text", "text": "see this, please, and say"}])
                ],
                "tools": [{"type": "function", "function": {"name": "Read_File", "parameters": {"secret": 1}}}, "odd"],
            },
            Excerpt("see this, please, and say", tools=("read_file",)),
        ),
        ({"messages": [turn("user", [{"type": "image_url"}])]}, None),
        ({"messages": [turn("assistant", "hi"), turn("user", "  ")]}, None),
        ({"messages": [turn("user", [{"type": "text", "text": 5}]), turn("user", None)]}, None),
        ({"input": "embedded"}, None),
    ],
)  # fmt: skip
def test_what_is_read(body: dict[str, Any], expected: Excerpt | None) -> None:
    """The last turn, with the one before a short one; a little of the system prompt; names of tools; nothing of answers and pictures."""
    assert excerpt(body) == expected


def test_long_turns_are_cut() -> None:
    """From both ends, in all forms a content may have."""
    long = "begin" + "x" * 900_000 + "end"
    for content in (long, [{"type": "text", "text": long}] * 3):
        found = excerpt({"messages": [turn("user", content)]})
        assert found is not None
        assert len(found.turn) <= TURN_CHARS + 1
        assert found.turn.startswith("begin")
        assert found.turn.endswith("end")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I bake bread?", "English"),
        ("¿Cómo se hace el pan en casa?", "Spanish"),
        ("Comment est-ce que je fais du pain ?", "French"),
        ("Hoe bak ik een brood met het deeg van mijn oma?", "Dutch"),
        ("Jak upiec chleb w domu i co jest potrzebne?", "Polish"),
        ("Làm thế nào để nướng bánh mì ở nhà với tôi?", "Vietnamese"),
        ("Как испечь хлеб и что для этого нужно", "Russian"),
        ("Як спекти хліб і що для цього потрібно", "Ukrainian"),
        ("请告诉我怎么做面包，这个很难吗", "Chinese (Simplified)"),
        ("請告訴我怎麼做麵包，這個很難嗎", "Chinese (Traditional)"),
        ("パンの焼き方を教えて", "Japanese"),
        ("빵 굽는 법을 알려줘", "Korean"),
        ("ทำขนมปังอย่างไร", "Thai"),
        ("كيف أخبز الخبز", "Arabic"),
        ("用 Python 写一个 quicksort 函数并解释这些步骤", "Chinese (Simplified)"),
        ("Wie mache ich das?\n```python\nfor the in is_it: print(the, is_it, of, to)\n```", "German"),
        ("12345 !!", ""),
        ("ქართული ენა", "Other"),
    ],
)
def test_natural_languages(text: str, language: str) -> None:
    """By script and small words; code in fences and quoted words do not count."""
    assert NaturalLanguages(TAXONOMY).of(text) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("```rust\nfn main() {}\n```", "Rust"),
        ("def add(a, b):\n    return a + b", "Python"),
        ("package main\n\nfunc main() {\n\tx := 1\n}", "Go"),
        ("SELECT id FROM t GROUP BY id", "SQL"),
        ("fix src/app.tsx and src/list.tsx", "TypeScript"),
        ("用Python写", "Python"),
        ("#include <stdio.h>\nint main(void) { return 0; }", "C"),
        ("c++ templates", "C++"),
        ("no code at all", ""),
    ],
)
def test_programming_languages(text: str, language: str) -> None:
    """By fences, names, endings of files and the looks of code."""
    assert ProgrammingLanguages(TAXONOMY).of(text) == language


@pytest.mark.parametrize(
    ("this_week", "elapsed_ms", "last_week", "ppm"),
    [
        (0, 0, 0, MILLION),
        (TARGET_A_WEEK, WEEK_MS, 0, MILLION),
        (TARGET_A_WEEK + 1, WEEK_MS, 0, MILLION // 2),
        (10, 60_000, 0, MILLION),
        (1_000, DAY_MS, 0, MILLION // 4),
        (0, 60_000, 8 * TARGET_A_WEEK, MILLION // 8),
        (10**12, WEEK_MS, 10**12, 1),
    ],
)
def test_the_chance_follows_the_traffic(this_week: int, elapsed_ms: int, last_week: int, ppm: int) -> None:
    """About 2,000 a week, in halves; the first minutes of a week count as a day; never none at all."""
    assert chance_ppm(this_week, elapsed_ms, last_week) == ppm


def test_the_hash_chooses_with_the_chance() -> None:
    """A quarter is chosen by 0.25, none by 0, all by 1; another process chooses others."""
    sampler, other = (Sampler(None, time.time) for _ in range(2))  # type: ignore[arg-type]  # no store is called
    ids = [f"gen-{n}" for n in range(4_000)]
    chosen = [id for id in ids if sampler.chosen(id, MILLION // 4)]
    assert 850 < len(chosen) < 1150
    assert chosen != [id for id in ids if other.chosen(id, MILLION // 4)]
    assert not any(sampler.chosen(id, 0) for id in ids)
    assert all(sampler.chosen(id, MILLION) for id in ids)


async def test_processes_share_what_they_saw(store: Store) -> None:
    """Two processes with 3,000 requests each halve their chances twice; what both have seen is added up once; a set chance stays."""
    clock = start_ms("w", bucket("w", int(time.time() * 1000))) / 1000 + 7 * 86_400 - 1
    samplers = [Sampler(store, lambda: clock) for _ in range(2)]
    for sampler in samplers:
        assert {sampler.chance(ORG, None) for _ in range(3_000)} == {MILLION}
        assert sampler.chance("fixed", 0.25) == MILLION // 4
        await sampler.share()
        await sampler.share()
    await samplers[0].share()
    assert [sampler.chance(ORG, None) for sampler in samplers] == [MILLION // 2, MILLION // 4]
    await samplers[0].share()
    assert samplers[0].chance(ORG, None) == MILLION // 4


class Told(msgspec.Struct, frozen=True):
    category: str = "legal"
    task: str = "math"
    language: str = "German"
    programming: str = ""


class Fixed:
    """Says the same of every text, and remembers nothing but how many there were."""

    def __init__(self, error: Exception | None = None) -> None:
        self.seen = 0
        self.error = error

    def classify(self, excerpt: Excerpt) -> Told:
        self.seen += 1
        if self.error is not None:
            raise self.error
        return Told()


BODY = {"messages": [turn("user", "Is this clause valid under German law?")]}


def measured(org: str = ORG, number: int = 0) -> Measured:
    record = Record(
        id=f"{ID}{number}", created_at=0, organization=org, key_hash="k", model_requested="m", outcome="complete"
    )
    return Measured(record, 0, 0, 0, 0)


def of(
    settings: OrganizationAnalytics, load: Callable[[], Any] = Fixed, **given: Any
) -> tuple[Labelling, list[Measured], Counter[str]]:
    """(a labelling of one organisation, what it emits, what it dropped)."""
    emitted: list[Measured] = []
    dropped: Counter[str] = Counter()
    sampler = Sampler(None, time.time)  # type: ignore[arg-type]
    made = Labelling(
        emitted.append,
        lambda: {ORG: settings},
        sampler,
        on_dropped=lambda n: dropped.update({"": n}),
        load=load,
        **given,
    )
    return made, emitted, dropped


@pytest.mark.parametrize(
    ("settings", "by_app", "by_key", "labels"),
    [
        (OrganizationAnalytics(), "cli-agent", None, Labels()),
        (OrganizationAnalytics(country="DE"), "cli-agent", "legal", Labels("DE")),
        (OrganizationAnalytics("declared", country="DE"), "cli-agent", "legal", Labels("DE", "programming")),
        (OrganizationAnalytics("declared", category="health"), "general-chat", "legal", Labels("", "legal")),
        (OrganizationAnalytics("declared", category="health"), None, None, Labels("", "health")),
        (OrganizationAnalytics("declared"), "nonsense", None, Labels()),
        (OrganizationAnalytics("local", sample=0.0, country="FR"), "cli-agent", "legal", Labels("FR")),
        (OrganizationAnalytics("local", sample=1.0), "cli-agent", "legal", Labels("", "legal", "math", "German", "", MILLION)),
    ],
)  # fmt: skip
async def test_labels(settings: OrganizationAnalytics, by_app: str, by_key: str, labels: Labels) -> None:
    """Off says nothing but the country; declared: app, key, organisation, in this order; local: what the classifier says."""
    made, emitted, _ = of(settings)
    made.emit(measured(), by_app, by_key, BODY)
    made.emit(measured("another"), by_app, by_key, BODY)
    await asyncio.sleep(0)
    await made.step()
    made.close()
    assert {each.record.organization: each.labels for each in emitted} == {ORG: labels, "another": Labels()}


async def test_the_answer_goes_first_and_the_request_is_let_go() -> None:
    """Nothing is read while the request runs; afterwards only an excerpt waits, and the event comes with its labels."""
    made, emitted, _ = of(OrganizationAnalytics("local"))
    body = {"messages": [turn("user", "x" * 200_000)]}
    made.emit(measured(), None, None, body)
    assert (made.waiting, emitted) == (0, [])
    await asyncio.sleep(0)
    assert made.waiting == 1
    assert len(made._waiting[0][1].turn) <= TURN_CHARS + 1
    await made.step()
    made.close()
    assert [each.labels.category for each in emitted] == ["legal"]


async def test_each_event_is_emitted_once_whatever_happens() -> None:
    """No room, no words, no installation, an error of the classifier, the end of the process: chosen, but unclassified."""
    unclassified = Labels(sampled_ppm=MILLION)

    made, emitted, dropped = of(OrganizationAnalytics("local"), waiting_max=2)
    for number in range(3):
        made.emit(measured(number=number), None, None, BODY)
    made.emit(measured(number=3), None, None, {"messages": []})
    made.emit(measured(number=4), None, None, None)
    await asyncio.sleep(0)
    assert [(each.record.id[-1], each.labels) for each in emitted] == [
        ("4", Labels()),
        ("2", unclassified),
        ("3", unclassified),
    ]
    made.close()
    assert [each.labels for each in emitted[3:]] == [unclassified, unclassified]
    assert dropped[""] == 3

    def missing() -> Any:
        raise vectors.NotInstalled("nothing here")

    made, emitted, _ = of(OrganizationAnalytics("local"), load=missing)
    made.emit(measured(), None, None, BODY)
    await asyncio.sleep(0)
    await made.step()
    made.emit(measured(), None, None, BODY)
    assert [each.labels for each in emitted] == [unclassified, Labels()]

    made, emitted, _ = of(OrganizationAnalytics("local"), load=lambda: Fixed(ValueError("of a text")))
    made.emit(measured(), None, None, BODY)
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="of a text"):
        await made.step()
    assert [each.labels for each in emitted] == [unclassified]
    made.close()


def test_accuracy_of_the_real_classifier() -> None:
    """The labelled prompts, with the weights of the package: no less than docs/analytics.md says, and rather nothing than a wrong label."""
    for package in vectors.PACKAGES:
        pytest.importorskip(package, reason=f"of the extra `classify`: {vectors.INSTALL}")
    classifier: Any = labelling.load()
    right: Counter[str] = Counter()
    prompts = yaml.safe_load(PROMPTS.read_text(encoding="utf-8"))["held_out"]
    for category, task, language, programming, text in prompts:
        found = classifier.classify(Excerpt(text))
        right["category"] += found.category == category
        right["wrong"] += found.category not in (category, "")
        right["tasks"] += bool(task)
        right["task"] += bool(task) and found.task == task
        right["language"] += found.language == language
        right["programming"] += found.programming == programming
    n = len(prompts)
    assert right["category"] / n >= 0.87
    assert right["wrong"] / n <= 0.05
    assert right["task"] / right["tasks"] >= 0.75
    assert right["language"] / n >= 0.95
    assert right["programming"] / n >= 0.93
    acting = Excerpt(
        "What is the capital of Peru?", "Act as a pirate captain. Stay in character, you have a sword and a dragon."
    )
    assert classifier.classify(acting).category == "trivia"
    assert (
        classifier.classify(Excerpt("An email to our subscribers about the spring sale, swift delivery")).programming
        == ""
    )
    agent = Excerpt("go through it and make it pass", "", ("bash", "read_file", "edit_file"))
    assert classifier.classify(agent).category in ("programming", "")
    assert classifier.classify(Excerpt("\ud800")).category == ""
    for unit in HOSTILE:
        since = time.thread_time()
        classifier.classify(Excerpt((unit * TURN_CHARS)[:TURN_CHARS]))
        assert time.thread_time() - since < 0.3, f"{unit!r} takes longer with the square of its length"

"""Who is tried next: a table of what vendors do and of the attempts that follow. No clock, no socket."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.failover import SENT_MAX, Failover
from gateway.routing.plan import Plan
from providers.errors import FAILURES, ProviderError
from tests.support.market import candidate, endpoint

KINDS = {
    "401": ("credential", 401),
    "403": ("credential", 403),
    "429": ("rate_limited", 429),
    "404": ("not_found", 404),
    "400": ("bad_request", 400),
    "long": ("context_length", 400),
    "500": ("server_error", 500),
    "503": ("overloaded", 503),
    "cut": ("cut", None),
    "silent": ("timeout_first_content", None),
    "unsupported": ("unsupported", None),
    "media": ("media_failed", None),
}


def failure(word: str) -> tuple[ProviderError, float]:
    """``429``, ``429:2`` (Retry-After 2), ``401@5`` (after five seconds) → the error and when it came."""
    word, _, after_s = word.partition("@")
    word, _, pause_s = word.partition(":")
    kind, status = KINDS[word]
    error = ProviderError(FAILURES[kind], word, status=status, retry_after_s=float(pause_s) if pause_s else None)
    return error, float(after_s or 0.1)


@dataclass(frozen=True)
class Row:
    """``endpoints``: ``model.provider`` in the plan's order, with the context in thousands behind a slash. ``does``: what each
    answers, one word a call, the last for ever; who is not named answers. ``tried``: who is called, in order."""

    name: str
    endpoints: str
    does: dict[str, str]
    tried: str
    max_attempts: int = 3
    order: str = ""
    pooled: bool = False
    panic: bool = False


ROWS = (
    Row("the first answers", "A.a A.b", {}, "A.a"),
    Row("the next endpoint", "A.a A.b", {"A.a": "500"}, "A.a A.b"),
    Row("three attempts", "A.a A.b A.c A.d", dict.fromkeys(["A.a", "A.b", "A.c"], "cut"), "A.a A.b A.c"),
    Row("the only one again", "A.a", {"A.a": "500 ok"}, "A.a A.a"),
    Row("the only one three times", "A.a", {"A.a": "cut"}, "A.a A.a A.a"),
    Row("the only one, one attempt", "A.a", {"A.a": "cut"}, "A.a", max_attempts=1),
    Row("the only one, limited", "A.a", {"A.a": "429"}, "A.a A.a A.a"),
    Row("not when it asks for longer", "A.a", {"A.a": "429:3"}, "A.a"),
    Row("not when it stays so", "A.a", {"A.a": "401"}, "A.a"),
    Row("not when it was silent", "A.a", {"A.a": "silent"}, "A.a"),
    Row("not in panic", "A.a", {"A.a": "500"}, "A.a", panic=True),
    Row("two in trouble are enough", "A.a A.b", {"A.a": "503", "A.b": "503"}, "A.a A.b"),
    Row("one in trouble, one refuses", "A.a A.b", {"A.a": "401", "A.b": "500 ok"}, "A.a A.b A.b"),
    # the next model
    Row("another model after three", "A.a A.b A.c B.d", dict.fromkeys(["A.a", "A.b", "A.c"], "cut"), "A.a A.b A.c B.d"),
    Row(
        "each model once",
        "A.a A.b A.c B.d B.e C.f",
        dict.fromkeys(["A.a", "A.b", "A.c", "B.d"], "cut"),
        "A.a A.b A.c B.d C.f",
    ),
    Row("one attempt, every model", "A.a A.b B.c", {"A.a": "cut"}, "A.a B.c", max_attempts=1),
    Row(
        "a refusal is not B's attempt",
        "A.a A.b A.c B.d B.e",
        {"A.a": "cut", "A.b": "cut", "A.c": "cut", "B.d": "429"},
        "A.a A.b A.c B.d B.e",
    ),
    Row("the caller's fault: another model", "A.a A.b B.c", {"A.a": "400"}, "A.a B.c"),
    # refusals at once cost nothing
    *(
        Row(
            f"{word} costs nothing",
            "A.a A.b A.c A.d A.e",
            dict.fromkeys(["A.a", "A.b", "A.c", "A.d"], word),
            "A.a A.b A.c A.d A.e",
        )
        for word in ("401", "403", "404", "429", "429:60", "unsupported", "media")
    ),
    Row("a slow refusal costs", "A.a A.b A.c A.d", dict.fromkeys(["A.a", "A.b", "A.c"], "401@5"), "A.a A.b A.c"),
    Row("one attempt, the rest refuses", "A.a A.b A.c", {"A.a": "429", "A.b": "401"}, "A.a A.b A.c", max_attempts=1),
    # the same endpoint once more, before another model
    *(
        Row(f"{word} passes", "A.a B.b", {"A.a": f"{word} ok"}, "A.a A.a")
        for word in ("500", "503", "cut", "429", "429:2")
    ),
    *(Row(f"{word} does not pass", "A.a B.b", {"A.a": word}, "A.a B.b") for word in ("429:3", "401", "404", "silent")),
    Row("once only", "A.a B.b", {"A.a": "500"}, "A.a A.a B.b"),
    Row("another endpoint first", "A.a A.b B.c", {"A.a": "500"}, "A.a A.b"),
    Row("then again, then the model", "A.a A.b B.c", {"A.a": "500", "A.b": "500"}, "A.a A.b A.a B.c"),
    Row("limited everywhere", "A.a A.b B.c", {"A.a": "429", "A.b": "429"}, "A.a A.b A.a B.c"),
    Row("no attempts left for it", "A.a B.b", {"A.a": "500"}, "A.a B.b", max_attempts=1),
    Row("the last model may more often", "A.a B.b", {"A.a": "401", "B.b": "500"}, "A.a B.b B.b B.b"),
    # a larger context
    Row("a larger context", "A.a/8 A.b/8 A.c/128", {"A.a": "long"}, "A.a A.c"),
    Row("larger and larger", "A.a/8 A.b/32 A.c/16 A.d/128", {"A.a": "long", "A.b": "long"}, "A.a A.b A.d"),
    Row("none is larger", "A.a/128 A.b/8", {"A.a": "long"}, "A.a"),
    Row("then another model", "A.a/128 A.b/8 B.c/8", {"A.a": "long"}, "A.a B.c"),
    Row("the larger one is in trouble", "A.a/8 A.b/128", {"A.a": "long", "A.b": "500 ok"}, "A.a A.b A.b"),
    Row("too long for who was in trouble", "A.a/8 A.b/16", {"A.a": "500", "A.b": "long"}, "A.a A.b"),
    # order: the providers it names are reached
    Row("named, behind three of one provider", "A.a A.a A.a A.b", {"A.a": "cut"}, "A.a A.a A.a A.b", order="A.a A.b"),
    Row(
        "three providers are enough",
        "A.a A.b A.c A.d",
        dict.fromkeys(["A.a", "A.b", "A.c"], "cut"),
        "A.a A.b A.c",
        order="A.a A.b A.c A.d",
    ),
    Row("not named", "A.a A.a A.a A.b", {"A.a": "cut"}, "A.a A.a A.a", order="A.a"),
    # one list of several models
    Row("pooled", "A.a B.b A.c B.d", {"A.a": "500", "B.b": "500"}, "A.a B.b A.c", pooled=True),
    Row(
        "pooled, a model is owed",
        "A.a A.b A.c B.d",
        dict.fromkeys(["A.a", "A.b", "A.c"], "cut"),
        "A.a A.b A.c B.d",
        pooled=True,
    ),
    Row("pooled, the caller's fault", "A.a B.b A.c", {"A.a": "400", "B.b": "cut"}, "A.a B.b B.b B.b", pooled=True),
)


def planned(row: Row) -> Plan:
    made = []
    for place, word in enumerate(row.endpoints.split()):
        name, _, context = word.partition("/")
        model, provider = name.split(".")
        made.append(
            candidate(endpoint(provider, model=model, upstream_id=f"m{place}", context_length=int(context or 8) * 1000))
        )
    named = frozenset(
        each.endpoint.id for each in made if f"{each.endpoint.model}.{each.endpoint.provider.slug}" in row.order.split()
    )
    models = tuple(dict.fromkeys(each.endpoint.model for each in made))
    return Plan(tuple(made), (), "price", models, pooled=row.pooled, named=named, panic=row.panic)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_who_is_tried(row: Row) -> None:
    """The calls that a request makes until somebody answers or nobody is left."""
    failover = Failover(planned(row), row.max_attempts)
    said = {name: words.split() for name, words in row.does.items()}
    tried = []
    while (step := failover.next()) is not None:
        name = f"{step.candidate.endpoint.model}.{step.candidate.endpoint.provider.slug}"
        tried.append(name)
        words = said.get(name, ["ok"])
        word = words.pop(0) if len(words) > 1 else words[0]
        if word == "ok":
            break
        failover.failed(step.candidate, *failure(word))
    assert " ".join(tried) == row.tried


@pytest.mark.parametrize(
    ("endpoints", "words", "asked"),
    [
        ("A.a A.b A.c B.d", "unsupported 500 500 500 500", "enters-a b failure-c failure-again-b enters-d"),
        # What refuses at once is no load: the next endpoint's call is its first.
        ("A.a A.b A.c B.d B.e", "401 403 429 401 500", "enters-a b c refusal-again-c enters-d"),
        ("A.a A.b A.c B.d", "429 500 500 500", "enters-a b failure-c refusal-again-a"),
        ("A.a A.b A.c B.d", "500 429 401 500", "enters-a failure-b failure-c failure-again-a"),
        ("A.a A.b", "429@5 500", "enters-a failure-b"),
        ("A.a", "429 500 500", "enters-a refusal-again-a failure-again-a"),
        ("A.a B.b B.c", "404 429 401 429", "enters-a enters-b c refusal-again-b"),
    ],
)
def test_what_the_retry_budget_is_asked_for(endpoints: str, words: str, asked: str) -> None:
    """The first attempt at a model is a request to it; whatever follows one that cost something is a retry, and so is the same
    endpoint once more."""
    failover = Failover(planned(Row("", endpoints, {}, "")), 4)
    seen = []
    for word in words.split():
        step = failover.next()
        if step is None:
            break
        marks = ["enters"] * step.enters + [step.retry] * (step.retry is not None) + ["again"] * step.again
        seen.append("-".join([*marks, step.candidate.endpoint.provider.slug]))
        failover.failed(step.candidate, *failure(word))
    assert " ".join(seen) == asked


def test_giving_a_model_up() -> None:
    """A model whose retry budget is spent is left for the next one, neither its other endpoints nor the same one being tried."""
    failover = Failover(planned(Row("", "A.a A.b B.c", {}, "")), 3)
    step = failover.next()
    assert step is not None
    failover.failed(step.candidate, *failure("500"))
    failover.give_up("A")
    step = failover.next()
    assert step is not None
    assert (step.candidate.endpoint.provider.slug, step.enters) == ("c", True)


def test_giving_up_the_only_endpoint() -> None:
    """A pause that the request has no time for: it is not offered again."""
    failover = Failover(planned(Row("", "A.a", {}, "")), 3)
    step = failover.next()
    assert step is not None
    failover.failed(step.candidate, *failure("500"))
    again = failover.next()
    assert again is not None
    assert again.again
    failover.give_up("A")
    assert failover.next() is None


@pytest.mark.parametrize(
    ("endpoints", "max_attempts", "alternative"),
    [("A.a", 3, False), ("A.a A.b", 3, True), ("A.a A.b", 1, False), ("A.a B.b", 1, True), ("A.a B.b", 3, True)],
)
def test_whether_there_is_an_alternative(endpoints: str, max_attempts: int, alternative: bool) -> None:
    """Another endpoint that the limits would allow, if the present attempt failed in a way that counts."""
    failover = Failover(planned(Row("", endpoints, {}, "")), max_attempts)
    step = failover.next()
    assert step is not None
    assert failover.alternative(step.candidate) is alternative


@given(st.data(), st.integers(1, 10))
def test_it_ends(data: st.DataObject, max_attempts: int) -> None:
    """Whatever vendors say: at most ``SENT_MAX`` calls, and never one for a model after the next one's."""
    names = data.draw(
        st.lists(st.sampled_from([f"{m}.{p}" for m in "ABCD" for p in "abcdef"]), min_size=1, max_size=40)
    )
    names.sort(key=lambda name: name[0])
    failover = Failover(planned(Row("", " ".join(names), {}, "")), max_attempts)
    words, rng = (
        data.draw(st.lists(st.sampled_from(["500", "cut", "429", "401", "long", "400"]), min_size=1)),
        random.Random(1),
    )
    models, calls = [], 0
    while (step := failover.next()) is not None:
        models.append(step.candidate.endpoint.model)
        failover.failed(step.candidate, *failure(rng.choice(words)))
        calls += 1
    assert calls <= SENT_MAX
    assert models == sorted(models)

"""The language of model names, and the definition of a token."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import WORDS, GrammarError, parse, pieces, prompt_tokens
from simulator.faults import FAULTS, REFUSALS
from simulator.tokens import PROSE, numbers, prose

SAMPLE = {
    "N": "3",
    "MS": "5",
    "P": "0.5",
    "KIND": "zero",
    "CODE": "429",
    "TEXT": "60",
    "REASON": "length",
    "K": "1",
    "MB": "1",
}


def written(form: str) -> str:
    """A word's form with a sample argument."""
    for mark in "@=":
        name, found, argument = form.partition(mark)
        if found:
            return f"{name}{mark}{SAMPLE[argument]}"
    return form


@pytest.mark.parametrize("name", sorted(WORDS))
def test_every_word_parses(name: str) -> None:
    """Each word of the language parses in the form it documents, and says something about itself."""
    word = WORDS[name]
    script = parse(written(word.form))
    assert word.doc.endswith(".")
    assert word.name == name
    if word.field and word.field not in ("fault", "status", "megabytes"):
        assert getattr(script, word.field) not in (None, False)


def test_every_fault_has_a_word_and_every_word_its_fault() -> None:
    """Faults and words are the same set, so none is unreachable and none is announced in vain."""
    faults = {script.fault for script in (parse(written(word.form)) for word in WORDS.values()) if script.fault}
    assert faults == set(FAULTS)
    assert set(FAULTS) >= REFUSALS


def test_words_combine() -> None:
    """Several words fill several fields; a label before the last slash means nothing."""
    script = parse("chaos/cut@3+midutf8+rst+tps=50+ttft=200+tokens=40")
    assert (script.fault, script.at, script.midutf8, script.rst) == ("cut", 3, True, True)
    assert (script.tps, script.ttft_ms, script.tokens) == (50, 200, 40)


def test_status_keeps_its_header_as_written() -> None:
    """Retry-After is text: dates and garbage must arrive unchanged."""
    script = parse("status=429+retry_after=Wed, 21 Oct 2026 07:28:00 GMT")
    assert (script.fault, script.status, script.retry_after) == ("status", 429, "Wed, 21 Oct 2026 07:28:00 GMT")


def test_an_equals_sign_stands_for_the_at_sign() -> None:
    """A catalogue's upstream_id has neither @ nor blanks, and says the same."""
    assert parse("stall=7") == parse("stall@7")
    assert parse("status=429+retry_after=Wed,_21_Oct") == parse("status=429+retry_after=Wed, 21 Oct")


def test_synonyms_and_lone_words() -> None:
    """nousage, malformed, rst and flaky alone mean what they say."""
    assert parse("nousage") == parse("usage=none")
    assert parse("malformed") == parse("garbage@0")
    assert parse("rst").fault == "rst"
    assert (parse("flaky=0.3").fault, parse("flaky=0.3").status) == ("status", 503)
    assert parse("flaky=0.3+hangup").plain.fault is None


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("gpt-4", "unknown word 'gpt-4'"),
        ("", "unknown word ''"),
        ("ok+", "unknown word ''"),
        ("stall", "stall@N"),
        ("ttft@3", "ttft=MS"),
        ("ok=1", "written ok"),
        ("tokens=many", "tokens=N"),
        ("tokens=-1", "between"),
        ("tps=nan", "between"),
        ("status=200", "between"),
        ("usage=wrong", "one of"),
        ("stall@1+cut@2", "exclude each other"),
        ("status=500+hugeline", "exclude each other"),
    ],
)
def test_a_wrong_name_is_refused_by_name(name: str, complaint: str) -> None:
    """A name that breaks the grammar is refused, and the error names what is wrong."""
    with pytest.raises(GrammarError, match=complaint.replace("@", "[@]")):
        parse(name)


@given(st.text())
def test_pieces_lose_nothing(text: str) -> None:
    """The tokens of a text are that text again, each 1 to 4 UTF-8 bytes, and no two neighbours would fit into one."""
    text = text.encode("utf-8", "ignore").decode()
    found = pieces(text)
    assert "".join(found) == text
    sizes = [len(piece.encode()) for piece in found]
    assert all(1 <= size <= 4 for size in sizes)
    assert all(len((one + two[0]).encode()) > 4 for one, two in pairwise(found))


def test_generated_texts_count_as_they_were_sent() -> None:
    """Recounting a generated answer gives the number of tokens that were streamed."""
    for amount in (0, 1, 7, 1_500):
        assert pieces("".join(numbers(amount))) == numbers(amount)
        assert pieces("".join(prose(amount))) == prose(amount)
    assert len(PROSE) % 4 == 0


def test_prompt_formula() -> None:
    """ceil(bytes / 4) + 4 a message, + 3; parts count their text, other content nothing."""
    assert prompt_tokens([]) == 3
    assert prompt_tokens([{"role": "user", "content": "hello"}]) == 3 + 4 + 2
    parts = [
        {"type": "text", "text": "ää"},
        {"type": "image_url", "image_url": {"url": "data:x"}},
        {"type": "text", "text": "b"},
    ]
    assert prompt_tokens([{"role": "user", "content": parts}, {"role": "assistant", "content": None}]) == 3 + 4 + 2 + 4

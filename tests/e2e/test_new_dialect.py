"""``tokenway new-dialect``: what it writes passes every check of the repository as it is, and it never overwrites anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import new_dialect
from providers import registry
from tests.support.process import ROOT

pytestmark = pytest.mark.timeout(300)
NAME = "newco"


def run(checkout: Path, *words: str, code: int = 0) -> str:
    """Run a Python module in a checkout, with the checkout's own packages, to its end; what it printed."""
    paths = {"PYTHONPATH": str(checkout), "MYPYPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=checkout, env={**os.environ, **paths}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout to which the command has added a dialect."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for line in listed.stdout.splitlines():
        if (ROOT / line).is_file():
            (copy / line).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / line, copy / line)
    printed = run(copy, "gateway.cli", "new-dialect", NAME)
    assert f"wrote  providers/{NAME}/dialect.py" in printed
    assert "changed  providers/registry.py" in printed
    return copy


@pytest.mark.tail
def test_the_skeleton_is_clean(checkout: Path) -> None:
    """Lint, format, types and import rules have nothing to say."""
    code = [
        f"providers/{NAME}",
        f"simulator/formats/{NAME}.py",
        f"tests/contracts/test_dialect_{NAME}.py",
        f"tests/wire/{NAME}",
    ]
    changed = ["providers/registry.py", "simulator/formats/__init__.py"]
    run(checkout, "ruff", "check", *code, *changed)
    run(checkout, "ruff", "format", "--check", *code, *changed)
    run(checkout, "mypy", "--follow-imports=silent", "-p", f"providers.{NAME}", "-m", f"simulator.formats.{NAME}")
    subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, check=True,
    )  # fmt: skip
    run(
        checkout,
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/house/test_docs.py",
        "-k",
        "example_files or commands",
    )


@pytest.mark.soak  # most of its time is the collection of the contract suite
def test_the_skeleton_passes_the_contract(checkout: Path) -> None:
    """The contract of every dialect and the skeleton's own tests pass, through a gateway to its simulated vendor; what is left
    out for now is left out by name. The guide lists the dialect."""
    tests = [f"tests/contracts/test_dialect{rest}.py" for rest in (f"_{NAME}", "s", "s_requests")]
    tests.append("tests/house/test_docs.py::test_example_files_are_valid")
    printed = run(checkout, "pytest", "-q", "-rs", "-p", "no:cacheprovider", *tests, "-k", f"{NAME} or example_files")
    assert re.search(r"\b[5-9]\d passed, 2 skipped", printed), printed
    assert f"no oracle of {NAME} yet: TODO" in printed
    assert f"{NAME} has no parallel_tools: TODO" in printed


def test_an_existing_dialect_is_refused(checkout: Path) -> None:
    """Nothing is written a second time, and no dialect or module of ``providers`` is written over."""
    before = (checkout / "providers/registry.py").read_text()
    assert "already" in run(checkout, "gateway.cli", "new-dialect", NAME, code=2)
    assert (checkout / "providers/registry.py").read_text() == before
    for name in ("cohere", "errors", "transport"):
        with pytest.raises(new_dialect.SkeletonError):
            new_dialect.skeleton(ROOT, name)


@pytest.mark.parametrize(
    "name", ["", "New", "1st", "a-b", "a__b", "a_", "../x", "class", "é", "x" * 21, "frame", "event"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    """A name must be an identifier in lower case that means nothing else in the code of a dialect."""
    with pytest.raises(new_dialect.SkeletonError, match=re.escape(repr(name))):
        new_dialect.skeleton(ROOT, name)


def test_elsewhere_it_is_refused(tmp_path: Path) -> None:
    """Outside of a checkout nothing is written, and the message says what is missing; a folder inside of one will do."""
    with pytest.raises(
        new_dialect.SkeletonError, match=r"not in a checkout of Tokenway: there is no providers/registry\.py"
    ):
        new_dialect.find_checkout(tmp_path)
    assert new_dialect.find_checkout(ROOT / "docs" / "adr") == ROOT


@pytest.mark.parametrize("name", ["aaa", "azur", "nnn", "zzz", "two_words"])
def test_tables_stay_in_order(name: str) -> None:
    """Wherever the name stands in the alphabet, the registry and the guide list it in its place."""
    files = new_dialect.skeleton(ROOT, name)
    rows = re.findall(r'^    "([\w-]+)": \{', files["providers/registry.py"].partition("_CREDENTIALS")[0], re.M)
    assert rows == sorted([*registry.names(), name])
    assert f"`{name}`" in files["docs/writing-a-provider.md"]
    assert not re.search(r"acme", files[f"providers/{name}/dialect.py"], re.I)

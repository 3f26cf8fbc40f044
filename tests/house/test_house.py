"""The house rules, measured on the source text: sizes, floors, names, docs and settings in step."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "providers", "simulator")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_FUNCTION, MAX_FILE, MAX_POSITIONAL = 50, 600, 5
BANNED_NAMES = {"utils", "helpers", "common", "misc", "core"}


def tracked() -> list[Path]:
    out = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in out.stdout.splitlines() if (ROOT / line).is_file()]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file(path: Path) -> None:
    """A file is short, has a docstring and a name that says something; its functions are short and import nothing."""
    text = path.read_text()
    tree = ast.parse(text)
    lines = text.count("\n")
    doc = ast.get_docstring(tree)
    assert doc, "every module says what it is"
    assert lines <= MAX_FILE, f"{lines} lines"
    assert path.stem not in BANNED_NAMES
    for function in functions(tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= MAX_FUNCTION, f"{function.name} has {length} lines"
        positional = [a.arg for a in function.args.posonlyargs + function.args.args if a.arg not in ("self", "cls")]
        assert len(positional) <= MAX_POSITIONAL, f"{function.name} takes {len(positional)} positional parameters"
        hidden = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
        assert not hidden, f"{function.name} imports inside"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_state(path: Path) -> None:
    """Modules hold constants and registries; nothing is rebound with ``global``."""
    assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Global)]


def test_every_package_has_a_docstring() -> None:
    """A package's docstring says what it is and what it must not know."""
    for init in (p for p in SOURCES if p.name == "__init__.py" and p.parent != ROOT / "gateway"):
        doc = (ast.get_docstring(ast.parse(init.read_text())) or "").lower()
        assert "must not know" in doc, f"{init.relative_to(ROOT)} does not say what it must not know"
        assert not re.search(r"\bfloor [0-9]", doc), f"{init.relative_to(ROOT)}: layers have names, not numbers"


def test_blind_except_only_at_the_edges() -> None:
    """``except Exception`` stands only at the ASGI edge, in supervisors, in a socket's callback and where
    strangers' schemas meet a library, each with its reason on the line."""
    allowed = {
        "gateway/api/inference/surface.py",
        "gateway/worker.py",
        "gateway/analytics/schema_check.py",
        "gateway/pipeline/generation.py",
        "providers/transport/client_response.py",
        "providers/auth/cloud.py",
        "providers/transport/httpx_client.py",
    }
    for path in SOURCES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r"\s*except (Base)?Exception\b", line) and "raise" not in line:
                follows = path.read_text().splitlines()[number : number + 10]
                reraises = any(text.strip() == "raise" for text in follows)
                assert reraises or str(path.relative_to(ROOT)) in allowed, f"{path.relative_to(ROOT)}:{number}"


def test_contract_of_a_dialect_fits_on_a_page() -> None:
    """``providers/base.py`` stays within 90 lines."""
    assert (ROOT / "providers/base.py").read_text().count("\n") <= 90


def test_httpclients_live_in_one_file() -> None:
    """No HTTP client library is imported outside the two implementations of the seam in ``providers/transport/client.py``."""
    clients = {"httpx", "pyreqwest", "aiohttp", "requests", "urllib3"}
    for path in SOURCES:
        if path.match("providers/transport/*"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not clients & {name.split(".")[0] for name in names}, path.relative_to(ROOT)


def test_redis_keys_live_in_the_store() -> None:
    """Every key name is made in ``gateway/store``: no other file spells a hash tag."""
    for path in SOURCES:
        if "store" not in path.parts:
            assert "{l" not in re.sub(r"\{l\w*[.\[(]|\{l[a-z_]+[}!:]", "", path.read_text()), path.relative_to(ROOT)


def test_keys_of_the_ledger_are_in_the_table() -> None:
    """ARCHITECTURE.md lists every kind of key that ``gateway/store/keys.py`` makes, and no other."""
    source = (ROOT / "gateway/store/keys.py").read_text()
    made = {f"{{l7}}:{kind}" for kind in re.findall(r'f"\{[^"]*\}:(\w+)', source)}
    made |= set(re.findall(r'"(\{tw\}:[\w:]+)"', source))
    rows = re.findall(r"^\| (`\{(?:l7|tw)\}:[^|]*) \|", (ROOT / "ARCHITECTURE.md").read_text(), flags=re.M)
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert {re.sub(r"^(\{l7\}:\w+).*", r"\1", name) for name in listed} == made


def test_keys_of_analytics_are_in_the_table() -> None:
    """ARCHITECTURE.md lists every kind of key that ``gateway/store/analytics_keys.py`` makes, and no other."""
    source = (ROOT / "gateway/store/analytics_keys.py").read_text()
    made = set(re.findall(r'^\w+ = "(tw:a1:\w+)"', source, flags=re.M))
    made |= {
        re.sub(r"\{PREFIX\}", "tw:a1", re.sub(r"\{(\w+)\}", r"<\1>", form))
        for form in re.findall(r'f"\{PREFIX\}(:[^"]*)"', source)
    }
    made = {("tw:a1" + name if name.startswith(":") else name).replace("<name>", "<row>") for name in made}
    rows = re.findall(r"^\| (`tw:a1:[^|]*) \|", (ROOT / "ARCHITECTURE.md").read_text(), flags=re.M)
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == made


def test_settings_and_docs_are_in_step() -> None:
    """Every setting is documented by its variable, and nothing is documented that does not exist."""
    text = (ROOT / "docs/configuration.md").read_text()
    documented = set(re.findall(r"`GATEWAY_([A-Z_]+)`", text))
    assert documented == {name.upper() for name in Settings.model_fields}


def test_changelog_names_the_version() -> None:
    """The top of the changelog is the version of the package, or what is not released yet."""
    version = re.search(r'__version__ = "([^"]+)"', (ROOT / "gateway/__init__.py").read_text())
    assert version is not None
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"## {version[1]}" in text
    assert f'version = "{version[1]}"' in (ROOT / "pyproject.toml").read_text()


def test_no_file_names_a_private_place() -> None:
    """No file names a private path or a package registry: the repository must work for anybody."""
    words = [
        "/" + "work/",
        "/" + "tmp/brief",
        "py" + "pi.org/simple",
        "registry.npm" + "js.org",
        "files.pythonhosted" + ".org",
    ]
    for path in tracked():
        if path.suffix in {".png", ".woff2", ".gguf"}:
            continue
        text = path.read_text(errors="replace")
        for word in words:
            assert word not in text, f"{path.relative_to(ROOT)} contains {word}"


def test_every_adr_has_its_parts() -> None:
    """Each decision record says when it was made and whether it stands, what was decided, why, and what it costs."""
    records = {int(path.name[:4]): path for path in sorted((ROOT / "docs/adr").glob("[0-9]*.md"))}
    assert len(records) >= 18
    listed = (ROOT / "docs/adr/README.md").read_text()
    for number, record in records.items():
        text = record.read_text()
        for heading in ("## Decision", "## Why", "## Consequences"):
            assert heading in text, f"{record.name} lacks {heading}"
        line = re.fullmatch(r"Date: (\d{4}-\d\d-\d\d) · Status: (.+)", text.split("\n")[2])
        assert line, f"{record.name} lacks its date and status under the title"
        later = [(int(name), file) for name, file in re.findall(r"\[(\d+)\]\(([^)]+)\)", line[2])]
        assert all(name > number and records[name].name == file for name, file in later), f"{record.name}: {line[2]}"
        status = re.sub(r"\[(\d+)\]\([^)]+\)", r"\1", line[2])
        assert re.fullmatch(r"accepted(, amended by \d+(, \d+)*( and \d+)?)?|superseded by \d+", status), record.name
        assert f"]({record.name}) · {line[1]} · {status}\n" in listed, f"docs/adr/README.md on {record.name}"

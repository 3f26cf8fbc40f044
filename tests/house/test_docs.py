"""The documents say what the code does: names in tables are taken from both sides and compared."""

from __future__ import annotations

import ast
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import typer.main
import yaml

from gateway import errors
from gateway.app import create_app
from gateway.catalog.read import validate
from gateway.catalog.rows import ModelRow, PriceRow, ProviderRow
from gateway.cli import app as cli
from gateway.routing import filters, policies, refusal
from gateway.routing.candidate import Need, RoutingContext
from gateway.routing.plan import SHORT_FILTER, SOFT_FILTER
from gateway.routing.preferences import Preferences
from gateway.settings import Settings
from gateway.telemetry import Telemetry
from providers import registry
from providers.errors import FAILURES
from simulator import WORDS
from simulator import parse as parse_script

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)


def page(name: str) -> str:
    return (ROOT / name).read_text()


def section(text: str, heading: str) -> str:
    """The part of a page under a heading, up to the next one of the same level or higher, without blocks of code."""
    level = heading.split(" ")[0]
    _, found, rest = CODE_BLOCK.sub("", text).partition(f"\n{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.M)[0]


def first_cells(text: str) -> list[str]:
    """Names in backticks that begin the rows of the tables of a text."""
    return re.findall(r"^\| `([^`]+)`", text, flags=re.M)


def shell(text: str) -> list[str]:
    """Commands of the shell blocks, continued lines joined."""
    blocks = [body for language, body in CODE_BLOCK.findall(text) if language == "sh"]
    return [line for body in blocks for line in body.replace("\\\n", " ").splitlines() if line.strip()]


def test_defaults_are_those_of_the_class() -> None:
    """The default column of docs/configuration.md is what the settings class says."""
    rows = re.findall(r"^\| `GATEWAY_([A-Z_]+)` \| ([^|]*) \|", page("docs/configuration.md"), flags=re.M)
    assert [name.lower() for name, _ in rows] != []
    for name, written in rows:
        default = Settings.model_fields[name.lower()].default
        if name == "CONFIG_DIR":
            continue
        expected = "unset" if default is None else f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
        assert written == expected, name


def test_metrics_are_those_of_the_code() -> None:
    """Every metric is in the table of docs/operations.md by the name a scrape shows, and no other."""
    metrics = {
        metric.name + ("_total" if metric.type == "counter" else "") for metric in Telemetry().registry.collect()
    }
    assert sorted(first_cells(section(page("docs/operations.md"), "## Metrics"))) == sorted(metrics)


def test_metrics_that_are_mentioned_exist() -> None:
    """A metric named anywhere in the documents is one that a scrape shows."""
    shown = set()
    for metric in Telemetry().registry.collect():
        shown |= {metric.name, f"{metric.name}_total", f"{metric.name}_bucket"}
    mentioned = {name for path in PAGES for name in re.findall(r"\btokenway_[a-z_]+", path.read_text())}
    libraries = {"tokenway_ledger_v", "tokenway_accounts_v", "tokenway_"}
    assert mentioned - shown - libraries == set()


def test_filters_are_documented() -> None:
    """Every filter that can drop an endpoint is in docs/routing.md, and no other."""
    everything: dict[str, Any] = {
        "only": frozenset({"x"}), "zdr": True, "data_collection": "deny", "quantizations": frozenset({"fp8"}),
        "max_price_femto": {"prompt": 1}, "require_parameters": True,
    }  # fmt: skip
    ask = RoutingContext(Need(1, 1, frozenset({"seed"})), Preferences(**everything), 0.0, random.Random(0))
    known = {name for name, _ in filters.applicable(ask)} | refusal.HEALTH | set(refusal.ADVICE)
    documented = first_cells(section(page("docs/routing.md"), "## Filters"))
    assert sorted(documented) == sorted(known | {SOFT_FILTER, SHORT_FILTER, "allow_fallbacks"})


def test_policies_are_documented() -> None:
    """Every policy is in docs/routing.md, and no other."""
    documented = first_cells(section(page("docs/routing.md"), "## Policies"))
    assert sorted(documented) == sorted({*policies.POLICIES, "order"})


def test_kinds_of_failure_are_documented() -> None:
    """docs/routing.md has each row of failures.yaml with the status, whether other endpoints are tried, and whom it is attributed to."""
    text = section(page("docs/routing.md"), "### Kinds of failure")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \| (yes|no) \| (\w+) \|$", text, flags=re.M)
    expected = [
        (row.kind, str(row.status), "yes" if row.failover else "no", row.attributed_to) for row in FAILURES.values()
    ]
    assert sorted(rows) == sorted(expected)


def test_error_types_are_documented() -> None:
    """Every error_type a caller can see is in docs/api.md with its status."""
    text = section(page("docs/api.md"), "## Errors")
    rows = {
        name: statuses.split(", ") for name, statuses in re.findall(r"^\| `(\w+)` \| ([\d, ]+) \|", text, flags=re.M)
    }
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.GatewayError)]
    known = {(kind.error_type, kind.status) for kind in kinds if kind is not errors.UpstreamFailed}
    known |= {(row.error_type, row.status) for row in FAILURES.values()}
    for error_type, status in known:
        assert str(status) in rows.get(error_type, []), f"{error_type} {status}"
    assert set(rows) == {error_type for error_type, _ in known}


def test_routes_are_documented() -> None:
    """Every route of the OpenAPI document is in docs/api.md, and no other."""
    paths = create_app(Settings()).fastapi.openapi()["paths"]
    known = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert sorted(first_cells(section(page("docs/api.md"), "## Routes"))) == sorted(known | {"GET /metrics"})


def test_words_of_the_simulator_are_documented() -> None:
    """docs/simulate.md has every word of the grammar with the vendor's own explanation."""
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", section(page("docs/simulate.md"), "### Every word"), flags=re.M)
    assert rows == [(word.form, word.doc) for word in WORDS.values()]
    examples = section(page("docs/simulate.md"), "## Model names").partition("### ")[0]
    for name in first_cells(examples):
        parse_script(name)


def commands() -> dict[str, Any]:
    """``keys create`` → its click command."""
    root: Any = typer.main.get_command(cli)
    found: dict[str, Any] = {}
    for name, command in root.commands.items():
        group = getattr(command, "commands", None)
        found |= {name: command} if group is None else {f"{name} {sub}": each for sub, each in group.items()}
    return found


def test_commands_are_documented() -> None:
    """Every command of tokenway is in the list of docs/operations.md, and no other."""
    documented = first_cells(section(page("docs/operations.md"), "## Commands"))
    assert sorted(documented) == sorted(f"tokenway {name}" for name in commands())


def test_commands_as_written_are_understood() -> None:
    """Every `tokenway ...` line of a shell block names a command and options that exist."""
    known, problems = commands(), []
    for path in PAGES:
        for line in shell(path.read_text()):
            match = re.search(r"(?:^|\s)tokenway ((?:(?:analytics|keys|credits|orgs) )?[a-z-]+)(.*)$", line)
            if match is None:
                continue
            name, rest = match[1], match[2].partition(" #")[0]
            parameters = known[name].params if name in known else []
            options = {option for each in parameters for option in (*each.opts, *each.secondary_opts)}
            if name not in known or (name != "simulate" and not set(re.findall(r"--[a-z-]+", rest)) <= options):
                problems.append(f"{path.name}: {line}")
    assert problems == []


def anchors(path: Path) -> set[str]:
    """What a link may name after ``#``, as GitHub makes it of headings."""
    titles = re.findall(r"^#+ (.*)$", CODE_BLOCK.sub("", path.read_text()), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere() -> None:
    """Relative links point at files that exist, and at headings that are there."""
    problems = []
    for path in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", CODE_BLOCK.sub("", path.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            found = (path.parent / file).resolve() if file else path
            if not found.exists() or (anchor and anchor not in anchors(found)):
                problems.append(f"{path.name}: {target}")
    assert problems == []


def definitions(path: Path) -> set[str]:
    """Functions and classes of a module, ``Class.method`` for methods."""
    found: set[str] = set()

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(prefix + child.name)
                walk(child, f"{prefix}{child.name}.")

    walk(ast.parse(path.read_text()), "")
    return found


def test_pointers_into_the_code_are_true() -> None:
    """``file.py::name`` in a document is a function, class or test that exists."""
    problems = []
    for path in PAGES:
        for file, name in re.findall(r"`([\w/.]+\.py)::([\w.]+)`", path.read_text()):
            if not (ROOT / file).exists() or name not in definitions(ROOT / file):
                problems.append(f"{path.name}: {file}::{name}")
    assert problems == []


def test_files_that_are_named_exist() -> None:
    """A file of code that a document names is there, by its whole path or by the end of it, as ``chat/effort.py``."""
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ends = {
        "/".join(parts[at:])
        for line in files.stdout.splitlines()
        for parts in [line.split("/")]
        for at in range(len(parts))
    }
    named = re.compile(r"(?<![\w/<*.])[\w.-]+(?:/[\w.-]+)*\.(?:py|lua|yaml)\b(?!\w)")
    problems = []
    for path in PAGES:
        spans = re.findall(
            r"`([^`\n<>*]+)`", CODE_BLOCK.sub("", path.read_text())
        )  # not tests/wire/<dialect>/reader.py
        checked = path.name == "ARCHITECTURE.md" or path.parent.name == "adr"  # elsewhere a .yaml may be the operator's
        problems += [
            f"{path.name}: {name}"
            for span in spans
            for name in named.findall(span)
            if name not in ends and (checked or not name.endswith(".yaml"))
        ]
    assert problems == []


def test_every_decision_is_listed() -> None:
    """docs/adr/README.md links each decision record by its title."""
    listed = page("docs/adr/README.md")
    for record in sorted((ROOT / "docs/adr").glob("[0-9]*.md")):
        title = record.read_text().partition("\n")[0].removeprefix("# ")
        assert f"- [{title}]({record.name})" in listed
        assert int(record.name[:4]) == int(title.partition(".")[0])


def test_example_files_are_valid() -> None:
    """The YAML examples of a provider are files that the catalogue accepts, and the dialects named there exist."""
    text = page("docs/writing-a-provider.md")
    blocks = [yaml.safe_load(body) for language, body in CODE_BLOCK.findall(text) if language == "yaml"]
    for shape, block in zip((ProviderRow, PriceRow, ModelRow), blocks, strict=True):
        for row in block if isinstance(block, list) else [block]:
            assert validate(shape, row, "example")[1] == []
    assert f"| `dialect` | {', '.join(f'`{name}`' for name in registry.names())} |" in text


def test_options_of_the_dialect_are_documented() -> None:
    """The options of the openai dialect in docs/writing-a-provider.md are those that the docstring of its requests lists, and the code reads each."""
    source = (ROOT / "providers/openai/request.py").read_text()
    known = re.findall(r"^- ``(\w+)``:", ast.get_docstring(ast.parse(source)) or "", flags=re.M)
    text = section(page("docs/writing-a-provider.md"), "## A compatible vendor")
    assert first_cells(text.partition("| option | meaning |")[2].partition("\n\n")[0]) == known
    assert all(f'"{name}"' in source for name in known)


def test_example_settings_are_valid() -> None:
    """The gateway.yaml of docs/configuration.md sets settings that exist to values that fit."""
    (block,) = [body for language, body in CODE_BLOCK.findall(page("docs/configuration.md")) if language == "yaml"]
    Settings(**yaml.safe_load(block))

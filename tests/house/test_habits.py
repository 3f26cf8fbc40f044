"""The habits of the repository: workflows, forms, hooks and coverage are valid and agree with pyproject.toml and the Makefile."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.coverage_report import by_package, line

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def commands(workflow: Path) -> list[str]:
    """What a workflow runs in a shell."""
    return [step["run"] for job in loaded(workflow)["jobs"].values() for step in job.get("steps", []) if "run" in step]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-issue-forms", sorted(set(GITHUB.glob("ISSUE_TEMPLATE/*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"})),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
        ("vendor.compose-spec", [ROOT / "docker-compose.yml"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_files_fit_their_schema(schema: str, files: list[Path]) -> None:
    """What GitHub and Docker read has the shape that they publish for it; the schemas are those that check-jsonschema ships."""
    assert files
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tested_python_versions_are_the_declared_ones() -> None:
    """Workflow's matrix = classifiers = from requires-python on, without a gap; the image runs one of them."""
    tried = loaded(GITHUB / "workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    found = [
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in PROJECT["project"]["classifiers"]
    ]
    assert tried == [match[1] for match in found if match]
    assert PROJECT["project"]["requires-python"] == f">={tried[0]}"
    assert [int(each.partition(".")[2]) for each in tried] == list(range(11, 11 + len(tried)))
    image = re.findall(r"^FROM python:(3\.\d+)", (ROOT / "Dockerfile").read_text(), flags=re.M)
    assert set(image) <= set(tried)


def test_workflows_run_what_a_contributor_runs() -> None:
    """A workflow and .ci/run call targets of the Makefile that exist; CONTRIBUTING.md names those that contributors need."""
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.M))
    called = {
        target for path in WORKFLOWS for text in commands(path) for target in re.findall(r"\bmake ([a-z]+)", text)
    }
    called |= set(re.findall(r"^\s*make ([a-z]+)", (ROOT / ".ci/run").read_text(), flags=re.M))
    assert {"check", "test", "docs", "coverage"} <= called <= targets
    named = set(re.findall(r"^make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.M))
    assert {"check", "test", "soak", "coverage", "docs"} <= named <= targets


def test_workflows_ask_for_no_more_than_they_need() -> None:
    """Workflows have read permission by default; only publishing has write permission, for its target. Actions are pinned."""
    writes = {}
    for path in WORKFLOWS:
        workflow = loaded(path)
        assert workflow["permissions"] == {"contents": "read"}, path.name
        for name, job in workflow["jobs"].items():
            more = {what for what, how in job.get("permissions", {}).items() if how == "write"}
            writes |= {f"{path.stem}/{name}": more} if more else {}
            for step in job.get("steps", []):
                assert re.search(r"@(v\d+|release/v\d+|[0-9a-f]{40})$", step.get("uses", "x@v1")), step
    assert writes == {"image/image": {"packages"}, "publish/publish": {"id-token"}}


def test_a_tag_is_published_only_after_everything_else() -> None:
    """Publishing waits for check, test and build, and refuses a tag that is not the version."""
    jobs = loaded(GITHUB / "workflows/publish.yml")["jobs"]
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    assert any("GITHUB_REF_NAME#v" in text for text in commands(GITHUB / "workflows/publish.yml"))


def test_hooks_are_what_make_check_runs() -> None:
    """Each hook of pre-commit is local, and runs a command of `make check` with its own ruff on the same folders."""
    (repository,) = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    folders = set(re.search(r"ruff check --quiet (.*)", MAKEFILE)[1].split())  # type: ignore[index]
    for hook in repository["hooks"]:
        program, verb = hook["entry"].split()[:2]
        assert program == ".venv/bin/ruff"
        assert f"$(BIN)/ruff {verb}" in MAKEFILE
        assert set(re.search(r"\^\((.*)\)/", hook["files"])[1].split("|")) == folders | {"simulator"}  # type: ignore[index]


def test_coverage_counts_the_branches_of_all_processes() -> None:
    """Every package of the wheel is measured, with branches, in whatever processes a test starts."""
    run = PROJECT["tool"]["coverage"]["run"]
    assert run["branch"]
    assert run["parallel"]
    assert "subprocess" in run["patch"]
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(run["source"])


def test_the_line_of_coverage() -> None:
    """Branches are added up by package; a package without any is left out."""
    file = {"covered_branches": 3, "num_branches": 4}
    report = {
        "files": {"gateway/a.py": {"summary": file}, "gateway/b/c.py": {"summary": file | {"covered_branches": 2}}}
    }
    report["files"]["providers/d.py"] = {"summary": {"covered_branches": 0, "num_branches": 0}}
    assert line(by_package(report)) == "branch coverage: gateway 62.5 %"

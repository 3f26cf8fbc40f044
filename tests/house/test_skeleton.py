"""The skeleton of ``tokenway new-dialect`` is text: what it imports from the code, the tests and itself exists."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from gateway.cli.new_dialect import SKELETON
from tests.house.test_docs import definitions

TEMPLATES = sorted(SKELETON.rglob("*.py.txt"))


def names_of(template: Path) -> set[str]:
    """What a module made of a template offers."""
    assigned = (
        node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        for node in ast.parse(template.read_text()).body
    )
    return definitions(template) | {
        target.id for targets in assigned for target in targets if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(SKELETON)))
def test_imports_exist(template: Path) -> None:
    """A renamed module or function is noticed here, and not by whoever writes the next dialect."""
    missing = []
    for node in ast.walk(ast.parse(template.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            own = SKELETON / (node.module.replace(".", "/") + ".py.txt")
            known = names_of(own) if own.exists() else set(dir(importlib.import_module(node.module)))
            missing += [f"{node.module}.{each.name}" for each in node.names if each.name not in known]
        elif isinstance(node, ast.Import):
            for each in node.names:
                importlib.import_module(each.name)
    assert missing == []


def test_there_are_templates() -> None:
    """The folder is where the command looks for it."""
    assert len(TEMPLATES) >= 8

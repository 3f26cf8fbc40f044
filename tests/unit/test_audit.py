"""``make audit``: which versions an advisory concerns, and what is said of packages that nobody knows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from tools import audit
from tools.audit import Pin

UNTIL_FIXED = [{"introduced": "0"}, {"fixed": "2.11.3"}]
TWO_RANGES = [{"introduced": "1.0"}, {"fixed": "1.4"}, {"introduced": "2.0"}, {"last_affected": "2.2"}]


def _advisories(folder: Path, events: list[dict[str, str]], **fields: object) -> Path:
    affected = {"package": {"name": "Jinja2"}, "ranges": [{"type": "ECOSYSTEM", "events": events}], "versions": ["7.0"]}
    file = folder / "vulns" / "jinja2" / "PYSEC-1.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump({"id": "PYSEC-1", "affected": [affected], **fields}))
    return folder


@pytest.mark.parametrize(
    ("events", "version", "concerned"),
    [
        (UNTIL_FIXED, "2.11.2", True),
        (UNTIL_FIXED, "2.11.3", False),
        (UNTIL_FIXED, "2.11.3rc1", True),  # before 2.11.3
        (UNTIL_FIXED, "7.0", True),  # named by itself
        (TWO_RANGES, "0.9", False),
        (TWO_RANGES, "1.0", True),
        (TWO_RANGES, "1.4", False),
        (TWO_RANGES, "2.2", True),
        (TWO_RANGES, "2.2.1", False),
    ],
)
def test_versions(tmp_path: Path, events: list[dict[str, str]], version: str, concerned: bool) -> None:
    """Ranges begin with ``introduced`` and end before ``fixed`` or behind ``last_affected``."""
    found = audit.advised(Pin("jinja2", version), _advisories(tmp_path, events))
    assert found == (["PYSEC-1"] if concerned else [])
    assert audit.advised(Pin("markupsafe", version), tmp_path) == []


def test_withdrawn(tmp_path: Path) -> None:
    """An advisory that was taken back concerns nobody."""
    folder = _advisories(tmp_path, UNTIL_FIXED, withdrawn="2026-01-01T00:00:00Z")
    assert audit.advised(Pin("jinja2", "1.0"), folder) == []


@pytest.mark.parametrize(
    ("version", "code", "said"), [("2.11.2", 1, "jinja2 2.11.2: PYSEC-1"), ("3.0", 0, "0 with known")]
)
def test_without_network(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
    code: int,
    said: str,
) -> None:
    """What PyPI does not tell comes from the folder; without it the answer is not "none"."""
    lock = tmp_path / "a.lock"
    lock.write_text(f"Jinja2=={version} ; sys_platform != 'win32' \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(audit, "asked", lambda lock: dict.fromkeys(audit.pins(lock)))
    monkeypatch.setattr(sys, "argv", ["audit", "--advisories", str(_advisories(tmp_path, UNTIL_FIXED)), str(lock)])
    assert audit.main() == code
    assert said in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["audit", str(lock)])
    assert audit.main() == 2
    assert "1 that nobody could tell about" in capsys.readouterr().out

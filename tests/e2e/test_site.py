"""The documentation as a site: every link leads somewhere, nothing is fetched from elsewhere when a page is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import ROOT

pytest.importorskip("mkdocs", reason="mkdocs is not installed: `make docs` installs it")


def build(to: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", to],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_site(tmp_path: Path) -> None:
    """It builds without a warning, has every page and decision, and loads neither script, style, font nor picture from another site."""
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("index.html")}
    sources = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    assert pages >= {str(path) for path in sources if path.name not in ("README", "index")}
    assert pages >= {".", "adr", "architecture", "changelog", "contributing", "security", "bench"}
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?([^\" >]+)", text)
        loaded += re.findall(r"<link[^>]* href=\"?([^\" >]+)", re.sub(r"<link[^>]*rel=\"?canonical[^>]*>", "", text))
        assert not [url for url in loaded if re.match(r"(https?:)?//", url)], page
        assert not re.findall(r"href=\"?[^\" >]*\.md\b", text), f"{page}: a link to a source"


def test_a_link_to_nothing_fails(tmp_path: Path) -> None:
    """The build names a page that links what is not there, a heading that is not there, and a page that nothing lists."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# One\n\n[gone](gone.md) [no heading](two.md#three)\n")
    (docs / "two.md").write_text("# Two\n")
    (docs / "unlisted.md").write_text("# Unlisted\n")
    config = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[0].replace("hooks:\n  - tools/site_pages.py\n", "")
    (tmp_path / "mkdocs.yml").write_text(config + "\nnav: [index.md, two.md]\n")
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode == 1
    for word in ("gone.md", "#three", "unlisted.md"):
        assert word in done.stderr

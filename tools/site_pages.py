"""The hook of ``mkdocs.yml``: pages that live outside ``docs/`` become pages of the site, and links to them lead there.

On GitHub a page links the file where it is (``../CHANGELOG.md``), and so it stays in the source. For the site the pages
of ``PAGES`` are brought in under their own names, the decisions are listed in the navigation, and every relative link
is written anew. Any other file of the repository that a page links is copied along as text, so the site needs no
address of a repository. A link to nothing is left as it is: ``mkdocs build --strict`` then fails and names it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "bench/README.md": "bench.md",
}
"""Place in the repository → place in the site."""
COPIED = "files/"
FENCE = re.compile(r"(^```.*?^```[ ]*$)", re.S | re.M)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision below the list of decisions: a new one needs no line in ``mkdocs.yml``."""
    for part in config.nav or []:
        if isinstance(part, dict) and "Decisions" in part:
            part["Decisions"] += [f"adr/{page.name}" for page in sorted((ROOT / "docs/adr").glob("[0-9]*.md"))]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside ``docs/``, and what the pages link elsewhere in the repository."""
    sources = [*PAGES, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    linked = {path for source in sources for _, path, _ in _links(source, (ROOT / source).read_text())}
    for source, place in PAGES.items():
        if source != "README.md":  # the site's first page is docs/index.md
            files.append(File.generated(config, place, content=_for_site(source, (ROOT / source).read_text())))
    for path in sorted(linked):
        if _is_copied(path):
            files.append(File.generated(config, _place(path), content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page of ``docs/``; those from elsewhere were rewritten when they were brought in."""
    if page.file.src_uri in PAGES.values() and page.file.src_uri != "index.md":
        return markdown
    return _for_site(f"docs/{page.file.src_uri}", markdown)


def _place(path: str) -> str:
    """Where a file of the repository is in the site."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{COPIED}{path}.txt"


def _is_copied(path: str) -> bool:
    return _place(path).startswith(COPIED) and (ROOT / path).is_file()


def _links(source: str, text: str) -> list[tuple[str, str, str]]:
    """Relative links of a page outside its blocks of code: as written, the file from the root, ``#anchor`` or nothing."""
    found = []
    for target in LINK.findall(FENCE.sub("", text)):
        file, mark, anchor = target.partition("#")
        if file and not re.match(r"[a-z]+:|/", file):
            found.append((target, posixpath.normpath(posixpath.join(posixpath.dirname(source), file)), mark + anchor))
    return found


def _for_site(source: str, text: str) -> str:
    """The text of a page, its links as the site needs them."""
    here = posixpath.dirname(_place(source))
    known = {
        written: posixpath.relpath(_place(path), here or ".") + anchor
        for written, path, anchor in _links(source, text)
        if (ROOT / path).is_file()
    }

    def rewritten(link: re.Match[str]) -> str:
        return f"]({known.get(link[1], link[1])})"

    return "".join(part if part.startswith("```") else LINK.sub(rewritten, part) for part in FENCE.split(text))

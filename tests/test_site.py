"""The site of docs/ as `make site` builds it: every page, no broken link, nothing fetched from elsewhere."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
FETCHED = {"src", "srcset", "data", "poster"}


class Page(HTMLParser):
    """What a page names: its anchors, its links, and what a browser fetches to show it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value for name, value in attrs if value}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        if tag == "a" and "href" in named:
            self.links.append(named["href"])
        sheet = [named["href"]] if tag == "link" and named.get("rel") in ("stylesheet", "icon") else []
        self.fetched += [value for name, value in named.items() if name in FETCHED] + sheet


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly from a copy of docs/, since its cache lies beside them."""
    place = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", place / "docs")
    shutil.copy(ROOT / "zensical.toml", place)
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=place, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return place / "build" / "site"


def pages(site: Path) -> Iterator[tuple[Path, Page]]:
    for file in sorted(site.rglob("*.html")):
        yield file, Page(file)


def local(site: Path, file: Path, address: str) -> Path:
    path = unquote(urlsplit(address).path)
    return site / path.lstrip("/") if path.startswith("/") else Path(os.path.normpath(file.parent / path))


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    listed = [page for entry in config["nav"] for part in entry.values() for page in _pages_of(part)]
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def _pages_of(part: str | list[dict[str, str]]) -> list[str]:
    return [part] if isinstance(part, str) else [page for entry in part for page in entry.values()]


def test_no_link_is_broken(site: Path) -> None:
    found = dict(pages(site))
    broken = []
    for file, page in found.items():
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            target = local(site, file, link) if urlsplit(link).path else file
            anchor = urlsplit(link).fragment
            if not target.is_file() or (anchor and target in found and anchor not in found[target].anchors):
                broken.append(f"{file.relative_to(site)}: {link}")
    assert broken == []


def test_a_page_fetches_only_files_of_the_site(site: Path) -> None:
    elsewhere = [
        f"{file.relative_to(site)}: {address}"
        for file, page in pages(site)
        for address in page.fetched
        if urlsplit(address).scheme not in ("", "data") or not local(site, file, address).exists()
    ]
    assert elsewhere == []


def test_nothing_but_pages_and_pictures_is_published(site: Path) -> None:
    assert [path.name for path in site.rglob("*") if path.suffix in (".py", ".jsonl", ".md")] == []

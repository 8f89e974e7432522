"""Every page of ganhash in a real browser: accessible, asking for nothing, hostile names as text, not too wide."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ganhash_cli.engine import epochs
from ganhash_cli.engine.bundle import Bundle
from pictures import COLOURS, paint
from serving import FIRST, encode_again, serving, work_in
from test_serve_page import CHROMIUM, browser, sync_api  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install it, as by `apt-get install chromium`"),
    pytest.mark.skipif(not find_spec("axe_playwright_python"), reason="axe is not installed: 'ganhash[dev]' brings it"),
]
HOSTILE = ("<script>alert(1)<", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "[red]\u202e" + "long" * 20)
PAGES = ("query.html", "dedup.html", "report.html", "served")
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (375, 1280)]


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The address of each page, all of one folder whose classes and files have hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    with contextlib.chdir(folder):
        work_in(folder)
        epochs.write(({"epoch": n, "triplet": 1 / n, "validation_map": 0.5} for n in (1, 2, 3)), Path("model"))
        for number, name in enumerate(HOSTILE):
            plain = name.replace("/", "")
            for copy in range(3):
                paint(Path("folder", plain, f"{plain}{copy}.png"), (200, 200, 40), seed=9 + number)
                paint(Path("queries", plain, f"{plain}{copy}.png"), (210, 190, 40), seed=900 + 10 * number + copy)
        for number, (colour, value) in enumerate(COLOURS.items()):
            paint(Path("queries", colour, "0.png"), value, seed=5000 + number)
        encode_again(Bundle.open(Path("model")))
        for command in (
            ["query", str(FIRST), *map(str, sorted(Path("queries").rglob("*.png"))), "--html", "query.html"],
            ["dedup", "codes.h5", "--html", "dedup.html"],
            ["report", "--queries", "queries", "-o", "report.html"],
        ):
            subprocess.run([sys.executable, "-m", "ganhash_cli", *command, "-q"], check=True, stdout=subprocess.DEVNULL)
        with serving() as served:
            yield {name: served.url if name == "served" else (folder / name).as_uri() for name in PAGES}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_asks_for_nothing(browser: Any, addresses: dict[str, str], name: str) -> None:  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe

    for scheme, width in LOOKS:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        page = context.new_page()
        faults: list[str] = []
        page.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))  # noqa: B023
        page.on("pageerror", lambda error: faults.append(str(error)))  # noqa: B023
        page.on("request", lambda asked: faults.append(asked.url))  # noqa: B023
        page.goto(addresses[name])
        if name == "served":
            page.set_input_files("input[type=file]", addresses["query.html"][7:].replace("query.html", str(FIRST)))
            sync_api.expect(page.locator("img").nth(3)).to_be_visible()
        else:
            assert "<script>alert(1)<" in page.inner_text("body")
        own = (addresses["served"], "blob:", "data:") if name == "served" else (addresses[name], "data:")
        assert [fault for fault in faults if not fault.startswith(own)] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (scheme, width)
        found = Axe().run(page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], (scheme, width)
        context.close()

"""Run the commands of docs/gallery.md, in build/gallery, and keep the pictures of what they made beside this file.

Run it by `make gallery`: it borrows the terminal of the tests, and needs Chromium for the pages.
"""

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

from terminals import show

HERE = Path(__file__).parent
PAGE = HERE.parent / "gallery.md"
WORK = HERE.parents[1] / "build" / "gallery"
COLUMNS = 76
COLOURS = 128  # of a picture of a page, so that it stays small
GREYS = 8  # of the film
PAGES = {  # picture: file, colour scheme, width and height in pixels
    "query-page.png": ("out.html", "light", 1000, 640),
    "query-page-phone.png": ("out.html", "dark", 390, 640),
    "duplicates-page.png": ("duplicates.html", "light", 1000, 420),
    "report-page.png": ("report.html", "light", 1000, 1400),
}
SERVED = {"serve.png": ("light", 1000, 700), "serve-dark.png": ("dark", 390, 700)}
FILES = {"fakes.png": "fakes/grid.png", "demo-sheet.png": "neighbours.png"}
TERMINAL = {"query-terminal.svg": "ganhash query"}
# What a terminal that Rich draws would fetch.
FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        print(block, end="", flush=True)
        if "ganhash serve" not in block:
            _run(block)
    for picture, file in FILES.items():
        shutil.copy(WORK / file, HERE / picture)
    _film(WORK / "fakes/samples/training.gif", HERE / "training.gif")
    with _browser() as browser:
        for picture, (file, scheme, width, height) in PAGES.items():
            _photograph(browser, (WORK / file).as_uri(), HERE / picture, scheme, width, height)
        with _served() as address:
            for picture, (scheme, width, height) in SERVED.items():
                _photograph(browser, address, HERE / picture, scheme, width, height, WORK / "img.jpg")


def _run(block: str) -> None:
    """Run a block in a terminal, and keep what it showed where that is one of the pictures."""
    shell = ["sh", "-euc", f"cd {WORK}; PATH={Path(sys.executable).parent}:$PATH\n{block}"]
    code, shown = show(shell, columns=COLUMNS, environ={"COLORTERM": "truecolor"})
    if code:
        raise SystemExit(f"{shown}\nended with {code}:\n{block}")
    for picture, command in TERMINAL.items():
        if block.startswith(command) and "--" not in block:
            console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
            console.print(Text.from_ansi(f"$ {block}{shown.replace(chr(13), '')}"))
            drawn = console.export_svg(title="", unique_id="terminal")
            (HERE / picture).write_text(FONT.sub("", drawn))


def _film(source: Path, picture: Path) -> None:
    """Keep a film in fewer greys."""
    with Image.open(source) as film:
        frames, pauses = [], []
        for frame in ImageSequence.Iterator(film):
            frames.append(frame.convert("L").quantize(GREYS, dither=Image.Dither.NONE))
            pauses.append(film.info["duration"])
    frames[0].save(picture, save_all=True, append_images=frames[1:], duration=pauses, loop=0, optimize=True)


@contextmanager
def _browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        raise SystemExit("no Chromium here: `make system` installs it on Debian and Ubuntu")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=options)


@contextmanager
def _served() -> Iterator[str]:
    """Start `ganhash serve` on a free port, and give its address."""
    command = [sys.executable, "-m", "ganhash_cli", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=WORK, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        found = next(filter(None, (re.search(r"http://127\S+", line) for line in server.stdout or ())))
        try:
            yield found[0]
        finally:
            server.terminate()
            server.communicate()


def _photograph(
    browser: Any, address: str, picture: Path, scheme: str, width: int, height: int, image: Path | None = None
) -> None:
    """Keep what a page shows; with `image`, after it was searched for there."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
    page.goto(address)
    if image:
        page.locator("input[type=file]").set_input_files(os.fspath(image))
        page.locator("#results li").first.wait_for()
        page.wait_for_load_state("networkidle")
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    taken.quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)
    page.close()


if __name__ == "__main__":
    main()

"""Answers → a gallery: one HTML page with its pictures inside, which needs no other file and runs no script."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganhash_cli.engine import decoders, files, wording
from ganhash_cli.engine.codes import CHANGED
from ganhash_cli.engine.decoding import Undecodable
from ganhash_cli.engine.names import safe
from ganhash_cli.engine.results import Answer, Hit
from ganhash_cli.engine.sheet import RIGHT, WRONG

MOST_QUERIES, MOST_HITS = 200, 50  # some ten thousand pictures of 10 kB are what a browser still opens
SIDE = 192  # pixels of a picture, drawn half as wide or more, for screens of many dots
OPENS = "A click on a picture opens its file, as long as page and images stay where they are."
_QUALITY = 80  # of JPEG
_FRAMES = {"right": RIGHT, "wrong": WRONG}
THEMES = {
    "light": {
        "ink": "#1c1f24",
        "faint": "#5b6470",
        "paper": "#ffffff",
        "line": "#d7dbe0",
        "empty": "#eceff2",
        **_FRAMES,
    },
    "dark": {
        "ink": "#e6e8eb",
        "faint": "#9aa3af",
        "paper": "#15181c",
        "line": "#343a42",
        "empty": "#23282e",
        **_FRAMES,
    },
}

_STYLE = """
:root { color-scheme: light dark; $light }
@media (prefers-color-scheme: dark) { :root { $dark } }
* { box-sizing: border-box; margin: 0; padding: 0 }
body { font: 1rem/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper); padding: 1rem;
  max-width: 90rem; margin: 0 auto; overflow-wrap: anywhere }
h1 { font-size: 1.4rem }
.file { display: inline-block; max-width: 100%; color: var(--ink) }
figure a { display: block }
figure a:hover, figure a:focus-visible { outline: 3px solid var(--faint) }
h2, h3, h4 { font-size: 1rem }
h2 bdi, h4 bdi { font-weight: normal; color: var(--faint) }
h2 .file, h4 .file { font-weight: bold }
header p { max-width: 48rem }
header, section { padding-bottom: 1.25rem }
section { border-top: 1px solid var(--line); padding-top: 1.25rem; display: grid; gap: 1rem }
p, small { color: var(--faint) }
ol { list-style: none; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)) }
img, .empty { display: block; width: 100%; height: auto; aspect-ratio: 1; border: 4px solid transparent }
.empty { background: var(--empty); background-clip: padding-box; display: grid; place-content: center;
  text-align: center; padding: .5rem }
.query { max-width: 12rem }
.right img, .right .empty { border-color: var(--right) }
.wrong img, .wrong .empty { border-color: var(--wrong) }
.mark { display: inline-block; width: 1.4em; text-align: center; color: #fff; font-weight: bold }
.right .mark { background: var(--right) }
.wrong .mark { background: var(--wrong) }
figcaption { padding: .25rem 4px 0 }
.label, small { display: block }
small { font-size: .8rem }
.key { display: inline-block; margin-right: 1rem }
@media (min-width: 48rem) { section { grid-template-columns: 12rem 1fr; column-gap: 2rem }
  h2, h3, h4 { grid-column: 1 / -1 } .tied { grid-column: 2 } }
"""

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>ganhash: $title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$heading</h1>
$about
</header>
<main>
"""

_SECTION = """<section aria-labelledby="q$number">
<$heading id="q$number"><bdi>$name</bdi></$heading>
<figure class="query">
$picture
<figcaption><strong>query</strong>$label$fact</figcaption>
</figure>
$hits
</section>
"""

_HIT = """<li$kind><figure>
$picture
<figcaption>$mark<strong>$distance</strong>$label
<small><bdi>$name</bdi></small></figcaption>
</figure></li>
"""

TAIL = "</main>\n</body>\n</html>\n"

Tile = NDArray[np.uint8] | Undecodable


def write(answers: Sequence[Answer], path: Path) -> None:
    """Write the gallery of up to 200 answers of up to 50 neighbours, picture by picture."""
    with files.atomic_write(path) as stream:
        for part in _parts(answers, path.parent):
            stream.write(part.encode())


def _parts(answers: Sequence[Answer], folder: Path) -> Iterator[str]:
    shown = answers[:MOST_QUERIES]
    tiles = decoders.squares(
        (file for answer in shown for file in (answer.query, *(hit.path for hit in answer.hits[:MOST_HITS]))), SIDE
    )
    yield head("nearest images", _about(answers))
    for number, answer in enumerate(shown, start=1):
        yield section(number, answer, tiles, folder)
    yield TAIL


def head(title: str, about: str, more_style: str = "") -> str:
    """Return a page up to its sections, which `TAIL` closes: a policy that allows pictures inside it and one style."""
    style = _style() + more_style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    heading = title.capitalize()
    return Template(_HEAD).substitute(policy=policy, style=style, title=title, heading=heading, about=about)


def _style() -> str:
    themes = {
        theme: " ".join(f"--{name}: {colour};" for name, colour in colours.items()) for theme, colours in THEMES.items()
    }
    return Template(_STYLE).substitute(themes)


def _about(answers: Sequence[Answer]) -> str:
    """Say what was searched, what is left out, and what the frames mean."""
    hits = [(answer, hit) for answer in answers for hit in answer.hits]
    if not hits:
        return "<p>no image was found</p>"
    bits = wording.counted(hits[0][1].bits, "bit")
    distance = f"in how many of {bits} its code differs from the query's (Hamming distance)"
    lines = [f"{wording.counted(hits[0][0].searched, 'image')} searched. Below each neighbour stands {distance}."]
    if len(answers) > MOST_QUERIES:
        lines.append(f"Shown are the first {MOST_QUERIES} of {len(answers):,} queries.")
    if any(len(answer.hits) > MOST_HITS for answer in answers):
        lines.append(f"Of each, the first {MOST_HITS} neighbours are shown.")
    about = f"<p>{' '.join([*lines, OPENS])}</p>"
    return about + key(answers)


def key(answers: Sequence[Answer]) -> str:
    """Say what the frames mean, if there are any."""
    if all(answer.right(hit) is None for answer in answers for hit in answer.hits):
        return ""
    return (
        '\n<p><span class="key right"><span class="mark">✓</span> same label as the query</span>'
        '<span class="key wrong"><span class="mark">✗</span> another label</span></p>'
    )


def section(
    number: int, answer: Answer, tiles: Iterator[Tile], folder: Path, heading: str = "h2", fact: str = ""
) -> str:
    """Return one query with its neighbours, whose pictures are the next of `tiles`; `fact` stands below the query.

    `folder` is where the page lies.
    """
    queried = picture(next(tiles), answer.query, folder, f"query {text(answer.query)}")
    hits = "".join(_hit(answer, hit, next(tiles), folder) for hit in answer.hits[:MOST_HITS])
    return Template(_SECTION).substitute(
        number=number,
        heading=heading,
        name=named(answer.query),
        picture=queried,
        label=_label(", ".join(answer.labels)),
        fact=f"\n<small>{text(fact)}</small>" if fact else "",
        hits=f"<ol>\n{hits}</ol>{_tied(answer)}" if hits else "<p>no image is near enough</p>",
    )


def _tied(answer: Answer) -> str:
    """Say where of the images at the last distance only some are shown."""
    if not answer.cut or len(answer.hits) > MOST_HITS:
        return ""
    many = f"{answer.ties:,} images" if answer.counted else "more images than are shown"
    return f'\n<p class="tied">{many} are as near as the last one; which of them are shown is chance</p>'


def _hit(answer: Answer, hit: Hit, tile: Tile, folder: Path) -> str:
    right, tile = answer.right(hit), Undecodable(CHANGED) if hit.changed else tile
    kind, sign, word = {
        True: (' class="right"', "✓", "same label"),
        False: (' class="wrong"', "✗", "another label"),
        None: ("", "", ""),
    }[right]
    return Template(_HIT).substitute(
        kind=kind,
        mark=f'<span class="mark" role="img" aria-label="{word}">{sign}</span> ' if sign else "",
        picture=picture(tile, hit.path, folder, f"neighbour {hit.rank}: {text(os.path.basename(hit.path))}"),
        distance=f"{hit.distance}/{hit.bits}",
        label=_label(hit.label),
        name=named(hit.path),
    )


def picture(tile: Tile, file: bytes, folder: Path, alt: str) -> str:
    """Return one picture as a JPEG inside its address, or say in its place why there is none.

    It leads to its file by a path relative to the `folder` where the page lies.
    """
    if isinstance(tile, Undecodable):
        return f'<div class="empty"><small>{text(str(tile))}</small></div>'
    jpeg = BytesIO()
    Image.fromarray(tile).save(jpeg, "JPEG", quality=_QUALITY)
    content = base64.b64encode(jpeg.getvalue()).decode()
    drawn = f'<img src="data:image/jpeg;base64,{content}" alt="{alt}" width="{SIDE}" height="{SIDE}">'
    return f'<a href="{_address(file, folder)}">{drawn}</a>'


def _address(file: bytes, folder: Path) -> str:
    """Return a relative address in which no character of a name means anything."""
    path = files.relative(os.path.abspath(file), os.fsencode(folder.absolute()))
    return quote(path.replace(os.fsencode(os.sep), b"/"))


def named(path: bytes) -> str:
    """Return a path of which the name of the file stands out, and breaks last where there is little room."""
    folder, name = os.path.split(path)
    return f'{text(os.path.join(folder, b""))}<span class="file">{text(name)}</span>'


def _label(label: str) -> str:
    return f'<span class="label"><bdi>{text(label)}</bdi></span>' if label else ""


def text(name: str | bytes) -> str:
    """Return what comes from a file as text for a page: nothing in it acts, nothing in it is markup."""
    return escape(safe(name))

"""Groups of duplicates → a gallery: a section a group, the best image on the left, the others beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

from ganhash_cli.engine import decoders, files, page
from ganhash_cli.engine.duplicates import Group, Member

MOST_GROUPS, MOST_MEMBERS = page.MOST_QUERIES, page.MOST_HITS

_SECTION = """<section aria-labelledby="g$number">
<h2 id="g$number">Group $number</h2>
$best
<ol>
$others</ol>
</section>
"""

_MEMBER = """<figure$place>
$picture
<figcaption><strong>$kind</strong>
<span class="label">$facts</span>
<small><bdi>$name</bdi></small></figcaption>
</figure>
"""


def write(groups: Sequence[Group], path: Path) -> None:
    """Write the gallery of up to 200 groups of up to 50 images, picture by picture."""
    with files.atomic_write(path) as stream:
        for part in _parts(groups, path.parent):
            stream.write(part.encode())


def facts(member: Member) -> str:
    """Say of an image how large it is, or why that is not known."""
    look = member.look
    shape = look.fault or f"{look.width}x{look.height}"
    return f"{shape}, {look.size:,} bytes"


def _parts(groups: Sequence[Group], folder: Path) -> Iterator[str]:
    shown = groups[:MOST_GROUPS]
    names = (member.look.path for group in shown for member in group.members[:MOST_MEMBERS])
    tiles = decoders.squares(names, page.SIDE)
    yield page.head("duplicate images", _about(groups))
    for number, group in enumerate(shown, start=1):
        best, *others = [_figure(group, member, next(tiles), folder) for member in group.members[:MOST_MEMBERS]]
        listed = "".join(f"<li>{figure}</li>\n" for figure in others)
        yield Template(_SECTION).substitute(number=number, best=best, others=listed)
    yield page.TAIL


def _about(groups: Sequence[Group]) -> str:
    lines = [f"{len(groups):,} groups, the best image of each first: by resolution, then size, then path."]
    if len(groups) > MOST_GROUPS:
        lines.append(f"Shown are the first {MOST_GROUPS}.")
    if any(len(group.members) > MOST_MEMBERS for group in groups):
        lines.append(f"Of each, the first {MOST_MEMBERS} images are shown.")
    return f"<p>{' '.join([*lines, page.OPENS])}</p>"


def _figure(group: Group, member: Member, tile: page.Tile, folder: Path) -> str:
    first, path = member is group.members[0], member.look.path
    kind = member.kind if first else f"{member.kind} {member.distance}/{group.bits}"
    return Template(_MEMBER).substitute(
        place=' class="query"' if first else "",
        picture=page.picture(tile, path, folder, f"{member.kind}: {page.text(os.path.basename(path))}"),
        kind=kind,
        facts=page.text(facts(member)),
        name=page.named(path),
    )

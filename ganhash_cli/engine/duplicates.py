"""codes.h5 → groups of images that are the same or nearly, the best of each first; nothing is ever deleted.

A group is what lies within the distance of its best image, not a chain from one image to the next. Two images are
exact duplicates where their whole pictures are equal, pixel by pixel; equal codes alone make them near ones.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine import codes_format, cover, distinct, inspection, wording
from ganhash_cli.engine.bits import Codes
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.inspection import Look, Looks
from ganhash_cli.engine.path_records import path_record
from ganhash_cli.engine.progress import Work
from ganhash_cli.errors import InputError

_LOG = logging.getLogger(__name__)
_BITS_A_STEP = 16

Kind = Literal["best", "reference", "exact", "near"]


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a group: `distance` is that to the best one, `id` its row, `look` its file."""

    kind: Kind
    distance: int
    id: int
    look: Look


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are the same or nearly: the best one, or the one of the reference, and then the others."""

    bits: int
    members: tuple[Member, ...]

    @property
    def redundant(self) -> tuple[Member, ...]:
        """The others whose files are as they were encoded; none where the first is not there to be kept."""
        if self.members[0].look.fault:
            return ()
        return tuple(member for member in self.members[1:] if not member.look.fault)

    def record(self, number: int) -> dict[str, Any]:
        """Return the JSON object of this group."""
        images = [
            {
                "kind": member.kind,
                "distance": member.distance,
                **path_record(member.look.path),
                "width": member.look.width or None,
                "height": member.look.height or None,
                "size": member.look.size,
                "fault": member.look.fault or None,
                "id": member.id,
            }
            for member in self.members
        ]
        return {"group": number, "bits": self.bits, "images": images}


def default_distance(bits: int) -> int:
    """Return the most bits in which near duplicates differ unless told otherwise: one in sixteen.

    >>> [default_distance(bits) for bits in (12, 48, 64)]
    [0, 3, 4]
    """
    return bits // _BITS_A_STEP


def find(stored: StoredCodes, most: int, *, exact: bool = False) -> Work[list[Group]]:
    """Group the images of one file by the best within `most` bits, or with `exact` those of equal pictures.

    These need not have equal codes: a JPEG is decoded smaller than the PNG of its pixels, and gives nearly its code.
    All equal pictures within `most` bits of each other are found, whichever images lie between.
    """
    crowded = yield from _crowded(stored.codes, most)
    looks = yield from inspection.look(stored, np.flatnonzero(crowded).tolist())
    _tell_of_faults(stored, looks, exact=exact)
    ranked = looks.best_first()
    owner = yield from _owners(stored.codes[ranked], most)
    gathered: dict[int, list[int]] = {}
    for row, best in zip(ranked, owner.tolist(), strict=True):
        gathered.setdefault(ranked[best], []).append(row)
    sets = [several for each in gathered.values() if len(several := _without_links(each, looks)) > 1]
    files = _without_links(ranked, looks)
    if exact:
        sets += yield from _of_one_shape(stored.codes, files, looks, most)
    digests = yield from _digests([looks.by_row[row] for row in rows] for rows in sets)
    if exact:
        sets = [rows for rows in _by_picture(files, looks, digests).values() if len(rows) > 1]
    return [_group(stored, looks, digests, rows) for rows in sorted(sets)]


def find_in_reference(
    stored: StoredCodes, reference: StoredCodes, most: int, *, exact: bool = False
) -> Work[list[Group]]:
    """Group the images that the reference holds already, each by the nearest image of the reference.

    Of several at that distance it is an equal picture, or else the best; with `exact` only equal pictures count.
    Raises `MismatchError` for two models.
    """
    hint = "encode both with one model, then compare them again"
    codes_format.require_one_maker(stored.header, stored.path, reference.header, reference.path, hint)
    if exact:
        return (yield from _equal_in_reference(stored, reference, most))
    own, theirs = distinct.group(stored.codes), distinct.group(reference.codes)
    left, right = yield from cover.nearest(own.codes, theirs.codes, most)
    hits = {code: own.rows[own.starts[code] : own.ends[code]].tolist() for code in np.unique(left).tolist()}
    held: dict[int, list[int]] = {code: [] for code in hits}
    for code, near in zip(left.tolist(), right.tolist(), strict=True):
        held[code] += theirs.rows[theirs.starts[near] : theirs.ends[near]].tolist()
    looks = yield from inspection.look(stored, sorted(chain.from_iterable(hits.values())))
    models = yield from inspection.look(reference, sorted(set(chain.from_iterable(held.values()))))
    for each, seen in ((stored, looks), (reference, models)):
        _tell_of_faults(each, seen, exact=False)
    order, best = _places(looks), _places(models)
    digests = yield from _digests(
        [*(models.by_row[row] for row in held[code]), *(looks.by_row[row] for row in rows)]
        for code, rows in hits.items()
    )
    below: dict[int, list[Member]] = {}
    for code, rows in hits.items():
        candidates = sorted(held[code], key=best.__getitem__)
        files = {models.by_row[row].file for row in candidates if not models.by_row[row].fault}
        fresh = [row for row in rows if looks.by_row[row].file not in files]
        for first, member in _beside(stored, reference, looks, models, digests, fresh, candidates):
            below.setdefault(first, []).append(member)
    for members in below.values():
        members.sort(key=lambda one: order[one.id])
    return _groups_below(stored, models, below)


def _equal_in_reference(stored: StoredCodes, reference: StoredCodes, most: int) -> Work[list[Group]]:
    """Group the images whose pictures the reference holds, each by the nearest of its equals, or the best of these."""
    here, there = yield from _facing(stored.codes, reference.codes, most)
    looks = yield from inspection.look(stored, np.flatnonzero(here).tolist())
    models = yield from inspection.look(reference, np.flatnonzero(there).tolist())
    for each, seen in ((stored, looks), (reference, models)):
        _tell_of_faults(each, seen, exact=True)
    files = {look.file for look in models.by_row.values() if not look.fault}
    fresh, held = [row for row in looks.best_first() if looks.by_row[row].file not in files], models.best_first()
    shaped, sets = _by_shape(held, models), list[list[Look]]()
    for shape, rows in _by_shape(fresh, looks).items():
        if others := shaped.get(shape):
            here, there = yield from _facing(stored.codes[rows], reference.codes[others], most)
            sets.append([looks.by_row[row] for row in compress(rows, here)])
            sets[-1] += [models.by_row[row] for row in compress(others, there)]
    digests = yield from _digests(sets)
    copies, equals = _by_picture(fresh, looks, digests), _by_picture(held, models, digests)
    below: dict[int, list[Member]] = {}
    for picture in copies.keys() & equals.keys():
        others = equals[picture]
        for row in copies[picture]:
            apart = cover.distances(np.repeat(stored.codes[row : row + 1], len(others), 0), reference.codes[others])
            nearest = int(apart.argmin())
            member = Member("exact", int(apart[nearest]), row, looks.by_row[row])
            below.setdefault(others[nearest], []).append(member)
    return _groups_below(stored, models, below)


def _groups_below(stored: StoredCodes, models: Looks, below: dict[int, list[Member]]) -> list[Group]:
    """Make a group of each row of the reference that has members below it."""
    return [
        Group(stored.header.bits, (Member("reference", 0, first, models.by_row[first]), *below[first]))
        for first in sorted(below)
    ]


def _crowded(codes: Codes, most: int) -> Work[NDArray[np.bool_]]:
    """Tell which of (N, W) codes have another within `most` bits, as an equal one is, (N,)."""
    known = distinct.group(codes)
    found = known.sizes > 1
    if most:
        found |= yield from cover.crowded(known.codes, most)
    return found[known.of_rows()]


def _facing(left: Codes, right: Codes, most: int) -> Work[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Do what `cover.facing` does; equal codes count once."""
    own, theirs = distinct.group(left), distinct.group(right)
    here, there = yield from cover.facing(own.codes, theirs.codes, most)
    return here[own.of_rows()], there[theirs.of_rows()]


def _tell_of_faults(stored: StoredCodes, looks: Looks, *, exact: bool) -> None:
    """Warn of images to be compared that are not as they were encoded; `InputError` where pixels are and none is."""
    faults = Counter(look.fault for look in looks.by_row.values() if look.fault)
    if not faults:
        return
    among = wording.counted(len(looks.by_row), "image")
    kinds = ", ".join(f"{count:,} {fault}" for fault, count in faults.most_common())
    if exact and faults.total() == len(looks.by_row):
        raise InputError(
            f"{stored.path}: none of {among} with alike codes can be compared: {kinds}",
            hint="bring the images back to where they were encoded, or `ganhash encode` them where they are now",
        )
    _LOG.warning("%s: %s of %s with alike codes cannot be compared: %s", stored.path, faults.total(), among, kinds)


def _owners(codes: Codes, most: int) -> Work[NDArray[np.int64]]:
    """Return for each of (N, W) codes, best first, the place of the one that stands for it; equal ones count once."""
    known = distinct.group(codes)
    owner = yield from cover.cover(known.codes, most)
    first = known.rows[known.starts]
    return first[owner[known.of_rows()]]


def _without_links(rows: Sequence[int], looks: Looks) -> list[int]:
    """Leave out names of one file but the first: a link is no duplicate, and without its file it is nothing."""
    seen: set[tuple[int, int]] = set()
    kept = []
    for row in rows:
        look = looks.by_row[row]
        if look.fault or look.file not in seen:
            kept.append(row)
            seen.add(look.file)
    return kept


def _digests(sets: Iterable[list[Look]]) -> Work[dict[bytes, str]]:
    """Read the pixels of the images that share their shape with another of their set."""
    wanted: dict[bytes, Look] = {}
    for looks in sets:
        shapes = Counter(look.shape for look in looks if not look.fault)
        wanted |= {look.path: look for look in looks if not look.fault and shapes[look.shape] > 1}
    return (yield from inspection.digests(list(wanted.values())))


def _of_one_shape(codes: Codes, rows: Sequence[int], looks: Looks, most: int) -> Work[list[list[int]]]:
    """Return by shape the rows with another of their shape within `most` bits, as every equal picture is."""
    sets = []
    for alike in _by_shape(rows, looks).values():
        if len(alike) > 1:
            crowded = yield from _crowded(codes[alike], most)
            sets.append(list(compress(alike, crowded)))
    return sets


def _by_shape(rows: Sequence[int], looks: Looks) -> dict[tuple[int, int], list[int]]:
    """Part the rows that can be judged by the sides of their pictures."""
    parts: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        if not looks.by_row[row].fault:
            parts.setdefault(looks.by_row[row].shape, []).append(row)
    return parts


def _by_picture(rows: Sequence[int], looks: Looks, digests: dict[bytes, str]) -> dict[str, list[int]]:
    """Part the rows whose pixels were read by their pictures."""
    parts: dict[str, list[int]] = {}
    for row in rows:
        if digest := digests.get(looks.by_row[row].path):
            parts.setdefault(digest, []).append(row)
    return parts


def _group(stored: StoredCodes, looks: Looks, digests: dict[bytes, str], rows: Sequence[int]) -> Group:
    """Make a group of rows, best first; one whose picture came before is exact."""
    apart = cover.distances(stored.codes[rows], np.repeat(stored.codes[rows[:1]], len(rows), axis=0)).tolist()
    members, seen = list[Member](), set[str]()
    for row, distance in zip(rows, apart, strict=True):
        digest = digests.get(looks.by_row[row].path)
        kind: Kind = "best" if not members else "exact" if digest in seen else "near"
        members.append(Member(kind, distance, row, looks.by_row[row]))
        seen |= {digest} if digest else set()
    return Group(stored.header.bits, tuple(members))


def _beside(
    stored: StoredCodes,
    reference: StoredCodes,
    looks: Looks,
    models: Looks,
    digests: dict[bytes, str],
    rows: Sequence[int],
    candidates: Sequence[int],
) -> Iterator[tuple[int, Member]]:
    """Put each row below the equal one of the reference's candidates, best first, or else below the best."""
    equal = {digests.get(models.by_row[row].path): row for row in reversed(candidates)}
    for row in rows:
        digest = digests.get(looks.by_row[row].path)
        same = digest is not None and digest in equal
        first = equal[digest] if same else candidates[0]
        apart = int(cover.distances(stored.codes[row : row + 1], reference.codes[first : first + 1])[0])
        yield first, Member("exact" if same else "near", apart, row, looks.by_row[row])


def _places(looks: Looks) -> dict[int, int]:
    return {row: place for place, row in enumerate(looks.best_first())}

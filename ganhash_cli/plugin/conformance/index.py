"""The checks of an index: what is brought there comes back, nothing else changes, and what it finds is right."""

from __future__ import annotations

import contextlib
import io

import numpy as np

from ganhash_cli.plugin.conformance.collection import BITS, IndexSubject, Rows, distances
from ganhash_cli.plugin.conformance.outcome import Failed, NotApplicable, expect
from ganhash_cli.plugin.contracts import Index

FACTS = {"fingerprint": "ab" * 32, "root": "/photos/ä'\"\\ \n{}%s", "empty": ""}


def can_be_opened(subject: IndexSubject) -> None:
    """Require that the factory opens a collection that is not there yet."""
    index = subject.build()
    expect(isinstance(index, Index), f"the factory returned {type(index).__name__}, which lacks a part of the contract")
    index.close()


def tells_its_schemes(subject: IndexSubject) -> None:
    """Require the beginnings of its URLs, in lower case, on the factory: it is asked before anything is opened."""
    schemes = getattr(subject.factory, "schemes", None)
    known = isinstance(schemes, tuple) and bool(schemes) and all(isinstance(s, str) and s == s.lower() for s in schemes)
    expect(known, f"its schemes are {schemes!r}, no tuple of texts in lower case")
    scheme = subject.url.partition("://")[0]
    expect(scheme in (schemes or ()), f"it was checked at {scheme}://, which is not among its schemes")


def what_was_not_created_is_not_there(subject: IndexSubject) -> None:
    """Require of `facts` None before `create` and after `drop`."""
    with subject.empty() as index:
        index.drop()
        expect(index.facts() is None, "after drop there still are facts")
        other = subject.open(subject.name + "_2")
        expect(other.facts() is None, "a collection that nobody created has facts")


def facts_come_back(subject: IndexSubject) -> None:
    """Require the facts of `create`, the model's fingerprint among them, exactly, also on a new connection."""
    with subject.empty(FACTS):
        found = subject.open().facts()
        expect(found == FACTS, f"{FACTS} came back as {found}")


def create_replaces_nothing(subject: IndexSubject) -> None:
    """Require `ValueError` of `create` where there is a collection: another push may have made it."""
    with subject.filled() as (index, _):
        try:
            index.create(BITS, {"fingerprint": "other"})
        except ValueError:
            return
        raise Failed("it created what was there already")


def images_are_counted(subject: IndexSubject) -> None:
    """Require of `count` nothing in a new collection, then what was added, also on a new connection."""
    with subject.empty() as index:
        expect(index.count() == 0, f"a new collection holds {index.count()} images")
        rows = subject.rows()
        rows.add_to(index)
        expect(index.count() == len(rows), f"{len(rows)} images were added, and it counts {index.count()}")
        again = subject.open().count()
        expect(again == len(rows), f"on a new connection it counts {again} of {len(rows)} images")


def adding_again_replaces(subject: IndexSubject) -> None:
    """Require that an id that is there gets the new code, path, labels and digest, and no second row."""
    with subject.filled() as (index, rows):
        later = Rows(rows.ids[:1], 255 - rows.codes[:1], [b"later.png"], [("later",)], ["later"])
        later.codes[:, -1] &= 0xF0
        before = index.count()
        later.add_to(index)
        expect(index.count() == before, "an id that was added again is there twice")
        found = index.digests(rows.ids[:1])
        expect(found == ["later"], f"its digest is {found}, not that of the last time")
        [near] = index.search(later.codes[0], 1, exact=True)
        expect(near == (0, later.ids[0], b"later.png", ("later",)), f"after it was added again, {near} was found")


def digests_come_back(subject: IndexSubject) -> None:
    """Require of `digests` that of each id in their order, None where an id is not there, and nothing of nothing."""
    with subject.filled() as (index, rows):
        asked = [rows.ids[2], 12345, rows.ids[0], rows.ids[2]]
        found = index.digests(asked)
        wanted = [rows.digests[2], None, rows.digests[0], rows.digests[2]]
        expect(found == wanted, f"the digests of {asked} came back as {found}")
        expect(index.digests([]) == [], "of no ids it told something")


def images_come_back(subject: IndexSubject) -> None:
    """Require of `images` what each id was added with, in order, None where an id is not there."""
    for bits in (BITS, 64):
        with subject.empty(bits=bits) as index:
            rows = subject.rows(bits)
            rows.add_to(index)
            order = [5, 0, 3, 5]
            found = index.images([*(rows.ids[row] for row in order), 12345])
            expect(len(found) == 5 and found[4] is None, f"of four ids and one that is not there came {found}")
            names = {each[1]: each[2:] for each in index.search(rows.codes[0], 99, exact=True)}
            for row, image in zip(order, found[:4], strict=True):
                wanted = rows.codes[row].tobytes(), *names.get(rows.ids[row], (rows.paths[row], rows.labels[row]))
                got = image and (image[0].tobytes(), *image[1:])
                expect(got == wanted, f"{wanted} came back as {got}")
            expect(index.images([]) == [], "of no ids it told something")


def ids_are_walked_along(subject: IndexSubject) -> None:
    """Require of `ids` the smallest from `first` on, rising, and no more than asked for."""
    with subject.empty() as index:
        rows = subject.rows()
        rows.ids[0] = 0
        rows.add_to(index)
        wanted = sorted(each[1] for each in index.search(rows.codes[0], 99, exact=True))
        for place in (0, 1, 4, len(wanted) - 1):
            found = index.ids(wanted[place], 3)
            expect(found == wanted[place : place + 3], f"from {wanted[place]} on the first 3 ids came as {found}")
        expect(index.ids(wanted[1] + 1, 99) == wanted[2:], "from between two ids on, not all that are larger came")


def names_come_back(subject: IndexSubject) -> None:
    """Require paths as exact bytes, UTF-8 or not, and labels with their number and order."""
    with subject.filled() as (index, rows):
        found = {number: (path, labels) for _, number, path, labels in index.search(rows.codes[0], 99, exact=True)}
        for number, path, labels in zip(rows.ids, rows.paths, rows.labels, strict=True):
            expect(found.get(number, (path, labels))[0] == path, f"the path {path!r} came back as {found.get(number)}")
            expect(found.get(number, (path, labels))[1] == labels, f"{labels} came back as {found.get(number)}")


def large_ids_are_kept(subject: IndexSubject) -> None:
    """Require that ids from 0 to 2 ** 63 - 1 stay what they are."""
    with subject.empty() as index:
        rows = subject.rows()
        rows.ids[:2] = [0, 2**63 - 1]
        rows.add_to(index)
        found = {number for _, number, _, _ in index.search(rows.codes[0], 99, exact=True)}
        expect(
            found == {*rows.ids}, f"of the ids {sorted({*rows.ids} - found)} came back as {sorted(found - {*rows.ids})}"
        )


def distances_are_hammings(subject: IndexSubject) -> None:
    """Require of each neighbour the number of bits in which it differs, as a whole number."""
    with subject.filled() as (index, rows):
        right = dict(zip(rows.ids, distances(rows, 0), strict=True))
        for distance, number, path, _ in index.search(rows.codes[0], 99, exact=True):
            expect(type(distance) is int and distance == right.get(number, distance), f"{path!r} is at {distance!r}")


def search_finds_the_nearest(subject: IndexSubject) -> None:
    """Require of an exact search the k smallest distances, nearest first, and all where there are fewer."""
    with subject.filled() as (index, rows):
        for query, k in ((0, 1), (1, 3), (2, 99)):
            wanted = sorted(distances(rows, query))[:k]
            found = [right_distance(rows, query, each[1]) for each in index.search(rows.codes[query], k, exact=True)]
            expect(found == wanted, f"of distances {wanted} it found {found}")


def ties_go_by_path(subject: IndexSubject) -> None:
    """Require equal distances in the byte order of the path, also at the cut, where `ordered` says so."""
    with subject.filled() as (index, rows):
        if not index.ordered:
            raise NotApplicable("it orders no ties")
        order = sorted(range(len(rows)), key=lambda row: (distances(rows, 0)[row], rows.paths[row]))
        for k in range(1, len(rows) + 1):
            found = [number for _, number, _, _ in index.search(rows.codes[0], k, exact=True)]
            near = {right_distance(rows, 0, number) for number in found}
            wanted = [rows.ids[row] for row in order if distances(rows, 0)[row] in near][: len(found)]
            expect(found == wanted, f"of the nearest {k} it found {found}, not {wanted}")


def within_finds_all(subject: IndexSubject) -> None:
    """Require of `within` all that are no farther, the limit included, nearest first, and of these the first k."""
    with subject.filled() as (index, rows):
        for most in (0, 3, BITS):
            inside = sorted(distance for distance in distances(rows, 0) if distance <= most)
            for k in (2, 99):
                found = [right_distance(rows, 0, each[1]) for each in index.within(rows.codes[0], most, k)]
                expect(found == inside[:k], f"within {most}, of distances {inside[:k]} it found {found}")


def any_length_of_code_is_taken(subject: IndexSubject) -> None:
    """Require codes from 1 bit on, whether or not they fill bytes."""
    for bits in (1, 12, 48, 64, 100, 256):
        rows = subject.rows(bits)
        with subject.empty(bits=bits) as index:
            rows.add_to(index)
            found = [each[0] for each in index.search(rows.codes[0], len(rows), exact=True)]
            wanted = sorted(distances(rows, 0))[: len(found)]
            expect(found == wanted, f"among codes of {bits} bits, distances {wanted} came back as {found}")


def nothing_is_no_trouble(subject: IndexSubject) -> None:
    """Require that an empty collection is finished and searched like another, and that adding nothing adds nothing."""
    with subject.empty() as index:
        subject.rows().first(0).add_to(index)
        index.finish()
        code = np.zeros((BITS + 7) // 8, np.uint8)
        found = [*index.search(code, 3), *index.search(code, 3, exact=True), *index.within(code, BITS, 3)]
        expect(found == [], f"in nothing it found {found}")


def a_finished_index_takes_more(subject: IndexSubject) -> None:
    """Require that after `finish` images can be added and found, and that it can be finished again."""
    with subject.empty() as index:
        rows = subject.rows()
        rows.first(3).add_to(index)
        index.finish()
        rows.add_to(index)
        index.finish()
        found = {number for _, number, _, _ in index.search(rows.codes[0], len(rows), exact=True)}
        expect({*rows.ids[3:]} & found == {*rows.ids[3:]} & {*rows.ids}, "what was added after finish is not found")


def collections_are_apart(subject: IndexSubject) -> None:
    """Require that adding to one collection, and dropping it, changes no other."""
    with subject.filled() as (index, rows), subject.empty(name=subject.name + "_2") as other:
        expect(other.count() == 0, "images of one collection are in another")
        other.drop()
        expect(subject.open().facts() is not None and index.count() >= len(rows), "dropping one removed another")


def an_exact_search_is_exact(subject: IndexSubject) -> None:
    """Require that where `exact` says so, `search` finds what an exact search does."""
    with subject.filled() as (index, rows):
        index.finish()
        if not index.exact:
            raise NotApplicable("its search is approximate")
        found = [each[0] for each in index.search(rows.codes[0], 5)]
        wanted = [each[0] for each in index.search(rows.codes[0], 5, exact=True)]
        expect(found == wanted, f"it says it misses nothing, but found distances {found} of {wanted}")


def prints_nothing(subject: IndexSubject) -> None:
    """Require silence on stdout, which belongs to results; a plugin speaks through logging."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, subject.filled() as (index, rows):
        index.finish()
        index.search(rows.codes[0], 3)
    expect(not printed.getvalue(), f"it printed {printed.getvalue()[:60]!r}")


def right_distance(rows: Rows, query: int, number: int) -> int:
    """Return the true distance of an image that was found, whatever distance it was given."""
    if number not in rows.ids:
        raise NotApplicable(f"it found the id {number}, which was never added")
    return distances(rows, query)[rows.ids.index(number)]

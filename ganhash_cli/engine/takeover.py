"""codes.h5 as it stands → what a collection that is encoded into it may take over, and what it must not cost."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from ganhash_cli.engine import codes, files, images, wording
from ganhash_cli.engine.bits import Numeric
from ganhash_cli.engine.bundle import Bundle
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import ELSEWHERE, Header, pack_class_names, require_fit
from ganhash_cli.engine.images import Collection, Entry
from ganhash_cli.engine.segments import Segments
from ganhash_cli.errors import MismatchError, UsageError


def header_of(bundle: Bundle, collection: Collection, numeric: Numeric = "float32") -> Header:
    """Return the header of the codes that a model gives a collection; `UsageError` where it could not be stored."""
    class_names = collection.class_names if collection.labelled else ()
    header = Header(
        *(bundle.bits, bundle.fingerprint, collection.root, bundle.side, bundle.source),
        *(class_names, numeric, collection.shard),
    )
    pack_class_names(header)  # raises before an image is read, and not when all are encoded
    return header


def require_no_loss(stored: StoredCodes, collection: Collection) -> None:
    """Refuse to drop rows whose files are still there: a list, or one image, is not all that a folder holds.

    Those that a list now marks as queries may go.
    """
    listed = {entry.path for entry in collection.entries} | collection.queries
    absent = [path for path in stored.paths() if path not in listed]
    there = next((path for path in absent if os.path.isfile(os.path.join(collection.root, path))), None)
    if there is not None:
        count, example = wording.counted(len(absent), "image"), os.fsdecode(there)
        raise UsageError(
            f"{stored.path} holds {count} not among those named now, such as {example}, which is still there",
            hint=ELSEWHERE,
        )


def with_unread(collection: Collection, stored: StoredCodes) -> Collection:
    """Add, as they were encoded, images that cannot be looked at now, or lie below folders that cannot be listed."""
    if not collection.unread and not collection.unseen:
        return collection
    paths, sizes, times = stored.paths(), stored.column("size").tolist(), stored.column("mtime_ns").tolist()
    facts = dict(zip(paths, zip(sizes, times, strict=True), strict=True))
    seen = [
        replace(each, size=facts[each.path][0], mtime_ns=facts[each.path][1])
        for each in collection.unseen
        if each.path in facts
    ]
    collection = replace(collection, entries=(*collection.entries, *seen))
    listed = {entry.path for entry in collection.entries}
    below = tuple(folder + b"/" for folder in collection.unread)
    classes = {
        path: images.class_name(path.split(b"/")[0]) for path in paths if path.startswith(below) and path not in listed
    }
    names = tuple(sorted({*collection.class_names, *classes.values()}))
    number = {name: index for index, name in enumerate(names)}
    entries = [
        *(
            replace(entry, labels=tuple(sorted(number[collection.class_names[old]] for old in entry.labels)))
            for entry in collection.entries
        ),
        *(Entry(path, *facts[path], (number[name],)) for path, name in classes.items()),
    ]
    return replace(collection, entries=tuple(sorted(entries, key=lambda entry: entry.path)), class_names=names)


def relabelled(stored: StoredCodes, collection: Collection) -> int:
    """Return how many images have other labels in a collection than in the codes."""
    if not stored.labelled and not collection.labelled:
        return 0
    names = collection.class_names
    now = {entry.path: {names[label] for label in entry.labels} for entry in collection.entries}
    before = zip(stored.paths(), stored.labels_between(0, len(stored)), strict=True)
    return sum(now.get(path, set(labels)) != set(labels) for path, labels in before)


def place(bundle: Bundle, collection: Collection, usual: Path) -> Path:
    """Return where a folder's codes are kept: the usual file, or one named after the folder, which is made of it.

    The usual one may be of a list that leaves images out on purpose: these it does not get, and what it has is taken
    over. Codes that cannot be brought up to date without losing rows or labels are never replaced: raises `UsageError`
    where both are such.
    """
    named = usual.with_name(f"{os.fsdecode(os.path.basename(collection.root)) or 'root'}.{usual.name}")
    if _takes(usual, bundle, collection, all_there=True):
        return usual
    if not named.exists() and _takes(usual, bundle, collection):
        with usual.open("rb") as source, files.atomic_write(named) as target:
            shutil.copyfileobj(source, target)
    if _takes(named, bundle, collection):
        return named
    raise UsageError(
        f"{usual} and {named} hold other codes: of other images, labels or parts, or of another model",
        hint="encode the folder into a file of its own with `ganhash encode FOLDER -o FILE`, and name that file",
    )


def _takes(path: Path, bundle: Bundle, collection: Collection, *, all_there: bool = False) -> bool:
    """Whether a collection is encoded into a codes file without loss of a row or a label, finished or not.

    If `all_there`, nor may it leave out any of its images that were there when it was written.
    """
    header = header_of(bundle, collection)
    if not Segments(path).fit(header):
        return False
    if not path.exists():
        return True
    with codes.open_codes(path) as stored:
        try:
            require_fit(stored.header, path, header)
            wanted = with_unread(collection, stored)
            require_no_loss(stored, wanted)
        except (UsageError, MismatchError):
            return False
        if all_there and _leaves_out(stored, wanted):
            return False
        return not relabelled(stored, wanted)


def _leaves_out(stored: StoredCodes, collection: Collection) -> bool:
    """Whether an image has no row in codes that were written since it came to its place."""
    known, written = set(stored.paths()), os.stat(stored.path).st_mtime_ns
    others = (collection.file(entry) for entry in collection.entries if entry.path not in known)
    return any(os.stat(file).st_ctime_ns <= written for file in others)

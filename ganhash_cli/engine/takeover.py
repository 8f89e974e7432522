"""codes.h5 as it stands → what a collection that is encoded into it may take over, and what it must not cost."""

from __future__ import annotations

import os

from ganhash_cli.engine import wording
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.engine.codes_format import Header
from ganhash_cli.engine.images import Collection
from ganhash_cli.engine.segments import same_making
from ganhash_cli.errors import MismatchError, UsageError

_ELSEWHERE = "write to another file with -o, or replace this one with --overwrite"


def require_fit(stored: StoredCodes, header: Header) -> None:
    """Refuse codes of another root, shard, model or arithmetic."""
    out, found = stored.path, stored.header
    if found.root != header.root:
        raise UsageError(
            f"{out} holds the codes of {os.fsdecode(found.root)}, not of {os.fsdecode(header.root)}", hint=_ELSEWHERE
        )
    if found.shard != header.shard:
        held, wanted = (f"shard {shard}" if shard else "all images" for shard in (found.shard, header.shard))
        raise UsageError(f"{out} holds the codes of {held}, not of {wanted}", hint=_ELSEWHERE)
    if not same_making(found, header):
        other = "another model" if found.numeric == header.numeric else found.numeric
        raise MismatchError(f"{out} holds codes of {other}", hint="replace them with --overwrite, or use -o")


def require_no_loss(stored: StoredCodes, collection: Collection) -> None:
    """Refuse to drop rows whose files are still there: a list, or one image, is not all that a folder holds."""
    listed = {entry.path for entry in collection.entries}
    absent = [path for path in stored.paths() if path not in listed]
    there = next((path for path in absent if os.path.isfile(os.path.join(collection.root, path))), None)
    if there is not None:
        count, example = wording.counted(len(absent), "image"), os.fsdecode(there)
        raise UsageError(
            f"{stored.path} holds {count} not among those named now, such as {example}, which is still there",
            hint=_ELSEWHERE,
        )

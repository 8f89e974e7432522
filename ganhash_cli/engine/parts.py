"""Which parts make up one collection: all its shards, each once, by one model."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ganhash_cli.engine import codes_format
from ganhash_cli.engine.codes import StoredCodes
from ganhash_cli.errors import InputError, UsageError


def class_names(opened: Sequence[StoredCodes]) -> tuple[str, ...]:
    """Return the classes of all parts: theirs where they agree, as those of one listing do, else all by name."""
    found = list(dict.fromkeys(stored.header.class_names for stored in opened if stored.labelled))
    return found[0] if len(found) == 1 else tuple(sorted({name for names in found for name in names}))


def require_whole(opened: Sequence[StoredCodes]) -> None:
    """Refuse parts that are not all the shards of one collection, each once, by one model."""
    if not opened:
        raise UsageError("there is nothing to merge", hint="name the parts, such as part-*.h5")
    first = opened[0]
    by_number: dict[int, StoredCodes] = {}
    for stored in opened:
        shard, wanted = stored.header.shard, first.header.shard
        if shard is None or wanted is None:
            whole = stored if shard is None else first
            raise UsageError(
                f"{whole.path} is no part: it was encoded whole", hint="`ganhash encode … --shard 3/16` writes parts"
            )
        if shard.count != wanted.count:
            raise UsageError(
                f"{stored.path} is shard {shard}, but {first.path} is {wanted}",
                hint="merge the parts of one count; those of another lie elsewhere",
            )
        if shard.number in by_number:
            raise UsageError(
                f"{by_number[shard.number].path} and {stored.path} are both shard {shard}", hint="name one of them"
            )
        by_number[shard.number] = stored
        _require_same(first, stored)
    count = first.header.shard.count if first.header.shard else 0
    missing = [number for number in range(1, count + 1) if number not in by_number]
    if missing:
        named = ", ".join(map(str, missing[:10])) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        made = "it" if len(missing) == 1 else "the first of them"
        raise InputError(
            f"of {count} shards {len(missing)} {'is' if len(missing) == 1 else 'are'} missing: {named}",
            hint=f"`ganhash encode FOLDER --shard {missing[0]}/{count} -o FILE` makes {made}",
        )


def _require_same(first: StoredCodes, stored: StoredCodes) -> None:
    one, other = first.header, stored.header
    asked = one.numeric.replace("-", " --runtime ")
    hint = f"encode one of the two anew, with --overwrite, by one model and with --precision {asked}"
    codes_format.require_one_maker(other, stored.path, one, first.path, hint)
    if one.root != other.root:
        raise UsageError(
            f"{stored.path} holds images of {os.fsdecode(other.root)}, but {first.path} of {os.fsdecode(one.root)}",
            hint="let the folder stand at the same place on every machine",
        )

"""Which images of a collection one of several machines encodes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ganhash_cli.errors import UsageError

MOST = 1000  # shards; `merge` holds all of them open


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a collection, numbered from 1.

    The path alone decides which part an image belongs to, so a file that is added or removed moves no other.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `3/16`; `UsageError` where it names no shard.

        >>> Shard.parse("3/16")
        Shard(number=3, count=16)
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not match:
            raise UsageError(f"--shard {text}: expected NUMBER/COUNT", hint="for example --shard 3/16")
        number, count = int(match[1]), int(match[2])
        if not 1 <= count <= MOST:
            raise UsageError(f"--shard {text}: there can be 1 to {MOST} shards, not {count}")
        if not 1 <= number <= count:
            raise UsageError(
                f"--shard {text}: there is no shard {number} of {count}",
                hint=f"they are numbered from 1 to {count}; to a number that starts at 0, add 1",
            )
        return cls(number, count)

    def holds(self, path: bytes) -> bool:
        """Whether the image of that path, relative to the root, belongs to this part."""
        return shard_of(path, self.count) == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def shard_of(path: bytes, count: int) -> int:
    """Return the number, from 1, of the shard among `count` that an image's path belongs to."""
    digest = hashlib.blake2b(path, digest_size=8).digest()
    return int.from_bytes(digest, "big") % count + 1

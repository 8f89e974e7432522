"""`Rows`: some of the images of an array, by number, without a copy, since the array may lie on a disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """The images of `array`, (N, S, S, 3) bytes, that `numbers`, (M,), name; what is asked for is read.

    >>> some = Rows(np.arange(12, dtype=np.uint8).reshape(6, 2, 1, 1), np.array([5, 0, 3]))
    >>> len(some), some[np.array([2])].ravel().tolist(), np.asarray(some[:2]).ravel().tolist()
    (3, [6, 7], [10, 11, 0, 1])
    """

    array: NDArray[np.uint8]
    numbers: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that an array of them would have."""
        return (len(self), *self.array.shape[1:])

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, chosen: slice) -> Rows: ...
    @overload
    def __getitem__(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]: ...
    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> Rows | NDArray[np.uint8]:
        """Return a part of them, by a slice, or an array of those with these places, (K,)."""
        if isinstance(chosen, slice):
            return Rows(self.array, self.numbers[chosen])
        return self.array[self.numbers[chosen]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.array[self.numbers], dtype)


Images = NDArray[np.uint8] | Rows
"""(N, S, S, 3) bytes, in memory or not."""

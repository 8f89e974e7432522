"""Codes → which of them lie within a small distance of each other, exactly, and who stands for whom; no chains.

Two codes that differ in at most r bits agree in at least k of r + k parts (pigeonhole principle), so only codes that
agree in some k parts are compared, for the k that a sample says is the least work. Where none is, as at large
distances, all are compared. Memory is bounded by blocks, whatever the codes are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganhash_cli.engine.bits import Codes, words
from ganhash_cli.engine.progress import Progress, Work

Ids = NDArray[np.int64]
Words = NDArray[np.uint64]

_BLOCK = 1 << 19  # pairs compared in one go
_SAMPLE = 2048  # codes that tell how many pairs agree in a part
_MOST_TABLES = 60
_KEY_COST, _PAIR_COST, _SCAN_COST = (
    150.0,
    12.0,
    2.0,
)  # nanoseconds: a code in a table, a pair picked out, a pair in a row
_FIRST, _LAST = 1 << 10, 1 << 16  # codes that are decided in one go
_EDGES = 1 << 22  # pairs among them that are held at once; two thousand codes have no more
_FEW = 1 << 14  # codes that are done at once; a bar for them would only be noise
_MIX = 0x9E3779B97F4A7C15  # odd, so that multiplying loses nothing


class Pairs(NamedTuple):
    """Rows of two sets of codes that are near each other and how far, all (P,); `share` of the work is done."""

    left: Ids
    right: Ids
    apart: NDArray[np.uint16]
    share: float


def within(left: Codes, right: Codes, most: int) -> Iterator[Pairs]:
    """Yield in blocks, each at least once, all pairs of packed codes, (N, W) and (M, W), at most so many bits apart."""
    if not len(left) or not len(right):
        return
    a, b = _wide(left), _wide(right)
    masks = _masks(a, b, 8 * left.shape[1], most)
    if masks is None:
        yield from _scan(a, b, most)
        return
    for number, mask in enumerate(masks):
        for pairs in _bucket(a, b, mask, most):
            yield pairs._replace(share=(number + pairs.share) / len(masks))


def crowded(codes: Codes, most: int) -> Work[NDArray[np.bool_]]:
    """Tell which of (U, W) different codes have another within `most` bits, (U,)."""
    found = np.zeros(len(codes), np.bool_)
    a = _wide(codes)
    # In a dense heap, which would cost the most, nearly every code is near the next one of its bucket.
    for mask in (_masks(a, a, 8 * codes.shape[1], most) or []) if len(codes) else []:
        order = np.argsort(_keys(a, mask), kind="stable")
        for step in (1, 2):
            near = _apart(a[order[step:]], a[order[:-step]]) <= most
            found[order[step:][near]] = found[order[:-step][near]] = True
    rest = np.flatnonzero(~found)
    for left, right, _, share in within(codes[rest], codes, most):
        found[rest[left[rest[left] != right]]] = True
        if len(codes) > _FEW:
            yield Progress("comparing codes", int(share * len(codes)), len(codes), unit="codes")
    return found


def cover(codes: Codes, most: int) -> Work[Ids]:
    """Return for each of (N, W) codes, best first, the row of the code that stands for it, (N,).

    A code stands for itself unless a better one within `most` bits does so; then the best of these stands for it.
    """
    owner, waiting, size = np.arange(len(codes)), np.arange(len(codes)), _FIRST
    while len(waiting):
        block = waiting[:size]
        own = _settle(codes[block], most)
        if own is None:  # too many pairs to hold at once
            size //= 2
            continue
        owner[block] = block[own]
        standing, waiting = block[own == np.arange(len(block))], waiting[size:]
        found = _first(codes[waiting], codes[standing], most)
        covered = found < len(standing)
        owner[waiting[covered]] = standing[found[covered]]
        waiting, size = waiting[~covered], min(2 * size, _LAST)
        if len(codes) > _FEW:
            yield Progress("forming groups", len(codes) - len(waiting), len(codes), unit="codes")
    return owner


def nearest(left: Codes, right: Codes, most: int) -> Work[tuple[Ids, Ids]]:
    """Return the pairs of a left code and a right one that none within `most` bits is nearer to, by row, two of (P,).

    There are several of one left code where several are equally near, and none where none is near enough.
    """
    best = np.full(len(left), most + 1)
    held, parts, room = 0, list[Ids](), _EDGES
    for pairs in within(left, right, most):
        np.minimum.at(best, pairs.left, pairs.apart)
        parts.append(np.stack([pairs.left, pairs.right, pairs.apart.astype(np.int64)]))
        held += parts[-1].shape[1]
        if held > room:
            parts = [_of_the_best(parts, best)]
            held = parts[0].shape[1]
            room = max(_EDGES, 2 * held)
        if len(left) > _FEW:
            yield Progress("comparing codes", int(pairs.share * len(left)), len(left), unit="codes")
    found = _of_the_best(parts, best)
    return found[0], found[1]


def facing(left: Codes, right: Codes, most: int) -> Work[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Tell which left codes have a right one within `most` bits, (N,), and which right ones have a left one, (M,)."""
    found = np.zeros(len(left), np.bool_), np.zeros(len(right), np.bool_)
    for pairs in within(left, right, most):
        found[0][pairs.left] = True
        found[1][pairs.right] = True
        if len(left) > _FEW:
            yield Progress("comparing codes", int(pairs.share * len(left)), len(left), unit="codes")
    return found


def distances(left: Codes, right: Codes) -> NDArray[np.int32]:
    """Return the Hamming distance of each left code to the right one beside it, (N,)."""
    return _apart(_wide(left), _wide(right)).astype(np.int32)


def _of_the_best(parts: list[Ids], best: Ids) -> Ids:
    """Return the pairs that are as near as the best of their left code, each once, (3, P)."""
    pairs = np.concatenate([np.empty((3, 0), np.int64), *parts], axis=1)
    pairs = pairs[:, pairs[2] == best[pairs[0]]]
    _, first = np.unique(pairs[0] * (1 + pairs[1].max(initial=0)) + pairs[1], return_index=True)
    return pairs[:, first]


def _first(left: Codes, right: Codes, most: int) -> Ids:
    """Return for each left code the first row on the right within `most` bits, (N,); the number of rows for none."""
    found = np.full(len(left), len(right))
    for pairs in within(left, right, most):
        np.minimum.at(found, pairs.left, pairs.right)
    return found


def _settle(codes: Codes, most: int) -> Ids | None:
    """Do what `cover` does for a few codes, code by code; None where they have too many pairs."""
    parts, held = [np.empty((2, 0), np.int64)], 0
    for left, right, _, _ in within(codes, codes, most):
        parts.append(np.stack([left, right])[:, left < right])
        held += parts[-1].shape[1]
        if held > _EDGES and len(codes) > 2:
            return None
    left, right = np.concatenate(parts, axis=1)
    order = np.argsort(left, kind="stable")
    left, right = left[order], right[order]
    better, starts = np.unique(left, return_index=True)
    owner = np.arange(len(codes))
    for row, start, end in zip(better.tolist(), starts.tolist(), [*starts[1:].tolist(), len(left)], strict=False):
        if owner[row] == row:
            near = right[start:end]
            free = near[owner[near] == near]
            owner[free] = row
    return owner


def _wide(codes: Codes) -> Words:
    return words(codes).astype(np.uint64, copy=False)


def _masks(a: Words, b: Words, bits: int, most: int) -> list[Words] | None:
    """Return the bits to agree in, one mask a table, that promise the least work; None for comparing all."""
    random = np.random.default_rng(0)
    some = [side[random.integers(0, len(side), min(_SAMPLE, len(side)))] for side in (a, b)]
    scale = len(a) * len(b) / (len(some[0]) * len(some[1]))
    best, masks = len(a) * len(b) * a.shape[1] * _SCAN_COST, None
    for agree in (1, 2, 3):
        parts = most + agree
        if parts > bits or comb(parts, agree) > _MOST_TABLES:
            break
        cost = comb(parts, agree) * (len(a) + len(b)) * _KEY_COST
        if cost >= best:
            continue
        tables = [_mask(chosen, parts, bits) for chosen in combinations(range(parts), agree)]
        for mask in tables:
            keys = np.sort(_keys(some[1], mask))
            lows, highs = (np.searchsorted(keys, _keys(some[0], mask), side) for side in ("left", "right"))
            cost += float((highs - lows).sum()) * scale * _PAIR_COST
        if cost < best:
            best, masks = cost, tables
    return masks


def _mask(chosen: tuple[int, ...], parts: int, bits: int) -> Words:
    """Return the words in which the bits of the chosen parts are set."""
    number = np.arange(bits) * parts // bits
    mask: Words = _wide(np.packbits(np.isin(number, chosen))[None])[0]
    return mask


def _keys(codes: Words, mask: Words) -> Words:
    """Return one number a code, (N,), equal where the masked bits are; others may rarely be equal too."""
    keys: Words = codes[:, 0] & mask[0]
    for column in range(1, codes.shape[1]):
        keys = keys * np.uint64(_MIX) + (codes[:, column] & mask[column])
    return keys


def _bucket(a: Words, b: Words, mask: Words, most: int) -> Iterator[Pairs]:
    """Compare the codes whose keys agree."""
    keys = _keys(b, mask)
    order = np.argsort(keys, kind="stable")
    values, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    wanted = _keys(a, mask)
    slot = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    rows = np.flatnonzero(values[slot] == wanted)
    slot = slot[rows]
    ends = np.cumsum(counts[slot])
    at = 0
    while at < len(rows):
        # Whole codes up to the size of a block, one at least.
        before = int(ends[at - 1]) if at else 0
        to = max(at + 1, int(np.searchsorted(ends, before + _BLOCK, side="right")))
        sizes = counts[slot[at:to]]
        begins = np.cumsum(sizes) - sizes
        places = np.arange(int(sizes.sum())) + np.repeat(starts[slot[at:to]] - begins, sizes)
        left, right = np.repeat(rows[at:to], sizes), order[places]
        apart = _apart(a[left], b[right])
        near = apart <= most
        yield Pairs(left[near], right[near], apart[near], to / len(rows))
        at = to


def _scan(a: Words, b: Words, most: int) -> Iterator[Pairs]:
    """Compare all codes with all."""
    columns = np.ascontiguousarray(b.T)
    step = max(1, _BLOCK // len(b))
    for start in range(0, len(a), step):
        block = a[start : start + step]
        apart = np.zeros((len(block), len(b)), np.uint16)
        for column, others in enumerate(columns):
            apart += np.bitwise_count(block[:, column, None] ^ others)
        left, right = np.nonzero(apart <= most)
        yield Pairs(left + start, right, apart[left, right], min(1.0, (start + step) / len(a)))


def _apart(a: Words, b: Words) -> NDArray[np.uint16]:
    """Return the distances of codes side by side, (N,)."""
    total: NDArray[np.uint16] = np.bitwise_count(a[:, 0] ^ b[:, 0]).astype(np.uint16)
    for column in range(1, a.shape[1]):
        total += np.bitwise_count(a[:, column] ^ b[:, column])
    return total

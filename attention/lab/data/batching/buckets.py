"""Few batch shapes that hold all lengths with little padding."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Lengths are rounded so that no side has more levels than this: keeps the search fast.
_LEVELS = 64


class Bucket(NamedTuple):
    """The size of one batch shape: longest source and longest target, in tokens, eos included."""

    source: int
    target: int


def choose_buckets(
    source_lengths: np.ndarray, target_lengths: np.ndarray, count: int, *, multiple: int = 4
) -> tuple[Bucket, ...]:
    """Choose batch shapes so that padding each pair to the smallest that holds it adds few tokens.

    The best shapes with equal sides are found exactly, by dynamic programming over the longer side;
    each side is then moved by itself for as long as that saves tokens.

    Args:
        source_lengths: tokens of each source sentence, eos included.
        target_lengths: tokens of each target sentence, eos included.
        count: most shapes; each costs one compilation.
        multiple: sides are multiples of this, save the longest, which is the longest sentence's.

    Returns:
        At most `count` shapes, smallest first; each example fits at least one.
    """
    lengths_X2 = np.stack([source_lengths, target_lengths], axis=1).astype(np.int64)
    longest_2 = lengths_X2.max(axis=0)
    multiple *= -(-int(longest_2.max()) // (multiple * _LEVELS))
    rounded_X2 = np.minimum(-(-lengths_X2 // multiple) * multiple, longest_2)
    cells_C2, counts_C = np.unique(rounded_X2, axis=0, return_counts=True)
    nested_N2 = np.minimum(_nested(cells_C2.max(axis=1), counts_C, count)[:, None], longest_2)
    chosen_N2 = _descend(nested_N2, cells_C2, counts_C)
    return tuple(sorted({Bucket(*sides) for sides in chosen_N2.tolist()}, key=_size))


def assign(
    buckets: Sequence[Bucket], source_lengths: np.ndarray, target_lengths: np.ndarray
) -> np.ndarray:
    """Return the index of the smallest bucket that holds each pair, -1 where none does."""
    which_X = np.full(len(source_lengths), -1)
    for index in sorted(range(len(buckets)), key=lambda index: _size(buckets[index]), reverse=True):
        source, target = buckets[index]
        which_X[(source_lengths <= source) & (target_lengths <= target)] = index
    return which_X


def _size(bucket: Bucket) -> tuple[int, ...]:
    return (bucket.source + bucket.target, *bucket)


def _nested(longer_C: np.ndarray, counts_C: np.ndarray, count: int) -> np.ndarray:
    """Lengths that minimise the sum of (smallest chosen length that holds a cell) * its count."""
    levels_L, inverse_C = np.unique(longer_C, return_inverse=True)
    below_L1 = np.append(0, np.cumsum(np.bincount(inverse_C, counts_C)))
    cost_L1 = np.append(0.0, np.full(len(levels_L), np.inf))
    cuts = []
    for _ in range(min(count, len(levels_L))):
        previous_L1, cost_L1 = cost_L1, np.zeros_like(cost_L1)
        cut_L1 = np.zeros(len(cost_L1), np.int64)
        for end, level in enumerate(levels_L, start=1):
            through = previous_L1[:end] + (below_L1[end] - below_L1[:end]) * level
            cut_L1[end] = np.argmin(through)
            cost_L1[end] = through[cut_L1[end]]
        cuts.append(cut_L1)
    chosen, end = [], len(levels_L)
    for cut_L1 in reversed(cuts):
        chosen.append(levels_L[end - 1])
        end = cut_L1[end]
    return np.array(chosen[::-1])


def _descend(buckets_N2: np.ndarray, cells_C2: np.ndarray, counts_C: np.ndarray) -> np.ndarray:
    """Move one side of one bucket at a time to where it saves most, until nothing does."""
    buckets_N2 = buckets_N2.copy()
    best = _padded(buckets_N2, cells_C2).min(axis=0) @ counts_C
    while True:
        before = best
        for n, side in itertools.product(range(len(buckets_N2)), (0, 1)):
            others_N2 = np.delete(buckets_N2, n, axis=0)
            rest_C = _padded(others_N2, cells_C2).min(axis=0, initial=np.inf)
            levels_L = np.unique(cells_C2[:, side])
            trials_L2 = np.repeat(buckets_N2[n : n + 1], len(levels_L), axis=0)
            trials_L2[:, side] = levels_L
            cost_L = np.minimum(_padded(trials_L2, cells_C2), rest_C) @ counts_C
            if cost_L.min() < best:
                best, buckets_N2[n] = cost_L.min(), trials_L2[cost_L.argmin()]
        if best == before:
            return buckets_N2


def _padded(buckets_N2: np.ndarray, cells_C2: np.ndarray) -> np.ndarray:
    """Tokens a pair of each cell takes in each bucket, infinite where it does not fit."""
    fits_NC = (cells_C2 <= buckets_N2[:, None]).all(axis=-1)
    return np.where(fits_NC, buckets_N2.sum(axis=1)[:, None], np.inf)

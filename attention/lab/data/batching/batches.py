"""Batches of constant shapes, by token count, shuffled by seed and epoch, cut by process."""

import functools
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from attention.lab.data.batching.buckets import Bucket, assign
from attention.lab.data.batching.examples import Examples

if TYPE_CHECKING:
    import grain

Batch = dict[str, np.ndarray]


class TrainBatches:
    """Endless training batches, read by step; `batches[step]` is the same whenever it is read.

    Every epoch holds each example exactly once. A bucket's examples are shuffled and spread evenly
    over its batches, whose order is shuffled too; rows left over are filler: index -1, tokens 0.

    A batch has `source_BS` and `target_BT` (int32 tokens, eos last, then 0) and `index_B` (int32
    position in `examples`). Its shape is one of `shapes`.

    Args:
        examples: what to train on.
        batch_tokens: most tokens of a batch on either side, padding included.
        seed: order of the examples, at least 0.
        buckets: the shapes, from `choose_buckets`.
        rows_multiple: the number of rows is a multiple of this: of devices times microbatches.
        process_index: this process gets this slice of each batch's rows.
        process_count: number of slices; `rows_multiple` is a multiple of it.

    Attributes:
        shapes: rows (over all processes), source length and target length of every shape in use.

    Raises:
        ValueError: an example fits no bucket, `batch_tokens` is below `rows_multiple` sentences of
            the longest bucket, or `rows_multiple` is no multiple of `process_count`.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        batch_tokens: int,
        seed: int,
        buckets: Sequence[Bucket],
        rows_multiple: int = 8,
        process_index: int = 0,
        process_count: int = 1,
    ) -> None:
        if rows_multiple < 1 or rows_multiple % process_count:
            raise ValueError(
                f"rows_multiple is {rows_multiple}: it needs to be a multiple of {process_count}, "
                "the number of processes"
            )
        which_X = assign(buckets, examples.source_lengths, examples.target_lengths)
        if which_X.min() < 0:
            index = int(np.argmin(which_X))
            raise ValueError(
                f"buckets: none holds example {index} of {examples.source_lengths[index]} source "
                f"and {examples.target_lengths[index]} target tokens: choose them from its lengths"
            )
        used = [n for n in range(len(buckets)) if (which_X == n).any()]
        sides = [buckets[n] for n in used]
        longest = max(map(max, sides))
        if batch_tokens < longest * rows_multiple:
            raise ValueError(
                f"batch_tokens is {batch_tokens}: the longest bucket needs at least "
                f"{longest * rows_multiple} ({rows_multiple} rows of {longest} tokens)"
            )
        self._examples, self._seed = examples, seed
        self._slice = process_index, process_count
        self._members = [np.flatnonzero(which_X == n) for n in used]
        spread = [
            _spread(len(members), batch_tokens // max(bucket), rows_multiple)
            for members, bucket in zip(self._members, sides, strict=True)
        ]
        self._counts = [count for count, _ in spread]
        self.shapes = tuple((rows, *b) for (_, rows), b in zip(spread, sides, strict=True))
        self._epoch = functools.lru_cache(maxsize=1)(self._order_of)

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches that hold each example once."""
        return sum(self._counts)

    @property
    def padding(self) -> float:
        """Share of an epoch's tokens, both sides together, that is padding or filler."""
        real = self._examples.source_lengths.sum() + self._examples.target_lengths.sum()
        made = sum(
            count * rows * (source + target)
            for count, (rows, source, target) in zip(self._counts, self.shapes, strict=True)
        )
        return float(1 - real / made)

    def __str__(self) -> str:
        return (
            f"{self.batches_per_epoch:,} batches an epoch in {len(self.shapes)} shapes, "
            f"{self.padding:.1%} padding"
        )

    def __getitem__(self, step: int) -> Batch:
        """Return this process's rows of the batch of a step, counted from 0 over all epochs."""
        epoch, offset = divmod(step, self.batches_per_epoch)
        order_N, members = self._epoch(epoch)
        end_N = np.cumsum(self._counts)
        n = int(np.searchsorted(end_N, order_N[offset], side="right"))
        place = int(order_N[offset] - end_N[n]) + self._counts[n]
        start, stop = (len(members[n]) * p // self._counts[n] for p in (place, place + 1))
        rows, *bucket = self.shapes[n]
        filler = (0, rows - (stop - start))
        index_B = np.pad(members[n][start:stop], filler, constant_values=-1)
        process, processes = self._slice
        mine = slice(process * rows // processes, (process + 1) * rows // processes)
        return assemble(self._examples, index_B[mine], Bucket(*bucket))

    def _order_of(self, epoch: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """The order of an epoch's batches and of each bucket's examples."""
        rng = np.random.default_rng((self._seed, epoch))
        return rng.permutation(self.batches_per_epoch), [rng.permutation(m) for m in self._members]


def iterator(batches: TrainBatches, prefetch: int = 2) -> "grain.DatasetIterator[Batch]":
    """Iterate over the batches of step 0, 1, ... without end, made ahead of time by one thread.

    `get_state()` gives the position after the last batch handed out, as a JSON-able dict;
    `set_state()` goes on from there, bit for bit, in the middle of an epoch too.

    Args:
        batches: what to iterate over.
        prefetch: most batches made ahead; 0 makes each when it is asked for, without a thread.
    """
    import grain  # slow to import, and only training needs it

    steps = grain.MapDataset.range(sys.maxsize).map(batches.__getitem__)
    # Grain's own read threads slow in-memory data down: read in line, then prefetch once.
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    ahead = grain.experimental.ThreadPrefetchIterDataset(
        steps.to_iter_dataset(options), prefetch_buffer_size=prefetch
    )
    return iter(ahead)


def assemble(examples: Examples, index_B: np.ndarray, bucket: Bucket) -> Batch:
    """Make the batch of the given examples, padded to the bucket; index -1 gives a row of zeros."""
    return {
        "source_BS": padded(examples.source, index_B, bucket.source),
        "target_BT": padded(examples.target, index_B, bucket.target),
        "index_B": index_B.astype(np.int32),
    }


def padded(tokens: Sequence[np.ndarray], index_B: np.ndarray, length: int) -> np.ndarray:
    """Return the token lists of the given indices as int32 [B, length], 0 after each one's end."""
    tokens_BT = np.zeros((len(index_B), length), np.int32)
    for row, index in enumerate(index_B.tolist()):
        if index >= 0:
            tokens_BT[row, : len(tokens[index])] = tokens[index]
    return tokens_BT


def _spread(examples: int, most_rows: int, rows_multiple: int) -> tuple[int, int]:
    """The number of batches, and the fewest rows that still hold all examples in that many."""
    count = -(-examples // (most_rows // rows_multiple * rows_multiple))
    return count, -(-examples // (count * rows_multiple)) * rows_multiple

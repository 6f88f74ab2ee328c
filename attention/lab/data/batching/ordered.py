"""Batches that hold every example once, in order of length: to evaluate and to translate."""

from collections.abc import Sequence

import numpy as np

from attention.lab.data.batching.batches import Batch, assemble, padded
from attention.lab.data.batching.buckets import Bucket, assign
from attention.lab.data.batching.examples import Examples

_ROUND = 8


def eval_batches(
    examples: Examples, *, batch_tokens: int, buckets: Sequence[Bucket]
) -> list[Batch]:
    """Make batches that hold every example exactly once, the shortest first.

    Examples that fit no bucket share one more, larger bucket. All batches of a bucket have the same
    shape: the last is completed with filler rows (index -1, all tokens 0). The rows follow from
    `batch_tokens`, or where a bucket has few examples are a power of two, so that splits of like
    size share their shapes.

    Args:
        examples: what to evaluate, from `encode_all`.
        batch_tokens: most tokens of a batch on either side; one sentence may exceed it.
        buckets: the shapes, from `choose_buckets`; others may be the training split's.

    Returns:
        Batches as in `TrainBatches`.
    """
    groups = _groups(examples.source_lengths, examples.target_lengths, batch_tokens, buckets)
    return [assemble(examples, index_B, bucket) for bucket, index_B in groups]


def source_batches(
    tokens: Sequence[np.ndarray], *, batch_tokens: int, buckets: Sequence[Bucket]
) -> list[Batch]:
    """Make batches of sources alone: `source_BS` and `index_B` (position in `tokens`).

    Args:
        tokens: int32 token ids of each sentence, eos included, from `encode_sources`.
        batch_tokens: most source tokens of a batch; one sentence may exceed it.
        buckets: the shapes, of which the source sides are used.
    """
    lengths_X = np.fromiter(map(len, tokens), np.int64, len(tokens))
    sides = [Bucket(source, 0) for source in sorted({bucket.source for bucket in buckets})]
    groups = _groups(lengths_X, np.zeros_like(lengths_X), batch_tokens, sides)
    return [
        {"source_BS": padded(tokens, index_B, bucket.source), "index_B": index_B.astype(np.int32)}
        for bucket, index_B in groups
    ]


def _groups(
    source_lengths: np.ndarray,
    target_lengths: np.ndarray,
    batch_tokens: int,
    buckets: Sequence[Bucket],
) -> list[tuple[Bucket, np.ndarray]]:
    """The bucket and the example indices (-1: filler) of each batch."""
    which_X = assign(buckets, source_lengths, target_lengths)
    longest = [int(side[which_X < 0].max(initial=0)) for side in (source_lengths, target_lengths)]
    more = Bucket(*(-(-length // _ROUND) * _ROUND for length in longest))
    which_X[which_X < 0] = len(buckets)
    order_X = np.lexsort((source_lengths, source_lengths + target_lengths))
    groups = []
    for n, bucket in enumerate([*buckets, more]):
        members = order_X[which_X[order_X] == n]
        if not len(members):
            continue
        rows = max(1, batch_tokens // max(bucket))
        if rows > _ROUND:
            rows -= rows % _ROUND
        rows = min(rows, 1 << (len(members) - 1).bit_length())
        for start in range(0, len(members), rows):
            index = members[start : start + rows]
            groups.append((bucket, np.pad(index, (0, rows - len(index)), constant_values=-1)))
    return groups

"""The cases of attentions whose pattern is not all that they are: BigBird and Longformer."""

from functools import partial

import numpy as np

from attention import masks
from attention.shapes import Sizes
from attention.variants import BigBird, Longformer
from tests.laws.case import Case
from tests.reference import sparse

TWO_HEADS = (Sizes(2, 4, 5, 8), Sizes(2, 2, 3, 2))
BIGBIRD = BigBird(block=32, random=1, length=16_384, seed=3)


def of_true_length(see_BHQK):
    """BigBird's pattern where this is what a mask shows."""
    seen_BK = see_BHQK.any(axis=(1, 2))
    lengths_B = np.where(seen_BK, np.arange(1, seen_BK.shape[1] + 1), 0).max(axis=1)
    return BIGBIRD.pattern(1, lengths_B)


def longformer(name, attend, windows, chosen, **options):
    options = {"pattern": attend.pattern(1), "linear": not chosen} | options
    reference = partial(sparse.longformer, windows, chosen)
    return Case(name, attend, reference, multiply_adds=1.0, temporary_bytes=1.0, **options)


SPARSE = [
    Case(
        "bigbird",
        BIGBIRD,
        partial(sparse.bigbird, BIGBIRD.block, BIGBIRD._drawn().table()),
        lengths=(131, 1, 99),
        pattern=of_true_length,
        multiply_adds=1.0,
        temporary_bytes=1.0,
    ),
    longformer("longformer", Longformer(1, 2, first=2), [(1, 2, 1)], (0, 1)),
    longformer(
        "longformer-by-head",
        Longformer((1, 2), (2, 1), (1, 3), first=2),
        [(1, 2, 1), (2, 1, 3)],
        (0, 1),
        sizes=TWO_HEADS,
        pattern=masks.PerHead(
            tuple(w | masks.Global(2) for w in (masks.Window(1, 2), masks.Dilated(2, 1, 3)))
        ),
    ),
    longformer("longformer-causal", Longformer(2, 1, 2, first=0), [(2, 1, 2)], ()),
]

"""The cases of attention to fewer keys than there are tokens, and of patterns that are learned."""

import math
from functools import partial

from attention.variants.clustered.sinkhorn import Sinkhorn
from attention.variants.compressed.compressed import Compressed
from attention.variants.compressed.linformer import Linformer
from tests.laws.case import Case
from tests.reference import fewer

PLAIN = ("all", "lengths", "gaps")


def linformer(sharing: str) -> Case:
    return Case(
        f"linformer-{sharing}",
        Linformer(length=16, rank=5, sharing=sharing),
        fewer.linformer,
        masks=PLAIN,
        sums_to_one=False,
        grown=lambda length: Linformer(length=length, rank=5, sharing=sharing),
        multiply_adds=1.0,
        temporary_bytes=1.0,
    )


def compressed(kernel: int, stride: int, *, causal: bool) -> Case:
    """One slot at a time: of one token a mask does not tell whether it is causal."""
    return Case(
        f"compressed-{kernel}-{stride}-{'causal' if causal else 'two-sided'}",
        Compressed(kernel, stride),
        partial(fewer.compressed, kernel=kernel, stride=stride, causal=causal),
        lengths=(19, 1, 20),
        only=("decoder",) if causal else ("encoder", "cross"),
        masks=PLAIN,
        mixes=True,
        sums_to_one=False,
        multiply_adds=1.95 if causal else 2.0,  # the edge of a triangle weighs more when short
        temporary_bytes=1.0,
    )


def sinkhorn(name: str, *, causal: bool = False, cut: int = 0) -> Case:
    """One slot at a time, as above; blocks grow as the root of the length."""
    attend = Sinkhorn(block=3, length=24, iterations=5, cut=cut)
    return Case(
        f"sinkhorn-{name}",
        attend,
        partial(fewer.sinkhorn, attend=attend, causal=causal),
        lengths=(19, 1, 20),
        only=("decoder" if causal else "encoder",),
        masks=PLAIN,
        sums_to_one=False,
        grown=lambda length: Sinkhorn(block=math.isqrt(length), length=length, cut=cut),
        multiply_adds=1.5,
        temporary_bytes=1.1,  # all scores of a short sequence are in one tile
    )


FEWER: list[Case] = [
    *(linformer(sharing) for sharing in ("none", "heads", "keys_values")),
    *(compressed(3, 3, causal=causal) for causal in (False, True)),
    *(compressed(5, 2, causal=causal) for causal in (False, True)),
    sinkhorn("two-sided"),
    sinkhorn("causal", causal=True),
    sinkhorn("cut", cut=2),
]

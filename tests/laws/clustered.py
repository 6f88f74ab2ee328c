"""The cases of attentions among tokens that hashing or clustering puts together."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest import mock

from attention.kernels.limits import Limits
from attention.shapes import Sizes
from attention.variants.clustered.reformer import Reformer
from attention.variants.clustered.routing import Routing
from tests.laws.case import Case
from tests.reference import clustered

PLAIN = ("all", "lengths", "gaps")


@dataclass(frozen=True)
class TwoHashes(Reformer):
    """Buckets that are pairs of hashes, and rows one at a time, on short sequences."""

    def init(self, *arguments: Any) -> Any:
        with mock.patch("attention.variants.clustered.reformer._COLUMNS", 2):
            return super().init(*arguments)

    def _attend(self, *arguments: Any) -> Any:
        small = Limits(side=16, scores=1)
        with (
            mock.patch("attention.variants.clustered.bucketed.limits", return_value=small),
            mock.patch("attention.variants.clustered.reformer._COLUMNS", 2),
        ):
            return super()._attend(*arguments)


def reformer(name: str, attend: Reformer, columns: int = 32, **options: Any) -> Case:
    """Costs are measured where a bucket holds half a chunk of 64 tokens, however many there are."""
    reference = partial(
        clustered.reformer,
        buckets=attend.buckets,
        chunk=attend.chunk,
        scale=attend.scale,
        columns=columns,
    )
    return Case(
        name,
        attend,
        reference,
        masks=PLAIN,
        last_resort=True,
        grown=lambda length: Reformer(buckets=attend.buckets),
        multiply_adds=1.0,
        temporary_bytes=1.0,
        **options,
    )


# Of two features layer normalisation leaves a sign, and of one nothing: tokens would be alike.
ROUTED = (Sizes(3, 4, 5, 12), Sizes(2, 3, 3, 6), Sizes(5, 3, 1, 15))


def routing(name: str, attend: Routing, sizes: tuple[Sizes, ...] = ROUTED) -> Case:
    """Costs are measured with as many clusters as the root of the length."""
    fields = ("clusters", "window", "local_heads", "left", "right")
    reference = partial(clustered.routing, **{field: getattr(attend, field) for field in fields})
    return Case(
        name,
        attend,
        reference,
        sizes=sizes,
        lengths=(11, 1, 16),
        masks=PLAIN,
        sums_to_one=False,
        grown=lambda length: replace(attend, clusters=math.isqrt(length), window=0),
        multiply_adds=1.5,
        temporary_bytes=1.5,
    )


CLUSTERED: list[Case] = [
    reformer("reformer", Reformer(buckets=4, chunk=3, rounds=2), lengths=(11, 1, 16)),
    reformer(
        "reformer-by-length",
        TwoHashes(chunk=2, rounds=3, scale=1.0),
        columns=2,
        lengths=(13, 1, 22),
    ),
    routing("routing", Routing(clusters=3), (Sizes(3, 4, 5, 12), Sizes(1, 3, 3, 3), ROUTED[2])),
    routing("routing-apart", Routing(clusters=2, window=5, shared=False)),
    routing("routing-local", Routing(clusters=2, local_heads=1, left=2, right=1)),
]

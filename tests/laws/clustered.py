"""The cases of attentions among tokens that hashing or clustering puts together."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

from attention.kernels.plan import Limits
from attention.variants.reformer import Reformer
from tests.laws.case import Case
from tests.reference import clustered

PLAIN = ("all", "lengths", "gaps")


@dataclass(frozen=True)
class TwoHashes(Reformer):
    """Buckets that are pairs of hashes, and rows one at a time, on short sequences."""

    def init(self, *arguments: Any) -> Any:
        with mock.patch("attention.variants.reformer._COLUMNS", 2):
            return super().init(*arguments)

    def attend(self, *arguments: Any, **options: Any) -> Any:
        small = Limits(side=16, scores=1)
        with (
            mock.patch("attention.kernels.bucketed.limits", return_value=small),
            mock.patch("attention.variants.reformer._COLUMNS", 2),
        ):
            return super().attend(*arguments, **options)


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
        grown=lambda length: Reformer(buckets=attend.buckets),
        multiply_adds=1.0,
        temporary_bytes=1.0,
        **options,
    )


CLUSTERED: list[Case] = [
    reformer("reformer", Reformer(buckets=4, chunk=3, rounds=2), lengths=(11, 1, 16)),
    reformer(
        "reformer-by-length",
        TwoHashes(chunk=2, rounds=3, scale=1.0),
        columns=2,
        lengths=(13, 1, 22),
    ),
]

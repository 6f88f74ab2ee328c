"""The cases of attention by reordered products."""

from functools import partial
from typing import Any
from unittest import mock

from attention.variants.linear.efficient import Efficient
from attention.variants.linear.linear import Linear
from attention.variants.linear.performer import Performer
from attention.variants.linear.rfa import RFA
from tests.laws.case import Case
from tests.reference import linear

small_chunks = mock.patch.multiple("attention.variants.linear.recurrence", _SIDE=4, _SMALL=3)


class InSmallChunks:
    """Many chunks on short sequences."""

    def _attend(self, *arguments: Any) -> Any:
        with small_chunks:
            return super()._attend(*arguments)

    def _extend(self, *arguments: Any) -> Any:
        with small_chunks:
            return super()._extend(*arguments)


class SmallLinear(InSmallChunks, Linear): ...


class SmallEfficient(InSmallChunks, Efficient): ...


class SmallRFA(InSmallChunks, RFA): ...


Reordered = partial(Case, masks=("all", "lengths", "gaps"), multiply_adds=1.0, temporary_bytes=1.0)
Bounded = partial(Reordered, reference=linear.rfa, sums_to_one=False)  # not where the floor holds
# Its gradient takes an array more from 2k tokens on than at 1k, and from there on is linear.
Efficiently = partial(Reordered, reference=linear.efficient, temporary_bytes=1.05)
relu = partial(linear.performer, kind="relu")

LINEAR: list[Case] = [
    Reordered("linear", Linear(), linear.linear),
    Reordered("linear-small-chunks", SmallLinear(), linear.linear),
    Efficiently("efficient", Efficient()),
    Efficiently("efficient-small-chunks", SmallEfficient()),
    Reordered("performer", Performer(), linear.performer),
    # A query may have no feature in common with the keys that it sees.
    Reordered("performer-relu", Performer(random_features=16, kind="relu"), relu,
              sums_to_one=False),
    Bounded("rfa", RFA(random_features=64)),
    Bounded("rfa-gated", RFA(random_features=64, gated=True)),
    Bounded("rfa-gated-small-chunks", SmallRFA(random_features=64, gated=True)),
]  # fmt: skip

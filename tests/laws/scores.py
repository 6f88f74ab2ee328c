"""The cases of attentions whose scores are no products, or whose weights no softmax."""

from dataclasses import dataclass
from typing import Any
from unittest import mock

from attention.kernels.limits import Limits
from attention.variants import Additive, Cosine, LearnedTemperature, ReLU
from tests.laws.case import Case
from tests.reference import scores


@dataclass(frozen=True)
class SmallBlocks(Additive):
    """Many blocks of queries and of keys on short sequences: row by row, or of all rows at once."""

    queries: int = 64

    def _attend(self, *arguments: Any) -> Any:
        small = Limits(side=16, scores=400, unit=4)
        with (
            mock.patch("attention.variants.dense.scored.limits", return_value=small),
            mock.patch("attention.variants.dense.scored._QUERIES", self.queries),
            mock.patch("attention.variants.dense.additive._TILE", 200),
        ):
            return super()._attend(*arguments)


SCORES = [
    Case("additive", Additive(), scores.additive, temporary_bytes=1.0),
    Case("additive-small-blocks", SmallBlocks(hidden=3, dropout_rate=0.2), scores.additive,
         lengths=(27, 1, 33), temporary_bytes=2.0),
    Case("additive-few-queries", SmallBlocks(hidden=3, dropout_rate=0.2, queries=1),
         scores.additive, lengths=(17, 1, 23), temporary_bytes=2.0),
    Case("learned-temperature", LearnedTemperature(dropout_rate=0.2), scores.learned_temperature,
         temporary_bytes=1.0),
    Case("cosine", Cosine(scale=5.0), scores.cosine, temporary_bytes=1.0),
    Case("relu", ReLU(), scores.relu, sums_to_one=False, temporary_bytes=1.0),
]  # fmt: skip

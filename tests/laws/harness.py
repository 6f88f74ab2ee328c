"""What hypothesis draws for the laws."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies

from attention.shapes import Sizes
from tests.laws.case import Case

# Compiling dominates: few examples, the same ones in every run, shapes from small sets.
few = hypothesis.settings(
    derandomize=True,
    max_examples=2,
    deadline=None,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
seeds = strategies.integers(0, 2**16)


def lengths_of(case: Case) -> strategies.SearchStrategy[int]:
    return strategies.sampled_from(case.lengths)


def sizes_of(case: Case) -> strategies.SearchStrategy[Sizes]:
    return strategies.sampled_from(case.sizes)

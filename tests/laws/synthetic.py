"""The cases of attentions whose scores are made from no pair of tokens."""

from functools import partial
from typing import Any

from attention.variants.synthetic.synthesizer import Synthesizer
from tests.laws.case import Case
from tests.reference import synthetic

FACTORS = 2, 7
LENGTH = FACTORS[0] * FACTORS[1]


def synthesizer(name: str, *parts: str, **expected: Any) -> Case:
    return Case(
        name,
        Synthesizer(parts, LENGTH, rank=3),
        partial(synthetic.synthesizer, parts=parts, a=FACTORS[0]),
        grown=partial(Synthesizer, parts),
        **expected,
    )


SYNTHETIC = [
    synthesizer("synthesizer-dense", "dense", temporary_bytes=1.0),
    synthesizer("synthesizer-random", "random", temporary_bytes=2.0),
    synthesizer("synthesizer-fixed", "fixed", temporary_bytes=2.0),
    # At up to 2k tokens the compiler finds room for a third of the arrays in others.
    synthesizer(
        "synthesizer-factorised-dense",
        "factorised_dense",
        temporary_bytes=2.0,
        compiled=(4096, 16384),
    ),
    synthesizer("synthesizer-factorised-random", "factorised_random", temporary_bytes=1.0),
    synthesizer(
        "synthesizer-mixture", "dot", "random", "dense", "factorised_random", temporary_bytes=2.0
    ),
]

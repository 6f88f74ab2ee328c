"""The cases of attentions whose scores are made from no pair of tokens."""

from functools import partial

from attention.variants.synthesizer import Synthesizer
from tests.laws.case import Case
from tests.reference import synthetic

FACTORS = 2, 7
LENGTH = FACTORS[0] * FACTORS[1]


def synthesizer(name: str, *parts: str, temporary_bytes: float) -> Case:
    return Case(
        name,
        Synthesizer(parts, LENGTH, rank=3),
        partial(synthetic.synthesizer, parts=parts, a=FACTORS[0]),
        grown=partial(Synthesizer, parts),
        temporary_bytes=temporary_bytes,
    )


SYNTHETIC = [
    synthesizer("synthesizer-dense", "dense", temporary_bytes=1.0),
    synthesizer("synthesizer-random", "random", temporary_bytes=2.0),
    synthesizer("synthesizer-fixed", "fixed", temporary_bytes=2.0),
    synthesizer("synthesizer-factorised-dense", "factorised_dense", temporary_bytes=2.0),
    synthesizer("synthesizer-factorised-random", "factorised_random", temporary_bytes=1.0),
    synthesizer(
        "synthesizer-mixture", "dot", "random", "dense", "factorised_random", temporary_bytes=2.0
    ),
]

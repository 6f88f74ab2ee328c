"""Law 9: multiply-adds and temporary bytes grow no faster than declared.

Multiply-adds are traced. Temporary bytes need compiling, which is slow where a mask is a constant
of the program: 1k and 4k tokens, if the case does not say otherwise. Nothing is run.
"""

import jax.numpy as jnp
import pytest

from attention.analysis.growth import exponent
from attention.analysis.memory import temporary_bytes
from attention.analysis.multiply_adds import multiply_adds
from attention.testing import cost
from tests.laws.cases import CASES
from tests.laws.settings import settings_of

PARTS = ["forward", "gradient"]


def once(settings):
    """Each case in one slot, a decoder where it may be: compiling long programs takes time."""
    last = {
        param.values[0].case.name: param
        for param in settings
        if param.values[0].slot != "cross" or param.values[0].case.slots == ("cross",)
    }
    return list(last.values())


@pytest.mark.parametrize("part", ["forward", pytest.param("gradient", marks=pytest.mark.slow)])
@pytest.mark.parametrize("setting", settings_of(CASES, ("lengths", "edges")))
def test_multiply_adds(setting, part):
    cost.multiply_adds_grow_as_declared(setting, part)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("setting", once(settings_of(CASES, ("lengths", "edges"))))
def test_temporary_bytes(setting, part):
    lengths = setting.case.compiled
    needed = [1 + n for n in cost.costs(temporary_bytes, setting, part, lengths)]
    assert exponent(lengths, needed) <= setting.case.temporary_bytes + cost.EDGES


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("case", [c for c in CASES if c.multiply_adds >= 2], ids=str)
def test_a_declared_square_is_one(case, part):
    """A count that misses a loop would pass above."""
    setting = settings_of([case], ("lengths",))[0].values[0]
    longer = 4096, 16384  # the projections of a MultiHead are linear
    assert exponent(longer, cost.costs(multiply_adds, setting, part, longer)) > 1.9


def test_the_gradient_costs_more_than_the_forward_pass():
    setting = settings_of(CASES, ("lengths",))[0].values[0]
    forward, gradient = (cost.costs(multiply_adds, setting, part, (1024,))[0] for part in PARTS)
    assert gradient >= 2.5 * forward
    assert forward == 3 * 1024**2 * (4 + 5)
    assert jnp.issubdtype(type(forward), jnp.integer) or isinstance(forward, int)

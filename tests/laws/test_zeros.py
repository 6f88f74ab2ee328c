"""A real token that is zero, as a fresh layer makes of an empty embedding, harms no gradient."""

import jax
import numpy as np
import pytest

from attention.testing.draw import draw
from attention.testing.masks import somewhere
from tests.laws.cases import CASES

MOST = 1e4  # of a gradient where all that is drawn is about 1


def with_zero_token(x):
    x = np.array(x)
    x[:, 1] = 0
    return x


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_a_zero_token_are_of_ordinary_size(case):
    drawn = draw(somewhere(case))
    inputs = {name: with_zero_token(x) for name, x in drawn.inputs.items()}
    _, grads, of_params = drawn.all_grads(inputs=inputs)
    for leaf in jax.tree.leaves((grads, of_params)):
        assert np.all(np.abs(leaf) < MOST)

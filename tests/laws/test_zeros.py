"""A real token that is zero, as a fresh layer makes of an empty embedding, harms no gradient."""

import pytest

from attention.testing import laws
from tests.laws.cases import CASES


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_a_zero_token_are_of_ordinary_size(case):
    laws.gradients_of_a_zero_token_are_of_ordinary_size(case)

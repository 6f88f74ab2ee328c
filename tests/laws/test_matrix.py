"""Law 3: linear in the values; the effective matrix is zero where the mask hides."""

import pytest
from hypothesis import given

from attention.testing import laws
from tests.laws.cases import ALONE
from tests.laws.harness import few, seeds
from tests.laws.settings import settings_of, slots_of


@pytest.mark.parametrize("setting", settings_of(ALONE))
@given(seed=seeds)
@few
def test_the_effective_matrix(setting, seed):
    laws.weights_follow_the_mask(setting, seed)


@pytest.mark.parametrize("setting", slots_of([case for case in ALONE if case.linear]))
def test_linear_in_the_values(setting):
    laws.linear_in_the_values(setting)

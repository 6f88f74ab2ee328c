"""Law 3: linear in the values; the effective matrix is zero where the mask hides."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given

from attention.analysis.matrices import effective_matrix
from attention.testing.case import qkv
from attention.testing.draw import assert_close, draw
from tests.laws.cases import ALONE
from tests.laws.harness import few, seeds
from tests.laws.settings import places_of, settings_of


@functools.cache
def matrix_of(case):
    return jax.jit(functools.partial(effective_matrix, case.attend))


@pytest.mark.parametrize("setting", settings_of(ALONE))
@given(seed=seeds)
@few
def test_the_effective_matrix(setting, seed):
    case = setting.case
    drawn = draw(setting, seed, k_len=case.lengths[-1])
    params, state = drawn.variables["params"], drawn.variables["state"]
    q, k, v = qkv(drawn.inputs)
    options = {"bias": drawn.bias, "x_BTM": drawn.inputs.get("x")}
    matrix_BHQK = np.asarray(matrix_of(case)(params, state, q, k, drawn.mask, **options))
    see_BHQK = drawn.seen_BHQK
    assert np.all(matrix_BHQK[~see_BHQK] == 0.0)
    if case.sums_to_one:
        np.testing.assert_allclose(matrix_BHQK.sum(-1), see_BHQK.any(-1), atol=2e-6)
    if case.mixes or not case.linear:  # it is held to derivatives, or to each way, elsewhere
        return
    v_BKHE = np.repeat(v, case.groups, axis=2)
    assert_close(drawn.out(), np.einsum("BHQK,BKHE->BQHE", matrix_BHQK, v_BKHE), 1e-5)


@pytest.mark.parametrize("setting", places_of([case for case in ALONE if case.linear]))
def test_linear_in_the_values(setting):
    drawn, other = draw(setting, 0), draw(setting, 1)
    one, two = (np.asarray(qkv(d.inputs)[2]) for d in (drawn, other))

    def out(v):
        return drawn.out(inputs=drawn.inputs | {"v": v})

    assert_close(out(2 * one - 3 * two), 2 * out(one) - 3 * out(two), 1e-5)
    assert not np.any(out(0 * one))

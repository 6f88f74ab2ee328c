"""Expected cost against the paper's equations written out, candidate by candidate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from attention.lab.training import risk

expected_cost = jax.jit(risk.expected_cost, static_argnames="alpha")


def transcription(log_p_BN, cost_BN, there_BN, alpha):
    """Shen et al. 2016, equations 11 and 12, over the sets S(x) of candidates."""
    total = rows = 0.0
    for log_ps, costs, there in zip(log_p_BN, cost_BN, there_BN, strict=True):
        members = np.flatnonzero(there)
        powers = [np.exp(np.float64(log_ps[n])) ** alpha for n in members]
        for power, n in zip(powers, members, strict=True):
            total += power / sum(powers) * costs[n]
        rows += len(members) > 0
    return total, rows


def sample(shape=(4, 5), seed=0):
    random = np.random.default_rng(seed)
    log_p_BN = -random.gamma(4.0, 5.0, shape).astype(np.float32)
    there_BN = random.random(shape) < 0.7
    there_BN[0], there_BN[1] = True, False
    return log_p_BN, random.random(shape).astype(np.float32), there_BN


@pytest.mark.parametrize("alpha", [0.0, 5e-3, 0.3, 1.0])
def test_equals_transcription(alpha):
    values = sample()
    total, rows = expected_cost(*values, alpha=alpha)
    expected = transcription(*values, alpha)
    np.testing.assert_allclose(total, expected[0], rtol=1e-5)
    assert float(rows) == expected[1] == 3


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [5e-3, 1.0])
def test_gradient(alpha):
    with jax.enable_x64(True):
        log_p_BN, cost_BN, there_BN = sample()

        def total(log_p_BN):
            return risk.expected_cost(log_p_BN, cost_BN, there_BN, alpha=alpha)[0]

        log_p_BN = jnp.asarray(log_p_BN, jnp.float64)
        check_grads(total, (log_p_BN,), order=1, modes=["fwd", "rev"], rtol=1e-6)
        grad_BN = np.asarray(jax.grad(total)(log_p_BN))
        np.testing.assert_allclose(grad_BN.sum(axis=1), 0, atol=1e-9)
        # A descent makes the cheapest candidate of a row more probable, the dearest less.
        rows, costs_BN = np.arange(4), np.where(there_BN, cost_BN, np.nan)
        for row in rows[there_BN.sum(axis=1) > 1]:
            assert grad_BN[row, np.nanargmin(costs_BN[row])] < 0
            assert grad_BN[row, np.nanargmax(costs_BN[row])] > 0


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_no_candidate_is_inert(poison):
    log_p_BN, cost_BN, there_BN = sample()

    def total(log_p_BN, cost_BN):
        return risk.expected_cost(log_p_BN, cost_BN, there_BN, alpha=0.5)[0]

    clean = jax.value_and_grad(total)(log_p_BN, cost_BN)
    poisoned = (np.where(there_BN, x_BN, np.float32(poison)) for x_BN in (log_p_BN, cost_BN))
    dirty = jax.value_and_grad(total)(*poisoned)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    assert not np.asarray(clean[1])[~there_BN].any()


def test_log_probabilities_of_any_size():
    log_p_BN = np.array([[-3e4, -3e4 + 1.0], [0.0, -1e30]], np.float32)
    total, _ = expected_cost(log_p_BN, np.array([[1.0, 0.0]] * 2), log_p_BN < 1, alpha=1.0)
    np.testing.assert_allclose(total, 1 / (1 + np.e) + 1, rtol=1e-6)


def test_the_same_candidate_twice_counts_once():
    tokens_BNT = np.array(
        [[[5, 6], [5, 7], [5, 6], [5, 7], [6, 5]], [[1, 0], [0, 0], [1, 0], [0, 0], [2, 0]]]
    )
    expected = tokens_BNT.copy()
    expected[0, 2:4] = expected[1, 2] = 0
    np.testing.assert_array_equal(risk.distinct(jnp.asarray(tokens_BNT), pad=0), expected)

"""Cross entropy against a transcription in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from attention.lab.training import losses

cross_entropy = jax.jit(losses.cross_entropy, static_argnames="label_smoothing")


def transcription(logits_BTV, target_BT, weight_BT, smoothing):
    """Token by token, with the smoothed target written out."""
    total = 0.0
    size = logits_BTV.shape[-1]
    for x_V, target, weight in zip(
        logits_BTV.reshape(-1, size), target_BT.ravel(), weight_BT.ravel(), strict=True
    ):
        x_V = x_V.astype(np.float64)
        log_p_V = x_V - np.log(np.sum(np.exp(x_V - x_V.max()))) - x_V.max()
        q_V = np.full(size, smoothing / size)
        q_V[target] += 1 - smoothing
        total += weight * -np.sum(q_V * log_p_V)
    return total, weight_BT.sum()


def sample(shape=(3, 5, 11), scale=3.0, seed=0):
    random = np.random.default_rng(seed)
    logits_BTV = (random.normal(size=shape) * scale).astype(np.float32)
    target_BT = random.integers(0, shape[-1], shape[:-1])
    weight_BT = (random.random(shape[:-1]) < 0.7).astype(np.float32)
    return logits_BTV, target_BT, weight_BT


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("shape", [(3, 5, 11), (1, 1, 2), (2, 7, 129)])
def test_equals_transcription(shape, smoothing):
    values = sample(shape)
    values[2][0, 0] = 1
    total, weight = cross_entropy(*map(jnp.asarray, values), label_smoothing=smoothing)
    expected_total, expected_weight = transcription(*values, smoothing)
    np.testing.assert_allclose(total, expected_total, rtol=2e-6)
    assert float(weight) == expected_weight


def test_large_logits_do_not_overflow():
    values = sample(scale=1e4)
    total, _ = cross_entropy(*map(jnp.asarray, values))
    np.testing.assert_allclose(total, transcription(*values, 0.0)[0], rtol=2e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradient(smoothing):
    with jax.enable_x64(True):
        logits_BTV, target_BT, _ = sample()
        weight_BT = np.random.default_rng(1).random(target_BT.shape) * (target_BT > 2)

        def total(x_BTV):
            return cross_entropy(x_BTV, target_BT, weight_BT, label_smoothing=smoothing)[0]

        check_grads(total, (logits_BTV.astype(np.float64),), order=1, modes=["rev"], rtol=1e-6)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf, 1e38])
def test_padding_is_inert(poison):
    logits_BTV, target_BT, weight_BT = sample()
    loss = jax.value_and_grad(
        lambda x: cross_entropy(x, target_BT, weight_BT, label_smoothing=0.1)[0]
    )
    clean, clean_grad = loss(logits_BTV)
    poisoned_BTV = np.where(weight_BT[..., None] == 0, np.float32(poison), logits_BTV)
    dirty, dirty_grad = loss(poisoned_BTV)
    assert float(clean) == float(dirty)
    np.testing.assert_array_equal(clean_grad, dirty_grad)
    assert np.all(np.asarray(clean_grad)[weight_BT == 0] == 0)
    longer = [np.pad(x, [(0, 0), (0, 4)] + [(0, 0)] * (x.ndim - 2)) for x in sample()]
    np.testing.assert_allclose(
        cross_entropy(*map(jnp.asarray, longer), label_smoothing=0.1)[0], clean, rtol=1e-6
    )


def test_nan_at_a_counted_token_is_seen():
    logits_BTV, target_BT, weight_BT = sample()
    logits_BTV[weight_BT > 0] = np.nan
    assert np.isnan(cross_entropy(*map(jnp.asarray, (logits_BTV, target_BT, weight_BT)))[0])


def test_bfloat16_is_summed_in_float32():
    logits_BTV, target_BT, weight_BT = sample((8, 64, 33))
    rounded = jnp.asarray(logits_BTV, jnp.bfloat16)
    total, grad = jax.value_and_grad(lambda x: cross_entropy(x, target_BT, weight_BT)[0])(rounded)
    assert total.dtype == jnp.float32
    assert grad.dtype == jnp.bfloat16
    expected, _ = transcription(np.asarray(rounded, np.float32), target_BT, weight_BT, 0.0)
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_smoothing_makes_no_second_array_of_the_vocabulary_size():
    shape = (4, 32, 4096)
    values = jnp.ones(shape), jnp.ones(shape[:2], jnp.int32), jnp.ones(shape[:2])
    grad = jax.jit(jax.grad(lambda *x: cross_entropy(*x, label_smoothing=0.1)[0]))
    memory = grad.lower(*values).compile().memory_analysis()
    assert memory.temp_size_in_bytes < values[0].nbytes / 4


def test_shapes_that_disagree():
    with pytest.raises(ValueError, match="share their leading axes"):
        cross_entropy(jnp.ones((2, 3, 4)), jnp.ones((2, 3), int), jnp.ones((2, 1)))

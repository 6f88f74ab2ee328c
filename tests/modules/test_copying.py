"""The pointer-generator against float64 NumPy: sums, padding, gradients, extremes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from attention.modules.copying import PointerGenerator, Source
from tests.reference.copying import pointer_generator

B, T, S, M, V = 2, 3, 5, 4, 9
TOKENS_BS = jnp.array([[4, 5, 4, 8, 1], [7, 1, 0, 0, 0]])
REAL_BS = np.asarray(TOKENS_BS != 0)


def inputs(dtype="float32", missing=0.0):
    random = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(random.normal(size=shape), dtype)

    weights_BTS = random.random((B, T, S)) * REAL_BS[:, None]
    weights_BTS *= (1 - missing) / weights_BTS.sum(-1, keepdims=True)
    arrays = normal(B, T, V), normal(B, T, M), normal(B, T, M), jnp.asarray(weights_BTS, dtype)
    return *arrays, Source(TOKENS_BS, jnp.where(REAL_BS[..., None], normal(B, S, M), 0))


def variables(dtype="float32", bias=0.3):
    kernel = jnp.asarray(np.random.default_rng(1).normal(size=(3, M)), dtype)
    return {"params": {"kernel": kernel, "bias": jnp.asarray(bias, dtype)}}


def log_probs(*arguments, bias=0.3, dtype=jnp.float32):
    return PointerGenerator(dtype).apply(variables(bias=bias), *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
def test_equal_to_the_papers_equations(missing):
    *arrays, source = inputs(missing=missing)
    ours = np.exp(log_probs(*arrays, source))
    for b in range(B):
        rows = (np.asarray(x, np.float64)[b] for x in (*arrays, *source))
        *rows, tokens_S, memory_SM = rows
        theirs = pointer_generator(variables()["params"], *rows, tokens_S.astype(int), memory_SM)
        np.testing.assert_allclose(ours[b], theirs, atol=1e-6)
    np.testing.assert_allclose(ours.sum(-1), 1, atol=1e-6)


def test_what_is_made_has_its_axes_names_and_begins_at_one_half():
    made = PointerGenerator().init(jax.random.key(0), *inputs())["params"]
    assert made["kernel"].names == (None, "model")
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(nn.meta.unbox(made)))


def test_padding_is_never_copied():
    *arrays, source = inputs()
    # All is copied: what is no token of the source has no probability.
    ours = np.exp(log_probs(*arrays, source, bias=-200.0))
    for b in range(B):
        absent = sorted(set(range(V)) - set(np.asarray(TOKENS_BS[b])[REAL_BS[b]].tolist()))
        assert 0 in absent
        assert not ours[b][:, absent].any()
        np.testing.assert_allclose(ours[b].sum(-1), 1, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("bias", [-1e4, -60.0, 60.0, 1e4])
@pytest.mark.parametrize("missing", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_extremes_are_finite_and_so_are_their_gradients(bias, missing, scale):
    logits_BTV, *arrays, source = inputs(missing=missing)

    def loss(logits_BTV, *arrays):
        out_BTV = log_probs(logits_BTV, *arrays, source, bias=bias)
        return out_BTV[..., 4].sum() + out_BTV[..., 3].sum(), out_BTV

    grad = jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
    (_, out_BTV), grads = grad(scale * logits_BTV, *arrays)
    for leaf in (out_BTV, *grads):
        assert np.isfinite(leaf).all()
    np.testing.assert_allclose(np.exp(out_BTV).sum(-1), 1, atol=1e-5)


def test_gradients():
    with jax.enable_x64(True):
        *arrays, source = inputs("float64", missing=0.2)

        def out(params, memory_BSM, logits, y, x, weights_BTS):
            made, source = PointerGenerator(jnp.float64), Source(TOKENS_BS, memory_BSM)
            weights_BTS = jnp.where(REAL_BS[:, None], weights_BTS, 0)  # as masks do
            return made.apply({"params": params}, logits, y, x, weights_BTS, source)

        arguments = variables("float64")["params"], source.memory_BSM, *arrays
        check_grads(jax.jit(out), arguments, order=1, modes=["rev"])


def test_more_than_one_by_dropout_is_scaled_down():
    logits, y, x, weights_BTS, source = inputs()
    ours = log_probs(logits, y, x, 3 * weights_BTS, source)
    np.testing.assert_allclose(ours, log_probs(logits, y, x, weights_BTS, source), atol=1e-6)


def test_beams_of_one_sentence_stand_together():
    *arrays, source = inputs()
    beams = (x.reshape(B * T, 1, x.shape[-1]) for x in arrays)
    ours = log_probs(*beams, source)
    np.testing.assert_allclose(ours[:, 0].reshape(B, T, V), log_probs(*arrays, source), atol=1e-6)


def test_narrow_dtypes_give_probabilities_in_float32():
    ours = log_probs(*inputs("bfloat16"), dtype=jnp.bfloat16)
    np.testing.assert_allclose(
        np.exp(log_probs(*inputs())), np.exp(ours.astype("float32")), atol=0.03
    )

"""External global tokens: learned vectors before the source, seen by the encoder alone."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import Transformer
from attention.modules.feed_forward import FeedForward
from attention.variants import BigBird, Global, Longformer, Softmax

SMALL = dict(vocab_size=11, size=8, heads=2, feed_forward=partial(FeedForward, hidden=12))
SOURCE_BS = jnp.array([[4, 5, 6, 7, 1], [8, 9, 1, 0, 0]])
TARGET_BT = jnp.array([[3, 5, 4], [3, 10, 9]])


@functools.cache
def made(**options):
    """A model and random parameters, without compiling an init."""
    model, random = Transformer(**(SMALL | options)), np.random.default_rng(0)
    abstract = nn.meta.unbox(jax.eval_shape(model.init, jax.random.key(0), SOURCE_BS, TARGET_BT))
    draw = lambda a: jnp.asarray(0.3 * random.normal(size=a.shape), a.dtype)  # noqa: E731
    return model, jax.tree.map(draw, abstract)


def changed_by_the_last_token(layers, external):
    """Which vectors of the memory another last token changes, where only global tokens are seen."""
    encoder = Global(first=external) if external else Longformer(0, 0, first=0)
    model, variables = made(encoder=encoder, layers=layers, external_tokens=external)
    encode = jax.jit(partial(model.apply, method="encode"))
    one, other = encode(variables, SOURCE_BS), encode(variables, SOURCE_BS.at[0, 4].set(2))
    assert one.shape == (2, 5, 8)
    return np.any(np.asarray(one != other), axis=-1)[0]


@pytest.mark.slow
def test_tokens_meet_in_them_after_two_layers():
    np.testing.assert_array_equal(changed_by_the_last_token(1, 2), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(changed_by_the_last_token(2, 2), [1, 1, 1, 1, 1])
    np.testing.assert_array_equal(changed_by_the_last_token(2, 0), [0, 0, 0, 0, 1])


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [Softmax(), Longformer(1, 1, first=2), BigBird(2, 1)], ids=str)
def test_they_are_learned_and_change_nothing_in_a_batch(encoder):
    model, variables = made(encoder=encoder, layers=2, external_tokens=2)
    assert variables["params"]["external"]["tokens"].shape == (2, 8)

    @jax.jit
    def grads_and_logits(variables):
        def loss(variables):
            logits = model.apply(variables, SOURCE_BS, TARGET_BT)
            return (logits**2).sum(), logits

        return jax.grad(loss, has_aux=True)(variables)

    grads, logits = grads_and_logits(variables)
    alone = jax.jit(model.apply)(variables, SOURCE_BS[1:, :3], TARGET_BT[1:])
    np.testing.assert_allclose(alone, logits[1:], atol=1e-5)
    assert np.all(np.any(grads["params"]["external"]["tokens"], axis=1))


@pytest.mark.slow
def test_an_empty_row_stays_finite():
    model, variables = made(encoder=Global(first=1), layers=1, external_tokens=1)
    empty = SOURCE_BS.at[1].set(0)
    run = jax.jit(model.apply, static_argnames="method")
    assert np.isfinite(run(variables, empty, method="encode")).all()
    logits = run(variables, empty, TARGET_BT)
    np.testing.assert_allclose(logits[0], run(variables, SOURCE_BS, TARGET_BT)[0], atol=1e-5)

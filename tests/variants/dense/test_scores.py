"""Attentions whose scores have parameters of their own, beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Lengths, Valid
from attention.protocols import WithAxes
from attention.shapes import Sizes
from attention.variants import (
    GRU,
    Additive,
    Compressed,
    Cosine,
    LearnedTemperature,
    Linear,
    Linformer,
    Location,
    Mixer,
    Monotonic,
    Performer,
    Reformer,
    ReLU,
    Routing,
    Sinkhorn,
    Softmax,
    Synthesizer,
)

SIZES = Sizes(2, 4, 4, 8)


def trees_of(attend):
    made = attend.init(jax.random.key(0), SIZES)
    return jax.tree.map(lambda x: x.value, made, is_leaf=lambda x: isinstance(x, WithAxes))


@pytest.mark.parametrize("attend", [Additive(), Cosine(), LearnedTemperature()], ids=str)
def test_a_nan_in_padding_does_not_reach_the_gradients_of_parameters(attend):
    boxed, _ = attend.init(jax.random.key(0), Sizes(2, 4, 4, 8))
    params = jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, WithAxes))
    x_BTHD = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 2, 4)), jnp.float32)
    spoilt_BTHD = x_BTHD.at[:, 4:].set(jnp.nan)

    def loss(params):
        given = (params, {}, spoilt_BTHD, spoilt_BTHD, x_BTHD, Lengths(jnp.array([4])))
        return (attend.attend(*given)[0] ** 2).sum()

    for grad in jax.tree.leaves(jax.grad(loss)(params)):
        assert np.isfinite(grad).all()
        assert np.any(grad)


@pytest.mark.parametrize("rate", [-0.5, 1.5])
@pytest.mark.parametrize("variant", [ReLU, Additive, Softmax])
def test_a_rate_of_dropout_is_a_share(variant, rate):
    attend, x_BTHD = variant(dropout_rate=rate), jnp.ones((1, 3, 2, 4))
    with pytest.raises(ValueError, match=rf"^dropout_rate is {rate}; it needs to be in \[0, 1\)"):
        attend.attend(*trees_of(attend), x_BTHD, x_BTHD, x_BTHD, None, rng=jax.random.key(1))


@pytest.mark.parametrize("lengths", [(0, 3, 3), (2, 3, 0), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("attend", [ReLU(), Additive(), Cosine(), Softmax(kernel="tiled")], ids=str)
def test_nothing_is_gathered_where_there_is_nothing(attend, lengths):
    batch, q_len, k_len = lengths
    q_BQHD, k_BKHD = jnp.ones((batch, q_len, 2, 4)), jnp.ones((batch, k_len, 2, 4), "bfloat16")
    out_BQHE, _ = attend.attend(*trees_of(attend), q_BQHD, k_BKHD, k_BKHD, None)
    np.testing.assert_array_equal(out_BQHE, jnp.zeros(q_BQHD.shape, "bfloat16"))
    assert out_BQHE.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "attend", [Additive(), Cosine(), LearnedTemperature(), Synthesizer(("dot",), 8)]
)
def test_a_shape_that_does_not_fit_is_named(attend):
    given, x_BTHD = trees_of(attend), jnp.ones((1, 3, 2, 4))
    with pytest.raises(ValueError, match="made for 5 "):
        attend.attend(*given, x_BTHD, x_BTHD, x_BTHD, Valid(jnp.ones((1, 5), bool)))
    with pytest.raises(ValueError, match=r"^q_BQHD has shape \(1, 3, 2\); it needs four axes"):
        attend.attend(*given, x_BTHD[..., 0], x_BTHD, x_BTHD, Lengths(jnp.array([2])))


@pytest.mark.parametrize(
    "attend",
    [
        *(ReLU(), Additive(), Linear(), Performer(), Linformer(length=8, rank=2), Compressed()),
        *(Reformer(), Routing(), Sinkhorn()),
    ],
    ids=lambda attend: type(attend).__name__,
)
def test_fewer_heads_of_keys_are_refused(attend):
    q_BTHD, k_BTGD = jnp.ones((1, 3, 2, 4)), jnp.ones((1, 3, 1, 4))
    with pytest.raises(NotImplementedError, match=f"^{type(attend).__name__} cannot share 1 heads"):
        attend.attend(*trees_of(attend), q_BTHD, k_BTGD, k_BTGD, None, x_BTM=jnp.ones((1, 3, 8)))


@pytest.mark.parametrize("variant", [Additive, GRU, Location, Mixer, Monotonic])
def test_true_is_no_number(variant):
    with pytest.raises(ValueError, match=r"\(hidden=True\): needs a whole number"):
        variant(hidden=True)

"""Convolutions over tokens: what a kernel meets at ends and under a causal mask, and its checks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Causal
from attention.shapes import Sizes
from attention.variants.mixers.conv import KINDS, Conv

SIZES = Sizes(heads=2, size=2, value_size=2, model_size=4)


def with_ones(conv):
    """Parameters of an identity around the kernel, all of whose offsets weigh the same."""
    boxed, _ = conv.init(jax.random.key(0), SIZES)
    params = {name: jnp.zeros_like(leaf.value) for name, leaf in boxed.items()}
    params["out"] = jnp.eye(4)
    if conv.kind == "separable":
        params["kernel"] += 1 / (conv.left + conv.right + 1)
    else:  # the gates are half open
        params["in"] = params["in"].at[:, 0].set(2 * jnp.eye(4))
    return params


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_counts_as_zeros(kind):
    conv = Conv(kind, left=1, right=2)
    x_BTM = jnp.ones((1, 5, 4))
    params = with_ones(conv)
    ours, _ = conv.mix(params, {}, x_BTM, None)
    np.testing.assert_allclose(ours[0, :, 0], np.array([3, 4, 4, 3, 2]) / 4, atol=1e-6)
    ours, _ = conv.mix(params, {}, x_BTM, Causal())
    np.testing.assert_allclose(ours[0, :, 0], np.array([1, 2, 2, 2, 2]) / 4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_holds_what_the_kernel_reaches(kind):
    conv = Conv(kind, left=3, right=1)
    cache = conv.init_cache({}, {}, SIZES, 5, 1000, jnp.bfloat16)
    assert cache["u_BLM"].shape == (5, 3, 4)
    assert cache["u_BLM"].dtype == jnp.bfloat16


def test_a_kernel_that_reaches_nothing_before_it_keeps_nothing():
    conv, x_BQM = Conv(left=0, right=1), jnp.ones((2, 3, 4))
    params = with_ones(conv)
    ours, cache = conv.extend(
        params, {}, conv.init_cache(params, {}, SIZES, 2, 9, "float32"), x_BQM, None
    )
    np.testing.assert_allclose(ours, conv.mix(params, {}, x_BQM, Causal())[0], atol=1e-6)
    assert cache["u_BLM"].shape == (2, 0, 4)


def test_light_kernels_are_one_for_each_head_and_others_for_each_feature():
    shapes = {
        kind: Conv(kind).init(jax.random.key(0), SIZES)[0]["kernel"].value.shape for kind in KINDS
    }
    assert shapes == {"separable": (7, 4), "light": (7, 2), "dynamic": (4, 7, 2)}


def test_fields_and_sizes_are_checked():
    with pytest.raises(ValueError, match=r"Conv\(kind='wide'\): needs one of separable, light, d"):
        Conv("wide")
    with pytest.raises(ValueError, match=r"Conv\(right=-1\): needs a whole number, 0 or more"):
        Conv(right=-1)
    with pytest.raises(ValueError, match=r"Conv\(left=True\): needs a whole number, 0 or more"):
        Conv(left=True)
    with pytest.raises(ValueError, match=r"Conv\(kind='light'\): needs heads that divide .* 3 for"):
        Conv("light").init(jax.random.key(0), Sizes(3, 1, 1, 4))

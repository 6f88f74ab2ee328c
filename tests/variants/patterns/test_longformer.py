"""Longformer beside the laws: two sets of projections, what depends on its global tokens."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead, masks
from attention.analysis.matrices import effective_matrix
from attention.positions import Rotary
from attention.protocols import WithAxes
from attention.shapes import Sizes
from attention.testing.law import numbers
from attention.variants import Local, Longformer

RANDOM = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), "float32")


SIZES = Sizes(heads=2, size=4, value_size=3, model_size=8)
Q, K, V, X = normal(2, 9, 2, 4), normal(2, 9, 2, 4), normal(2, 9, 2, 3), normal(2, 9, 8)
LONG = Longformer(left=1, right=2, first=1, positions=(4,))


@functools.partial(jax.jit, static_argnums=0)
def attended(attend, *inputs, **options):
    return attend.attend(*inputs, **options)


@functools.cache
def params_of(attend):
    boxed, state = attend.init(jax.random.key(0), SIZES)
    assert state == {}
    return jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, WithAxes))


def test_global_rows_depend_on_their_own_projections_alone():
    params = params_of(LONG)
    mask = masks.Lengths(jnp.array([9, 6]))
    out, _ = attended(LONG, params, {}, Q, K, V, mask, x_BTM=X)
    others, _ = attended(LONG, params, {}, 2 * Q, K - 1, 3 * V, mask, x_BTM=X)
    changed = np.any(np.asarray(out != others), axis=(0, 2, 3))
    np.testing.assert_array_equal(changed, [False, True, True, True, False, True, True, True, True])
    for name in ("global_query", "global_key", "global_value"):
        again = params | {name: jax.tree.map(lambda x: x + 1 + x**2, params[name])}
        others, _ = attended(LONG, again, {}, Q, K, V, mask, x_BTM=X)
        changed = np.any(np.asarray(out != others), axis=(0, 2, 3))
        np.testing.assert_array_equal(changed, np.isin(np.arange(9), (0, 4)))


def test_the_matrix_weighs_the_layers_values_and_the_global_ones():
    """A[q, k] is by how much the output of q follows the value of k, whichever value that is."""
    params = params_of(LONG)
    mask = masks.Lengths(jnp.array([9, 6]))
    matrix_BHQK = effective_matrix(LONG, params, {}, Q, K, mask, x_BTM=X)
    kernel, bias = (params["global_value"][part] for part in ("kernel", "bias"))
    global_BTHE = jnp.einsum("BTM,MHE->BTHE", X, kernel) + bias[None, None]
    chosen_T = np.isin(np.arange(9), (0, 4))[None, :, None, None]
    of_layer, of_global = (
        jnp.einsum("BHQK,BKHE->BQHE", matrix_BHQK, values) for values in (V, global_BTHE)
    )
    out, _ = attended(LONG, params, {}, Q, K, V, mask, x_BTM=X)
    np.testing.assert_allclose(out, jnp.where(chosen_T, of_global, of_layer), atol=1e-5)


def test_what_stands_in_padding_does_not_reach_the_parameters():
    mask = masks.Lengths(jnp.array([9, 6]))
    real_BT1 = mask.padding(9, 9)[0][..., None]

    def grads(x):
        loss = lambda params: attended(LONG, params, {}, Q, K, V, mask, x_BTM=x)[0].sum()  # noqa: E731
        return jax.tree.leaves(jax.jit(jax.grad(loss))(params_of(LONG)))

    for clean, spoilt in zip(
        grads(jnp.where(real_BT1, X, 0)), grads(jnp.where(real_BT1, X, jnp.nan)), strict=True
    ):
        np.testing.assert_array_equal(clean, spoilt)


def test_a_sequence_that_ends_before_its_global_token_has_none():
    attend = Longformer(left=2, right=2, first=0, positions=(4,))
    one = tuple(x[:, :1] for x in (Q, K, V))
    out, _ = attended(attend, params_of(attend), {}, *one, None, x_BTM=X[:, :1])
    np.testing.assert_allclose(out, one[2], atol=1e-6)


def test_rotary_positions_are_refused_where_they_would_be_lost():
    with pytest.raises(NotImplementedError, match="^Longformer cannot take rotary.*rotary=None"):
        MultiHead(heads=2, attention=LONG, rotary=Rotary()).init(jax.random.key(0), X)
    local = MultiHead(heads=2, attention=Longformer(first=0), rotary=Rotary(), kv_heads=1)
    variables = local.init(jax.random.key(0), X)
    cache = local.apply(variables, 1, 5, 8, method="start")
    assert cache["k_BHKD"].shape == (1, 1, 5, 4)


def test_without_global_tokens_it_is_local():
    plain = Longformer(left=2, right=1, first=0)
    assert plain.init(jax.random.key(0), SIZES) == ({}, {})
    assert plain.capabilities.causal == "exact"
    ours, _ = attended(plain, {}, {}, Q, K, V, masks.Causal())
    theirs, _ = attended(Local(2, 1), {}, {}, Q, K, V, masks.Causal())
    np.testing.assert_allclose(numbers(ours), numbers(theirs), atol=1e-6)


def test_its_own_projections_are_in_the_module_and_are_trained():
    layer = MultiHead(heads=2, attention=LONG)
    variables = jax.jit(layer.init)(jax.random.key(0), X)
    own = variables["params"]["own"]["learned"]
    assert set(own) == {"global_query", "global_key", "global_value"}
    assert own["global_key"]["kernel"].names == ("model", "heads", "head_size")
    grads = jax.jit(jax.grad(lambda v: (layer.apply(v, X) ** 2).sum()))(variables)
    for leaf in jax.tree.leaves(grads["params"]["own"]["learned"]["global_value"]):
        assert np.abs(leaf).max() > 0


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (lambda: Longformer(left=-1), ValueError, r"left=-1\): needs a whole number, 0 or more"),
        (lambda: Longformer(step=0), ValueError, r"step=0\): needs a whole number, 1 or more"),
        (
            lambda: Longformer(left=(1, 2), right=(1, 2, 3)),
            ValueError,
            r"Longformer\(left=\(1, 2\)",
        ),
        (lambda: Longformer(first=-1), ValueError, r"first=-1\): needs a whole number, 0 or more"),
        (lambda: Longformer(positions=(-1,)), ValueError, "needs positions of 0 or more"),
        (
            lambda: LONG.attend({}, {}, Q, K, V, masks.Causal(), x_BTM=X),
            NotImplementedError,
            "^Longformer cannot attend causally; use Softmax; without global tokens",
        ),
        (lambda: LONG.attend({}, {}, Q, K, V, None), ValueError, "Longformer: x_BTM is missing"),
        (
            lambda: LONG.init_cache({}, {}, SIZES, 1, 4, "float32"),
            NotImplementedError,
            "^Longformer cannot decode from a cache.*first=0",
        ),
        (
            lambda: Longformer(positions=(9,)).attend(params_of(LONG), {}, Q, K, V, None, x_BTM=X),
            ValueError,
            "position 9 lies beyond the 9 queries; name positions below 9",
        ),
        (
            lambda: Longformer(left=(1, 2, 3)).attend(params_of(LONG), {}, Q, K, V, None, x_BTM=X),
            ValueError,
            "PerHead has masks for 3 heads, and attention has 2",
        ),
    ],
)
def test_what_cannot_be_is_told(made, error, message):
    with pytest.raises(error, match=message) as caught:
        made()
    assert "\n" not in str(caught.value)

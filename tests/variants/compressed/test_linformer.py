"""Linformer beside the laws: what is shared, and the length for which it is made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import masks
from attention.kernels import softmax_attention
from attention.protocols import WithAxes
from attention.shapes import Sizes
from attention.variants.compressed.linformer import SHARING, Linformer

RANDOM = np.random.default_rng(0)
SIZES = Sizes(heads=3, size=4, value_size=5, model_size=12)
PARAMS = {
    "none": {"keys": (3, 2, 8), "values": (3, 2, 8)},
    "heads": {"keys": (2, 8), "values": (2, 8)},
    "keys_values": {"keys": (2, 8)},
    "layers": {"keys": (2, 8)},
}


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), "float32")


Q, K, V = normal(2, 6, 3, 4), normal(2, 6, 3, 4), normal(2, 6, 3, 5)


def plain(tree):
    return jax.tree.map(lambda x: x.value, tree, is_leaf=lambda x: isinstance(x, WithAxes))


@pytest.mark.parametrize("sharing", SHARING)
def test_what_is_shared(sharing):
    attend = Linformer(length=8, rank=2, sharing=sharing)
    params, state = attend.init(jax.random.key(0), SIZES)
    shared = attend.params_shared(jax.random.key(0), SIZES)
    assert state == {}
    assert bool(shared) == (sharing == "layers") != bool(params)
    both = params | shared
    assert {name: leaf.value.shape for name, leaf in both.items()} == PARAMS[sharing]
    for leaf in both.values():
        assert len(leaf.axes) == leaf.value.ndim
    out, _ = attend.attend(plain(both), {}, Q, K, V, None)
    assert out.shape == V.shape


def test_layers_share_what_keys_and_values_share():
    layers, keys_values = (
        Linformer(length=8, rank=2, sharing=sharing) for sharing in ("layers", "keys_values")
    )
    rng = jax.random.key(1)
    shared, own = layers.params_shared(rng, SIZES), keys_values.init(rng, SIZES)[0]
    np.testing.assert_array_equal(
        layers.attend(plain(shared), {}, Q, K, V, None)[0],
        keys_values.attend(plain(own), {}, Q, K, V, None)[0],
    )


def test_with_the_identity_for_a_projection_it_is_softmax():
    params = {"keys": jnp.eye(6)}
    ours, _ = Linformer(length=6, rank=6, sharing="keys_values").attend(params, {}, Q, K, V, None)
    np.testing.assert_allclose(ours, softmax_attention(Q, K, V), atol=1e-6)


def test_products_stay_on_average():
    """E is drawn so that EᵀE is the identity but for chance, as theorem 1 has it."""
    params, _ = Linformer(length=8, rank=8).init(jax.random.key(2), Sizes(4000, 1, 1, 1))
    for w_HRL in plain(params).values():
        np.testing.assert_allclose(jnp.einsum("HRK,HRL->KL", w_HRL, w_HRL) / 4000, np.eye(8),
                                   atol=0.05)  # fmt: skip


def test_a_longer_memory_is_refused_with_a_remedy():
    attend = Linformer(length=5, rank=2)
    params = plain(attend.init(jax.random.key(0), SIZES)[0])
    with pytest.raises(ValueError, match=r"Linformer\(length=5\): got 6 positions; set length=6"):
        attend.attend(params, {}, Q, K, V, None)
    assert attend.attend(params, {}, Q, K[:, :5], V[:, :5], None)[0].shape == V.shape


def test_a_causal_mask_is_refused():
    with pytest.raises(NotImplementedError, match="Linformer cannot attend causally; use Softmax"):
        Linformer().attend({}, {}, Q, K, V, masks.Causal())


def test_a_sentence_without_keys_gets_zero():
    attend = Linformer(length=8, rank=2)
    params = plain(attend.init(jax.random.key(0), SIZES)[0])
    mask = masks.Lengths(jnp.array([6, 6]), jnp.array([0, 6]))
    out, _ = attend.attend(params, {}, Q, K, V, mask)
    assert not np.any(out[0])
    assert np.all(np.any(out[1], axis=(1, 2)))


def test_dropout_is_of_training_alone():
    attend = Linformer(length=8, rank=4, dropout_rate=0.5)
    params = plain(attend.init(jax.random.key(0), SIZES)[0])
    outs = [
        attend.attend(params, {}, Q, K, V, None, rng=rng)[0]
        for rng in (None, jax.random.key(0), jax.random.key(1))
    ]
    kept, _ = Linformer(length=8, rank=4).attend(params, {}, Q, K, V, None)
    np.testing.assert_array_equal(outs[0], kept)
    assert np.any(outs[0] != outs[1])
    assert np.any(outs[1] != outs[2])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"length": 0}, "needs a whole number, 1 or more"),
        ({"rank": 1.5}, "needs a whole number, 1 or more"),
        ({"rank": True}, "needs a whole number, 1 or more"),
        ({"length": 8, "rank": 9}, "needs at most length, 8"),
        ({"sharing": "all"}, "needs one of none, heads, keys_values, layers"),
        ({"dropout_rate": 1.0}, r"needs to be in \[0, 1\)"),
    ],
)
def test_fields_are_checked(fields, said):
    with pytest.raises(ValueError, match=rf"^Linformer\(.*\): {said}"):
        Linformer(**fields)

"""Recurrent mixers: what depends on the direction, and how much is kept to decode."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Causal, Lengths, Window
from attention.modules.mixing import TokenMixing
from attention.variants.mixers.gru import GRU
from attention.variants.mixers.lstm import LSTM
from tests.reference import mixers

REFERENCES = {LSTM: mixers.lstm, GRU: mixers.gru}
BOTH = pytest.mark.parametrize("variant", REFERENCES, ids=lambda variant: variant.__name__)
x_BTM = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 4)), jnp.float32)


def layer_of(mixer):
    layer = TokenMixing(heads=1, mixer=mixer)
    return layer, nn.meta.unbox(layer.init(jax.random.key(0), x_BTM))


@BOTH
def test_one_direction_reads_forward_without_a_causal_mask_too(variant):
    layer, variables = layer_of(variant(bidirectional=False))
    mask = Lengths(jnp.array([6, 4]))
    ours = layer.apply(variables, x_BTM, mask=mask)
    see = np.asarray(mask.dense(6, 6))
    theirs = REFERENCES[variant](variables["params"], x_BTM, x_BTM, see)
    np.testing.assert_allclose(ours, theirs, atol=5e-6)
    np.testing.assert_array_equal(ours, layer.apply(variables, x_BTM, mask=Causal() & mask))


@BOTH
def test_the_second_direction_brings_the_future(variant):
    layer, variables = layer_of(variant())
    grad = jax.jacobian(lambda x: layer.apply(variables, x)[0, 2].sum())(x_BTM)[0]
    assert np.all(np.any(grad != 0, axis=1))


@BOTH
def test_the_cache_is_as_large_for_any_length(variant):
    layer, variables = layer_of(variant(hidden=5, bidirectional=False))
    shapes = [
        jax.tree.map(jnp.shape, layer.apply(variables, 3, length, 4, method="start"))
        for length in (1, 1000)
    ]
    assert shapes[0] == shapes[1]
    assert set(shapes[0]["carry_BR"]) == {(3, 5)}


@BOTH
def test_what_both_directions_cannot_do_names_the_one_that_can(variant):
    layer, variables = layer_of(variant())
    with pytest.raises(NotImplementedError, match="cannot attend causally; .* bidirectional=False"):
        layer.apply(variables, x_BTM, mask=Causal())
    with pytest.raises(
        NotImplementedError, match="cannot decode from a cache; .*bidirectional=False"
    ):
        layer.apply(variables, 1, 4, 4, method="start")


def test_a_mask_of_another_kind_is_refused_in_decoding_too():
    layer, variables = layer_of(LSTM(bidirectional=False))
    cache = layer.apply(variables, 2, 6, 4, method="start")
    with pytest.raises(NotImplementedError, match="LSTM cannot follow a mask of Window"):
        layer.apply(variables, cache, x_BTM, None, Window(1, 0), method="extend")


def test_fields_are_checked():
    with pytest.raises(ValueError, match=r"LSTM\(hidden=-1\): needs a whole number, 0 or more"):
        LSTM(hidden=-1)
    with pytest.raises(ValueError, match=r"GRU\(bidirectional=1\): needs True or False"):
        GRU(bidirectional=1)

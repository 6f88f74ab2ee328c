"""Which of the encoder's layers each layer of the decoder asks."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.models.transformer import Transformer
from attention.modules.encoder_memory import LastLayer, LayerMixture, SameLayer
from attention.modules.feed_forward import FeedForward
from attention.variants import Additive, Linear
from tests.models.test_transformer import variables_of

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

SOURCE_BS = jnp.array([[4, 5, 6, 7], [8, 9, 0, 0]])
TARGET_BT = jnp.array([[3, 6, 7, 5, 4], [3, 9, 0, 0, 0]])
MEMORIES = [LastLayer, SameLayer, LayerMixture, partial(LayerMixture, levels=2)]


SMALL = dict(vocab_size=11, size=8, heads=2, layers=2, feed_forward=partial(FeedForward, hidden=16))


@functools.cache
def model_of(memory, **options):
    return Transformer(encoder_memory=memory, **SMALL, **options)


@functools.cache
def run(model):
    return jax.jit(model.apply, static_argnames=("method", "length"))


def states_of(model, variables):
    """The states of encoders of 0, 1 and 2 of the layers, each a model of its own."""
    states = []
    for layers in range(3):
        shorter = model.clone(layers=layers, encoder_memory=LastLayer, pre_norm=False)
        states.append(run(shorter)(variables, SOURCE_BS, method="encode"))
    return states


@pytest.mark.parametrize("memory", MEMORIES)
def test_memories_are_of_the_layers_told(memory):
    model = model_of(memory)
    variables = variables_of(model)
    states = states_of(model, variables)
    if memory is LastLayer:
        expected = [states[2], states[2]]
    elif memory is SameLayer:
        expected = [states[1], states[2]]
    else:
        raw_LN = np.asarray(variables["params"]["levels"]["weights"], np.float64)
        kept = states[-raw_LN.shape[1] :]
        assert len(kept) == (3 if memory is LayerMixture else 2)
        p_LN = np.exp(raw_LN) / np.exp(raw_LN).sum(-1, keepdims=True)
        expected = [sum(p * s for p, s in zip(p_N, kept, strict=True)) for p_N in p_LN]
    found = run(model)(variables, SOURCE_BS, method="memories")
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_memories_are_normalised_where_the_encoder_is():
    model = model_of(SameLayer, pre_norm=True)
    variables = variables_of(model)
    pre = [run(model.clone(layers=n))(variables, SOURCE_BS, method="encode") for n in (1, 2)]
    for ours, theirs in zip(run(model)(variables, SOURCE_BS, method="memories"), pre, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_mixture_begins_even_and_all_it_mixes_learns():
    model = model_of(LayerMixture)
    variables = nn.meta.unbox(jax.jit(model.init)(jax.random.key(0), SOURCE_BS, TARGET_BT))
    weights_LN = variables["params"]["levels"]["weights"]
    assert weights_LN.shape == (2, 3)
    assert not np.any(weights_LN)

    def loss(variables):
        return (model.apply(variables, SOURCE_BS, TARGET_BT)[0] ** 2).sum()

    grads = jax.jit(jax.grad(loss))(variables_of(model))["params"]
    assert np.all(grads["levels"]["weights"])
    assert all(np.any(leaf) for leaf in jax.tree.leaves(grads["encoder_layers_0"]))


CROSSES = [None, Additive(), Linear()]
STEPPED = [
    pytest.param(
        *(memory, cross, pre_norm),
        marks=[] if (w + c) % 2 == pre_norm and (w + c) % 3 else pytest.mark.long,
    )
    for w, memory in enumerate(MEMORIES)
    for c, cross in enumerate(CROSSES)
    for pre_norm in (False, True)
]


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "cross", "pre_norm"), STEPPED)
def test_steps_are_the_full_pass(memory, cross, pre_norm):
    model = model_of(memory, pre_norm=pre_norm, **({"cross": cross} if cross else {}))

    @jax.jit
    def by_steps(variables):
        apply = partial(model.apply, variables)
        memory, cache = apply(SOURCE_BS, length=5, method="start")

        def step(cache, token_B):
            logits_BV, cache = apply(memory, cache, token_B, method="extend")
            return cache, logits_BV

        return jax.lax.scan(step, cache, TARGET_BT.T)[1]

    variables = variables_of(model)
    full_BTV = run(model)(variables, SOURCE_BS, TARGET_BT)
    for at, logits_BV in enumerate(by_steps(variables)):
        np.testing.assert_allclose(logits_BV[0], full_BTV[0, at], atol=1e-4)
        if at < 2:
            np.testing.assert_allclose(logits_BV[1], full_BTV[1, at], atol=1e-4)


@pytest.mark.parametrize("memory", MEMORIES)
def test_padding_changes_nothing(memory):
    model = model_of(memory)
    variables = variables_of(model)
    short = run(model)(variables, SOURCE_BS[1:, :2], TARGET_BT[1:, :2])
    full = run(model)(variables, SOURCE_BS, TARGET_BT)
    np.testing.assert_allclose(full[1:, :2], short, atol=1e-5)


def test_more_levels_than_states_are_refused():
    with pytest.raises(ValueError, match="has 3 states to mix; choose at most as many"):
        variables_of(model_of(partial(LayerMixture, levels=4)))

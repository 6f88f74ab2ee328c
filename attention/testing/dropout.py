"""Dropout of weights: in training alone, and different wherever it should be."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from attention.testing.case import Case
from attention.testing.draw import draw
from attention.testing.law import assert_close, expect, law
from attention.testing.masks import Setting

LENGTH = 24


def weights_of(case: Case, rng: jax.Array | None) -> np.ndarray:
    """A_BHQK: the output where the values are the identity."""
    drawn = draw(Setting(case, "encoder", "all"), batch=3, q_len=LENGTH)
    eye_BKHK = np.eye(LENGTH, dtype="float32")[None, :, None].repeat(3, 0)
    eye_BKHK = eye_BKHK.repeat(drawn.sizes.heads, 2)
    return np.swapaxes(drawn.out(rng, inputs=drawn.inputs | {"v": eye_BKHK}), 1, 2)


@law
def without_an_rng_nothing_is_dropped(setting: Setting) -> None:
    case, drawn = setting.case, draw(setting)
    never = replace(case, attention=replace(case.attention, dropout_rate=0.0))
    plain = drawn.out()
    assert_close(drawn.out(case=never), plain, 1e-6, "outputs with and without a dropout_rate")
    one, again, other = (np.asarray(drawn.out(jax.random.key(seed))) for seed in (0, 0, 1))
    assert_close(again, one, 0, "outputs with one rng, twice,")
    expect(np.any(one != plain), "with an rng nothing is dropped")
    expect(np.any(one != other), "with another rng the same is dropped")


@law
def weights_are_dropped_or_scaled(case: Case) -> None:
    rate = case.attention.dropout_rate
    weights, plain = (weights_of(case, rng) for rng in (jax.random.key(0), None))
    scaled = np.abs(weights - plain / (1 - rate)) < 1e-6
    expect((weights == 0) | scaled, f"some are neither zero nor 1/(1 - {rate}) times as large")
    share = (weights == 0)[plain != 0].mean()
    chance = 4 * np.sqrt(rate * (1 - rate) / (plain != 0).sum())
    expect(abs(share - rate) < chance, f"a share of {share:.3f} is dropped at a rate of {rate}")


@law
def dropped_weights_differ(case: Case) -> None:
    """Across examples, heads and queries."""
    weights, plain = (weights_of(case, rng) for rng in (jax.random.key(0), None))
    kept_BHQK = weights != 0
    for axis, name in enumerate(("examples", "heads", "queries")):
        slices = np.moveaxis(kept_BHQK, axis, 0)
        different = len({part.tobytes() for part in slices})
        expect(different == len(slices), f"the same weights are dropped in several {name}")
    # Nor are a query's another's neighbour's: rows agree by chance alone.
    rows = kept_BHQK.reshape(-1, kept_BHQK.shape[-1])
    different = len(np.unique(rows, axis=0)) > 0.9 * len(rows)
    expect(different or not plain.all(), "many queries drop the same")


@law
def the_gradient_drops_what_the_forward_pass_dropped(case: Case) -> None:
    drawn, rng = draw(Setting(case, "encoder", "all"), q_len=LENGTH), jax.random.key(0)

    @jax.jit
    def out(v: jax.Array) -> jax.Array:
        inputs = drawn.inputs | {"v": v}
        return case.apply(drawn.sizes, drawn.variables, inputs, drawn.mask, drawn.bias, rng)

    # Linear in v: the gradient of any weighing of outputs is that weighing of the same matrix.
    v = drawn.inputs["v"]
    angles = jnp.arange(v.size, dtype="float32").reshape(v.shape)
    weigh, other = jnp.cos(angles), jnp.sin(angles)
    grad = jax.jit(jax.grad(lambda v: (out(v) * weigh).sum()))(v)
    ours, theirs = (grad * other).sum(), (out(other) * weigh).sum()
    assert_close(ours / theirs, 1.0, 1e-4, "a gradient's product over the output's, and 1,")

"""Padding changes nothing, whatever stands there; who sees nothing gets zero."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention.masks import Array, Edges, Lengths, Valid, conjuncts
from attention.testing.draw import Drawn, draw
from attention.testing.law import assert_close, assert_finite, assert_zero, expect, law, numbers
from attention.testing.masks import Setting

# Which inputs stand on the side of keys, and what padding is filled with to see whether it leaks.
KEYS = ("k", "v", "memory")
SPOILT = {"q": jnp.nan, "k": jnp.nan, "v": 1e30, "x": jnp.nan, "memory": 1e30}
MORE = 3  # further positions of padding


def with_padding(setting: Setting, dtype: str) -> Drawn:
    """Drawn so that there is padding among queries and among keys."""
    return next(
        drawn
        for seed in itertools.count()
        for drawn in [draw(setting, seed, k_len=setting.case.lengths[-1], dtype=dtype)]
        if not any(real_BT.all() for real_BT in real_of(drawn))
    )


def real_of(drawn: Drawn) -> list[np.ndarray]:
    """Which queries and which keys are real, [B, Q] and [B, K], as the mask's arrays say."""
    (found,) = [each for each in conjuncts(drawn.mask) if isinstance(each, Lengths | Valid)]
    if isinstance(found, Valid):
        return [np.asarray(found.q_valid_BQ), np.asarray(found.k_valid_BK)]
    sides = (drawn.shape.q_len, found.q_lengths_B), (drawn.shape.k_len, found.k_lengths_B)
    return [np.arange(length)[None] < np.asarray(lengths_B)[:, None] for length, lengths_B in sides]


def spoilt(drawn: Drawn) -> Drawn:
    """The same with NaN and huge numbers where there is padding."""
    both_real = real_of(drawn)

    def spoil(name: str, x: jax.Array) -> jax.Array:
        real_BT = both_real[name in KEYS]
        real = real_BT.reshape(*real_BT.shape, *(1,) * (x.ndim - 2))
        return jax.device_put(np.where(real, x, np.asarray(SPOILT[name], x.dtype)))

    return replace(drawn, inputs={name: spoil(name, x) for name, x in drawn.inputs.items()})


def longer(drawn: Drawn) -> Drawn:
    """The same with more padding, spoilt."""

    def pad(x: Any, value: Any) -> jax.Array:
        widths = [(0, 0), (0, MORE), *[(0, 0)] * (x.ndim - 2)]
        return jax.device_put(np.pad(np.asarray(x), widths, constant_values=value))

    def lengthen(x: Any) -> Any:
        if isinstance(x, Edges):
            return replace(x, nodes=x.nodes + MORE)
        return x if x.ndim == 1 else pad(x, False)

    # All leaves of Lengths are by row; all of Valid are by row and position.
    mask = jax.tree.map(lengthen, drawn.mask, is_leaf=lambda x: isinstance(x, Edges))
    shape = drawn.shape._replace(q_len=drawn.shape.q_len + MORE, k_len=drawn.shape.k_len + MORE)
    inputs = {name: pad(x, SPOILT[name]) for name, x in drawn.inputs.items()}
    return replace(drawn, inputs=inputs, mask=mask, shape=shape)


@law
def what_stands_in_padding_changes_nothing(setting: Setting, dtype: str = "float32") -> None:
    drawn = with_padding(setting, dtype)
    real_BQ, real_BK = real_of(drawn)
    clean, clean_grads, clean_params = drawn.grads()
    ours, grads, params = spoilt(drawn).grads()
    assert_close(ours, clean, 0)
    assert_zero(numbers(ours)[~real_BQ], "outputs at padding")
    assert_finite(numbers(ours)[real_BQ], "outputs at real tokens")
    for one, other in zip(*map(jax.tree.leaves, (clean_params, params)), strict=True):
        assert_close(other, one, 0, "gradients by parameters")
        expect(np.isfinite(numbers(one)), "gradients by parameters must be finite")
    for name, grad in grads.items():
        what, real_BT = f"gradients by {name}", (real_BQ, real_BK)[name in KEYS]
        assert_close(grad, clean_grads[name], 0, what)
        assert_zero(numbers(grad)[~real_BT], f"{what} at padding")
        assert_finite(numbers(grad)[real_BT], f"{what} at real tokens", zero=drawn.case.idle)


@law
def more_padding_changes_nothing(setting: Setting, dtype: str = "float32") -> None:
    drawn = with_padding(setting, dtype)
    clean, *_ = drawn.grads()  # compiled for the law above
    ours, length = numbers(longer(spoilt(drawn)).out()), drawn.shape.q_len
    assert_close(ours[:, :length], clean, {"float32": 1e-6, "bfloat16": 1e-2}[dtype])
    assert_zero(ours[:, length:], "outputs at padding")


@law
def a_sequence_of_no_tokens_is_zero(setting: Setting, dtype: str = "float32") -> None:
    """And so are its gradients."""
    drawn = draw(setting, dtype=dtype)
    lengths_B = jax.device_put(np.array([0, drawn.shape.q_len]))
    mask = jax.tree.map(lambda x: lengths_B if x.ndim == 1 else x, drawn.mask)
    inputs = {name: jax.device_put(8 * np.asarray(x)) for name, x in drawn.inputs.items()}
    out, grads, _ = drawn.grads(mask=mask, inputs=inputs)
    for name, x in {"the output": out, **grads}.items():
        assert_zero(numbers(x)[0], f"outputs and gradients ({name})")
        what = f"outputs and gradients ({name}) of the other sequence"
        assert_finite(numbers(x)[1], what, zero=drawn.case.idle)


@law
def a_row_that_sees_nothing_is_zero(setting: Setting, dtype: str = "float32") -> None:
    """And so is its gradient."""
    drawn = draw(setting, k_len=setting.case.lengths[-1], dtype=dtype)
    seen_BHQK = drawn.seen_BHQK
    dead_BQH = ~np.swapaxes(seen_BHQK.any(axis=3), 1, 2)
    unseen_BK = ~seen_BHQK.any(axis=(1, 2))
    expect(dead_BQH.all(axis=2).any(), "every row sees something")
    # Large scores: a finite stand-in for minus infinity would be met.
    inputs = {n: 60 * np.asarray(x) if n == "q" else x for n, x in drawn.inputs.items()}
    out, grads, _ = drawn.grads(inputs=inputs)
    for name, x in {"outputs": out, **grads}.items():
        assert_finite(x, name, zero=drawn.case.idle)
    assert_zero(numbers(out)[dead_BQH], "outputs of rows that see nothing")
    if "k" in grads:  # else a query that sees nothing may yet be seen as a key
        assert_zero(numbers(grads["q"])[dead_BQH], "gradients by queries that see nothing")
    for name in {"k", "v"} & set(grads):
        assert_zero(numbers(grads[name])[unseen_BK], f"gradients by {name} that nobody sees")


@law
def all_is_zero_where_nobody_sees_anything(setting: Setting, dtype: str = "float32") -> None:
    drawn = draw(setting, dtype=dtype)
    nothing = Array(np.zeros(drawn.shape[:4], bool))
    out, grads, _ = drawn.grads(mask=nothing)
    for name, x in {"the output": out, **grads}.items():
        assert_zero(x, f"outputs and gradients ({name})")

"""The kernels, broken on purpose: for each mistake a law fails.

A mutant is one name in the code replaced by a version with a mistake that others have made. The law
that catches it is the test itself, run on the mutant.
"""

from __future__ import annotations

import itertools
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import FULL
from attention.randomness import mixed
from attention.testing import decoding, draw, laws
from attention.testing.masks import Setting
from attention.variants import Softmax
from tests.laws import (
    test_causality,
    test_decoding,
    test_dropout,
    test_equation,
    test_padding,
)
from tests.laws.cases import Case, SmallTiles, alibi
from tests.reference.attention import softmax_attention

CASE = Case("mutant", SmallTiles(), softmax_attention, lengths=(37, 1, 50))
BIASED = Case("mutant", SmallTiles(), softmax_attention, lengths=(37, 1, 50), bias=alibi)
GROUPED = Case("mutant", SmallTiles(), softmax_attention, lengths=(37, 1, 50), groups=2)
DROPPING = Case("mutant", SmallTiles(dropout_rate=0.3), softmax_attention)
CACHED = Case("mutant", Softmax(), softmax_attention)


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
      name: what is wrong.
      target: the dotted path of the name that is replaced.
      make: from the right version to the wrong one.
      law: the test that has to fail.
    """

    name: str
    target: str
    make: Callable[[Any], Any]
    law: Callable[[], None]


def equation(case: Case = CASE, slot: str = "encoder", mask: str = "all") -> Callable[[], None]:
    return lambda: test_equation.test_every_size_of_head(Setting(case, slot, mask), "float32")


def padding(name: str, mask: str) -> Callable[[], None]:
    return lambda: getattr(test_padding, name)(Setting(CASE, "encoder", mask), "float32")


def window_too_narrow(by_difference: Callable) -> Callable:
    """Tiles at the window's edge are taken for hidden."""
    return lambda tiling, low, high: by_difference(tiling, low + 16, high - 16)


def one_further(tile: Callable) -> Callable:
    return lambda self, q, k, q_size, k_size: tile(self, q, k + 1, q_size, k_size)


def transposed(tile: Callable) -> Callable:
    return lambda *arguments: tile(*arguments).swapaxes(2, 3)


def without_transpose(_: Callable) -> Callable:
    def wrong(x_RTD: jax.Array, heads: int, length: int) -> jax.Array:
        return x_RTD[:, :length].reshape(-1, length, heads, x_RTD.shape[-1])

    return wrong


def finite_sentinel(scores: Callable) -> Callable:
    def wrong(*arguments: Any, **options: Any) -> jax.Array:
        s_GQK = scores(*arguments, **options)
        return jnp.where(jnp.isfinite(s_GQK), s_GQK, -1e9)

    return wrong


def weak_sentinel(scores: Callable) -> Callable:
    """What is hidden still counts a little, as a mean over padding would have it."""

    def wrong(*arguments: Any, **options: Any) -> jax.Array:
        s_GQK = scores(*arguments, **options)
        return jnp.where(jnp.isfinite(s_GQK), s_GQK, 0.0)

    return wrong


def all_full(kinds: Callable) -> Callable:
    return lambda self: tuple((tiles_P2, False) for tiles_P2, _ in kinds(self))


def first_head_only(take_rows: Callable) -> Callable:
    return lambda tree, row_b_G, row_h_G: take_rows(tree, row_b_G, 0 * row_h_G)


def no_query_offset(tile: Callable) -> Callable:
    return lambda self, q, k, q_size, k_size: tile(self, 0 * q, k, q_size, k_size)


def gradient_lost(pulled: Callable) -> Callable:
    return lambda self, grad, *rest: grad


def redrawn(_: Callable) -> Callable:
    """Other weights are dropped each time they are asked for, as in the backward pass."""
    times = itertools.count(1)
    return lambda x: mixed(x ^ jnp.uint32(next(times)))


def always_full(_: Callable) -> Callable:
    return lambda self, tiling: np.full(tiling.shape, FULL, np.int8)


def one_early(write: Callable) -> Callable:
    return lambda cache, new, at_BQ: write(cache, new, jnp.maximum(at_BQ - 1, 0))


def unscaled(static: Callable) -> Callable:
    return lambda q_len, k_len, heads, scale, limits: static(q_len, k_len, heads, 1.0, limits)


def one_tile_less(kinds: Callable) -> Callable:
    return lambda self: tuple((tiles_P2[:-1], masked) for tiles_P2, masked in kinds(self))


def interleaved(_: Callable) -> Callable:
    return lambda x, times, axis: jnp.tile(x, (1, 1, times, 1))


def as_it_is(_: Callable) -> Callable:
    return lambda q, k, v, mask: (q, k, v)


M = "attention.kernels."
MUTANTS = [
    Mutant(
        "a window's edge skipped",
        "attention.masks.patterns.by_difference",
        window_too_narrow,
        equation(mask="window"),
    ),
    Mutant("a mask one key further", "attention.masks.Mask.tile", one_further,
           equation(mask="window")),
    Mutant("the mask on the wrong axis", "attention.masks.Mask.tile", transposed,
           equation(slot="decoder")),
    Mutant("heads joined without a transpose", M + "tiled.tiled.unflatten_heads", without_transpose,
           equation()),
    Mutant("a finite sentinel", M + "tiled.tiled.tile_scores", finite_sentinel,
           padding("test_a_row_that_sees_nothing_is_zero_and_so_is_its_gradient", "any")),
    Mutant("a mean over padding", M + "tiled.tiled.tile_scores", weak_sentinel,
           padding("test_more_padding_changes_nothing", "lengths")),
    Mutant("keys beyond the end", M + "tiled.plan.Plan.kinds", all_full, equation()),
    Mutant("every head under the first head's mask", M + "tiled.tiles.take_rows", first_head_only,
           equation(mask="any")),
    Mutant("a bias without the tile's offset", "attention.biases.Bias.tile", no_query_offset,
           equation(BIASED)),
    Mutant("a bias without a gradient", "attention.biases.Given.pulled", gradient_lost,
           lambda: test_equation.test_gradients(Setting(CASE, "encoder", "all"))),
    Mutant("dropout that the backward pass draws anew", M + "dropped.mixed", redrawn,
           lambda: test_dropout.test_the_gradient_drops_what_the_forward_pass_dropped(DROPPING)),
    Mutant("a causal mask that is not asked", "attention.masks.Causal.blocks", always_full,
           lambda: test_causality.test_what_comes_later_changes_nothing(
               Setting(CASE, "decoder", "all"), "float32")),
    Mutant("a cached position one early", M + "decode.cache.write", one_early,
           lambda: test_decoding.test_step_by_step_is_the_full_pass(
               Setting(CACHED, "decoder", "all"), (3, 4, 7))),
    Mutant("scores that are not scaled", M + "tiled.tiled.Static", unscaled, equation()),
    Mutant("shared heads in the wrong order", "attention.kernels.jnp.repeat", interleaved,
           equation(GROUPED)),
    Mutant("padding that is not zeroed", M + "inputs.zero_padding", as_it_is,
           padding("test_what_stands_in_padding_changes_nothing", "lengths")),
    Mutant("the last tile left out", M + "tiled.plan.Plan.kinds", one_tile_less, equation()),
]  # fmt: skip


def forget_traces():
    """Nothing that was traced from other code is used again."""
    for cache in (
        draw.compiled,
        draw.compiled_grad,
        decoding.extend,
        laws.matrix_of,
    ):
        cache.cache_clear()
    jax.clear_caches()


@pytest.fixture(autouse=True)
def _fresh():
    yield
    forget_traces()


@pytest.mark.long  # each compiles its law twice; `make mutants` has others, over all of the code
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_law_catches_it(mutant, monkeypatch):
    mutant.law()  # the right code passes
    forget_traces()
    monkeypatch.setattr(mutant.target, mutant.make(pkgutil.resolve_name(mutant.target)))
    with pytest.raises((AssertionError, ValueError)):
        mutant.law()

"""The sparse kernel against the reference kernel: every pattern, with all that acts on scores."""

import functools
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from attention.analysis.multiply_adds import multiply_adds
from attention.biases import ALiBi, Relative
from attention.kernels import explain, softmax_attention
from attention.kernels.limits import Limits
from attention.masks import (
    Causal,
    Dilated,
    Everything,
    Fixed,
    Global,
    Grid,
    LastBlock,
    Lengths,
    Mask,
    NearBlocks,
    PerHead,
    RandomBlocks,
    Strided,
    Window,
    as_mask,
)
from attention.masks.components import DynamicRange, MaskComponent
from attention.masks.trees import pytree

RANDOM = np.random.default_rng(0)
LENGTHS = Lengths(jnp.array([70, 33]))
AXIAL = Fixed(12, columns=False) | Strided(12, local=False)
BIGBIRD = (
    NearBlocks(8) | RandomBlocks(8, 2, 20, apart=2) | Global(8) | LastBlock(8, jnp.array([70, 33]))
)
MASKS = {
    "window": Window(5, 3) & LENGTHS,
    "dilated": Dilated(3, 2, 4) & LENGTHS,
    "dilated and narrow": Dilated(1, 1, 2),
    "random blocks": RandomBlocks(8, 2, 12),
    "strided": Strided(7) & Causal(),
    "strided both ways": Strided(10) & LENGTHS,
    "columns": Strided(10, local=False) & LENGTHS,
    "fixed": Fixed(8, 2) & Causal(),
    "fixed both ways": Fixed(8, 2) & LENGTHS,
    "global": Global(2, (50,)) | Window(0, 0),
    "longformer": (Window(4, 4) | Global(3)) & LENGTHS,
    "grid": Grid(12, 2, 1) & LENGTHS,
    "grid in order": Grid(12, 1, 2) & Causal(),
    "axial": AXIAL,
    "bigbird": BIGBIRD & LENGTHS,
    "last block": (LastBlock(8, jnp.array([70, 33])) | Window(1, 1)) & LENGTHS,
    "by head": PerHead((Window(1, 2), Causal(), Strided(5))) & LENGTHS,
    "an array": Window(6, 6) & (RANDOM.random((2, 3, 96, 96)) < 0.3),
    "nothing is seen": Window(5, 3) & (RANDOM.random((96, 96)) < 0),
    "everything": None,
}
QUICK = ("dilated and narrow", "random blocks", "by head")
# These differ by batch element, head or component; the others are much alike.
APART = ("dilated", "bigbird", "by head", "an array", "last block", "longformer", "nothing is seen",
         "everything", "columns", "grid in order", "fixed")  # fmt: skip
each_mask = pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MASKS]
)


def gradients(kernel, mask, weight, q, k, v, bias, **options):
    """By q, k, v and a bias, and the outputs."""

    def loss(q, k, v, bias):
        out = softmax_attention(q, k, v, mask, bias=bias, kernel=kernel, **options)
        return (out * weight).sum(), out

    wanted = (0, 1, 2) if bias is None else (0, 1, 2, 3)
    return jax.grad(loss, wanted, has_aux=True)(q, k, v, bias)


# Given what is seen as an array: one program for all masks.
by_reference = jax.jit(functools.partial(gradients, "reference"), static_argnames="dropout_rate")


def seen(mask, batch, heads, q_len, k_len):
    dense = jax.jit(lambda: as_mask(mask).dense(q_len, k_len))()
    return np.broadcast_to(dense, (batch, heads, q_len, k_len))


def made(kernel, mask, q_len=96, k_len=96, batch=2, heads=3, bias=None, dtype="float32", **options):
    """Outputs and gradients of a kernel, from the same inputs whatever the kernel and the mask."""
    random, shapes = np.random.default_rng(0), ((q_len, 8), (k_len, 8), (k_len, 5))
    dtype = jnp.dtype(dtype)
    qkv = [random.normal(size=(batch, n, heads, d)).astype(dtype) for n, d in shapes]
    weight = random.normal(size=(batch, q_len, heads, 5)).astype(dtype)
    if kernel == "reference":
        see = seen(mask, batch, heads, q_len, k_len)
        return jax.tree.leaves(by_reference(see, weight, *qkv, bias, **options))
    run = jax.jit(functools.partial(gradients, kernel, mask, weight, **options))
    return jax.tree.leaves(run(*qkv, bias))


def both(mask, *lengths, **options):
    """Of the sparse kernel, and of the reference."""
    return (made(kernel, mask, *lengths, **options) for kernel in ("sparse", "reference"))


@functools.cache
def expected(name):
    """Of the reference, once for all the ways in which the sparse kernel comes to it."""
    return made("reference", MASKS[name])


def assert_equal(ours, theirs, tolerance=1e-5):
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        one, other = (np.asarray(x, "float32") for x in (one, other))
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


# A mask that is long here is tried in many blocks below.
@pytest.mark.parametrize(
    "name",
    [
        n
        if n in QUICK
        else pytest.param(n, marks=pytest.mark.slow if n in APART else pytest.mark.long)
        for n in MASKS
    ],
)
def test_equal_to_the_reference(name):
    assert_equal(made("sparse", MASKS[name]), expected(name))


@pytest.fixture
def small_blocks():
    sides = {"_TILE_SIDES": (8,), "_MIN_TILE_SIDE": 4}
    with mock.patch.multiple("attention.kernels.sparse.schedule", **sides):
        yield


@each_mask
def test_many_blocks(name, small_blocks):
    assert_equal(made("sparse", MASKS[name]), expected(name))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in APART else pytest.mark.long) for n in MASKS],
)
def test_a_few_batch_elements_at_a_time(name):
    with mock.patch("attention.kernels.sparse.sparse.limits", return_value=Limits(512, 600)):
        assert_equal(made("sparse", MASKS[name]), expected(name))


@pytest.mark.slow
@pytest.mark.parametrize("mask", [Window(5, 3), Fixed(8, 2), Global(2), RandomBlocks(4, 2, 20)])
def test_queries_and_keys_of_different_lengths(mask):
    assert_equal(*both(mask, 40, 70))


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 2, 37, 101])
def test_any_length(length):
    for mask in (Strided(7) & Causal(), Window(3, 3) | Global(1), Grid(9, 1, 1)):
        assert_equal(*both(mask, length, length))


@pytree("lengths_B")
@dataclass(frozen=True, eq=False)
class LastBlock(Mask):
    """All see the block of a row's last token: where it lies is known with the lengths only."""

    size: int
    lengths_B: Any

    def at(self, q_pos, k_pos):
        last_B = (jnp.asarray(self.lengths_B) - 1) // self.size
        return k_pos // self.size == last_B[:, None, None, None]

    def decompose(self, q_len, k_len):
        first_B = (jnp.asarray(self.lengths_B) - 1) // self.size * self.size
        return (MaskComponent(Everything(), k_order=DynamicRange(first_B, self.size)),)


@pytest.mark.parametrize("scores", [2**20, 600])
def test_an_order_that_is_known_with_the_arrays_only(scores):
    last = LastBlock(8, LENGTHS.q_lengths_B)
    with mock.patch("attention.kernels.sparse.sparse.limits", return_value=Limits(512, scores)):
        assert_equal(*both((Window(3, 3) | last) & LENGTHS))


def test_bfloat16():
    ours, theirs = both(Strided(7) & Causal(), dtype="bfloat16")
    assert_equal(ours, theirs, 5e-2)


BIASED = (Strided(7) & Causal()) | Global(2)
BIASES = {
    "alibi": ALiBi.of(3),
    "relative": Relative(jnp.asarray(RANDOM.normal(size=(1, 3, 8, 1)), "float32"), 6),
    "given": jnp.asarray(RANDOM.normal(size=(2, 3, 96, 96)), "float32"),
    "shared": jnp.asarray(RANDOM.normal(size=(1, 1, 96, 96)), "float32"),
}


@functools.cache
def expected_with(name):
    return made("reference", BIASED, bias=BIASES[name])


@pytest.mark.slow
@pytest.mark.parametrize("scores", [2**20, 600])
@pytest.mark.parametrize("name", BIASES)
def test_biases_and_their_gradients(name, scores):
    with mock.patch("attention.kernels.sparse.sparse.limits", return_value=Limits(512, scores)):
        ours = made("sparse", BIASED, bias=BIASES[name])
    assert_equal(ours, expected_with(name), tolerance=2e-5)


@pytest.mark.parametrize("bias", [100.0, -300.0])
def test_a_large_bias_where_tiles_are_filled_up(bias):
    mask = Window(8, 8) & Lengths(jnp.array([67, 50]))
    assert_equal(*both(mask, 67, 67, bias=jnp.full((1, 1, 1, 1), bias)), tolerance=2e-5)


def test_a_bias_may_be_anything_where_the_mask_hides():
    mask, hidden = Window(8, 8) & LENGTHS, ~(Window(8, 8) & LENGTHS)
    see = hidden.dense(96, 96)
    for anything in (jnp.nan, jnp.inf):
        assert_equal(*both(mask, bias=jnp.where(see, anything, 0.1)))


def test_dropout_drops_the_same_weights(small_blocks):
    mask = (Strided(7) & Causal()) | Global(2)
    assert_equal(*both(mask, dropout_rate=0.3, rng=jax.random.key(3)))


def primitives(jaxpr):
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jaxprs_in_params(equation.params):
            yield from primitives(getattr(inner, "jaxpr", inner))


@pytest.mark.parametrize("mask", [Window(9, 9) | Global(2), Strided(16), Grid(16, 2, 2)], ids=str)
def test_nothing_is_scattered(mask):
    x = jnp.ones((1, 256, 2, 8))
    loss = lambda x: softmax_attention(x, x, x, mask, kernel="sparse").sum()  # noqa: E731
    names = set(primitives(jax.make_jaxpr(jax.grad(loss))(x).jaxpr))
    assert "scan" in names
    assert not any("scatter" in name for name in names)


@pytest.mark.slow
def test_multiply_adds_go_with_what_is_seen():
    x = jax.ShapeDtypeStruct((1, 2**14, 2, 8), "float32")
    attend = lambda mask: multiply_adds(lambda x: softmax_attention(x, x, x, mask), x)  # noqa: E731
    assert attend(Window(128, 128)) <= 2.2 * 257 * 2**14 * 2 * 16
    apart = attend(PerHead((Window(128, 128), Strided(128))))
    assert apart <= 2.2 * (257 + 255 + 128) * 2**14 * 16


def test_taken_where_it_pays():
    x = jax.ShapeDtypeStruct((1, 4096, 8, 64), "float32")
    for mask in (Window(64, 64), Strided(64) & Causal(), Global(4) | Window(9, 9)):
        assert "sparse: chosen" in explain(x, x, x, mask, platform="cpu")
    for mask in (None, Causal(), Window(4000, 4000)):
        assert "sparse: possible, and not profitable" in explain(x, x, x, mask, platform="cpu")


@pytest.mark.parametrize("mask", [None, Causal()], ids=str)
@pytest.mark.parametrize("length", [32, 512, 1024, 4096])
def test_full_and_causal_attention_leave_too_little_out(mask, length):
    """Measured: a causal forward pass of 1,024 takes a third longer than by tiles."""
    x = jax.ShapeDtypeStruct((4096 // length, length, 8, 64), "float32")
    assert "sparse: possible, and not profitable" in explain(x, x, x, mask, platform="cpu")


def test_masks_of_another_number_of_heads():
    x = jnp.ones((1, 4, 3, 2))
    with pytest.raises(ValueError, match="for 2 heads, and attention has 3; give it one"):
        softmax_attention(x, x, x, PerHead((Causal(), Causal())))


@pytest.mark.parametrize(
    "mask",
    [
        PerHead((RANDOM.random((2, 2, 9, 9)) < 0.5, Causal())),  # an array for all heads, in one's
        PerHead((Strided(4), Causal())) & PerHead((Window(3, 0), ~Window(1, 1))) & Lengths([9, 5]),
    ],
    ids=["an array of all heads", "twice"],
)
def test_heads_of_one_mask_each(mask):
    q, k, v = (jnp.asarray(RANDOM.normal(size=(2, 9, 2, 4)), "float32") for _ in range(3))
    apart = jax.jit(lambda *x: softmax_attention(*x, kernel="sparse"))(q, k, v, mask)
    together = jax.jit(lambda *x: softmax_attention(*x, kernel="reference"))(q, k, v, mask)
    np.testing.assert_allclose(apart, together, atol=1e-6)

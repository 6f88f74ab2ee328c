"""cuDNN and splash get what we mean: cuDNN's arguments are run by XLA, splash is interpreted."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from attention.kernels import read_inputs, softmax_attention
from attention.kernels.cudnn import cudnn
from attention.kernels.splash.splash import splash
from attention.masks import (
    Causal,
    Dilated,
    Fixed,
    Global,
    Grid,
    Lengths,
    PerHead,
    RandomBlocks,
    Strided,
    Window,
    as_mask,
)

LENGTHS = Lengths(jnp.array([130, 0, 70]))
CROSS = Lengths(jnp.array([100, 20, 1]), jnp.array([150, 0, 9]))
SELF = {
    "all": None,
    "causal": Causal(),
    "lengths": LENGTHS,
    "causal-lengths": Causal() & LENGTHS,
    "causal-window": Causal() & Window(20, 3),
    "causal-window-lengths": Causal() & Window(20, 20) & LENGTHS,
}
STATIC = {  # those of two heads differ
    "strided-causal-lengths": Strided(11) & Causal() & LENGTHS,
    "rows-without-keys": ~Window(20, 200),
    "by-head-lengths": PerHead((Strided(9), ~Causal())) & LENGTHS,
    "strided": Strided(11),
    "strided-columns": Strided(11, local=False) & LENGTHS,
    "fixed-causal": Fixed(16, 3) & Causal(),
    "dilated-lengths": Dilated(3, 2, 5) & LENGTHS,
    "grid": Grid(12, 2, 1),
    "grid-causal-lengths": Grid(12, 2, 1) & Causal() & LENGTHS,
    "global": (Global(2, (129,)) | Window(3, 3)) & LENGTHS,
    "random-blocks": (RandomBlocks(16, 2, 7) | Window(4, 4)) & Causal() & LENGTHS,
    "random-blocks-alone": RandomBlocks(16, 2, 7),
    "rows-without-keys-lengths": ~Window(20, 200) & LENGTHS,
    "nothing": ~Window(300, 300) & LENGTHS,
    "by-head": PerHead((Causal(), Window(4, 4))),
    "by-head-twice": PerHead((Strided(9), Causal())) & PerHead((~Causal(), Fixed(16))),
    "by-head-nothing": PerHead((~Window(300, 300), Grid(12, 1, 1))) & Causal() & LENGTHS,
}
QUICK = ("strided-causal-lengths", "rows-without-keys", "by-head-lengths")
# Each of these has a companion with the same parts, or less.
LONG = (
    *("causal", "lengths", "causal-window", "strided", "strided-columns", "fixed-causal", "grid"),
    *("random-blocks-alone", "rows-without-keys-lengths", "by-head", "by-head-nothing"),
)


def weighed(name):
    """The name as a parameter, marked by what it costs."""
    slow = pytest.mark.long if name in LONG else pytest.mark.slow
    return name if name in QUICK else pytest.param(name, marks=slow)


def gradients(attend, q, k, v, g):
    """The output and the gradients."""
    grad = jax.grad(lambda *x: ((y := attend(*x)) * g).sum() + 0 * y.sum(), argnums=(0, 1, 2))
    return attend(q, k, v), *grad(q, k, v)


@functools.cache
def seen(mask, q_len, k_len):
    dense = jax.jit(lambda: as_mask(mask).dense(q_len, k_len))()
    return np.broadcast_to(dense, (3, 2, q_len, k_len))


@jax.jit
def by_reference(see, q, k, v, g):
    """Given what is seen as an array: one program for all masks."""
    return gradients(partial(softmax_attention, mask=see, kernel="reference"), q, k, v, g)


def both(kernel, q_len, k_len, mask, kv_heads=2, poison=False):
    random = np.random.default_rng(0)
    q, k, v, g = (
        np.asarray(random.normal(size=(3, length, heads, 16)), "float32")
        for length, heads in ((q_len, 2), (k_len, kv_heads), (k_len, kv_heads), (q_len, 2))
    )
    if poison:
        real_BK = mask.padding(q_len, k_len)[1][:, :, None, None]
        k, v = jnp.where(real_BK, k, jnp.nan), jnp.where(real_BK, v, 1e30)

    options = {"bias": None, "scale": 0.25, "dropped": None}

    def attend(q, k, v):
        inputs = read_inputs(q, k, v, mask)  # which zeroes padding, as softmax_attention does
        return kernel(*inputs[:3], mask, **options)

    ours = jax.jit(partial(gradients, attend))
    if poison:
        tiled = partial(softmax_attention, mask=mask, kernel="tiled")
        theirs = jax.jit(partial(gradients, tiled))(q, k, v, g)
    else:
        theirs = by_reference(seen(mask, q_len, k_len), q, k, v, g)
    return jax.tree.map(np.asarray, (ours(q, k, v, g), theirs))


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("mask", SELF.values(), ids=SELF)
def test_cudnn_is_told_what_we_mean(mask):
    assert_same(*both(partial(cudnn, implementation="xla"), 130, 130, mask))


def test_cudnn_across_two_sequences_and_with_shared_heads():
    kernel = partial(cudnn, implementation="xla")
    assert_same(*both(kernel, 100, 150, CROSS, kv_heads=1, poison=True))


@pytest.mark.parametrize("name", [*map(weighed, [*SELF, "window"])])
def test_splash_is_told_what_we_mean(name):
    mask = {**SELF, "window": Window(7, 20)}[name]
    assert_same(*both(partial(splash, interpret=True), 130, 130, mask))


@pytest.mark.parametrize("name", [*map(weighed, STATIC)])
def test_splash_serves_every_mask_without_arrays(name):
    mask = STATIC[name]
    ours, theirs = both(partial(splash, interpret=True), 130, 130, mask)
    assert_same(ours, theirs)
    sees_BQH = seen(mask, 130, 130).any(-1).swapaxes(1, 2)
    for one in ours[:2]:  # the outputs and the gradients of the queries
        assert not one[~sees_BQH].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "mask",
    [
        CROSS,
        pytest.param(Strided(11) & CROSS, marks=pytest.mark.long),
        PerHead((Fixed(16), Window(9, 9))) & CROSS,
    ],
    ids=["lengths", "strided", "by-head"],
)
def test_splash_across_two_sequences_and_with_shared_heads(mask):
    assert_same(*both(partial(splash, interpret=True), 100, 150, mask, kv_heads=1, poison=True))


@pytest.mark.slow
@pytest.mark.parametrize(("q_len", "k_len"), [(600, 130), (130, 600)])
def test_splash_where_whole_blocks_of_queries_or_keys_are_not_seen(q_len, k_len):
    assert_same(*both(partial(splash, interpret=True), q_len, k_len, Window(5, 5)))


@pytest.mark.parametrize(
    ("pattern", "dtype"),
    [
        (Causal(), "float32"),
        (Causal(), "bfloat16"),
        (Strided(17) & Causal(), "bfloat16"),
        (PerHead((Strided(17), Causal(), Strided(17), ~Causal())), "float32"),
    ],
    ids=["causal float32", "causal bfloat16", "strided", "by head"],
)
def test_splash_lowers_for_a_tpu(pattern, dtype):
    x = jax.ShapeDtypeStruct((2, 300, 4, 64), dtype)

    def loss(q, k, v):
        mask = pattern & Lengths(jnp.array([300, 7]))
        return splash(q, k, v, mask, bias=None, scale=0.125, dropped=None).sum(dtype="float32")

    grad = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    program = export.export(grad, platforms=("tpu",))(x, x, x)
    assert program.mlir_module().count("tpu_custom_call") >= 3  # forward and backward

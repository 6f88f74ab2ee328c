"""cuDNN and splash get what we mean: cuDNN's arguments are run by XLA, splash is interpreted."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from attention.kernels import softmax_attention
from attention.kernels.cudnn import cudnn
from attention.kernels.splash import splash
from attention.masks import Causal, Lengths, Window

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


def both(kernel, q_len, k_len, mask, kv_heads=2, poison=False):
    random = np.random.default_rng(0)
    q, k, v, g = (
        jnp.asarray(random.normal(size=(3, length, heads, 16)), "float32")
        for length, heads in ((q_len, 2), (k_len, kv_heads), (k_len, kv_heads), (q_len, 2))
    )
    if poison:
        real_BK = mask.padding(q_len, k_len)[1][:, :, None, None]
        k, v = jnp.where(real_BK, k, jnp.nan), jnp.where(real_BK, v, 1e30)

    def out(attend):
        grad = jax.grad(lambda *x: ((y := attend(*x)) * g).sum() + 0 * y.sum(), argnums=(0, 1, 2))
        return attend(q, k, v), *grad(q, k, v)

    theirs = out(partial(softmax_attention, mask=mask, kernel="tiled"))
    options = {"bias": None, "scale": 0.25, "dropped": None}
    return out(jax.jit(lambda q, k, v: kernel(q, k, v, mask, **options))), theirs


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


@pytest.mark.slow
@pytest.mark.parametrize("mask", [*SELF.values(), Window(7, 20)], ids=[*SELF, "window"])
def test_splash_is_told_what_we_mean(mask):
    assert_same(*both(partial(splash, interpret=True), 130, 130, mask))


@pytest.mark.slow
def test_splash_across_two_sequences_and_with_shared_heads():
    assert_same(*both(partial(splash, interpret=True), 100, 150, CROSS, kv_heads=1, poison=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_splash_lowers_for_a_tpu(dtype):
    x = jax.ShapeDtypeStruct((2, 300, 4, 64), dtype)

    def loss(q, k, v):
        mask = Causal() & Lengths(jnp.array([300, 7]))
        return splash(q, k, v, mask, bias=None, scale=0.125, dropped=None).sum(dtype="float32")

    grad = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    program = export.export(grad, platforms=("tpu",))(x, x, x)
    assert "tpu_custom_call" in program.mlir_module()

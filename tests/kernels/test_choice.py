"""Which kernel is taken, why, and that it makes no difference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.biases import ALiBi
from attention.kernels import explain, softmax_attention
from attention.masks import (
    Array,
    Causal,
    Edges,
    Lengths,
    PerHead,
    Segments,
    Strided,
    Valid,
    Window,
)


def shapes(dtype="bfloat16", length=256, size=64, heads=4, kv_heads=4):
    q = jax.ShapeDtypeStruct((2, length, heads, size), dtype)
    k = jax.ShapeDtypeStruct((2, length, kv_heads, size), dtype)
    return q, k, k


def chosen(*arguments, **options):
    lines = explain(*arguments, **options).splitlines()
    (line,) = [line for line in lines if ": chosen" in line]
    return line.partition(":")[0]


LENGTHS = Lengths(np.array([3, 5]))


@pytest.mark.parametrize(
    ("platform", "mask", "kernel"),
    [
        ("cpu", None, "tiled"),
        ("gpu", None, "cudnn"),
        ("gpu", Causal() & LENGTHS, "cudnn"),
        ("gpu", Causal() & Window(8, 8), "cudnn"),
        ("gpu", Window(8, 8), "tiled"),
        ("gpu", ~Causal(), "tiled"),
        ("tpu", Window(8, 8) & LENGTHS, "splash"),
        ("tpu", Causal(), "splash"),
        ("tpu", Segments(np.ones((2, 256), int)), "tiled"),
        ("tpu", Causal() | Window(1, 1), "splash"),
        ("tpu", Strided(16) & LENGTHS, "splash"),
        ("tpu", PerHead((Causal(), Strided(16)) * 2) & LENGTHS, "splash"),
        ("tpu", Causal() | LENGTHS, "tiled"),
        ("gpu", PerHead((Causal(),) * 4), "tiled"),
    ],
)
def test_the_kernel_that_suits(platform, mask, kernel):
    assert chosen(*shapes(), mask, platform=platform) == kernel


@pytest.mark.parametrize(
    ("arguments", "options", "reason"),
    [
        (shapes("float32"), {}, "takes bfloat16 and float16, not float32"),
        (shapes(size=60), {}, "a multiple of 8 up to 128"),
        (shapes(length=255), {}, "even lengths"),
        (shapes(), {"dropout_rate": 0.1}, "draws other weights"),
        (shapes(), {"bias": ALiBi.of(4)}, "not asked to add a bias"),
    ],
)
def test_why_not_cudnn(arguments, options, reason):
    assert reason in explain(*arguments, platform="gpu", **options).splitlines()[0]


@pytest.mark.parametrize(
    "mask",
    [
        Edges(np.array([[0, 1]]), 256),
        Array(np.ones((256, 256), bool)),
        Valid(np.ones((2, 256), bool)),
        LENGTHS & LENGTHS,
        ~LENGTHS,
        ~PerHead((Causal(),) * 4),
        PerHead((LENGTHS, *(Causal(),) * 3)),
    ],
    ids=["edges", "array", "valid", "lengths twice", "not lengths", "not by head", "by head"],
)
def test_splash_is_not_for_arrays(mask):
    line = explain(*shapes(), mask, platform="tpu").splitlines()[1]
    assert line == "splash: no: its masks are those without arrays, and lengths"


@pytest.mark.slow
def test_splash_is_not_for_long_masks_that_would_fill_the_program():
    x = jax.ShapeDtypeStruct((1, 2**14, 2, 64), "bfloat16")
    lines = explain(x, x, x, Strided(128) & Causal(), platform="tpu").splitlines()
    assert lines[1].startswith("splash: no: too many of its blocks are shown in part")
    assert lines[2] == "sparse: chosen"
    assert chosen(x, x, x, Causal() & Window(2**13, 0), platform="tpu") == "splash"


def test_shared_heads_do_not_keep_cudnn_away():
    assert chosen(*shapes(kv_heads=2), platform="gpu") == "cudnn"


def test_forcing():
    assert chosen(*shapes(), kernel="reference", platform="gpu") == "reference"
    x = jnp.ones((1, 4, 1, 8))
    with pytest.raises(NotImplementedError, match="it needs a GPU.*use kernel='auto'"):
        softmax_attention(x, x, x, kernel="cudnn")
    with pytest.raises(ValueError, match="'fast' is unknown; choose 'auto' or one of"):
        softmax_attention(x, x, x, kernel="fast")


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_the_choice_changes_nothing(kv_heads, rate):
    random = np.random.default_rng(0)
    q, k, v = (
        jnp.asarray(random.normal(size=(2, 9, heads, 8)), "float32")
        for heads in (4, kv_heads, kv_heads)
    )

    def out(kernel):
        rng = jax.random.key(1)
        options = {"dropout_rate": rate, "rng": rng, "kernel": kernel, "bias": ALiBi.of(4)}

        def loss(q, k, v):
            y = softmax_attention(q, k, v, Causal() & LENGTHS, **options)
            return (y**2).sum(), y

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(q, k, v)

    for one, other in zip(
        jax.tree.leaves(out("reference")), jax.tree.leaves(out("tiled")), strict=True
    ):
        assert np.any(one)
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_grouped_heads_are_heads_repeated():
    random = np.random.default_rng(0)
    q, k, v = (jnp.asarray(random.normal(size=(1, 5, h, 4)), "float32") for h in (6, 2, 2))
    repeated = softmax_attention(q, jnp.repeat(k, 3, axis=2), jnp.repeat(v, 3, axis=2))
    np.testing.assert_allclose(softmax_attention(q, k, v), repeated, atol=1e-6)
    with pytest.raises(ValueError, match="divide q's"):
        softmax_attention(q, k[:, :, :1].repeat(4, 2), v[:, :, :1].repeat(4, 2))

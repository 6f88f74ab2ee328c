"""The reference kernel against float64 NumPy, and the promises that every kernel keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from attention import kernels
from attention.masks import Causal, Lengths, Valid, Window
from tests.reference.attention import softmax_attention as numpy_attention

# Compiled, for speed: an eager run compiles each of its operations.
softmax_attention = jax.jit(
    kernels.softmax_attention, static_argnames=("scale", "dropout_rate", "kernel")
)

TOLERANCE = {"float32": 5e-6, "bfloat16": 2e-2, "float16": 5e-3}


def qkv(batch=2, q_len=5, k_len=7, heads=3, size=4, value_size=6, dtype="float32", seed=0):
    random = np.random.default_rng(seed)
    shapes = (q_len, size), (k_len, size), (k_len, value_size)
    arrays = (random.normal(size=(batch, length, heads, n)) for length, n in shapes)
    return [jnp.asarray(a, dtype) for a in arrays]


def see_of(shape, seed=1):
    """Random, with a row that sees nothing, one that sees one key, and a key that nobody sees."""
    see = np.random.default_rng(seed).random(shape) < 0.6
    see[..., 0, :], see[..., 1, :], see[..., -1] = False, False, False
    see[..., 1, 0] = True
    return see


def assert_close(ours, theirs, dtype="float32"):
    assert ours.dtype == dtype
    np.testing.assert_allclose(
        np.asarray(ours, np.float64), theirs, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype]
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("sizes", "see"),
    [
        ({}, None),
        ({}, see_of((2, 3, 5, 7))),
        ({}, see_of((2, 5, 7))[:, None]),
        ({}, see_of((5, 7))),
        (dict(batch=1, q_len=1, k_len=1, heads=1), None),
        (dict(q_len=1, heads=5, size=1, value_size=1), None),
        (dict(q_len=9, k_len=2), None),
    ],
    ids=["all", "per head", "per row", "one for all", "one token", "one feature", "few keys"],
)
def test_equal_to_the_papers_equation(sizes, see, dtype):
    q, k, v = qkv(**sizes, dtype=dtype)
    mask = see[:, 0] if see is not None and see.ndim == 4 and see.shape[1] == 1 else see
    ours = jax.jit(softmax_attention)(q, k, v, mask)
    assert_close(ours, numpy_attention(q, k, v, see), dtype)


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 3, 5, 7), (2, 1, 1, 7), (5, 7), ()])
def test_bias_is_added_to_the_scores(shape):
    q, k, v = qkv()
    bias, see = np.random.default_rng(2).normal(size=shape), see_of((5, 7))
    ours = softmax_attention(q, k, v, see, bias=jnp.asarray(bias, jnp.float32))
    assert_close(ours, numpy_attention(q, k, v, see, bias))


def test_scale_can_be_chosen():
    q, k, v = qkv()
    assert_close(softmax_attention(q, k, v, scale=1.7), numpy_attention(q, k, v, scale=1.7))


def test_scores_of_thousands_do_not_overflow():
    q, k, v = qkv()
    ours = softmax_attention(3e3 * q, k, v, see_of((5, 7)))
    # Scores of 1e4 are rounded to 1e-3 in float32.
    theirs = numpy_attention(3e3 * q, k, v, see_of((5, 7)))
    np.testing.assert_allclose(ours, theirs, atol=1e-2)


@pytest.mark.parametrize("mask", [None, Causal()], ids=["no mask", "mask"])
def test_a_bias_of_minus_infinity_hides(mask):
    q, k, v = qkv(k_len=5)
    bias = np.where(np.arange(5) < 3, 0.0, -np.inf)[None].repeat(5, 0)
    bias[2] = -np.inf
    see = np.isfinite(bias) & (np.ones((5, 5), bool) if mask is None else np.tri(5, dtype=bool))
    ours = softmax_attention(q, k, v, mask, bias=jnp.asarray(bias, jnp.float32))
    assert_close(ours, numpy_attention(q, k, v, see))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_scores_are_kept_in_float32(dtype):
    # Scores of 1024 and 1024.5, which are one number in half precision.
    q = jnp.ones((1, 1, 1, 2), dtype)
    k = jnp.array([[1024, 0], [1024, 0.5]], dtype)[None, :, None]
    v = jnp.array([0, 1], dtype)[None, :, None, None]
    ours = softmax_attention(q, k, v, scale=1.0)
    assert ours.item() == pytest.approx(1 / (1 + np.exp(-0.5)), abs=4e-3)


def test_gradients_in_float64():
    with jax.enable_x64(True):
        q, k, v = qkv(1, 3, 4, 2, 2, 3, dtype="float64")
        bias = jnp.asarray(np.random.default_rng(3).normal(size=(1, 2, 3, 4)))
        see = jnp.asarray(see_of((3, 4)))

        def attend(q, k, v, bias):
            return softmax_attention(q, k, v, see, bias=bias)

        assert attend(q, k, v, bias).dtype == jnp.float64
        check_grads(attend, (q, k, v, bias), order=1, modes=["rev"])


def test_float64_is_kept():
    with jax.enable_x64(True):
        q, k, v = qkv(dtype="float64")
        ours = softmax_attention(q, k, v, Causal())
        see = np.tri(5, 7, dtype=bool)
        theirs = numpy_attention(q, k, v, see)
        np.testing.assert_allclose(ours, theirs, atol=1e-13, rtol=1e-13)
        mixed = softmax_attention(q.astype(jnp.float32), k, v, Causal())
        assert mixed.dtype == jnp.float64
        np.testing.assert_allclose(mixed, theirs, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "mask",
    [
        Lengths(jnp.array([3, 5])),
        Causal() & Lengths(jnp.array([3, 5])),
        Valid(jnp.array([[True, True, True, False, False], [True] * 5])) & Window(1, 1),
    ],
    ids=["lengths", "causal", "window"],
)
def test_what_stands_in_padding_changes_nothing(mask, dtype):
    q, k, v = qkv(k_len=5, dtype=dtype)
    real = jnp.array([[1, 1, 1, 0, 0], [1] * 5], bool)[..., None, None]
    huge = jnp.where(jnp.arange(v.shape[-1]) < 3, 1e30, jnp.nan).astype(dtype)[None, None, None]
    spoilt = jnp.where(real, q, jnp.nan), jnp.where(real, k, jnp.nan), jnp.where(real, v, huge)

    @jax.jit
    def loss(q, k, v):
        out = softmax_attention(q, k, v, mask)
        return jnp.where(real, out, 0).astype(jnp.float32).sum(), out

    grad = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
    (_, clean), clean_grads = grad(q, k, v)
    (_, out), grads = grad(*spoilt)
    np.testing.assert_array_equal(np.asarray(out, np.float32), np.asarray(clean, np.float32))
    assert np.all(np.where(real, 0, np.asarray(out, np.float32)) == 0)
    for ours, theirs in zip(grads, clean_grads, strict=True):
        ours, theirs = np.asarray(ours, np.float32), np.asarray(theirs, np.float32)
        np.testing.assert_array_equal(ours, theirs)
        assert np.isfinite(ours).all()
        assert np.all(np.where(real, 0, ours) == 0)
        assert np.any(ours != 0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_row_that_sees_nothing_is_zero_and_has_no_gradient(dtype):
    q, k, v = qkv(dtype=dtype)
    # Row 0 sees nothing; in the second sentence no row sees anything.
    see = np.ones((2, 5, 7), bool)
    see[0, 0], see[1] = False, False

    @jax.jit
    def loss(q, k, v):
        out = softmax_attention(100 * q, 100 * k, v, see)
        return out.astype(jnp.float32).sum(), out

    (dq, dk, dv), out = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(q, k, v)
    for x in (out, dq):
        assert not np.any(x[0, 0])
    for x in (out, dq, dk, dv):
        assert not np.any(x[1])
        assert np.isfinite(np.asarray(x, np.float32)).all()
    assert np.all(np.any(out[0, 1:], axis=(1, 2)))


def test_dropout_keeps_the_mean_and_needs_an_rng():
    q, k = jnp.zeros((1, 64, 2, 4)), jnp.zeros((1, 64, 2, 4))
    v = jnp.eye(64)[None, :, None].repeat(2, 2)
    plain = softmax_attention(q, k, v, dropout_rate=0.25)
    np.testing.assert_allclose(plain, 1 / 64, atol=1e-6)
    ours = [
        np.asarray(softmax_attention(q, k, v, dropout_rate=0.25, rng=jax.random.key(seed)))
        for seed in (0, 1, 0)
    ]
    np.testing.assert_array_equal(ours[0], ours[2])
    assert np.any(ours[0] != ours[1])
    # Weights are dropped or scaled by 4/3, apart for each head and each query.
    np.testing.assert_allclose(np.unique(ours[0]), [0, 4 / 3 / 64], atol=1e-6)
    kept = ours[0] > 0
    assert abs(kept.mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / kept.size)
    assert np.any(kept[:, :, 0] != kept[:, :, 1])
    assert np.any(kept[:, 0] != kept[:, 1])


def test_jit_and_vmap_change_nothing():
    q, k, v = qkv()
    mask = Lengths(None, jnp.array([4, 7]))
    plain = softmax_attention(q, k, v, mask)
    eager = kernels.softmax_attention(q, k, v, mask)
    np.testing.assert_allclose(eager, plain, atol=1e-6)
    one = [x[:, None] for x in (q, k, v, jnp.array([4, 7]))]
    mapped = jax.vmap(lambda q, k, v, n: softmax_attention(q, k, v, Lengths(None, n)))(*one)
    np.testing.assert_allclose(mapped[:, 0], plain, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(mask=np.ones((5, 8), bool)), ValueError, "made for 8 keys; attention has 7"),
        (dict(mask=np.ones((6, 7), bool)), ValueError, "made for 6 queries; attention has 5"),
        (dict(mask=np.ones((3, 5, 7), bool)), ValueError, r"mask has shape \(3, 1, 5, 7\)"),
        (dict(mask=np.ones((1, 2, 5, 7), bool)), ValueError, r"mask has shape \(1, 2, 5, 7\)"),
        (dict(mask=Lengths([1, 2, 3])), ValueError, r"mask has shape \(3, 1, 5, 7\)"),
        (dict(mask=np.ones((5, 7))), TypeError, "needs bool"),
        (dict(bias=jnp.ones((3, 1, 5, 7))), ValueError, r"bias has shape \(3, 1, 5, 7\)"),
        (dict(bias=jnp.ones((5, 7), bool)), TypeError, "bias has dtype bool; .*floating"),
        (dict(dropout_rate=1.0), ValueError, r"dropout_rate is 1.0; .*\[0, 1\)"),
        (dict(dropout_rate=float("nan")), ValueError, "dropout_rate is nan"),
        (dict(kernel="fast"), ValueError, "kernel 'fast' is unknown; choose 'auto' or .*reference"),
    ],
)
def test_what_is_wrong_is_told(options, error, message):
    with pytest.raises(error, match=message) as caught:
        softmax_attention(*qkv(), **options)
    assert "\n" not in str(caught.value)

"""Softmax attention as a value: the laws that every variant is held to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from attention.analysis.matrices import effective_matrix
from attention.masks import Array, Causal, Lengths, Segments, Window
from attention.shapes import Sizes
from attention.variants import Softmax
from tests.reference.attention import softmax_attention as numpy_attention

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

SIZES = Sizes(heads=3, size=4, value_size=5, model_size=12)
LENGTHS = jnp.array([4, 6])


def qkv(batch=2, q_len=6, k_len=6, sizes=SIZES, dtype="float32", seed=0):
    random = np.random.default_rng(seed)
    shapes = (q_len, sizes.size), (k_len, sizes.size), (k_len, sizes.value_size)
    arrays = (random.normal(size=(batch, length, sizes.heads, n)) for length, n in shapes)
    return [jnp.asarray(a, dtype) for a in arrays]


@functools.partial(jax.jit, static_argnames="dropout_rate")
def attend(q, k, v, mask=None, dropout_rate=0.0, **options):
    out, state = Softmax(dropout_rate).attend({}, {}, q, k, v, mask, **options)
    assert state == {}
    return out


extend = jax.jit(functools.partial(Softmax().extend, {}, {}))


def test_it_has_no_parameters_and_no_state():
    assert Softmax().init(jax.random.key(0), SIZES) == ({}, {})


@pytest.mark.parametrize(("q_len", "k_len", "heads"), [(1, 1, 1), (1, 5, 3), (4, 2, 5)])
def test_equal_to_the_paper_across_two_sequences(q_len, k_len, heads):
    q, k, v = qkv(1, q_len, k_len, Sizes(heads, 2, 3, 6))
    see = np.random.default_rng(1).random((1, heads, q_len, k_len)) < 0.7
    ours = attend(q, k, v, see)
    np.testing.assert_allclose(ours, numpy_attention(q, k, v, see), atol=5e-6, rtol=5e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("bfloat16", 2e-2)])
def test_equal_to_the_paper_with_mask_and_bias(dtype, tolerance):
    q, k, v = qkv(k_len=9, dtype=dtype)
    mask = Causal() & Lengths(LENGTHS)
    bias = np.random.default_rng(1).normal(size=(1, 3, 6, 9))
    ours = attend(q, k, v, mask, bias=jnp.asarray(bias, dtype))
    theirs = numpy_attention(q, k, v, mask.dense(6, 9), jnp.asarray(bias, dtype))
    assert ours.dtype == dtype
    np.testing.assert_allclose(np.asarray(ours, np.float64), theirs, atol=tolerance, rtol=tolerance)


def test_gradients():
    with jax.enable_x64(True):
        q, k, v = qkv(2, 3, 4, Sizes(1, 2, 2, 2), dtype="float64")
        mask = Window(1, 1) & Lengths(None, jnp.array([1, 4]))
        check_grads(lambda *x: attend(*x, mask), (q, k, v), order=1, modes=["rev"])


def test_linear_in_the_values():
    q, k, v = qkv()
    _, _, other = qkv(seed=1)
    both = attend(q, k, 2 * v - 3 * other, Causal())
    apart = 2 * attend(q, k, v, Causal()) - 3 * attend(q, k, other, Causal())
    np.testing.assert_allclose(both, apart, atol=5e-6)
    assert not np.any(attend(q, k, jnp.zeros_like(v)))


@pytest.mark.parametrize(
    "mask",
    [
        Causal(),
        Window(2, 1) & Lengths(LENGTHS),
        Segments(jnp.array([[1, 1, 2, 2, 2, 0], [1, 2, 3, 3, 3, 3]])),
        Array(np.random.default_rng(2).random((2, 3, 6, 6)) < 0.5),
    ],
    ids=["causal", "window", "segments", "per head"],
)
def test_the_effective_matrix_is_zero_where_hidden_and_its_rows_sum_to_one(mask):
    q, k, v = qkv()
    matrix = jax.jit(functools.partial(effective_matrix, Softmax(), {}, {}))(q, k, mask)
    see = np.broadcast_to(mask.dense(6, 6), matrix.shape)
    assert np.all(matrix[~see] == 0.0)
    assert np.all(matrix[see] > 0.0)
    np.testing.assert_allclose(matrix.sum(axis=-1), see.any(axis=-1), atol=1e-6)
    out = jnp.einsum("BHQK,BKHE->BQHE", matrix, v)
    np.testing.assert_allclose(attend(q, k, v, mask), out, atol=5e-6)


def test_causal_outputs_do_not_see_the_future():
    old, new = qkv(), qkv(seed=1)
    mask = Causal() & Lengths(LENGTHS)
    plain = attend(*old, mask)
    for i in range(6):
        later = (jnp.arange(6) > i)[None, :, None, None]
        ours = attend(*(jnp.where(later, b, a) for a, b in zip(old, new, strict=True)), mask)
        np.testing.assert_array_equal(ours[:, : i + 1], plain[:, : i + 1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_padding_and_more_padding_change_nothing(dtype):
    q, k, v = qkv(dtype=dtype)
    real = (jnp.arange(6)[None] < LENGTHS[:, None])[..., None, None]
    spoilt = (
        jnp.pad(jnp.where(real, x, value), ((0, 0), (0, 3), (0, 0), (0, 0)), constant_values=value)
        for x, value in ((q, jnp.nan), (k, jnp.nan), (v, 1e30))
    )
    plain = np.asarray(jnp.where(real, attend(q, k, v, Lengths(LENGTHS)), 0), np.float32)
    ours = np.asarray(attend(*spoilt, Lengths(LENGTHS)), np.float32)
    np.testing.assert_allclose(ours[:, :6], plain, atol=1e-6 if dtype == "float32" else 1e-2)
    assert not ours[:, 6:].any()


def decode(cache, arrays, chunks, mask=None):
    """Outputs of all positions, the cache extended by chunks of these lengths."""
    outs, begin = [], 0
    for length in chunks:
        out, cache = extend(cache, *(x[:, begin : begin + length] for x in arrays), mask)
        outs.append(out)
        begin += length
    return jnp.concatenate(outs, axis=1), cache


@pytest.mark.parametrize(
    "mask", [None, Window(2, 0), Lengths(LENGTHS)], ids=["all", "window", "lengths"]
)
@pytest.mark.parametrize("chunks", [(1,) * 6, (3, 1, 2)], ids=["one by one", "chunks"])
def test_cached_decoding_is_the_full_pass(mask, chunks):
    arrays = qkv()
    cache = Softmax().init_cache({}, {}, SIZES, 2, 8, jnp.float32)
    ours, cache = decode(cache, arrays, chunks, mask)
    full = attend(*arrays, Causal() if mask is None else Causal() & mask)
    np.testing.assert_allclose(ours, full, atol=1e-5)
    np.testing.assert_array_equal(cache["index_B"], [6, 6])


def test_cached_rows_may_stand_at_different_positions_and_be_reordered():
    arrays, other = qkv(), qkv(seed=1)
    full = [attend(*x, Causal()) for x in (arrays, other)]
    # Row 0 has three positions in its cache, row 1 of the other batch five.
    caches = []
    for x, row, length in ((arrays, 0, 3), (other, 1, 5)):
        cache = Softmax().init_cache({}, {}, SIZES, 2, 6, jnp.float32)
        _, cache = decode(cache, [a[:, :length] for a in x], [length])
        caches.append(jax.tree.map(lambda a, row=row: a[row], cache))
    cache = jax.tree.map(lambda *rows: jnp.stack(rows), *caches)
    np.testing.assert_array_equal(cache["index_B"], [3, 5])
    # As a beam search does: row 1 survives twice.
    order = jnp.array([1, 0, 1])
    cache = jax.tree.map(lambda a: a[order], cache)
    step = [
        jnp.stack([x[1, 5], y[0, 3], x[1, 5]])[:, None] for x, y in zip(other, arrays, strict=True)
    ]
    ours, _ = decode(cache, step, [1])
    theirs = jnp.stack([full[1][1, 5], full[0][0, 3], full[1][1, 5]])
    np.testing.assert_allclose(ours[:, 0], theirs, atol=1e-5)


def test_cached_bias_speaks_of_the_caches_positions():
    arrays = qkv()
    bias = jnp.asarray(np.random.default_rng(3).normal(size=(1, 3, 6, 6)), jnp.float32)
    full = attend(*arrays, Causal(), bias=bias)
    cache = Softmax().init_cache({}, {}, SIZES, 2, 6, jnp.float32)
    _, cache = decode(cache, [x[:, :4] for x in arrays], [4])
    step = [x[:, 4:5] for x in arrays]
    ours, _ = extend(cache, *step, None, bias=bias[:, :, 4:5])
    np.testing.assert_allclose(ours, full[:, 4:5], atol=1e-5)


def test_the_cache_has_the_batch_first_and_the_dtype_asked_for():
    cache = Softmax().init_cache({}, {}, SIZES, 7, 11, jnp.bfloat16)
    assert {x.shape[0] for x in jax.tree.leaves(cache)} == {7}
    assert cache["k_BHKD"].shape == (7, 3, 11, 4)
    assert cache["v_BHKE"].shape == (7, 3, 11, 5)
    assert cache["k_BHKD"].dtype == cache["v_BHKE"].dtype == jnp.bfloat16


def test_remat_scan_and_vmap_change_nothing():
    q, k, v = qkv()
    mask = Causal() & Lengths(LENGTHS)

    def loss(q, mask):
        return (attend(q, k, v, mask) ** 2).sum()

    def scanned(q, mask):
        def layer(mask, _):
            return mask, jax.checkpoint(loss)(q, mask)

        return jax.lax.scan(layer, mask, length=2)[1].sum() / 2

    def mapped(q, mask):
        rows = [x[:, None] for x in (q, k, v)]
        one = jax.vmap(lambda q, k, v, n: attend(q, k, v, Causal() & Lengths(n)))
        return (one(*rows, mask.right.q_lengths_B[:, None]) ** 2).sum()

    plain, grad = jax.jit(jax.value_and_grad(loss))(q, mask)
    for transformed in (scanned, mapped):
        ours, ours_grad = jax.jit(jax.value_and_grad(transformed))(q, mask)
        np.testing.assert_allclose(ours, plain, rtol=1e-5)
        np.testing.assert_allclose(ours_grad, grad, atol=1e-5)


def test_dropout_is_on_in_training_alone():
    q, k, v = qkv()
    plain = attend(q, k, v, Causal())

    def run(rng):
        return np.asarray(attend(q, k, v, Causal(), dropout_rate=0.5, rng=rng))

    np.testing.assert_array_equal(run(None), plain)
    one, other = (run(jax.random.key(seed)) for seed in (0, 1))
    assert np.any(one != plain)
    assert np.any(one != other)
    np.testing.assert_array_equal(attend(q, k, v, Causal(), rng=jax.random.key(0)), plain)


def test_an_unknown_kernel_is_told():
    with pytest.raises(ValueError, match="kernel 'fast' is unknown"):
        Softmax(kernel="fast").attend({}, {}, *qkv(), None)


def test_eight_devices_change_nothing_and_gather_nothing(eight_devices):
    printed = eight_devices("""
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
        from attention.masks import Causal, Lengths
        from attention.variants import Softmax

        mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
        x = jnp.asarray(np.random.default_rng(0).normal(size=(16, 6, 2, 4)), jnp.float32)
        lengths = jnp.arange(16) % 7

        @jax.jit
        def grad(x, lengths):
            def loss(x):
                mask = Causal() & Lengths(lengths)
                return (Softmax().attend({}, {}, x, x, x, mask)[0] ** 2).sum()
            return jax.value_and_grad(loss)(x)

        plain = grad(x, lengths)
        split = [jax.device_put(a, NamedSharding(mesh, P("data"))) for a in (x, lengths)]
        ours = grad(*split)
        assert len(ours[1].sharding.device_set) == 8
        for a, b in zip(ours, plain):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-5)
        print("all-gather" in grad.lower(*split).compile().as_text())
    """)
    assert printed.strip() == "False"

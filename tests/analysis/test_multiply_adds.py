"""Multiply-adds against counts by hand, and against the compiler's, which forgets loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from attention.analysis.growth import exponent
from attention.analysis.memory import temporary_bytes
from attention.analysis.multiply_adds import multiply_adds


def array(*shape):
    return jax.ShapeDtypeStruct(shape, "float32")


X_QD, W_DF = array(5, 3), array(3, 7)
C_DD = array(4, 4)


@jax.custom_vjp
def cubed(c_DD):
    return c_DD @ c_DD @ c_DD


cubed.defvjp(lambda c: (cubed(c), c), lambda c, g: (g @ c,))


@jax.custom_jvp
def squared(c_DD):
    return c_DD @ c_DD


squared.defjvp(lambda c, dc: (squared(*c), c[0] @ dc[0]))


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (jnp.dot, (X_QD, W_DF), 5 * 3 * 7),
        (lambda x, w: jnp.exp(x).sum() + w.sum(), (X_QD, W_DF), 0),
        (lambda x: jnp.einsum("BQHD,BKHD->BHQK", x, x), (array(2, 5, 3, 4),), 2 * 3 * 5 * 5 * 4),
        (lambda x, w: jax.vmap(jnp.dot, (0, None))(x, w), (array(9, 5, 3), W_DF), 9 * 105),
        (jax.jit(jnp.dot), (X_QD, W_DF), 105),
        (jax.checkpoint(jnp.dot), (X_QD, W_DF), 105),
        (cubed, (C_DD,), 128),
        (squared, (C_DD,), 64),
        (lambda c: jax.lax.scan(lambda c, _: (c @ c, None), c, length=10)[0], (C_DD,), 640),
        (lambda x: jax.lax.map(lambda c: c @ c, x), (array(6, 4, 4),), 6 * 64),
        (lambda x: jax.lax.map(lambda c: c @ c, x, batch_size=4), (array(6, 4, 4),), 6 * 64),
        (lambda c: jax.lax.fori_loop(2, 5, lambda _, c: c @ c, c), (C_DD,), 3 * 64),
        (
            lambda c: jax.lax.scan(
                lambda c, _: (jax.lax.fori_loop(0, 3, lambda _, c: c @ c, c), None), c, length=5
            ),
            (C_DD,),
            15 * 64,
        ),
        (lambda c: jax.lax.cond(c[0, 0] > 0, lambda c: c @ c, lambda c: c, c), (C_DD,), 64),
        (lambda n, c: jax.lax.switch(n, [lambda c: c, squared, cubed], c), (1, C_DD), 128),
        (jnp.fft.fft, (array(3, 8),), 3 * 2 * 8 * 3),
        (lambda x: jnp.sort(jnp.searchsorted(x, x)), (array(8),), 0),
    ],
)  # fmt: skip
def test_known_functions(function, arguments, expected):
    assert multiply_adds(function, *arguments) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # Forward, and the products by w and by x.
        (lambda x, w: ((x @ w) ** 2).sum(), 3 * 105),
        # Forward again: what is not stored is computed anew.
        (jax.checkpoint(lambda x, w: ((x @ w) ** 2).sum()), 4 * 105),
    ],
    ids=["stored", "recomputed"],
)
def test_known_gradients(function, expected):
    assert multiply_adds(jax.grad(function, argnums=(0, 1)), X_QD, W_DF) == expected


def test_own_rules_are_counted_rather_than_what_they_replace():
    assert multiply_adds(jax.grad(lambda c: cubed(c).sum()), C_DD) == 128 + 64
    assert multiply_adds(lambda c: jax.jvp(squared, (c,), (c,)), C_DD) == 64 + 64


def convolved(x_BTM, w_KMF, **options):
    return jax.lax.conv_general_dilated(
        x_BTM, w_KMF, dimension_numbers=("NTC", "TIO", "NTC"), **options
    )


def products_met(x_T, w_K, **options):
    """Of one channel, by running it: every product is 1, and products with padding are 0."""
    out = convolved(jnp.ones((1, x_T, 1)), jnp.ones((w_K, 1, 1)), **options)
    return int(out.sum())


@pytest.mark.parametrize(
    "options",
    [
        dict(window_strides=(1,), padding="SAME"),
        dict(window_strides=(1,), padding="VALID"),
        dict(window_strides=(3,), padding=((2, 0),)),
        dict(window_strides=(2,), padding=((4, 1),), rhs_dilation=(2,)),
        dict(window_strides=(1,), padding=((2, 2),), lhs_dilation=(3,)),
        dict(window_strides=(2,), padding=((-1, 3),), lhs_dilation=(2,), rhs_dilation=(3,)),
    ],
    ids=["same", "valid", "strided", "dilated", "transposed", "all"],
)
def test_convolutions(options):
    count = multiply_adds(lambda x, w: convolved(x, w, **options), array(2, 11, 3), array(3, 3, 5))
    assert count == 2 * 3 * 5 * products_met(11, 3, **options)


def test_depthwise_and_flat_convolutions():
    apart = multiply_adds(
        lambda x, w: convolved(x, w, window_strides=(1,), padding="VALID", feature_group_count=4),
        array(2, 10, 4),
        array(3, 1, 4),
    )
    assert apart == 2 * 8 * 4 * 3
    flat = multiply_adds(
        lambda x, w: jax.lax.conv(x, w, (1, 1), "VALID"), array(2, 3, 6, 9), array(5, 3, 2, 4)
    )
    assert flat == 2 * 5 * 5 * 6 * 3 * 2 * 4


def test_a_convolutions_gradient():
    def loss(x, w):
        return (convolved(x, w, window_strides=(1,), padding="SAME") ** 2).sum()

    forward = multiply_adds(loss, array(2, 11, 3), array(3, 3, 5))
    grad = multiply_adds(jax.grad(loss, argnums=(0, 1)), array(2, 11, 3), array(3, 3, 5))
    assert grad == 3 * forward


def test_all_devices_of_a_shard_map_count():
    mesh = jax.sharding.AbstractMesh((4, 2), ("data", "tensor"), axis_types=(AxisType.Auto,) * 2)

    def split(axes):
        return jax.shard_map(
            jnp.dot, mesh=mesh, axis_names=set(axes), in_specs=(P(axes), P()), out_specs=P(axes)
        )

    for axes in (("data", "tensor"), ("data",)):
        assert multiply_adds(jax.jit(split(axes)), array(8, 3), W_DF) == 8 * 3 * 7


def while_loop(c_DD):
    return jax.lax.while_loop(lambda c: c.sum() < 1e3, lambda c: c @ c, c_DD)


def test_a_loop_of_unknown_length_is_refused_where_it_multiplies():
    with pytest.raises(NotImplementedError, match="how often a while loop runs: use jax.lax.scan"):
        multiply_adds(jax.jit(while_loop), C_DD)
    with pytest.raises(NotImplementedError, match="while loop"):
        multiply_adds(lambda n, c: jax.lax.fori_loop(0, n, lambda _, c: c @ c, c), 3, C_DD)
    assert multiply_adds(lambda x: jax.lax.while_loop(lambda x: x < 9, lambda x: 2 * x, x), 1) == 0


def test_what_cannot_be_looked_into_is_refused():
    def away(x, w):
        return jax.pure_callback(np.dot, array(5, 7), x, w)

    with pytest.raises(NotImplementedError, match="cannot look into pure_callback: count another"):
        multiply_adds(away, X_QD, W_DF)


def tiled_attention(q_QD, k_KD, v_KE, block=128):
    """Dense attention that holds one tile of scores at a time, with online softmax."""
    size = q_QD.shape[1]

    def of_queries(q_CD):
        def add(carry, kv):
            top_C1, total_C1, out_CE = carry
            s_CC = q_CD @ kv[0].T / size**0.5
            new_C1 = jnp.maximum(top_C1, s_CC.max(axis=1, keepdims=True))
            keep_C1, e_CC = jnp.exp(top_C1 - new_C1), jnp.exp(s_CC - new_C1)
            total_C1 = keep_C1 * total_C1 + e_CC.sum(axis=1, keepdims=True)
            return (new_C1, total_C1, keep_C1 * out_CE + e_CC @ kv[1]), None

        start = (
            jnp.full((block, 1), -1e30),
            jnp.zeros((block, 1)),
            jnp.zeros((block, v_KE.shape[1])),
        )
        tiles = [x.reshape(-1, block, x.shape[1]) for x in (k_KD, v_KE)]
        (_, total_C1, out_CE), _ = jax.lax.scan(add, start, tiles)
        return out_CE / total_C1

    out = jax.lax.map(of_queries, q_QD.reshape(-1, block, size))
    return out.reshape(-1, v_KE.shape[1])


def test_the_tiled_attention_of_this_test_is_attention():
    q, k, v = (jax.random.normal(jax.random.key(i), (256, 8)) for i in range(3))
    theirs = jax.nn.softmax(q @ k.T / 8**0.5) @ v
    np.testing.assert_allclose(jax.jit(tiled_attention)(q, k, v), theirs, atol=1e-5)


LENGTHS = 1024, 2048, 4096, 8192, 16384


def costs(measure, function, lengths=LENGTHS):
    return [measure(function, *[array(n, 8)] * 3) for n in lengths]


def compilers_count(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


def test_tiled_dense_attention_is_quadratic_where_the_compiler_calls_it_linear():
    ours = costs(multiply_adds, tiled_attention)
    assert ours == [n * n * (8 + 8) for n in LENGTHS]
    assert exponent(LENGTHS, ours) == pytest.approx(2.0, abs=1e-9)
    assert exponent(LENGTHS, costs(compilers_count, tiled_attention)) < 1.1
    # The gradient's loops are counted too.
    grad = jax.grad(lambda *x: tiled_attention(*x).sum(), argnums=(0, 1, 2))
    assert exponent(LENGTHS, costs(multiply_adds, grad)) == pytest.approx(2.0, abs=1e-9)


def test_temporary_bytes_tell_tiled_from_dense():
    def dense(q, k, v):
        return jax.nn.softmax(q @ k.T) @ v

    lengths = LENGTHS[:3]
    ours = costs(temporary_bytes, dense, lengths)
    assert exponent(lengths, ours) == pytest.approx(2.0, abs=0.1)
    # The scores, which a fusion that the compiler does not look into would hide.
    assert all(bytes_ >= 4 * n * n for n, bytes_ in zip(lengths, ours, strict=True))
    assert exponent(lengths, costs(temporary_bytes, tiled_attention, lengths)) <= 1.1


def test_temporary_bytes_are_told_or_refused(monkeypatch):
    # A row of 1000 floats must live between the two sums.
    x_T = array(1000)
    assert temporary_bytes(lambda x: jnp.sort(jnp.sort(x)[::-1]), x_T) >= 4000
    monkeypatch.setattr(jax.stages.Compiled, "memory_analysis", lambda self: None)
    with pytest.raises(NotImplementedError, match="does not tell its memory; set JAX_PLATFORMS"):
        temporary_bytes(jnp.sort, x_T)


def test_exponents():
    lengths = np.array([1, 10, 100])
    assert exponent(lengths, 7 * lengths**1.5) == pytest.approx(1.5)
    assert exponent(lengths, [3, 3, 3]) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("lengths", "values", "message"),
    [
        ([1, 2], [3], "2 lengths and 1 costs"),
        ([4, 4], [1, 1], "needs two different ones"),
        ([], [], "needs two different ones"),
        ([1, 2], [0, 1], "must be above zero"),
    ],
)
def test_exponents_of_what_cannot_be_fitted(lengths, values, message):
    with pytest.raises(ValueError, match=message):
        exponent(lengths, values)

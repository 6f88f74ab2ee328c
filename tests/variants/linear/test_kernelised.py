"""Attention by reordered products beside the laws: long sequences, extremes, gates, and state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import masks
from attention.analysis.matrices import effective_matrix
from attention.shapes import Sizes
from attention.variants.linear.efficient import Efficient
from attention.variants.linear.linear import Linear
from attention.variants.linear.performer import Performer
from attention.variants.linear.rfa import RFA
from tests.reference import linear

SIZES = Sizes(heads=2, size=8, value_size=8, model_size=16)
GATED = RFA(random_features=64, gated=True)
ALL = [Linear(), Efficient(), Performer(), Performer(kind="relu"), RFA(random_features=64), GATED]


def plain(tree):
    return {name: leaf.value for name, leaf in tree.items()}


@functools.cache
def initialised(attend, sizes=SIZES):
    init = jax.jit(lambda rng: [plain(tree) for tree in attend.init(rng, sizes)])
    return jax.tree.map(np.asarray, init(jax.random.key(0)))


def made(attend):
    """Of random feature attention a wide kernel, so that no sum of weights is near zero."""
    params, state = map(dict, initialised(attend))
    if "log_sigma" in params:
        params["log_sigma"] = params["log_sigma"] + 1
    return params, state


def drawn(length, dtype="float32", seed=0):
    """q, k, v and x."""
    random = np.random.default_rng(seed)
    heads = [random.normal(size=(2, length, 2, 8)) for _ in range(3)]
    dtype = jnp.dtype(dtype)
    return [x.astype(dtype) for x in (*heads, random.normal(size=(2, length, 16)))]


@functools.partial(jax.jit, static_argnums=0)
def attended_with(attend, params, state, q, k, v, x, mask):
    return attend.attend(params, state, q, k, v, mask, x_BTM=x, rng=None)[0]


def attended(attend, q, k, v, x, mask=None):
    return attended_with(attend, *made(attend), q, k, v, x, mask)


@functools.partial(jax.jit, static_argnums=0)
def matrix_of(attend, params, state, q, k, x):
    return effective_matrix(attend, params, state, q, k, masks.Causal(), x_BTM=x)


@functools.partial(jax.jit, static_argnums=0)
def extended(attend, params, state, cache, q, k, v, mask, x):
    return attend.extend(params, state, cache, q, k, v, mask, x_BTM=x)


@functools.partial(jax.jit, static_argnums=0)
def gradients(attend, q, k, v, x):
    """Of the sum of squares, and the outputs."""

    def loss(q, k, v):
        out = attended(attend, q, k, v, x, masks.Causal())
        return (out**2).sum(), out

    return jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(q, k, v)


@pytest.mark.parametrize("attend", ALL, ids=str)
def test_chunks_of_a_long_sequence_are_the_recurrence_of_its_tokens(attend):
    q, k, v, x = drawn(150)
    params, state = made(attend)
    full = attended(attend, q, k, v, x, masks.Causal())
    cache = attend.init_cache(params, state, SIZES, 2, 150, jnp.float32)

    @jax.jit
    def recurrence(cache, tokens):
        def step(cache, token):
            *qkv, x = (y[:, None] for y in token)
            out, cache = attend.extend(params, state, cache, *qkv, None, x_BTM=x)
            return cache, out[:, 0]

        return jax.lax.scan(step, cache, tokens)[1]

    out_TBHE = np.asarray(recurrence(cache, [y.swapaxes(0, 1) for y in (q, k, v, x)]))
    np.testing.assert_allclose(out_TBHE.swapaxes(0, 1), full, atol=1e-5)


@pytest.mark.parametrize("attend", ALL, ids=str)
def test_the_cache_is_as_large_for_any_length_and_float32_for_any_dtype(attend):
    params, state = made(attend)
    short, long = (
        attend.init_cache(params, state, SIZES, 2, length, jnp.bfloat16) for length in (1, 10_000)
    )
    q, k, v, x = drawn(3, "bfloat16")
    out, after = extended(attend, params, state, short, q, k, v, None, x)
    assert out.dtype == "bfloat16"
    for cache in (short, long, after):
        assert {leaf.dtype for name, leaf in cache.items() if name != "index_B"} == {
            jnp.dtype("float32")
        }
        assert jax.tree.map(jnp.shape, cache) == jax.tree.map(jnp.shape, short)


@pytest.mark.parametrize("attend", [Linear(), Efficient(), Performer(kind="relu")], ids=str)
def test_a_long_sequence_in_bfloat16_does_not_lose_the_sum(attend):
    """Of 5,000 equal keys the values' mean: a sum in bfloat16 would stand still at 256."""
    q, k, _, x = drawn(5000, "bfloat16")
    q, k = (np.broadcast_to(y[:, :1], y.shape) for y in (q, k))
    v = np.broadcast_to((np.arange(5000) >= 2500)[None, :, None, None], q.shape)
    out = np.asarray(attended(attend, q, k, v.astype(q.dtype), x, masks.Causal()))
    np.testing.assert_allclose(out[:, -1].astype("float32"), 0.5, atol=2e-3)


@pytest.mark.parametrize("attend", [Linear(), Efficient(), Performer()], ids=str)
@pytest.mark.parametrize("shift", [-30.0, 30.0, 300.0])
def test_extreme_keys_and_queries_neither_overflow_nor_vanish(attend, shift):
    q, k, v, x = drawn(70)
    if isinstance(attend, Linear) and shift < 0:
        q, k = q + np.float32(shift), k + np.float32(shift)
    else:
        k = k * np.float32(abs(shift))
    grads, out = gradients(attend, q, k, v, x)
    assert all(np.isfinite(y).all() for y in (*grads, out))
    matrix_BHQK = np.asarray(matrix_of(attend, *made(attend), q, k, x))
    np.testing.assert_allclose(matrix_BHQK.sum(-1), 1.0, atol=1e-4)


@pytest.mark.parametrize("shift", [-40.0, 10.0, 200.0])
def test_each_feature_of_efficient_attention_has_a_softmax_of_its_own(shift):
    q, k, v, x = drawn(40)
    see = np.tri(40, dtype=bool)
    expected = linear.efficient(q, k, v, see)
    moved = k.copy()
    moved[..., ::2] += shift  # a number for all keys of a feature changes nothing
    ours = attended(Efficient(), q, moved, v, x, masks.Causal())
    np.testing.assert_allclose(ours, expected, atol=5e-5)


def test_efficient_attention_to_keys_far_from_one_another():
    q, k, v, x = drawn(40)
    k = 100 * k
    for mask, see in ((None, None), (masks.Causal(), np.tri(40, dtype=bool))):
        ours = attended(Efficient(), q, k, v, x, mask)
        np.testing.assert_allclose(ours, linear.efficient(q, k, v, see), atol=5e-5)


def test_the_two_sided_form_makes_no_scores():
    def shapes(mask):
        q, k, v, x = drawn(96)
        attend = lambda *qkv: Linear().attend({}, {}, *qkv, mask, x_BTM=x)[0]  # noqa: E731
        jaxpr = jax.make_jaxpr(attend)(q, k, v)
        return {var.aval.shape for eqn in jaxpr.eqns for var in eqn.outvars}

    assert not any(shape.count(96) > 1 for shape in shapes(None))
    assert {(2, 2, 8, 8), (2, 2, 8)} <= shapes(None)  # Σ φ(k) vᵀ, and Σ φ(k)


def test_gaps_do_not_fade_a_gate():
    q, k, v, x = drawn(30)
    real_T = np.random.default_rng(1).random(30) < 0.5
    valid = masks.Valid(np.broadcast_to(real_T, (2, 30)))
    for causal in (None, masks.Causal()):
        mask = valid if causal is None else causal & valid
        ours = np.asarray(attended(GATED, q, k, v, x, mask))[:, real_T]
        alone = attended(GATED, *(y[:, real_T] for y in (q, k, v, x)), causal)
        np.testing.assert_allclose(ours, alone, atol=1e-5)


def test_a_gap_does_not_fade_what_is_cached():
    q, k, v, x = drawn(9)
    params, state = made(GATED)
    real_T = np.array([1, 1, 0, 0, 1, 0, 1, 1, 1], bool)
    mask = masks.Valid(np.broadcast_to(real_T, (2, 9)))
    full = attended(GATED, q, k, v, x, masks.Causal() & mask)
    cache, outs = GATED.init_cache(params, state, SIZES, 2, 9, jnp.float32), []
    for t in range(9):
        now = [y[:, t : t + 1] for y in (q, k, v, x)]
        out, cache = extended(GATED, params, state, cache, *now[:3], mask, now[3])
        outs.append(out)
    np.testing.assert_allclose(np.concatenate(outs, 1), full, atol=1e-5)


def test_a_gate_that_stays_open_keeps_the_last_key_alone_and_a_closed_one_all():
    q, k, v, x = drawn(100)
    params, state = made(GATED)
    for bias, expected in ((-30.0, v), (12.0, None)):
        moved = params | {"bias": params["bias"] + bias, "gate": 0 * params["gate"]}
        out = attended_with(GATED, moved, state, q, k, v, x, masks.Causal())
        if expected is None:
            ungated = {"log_sigma": params["log_sigma"]}
            plain_rfa = RFA(random_features=64)
            expected = attended_with(plain_rfa, ungated, state, q, k, v, None, masks.Causal())
        np.testing.assert_allclose(out, expected, atol=5e-3)


def test_gates_decay_by_what_lies_between():
    """Each weight is (1 - g_j) Π g, exactly, in one chunk and over several."""
    length, gate = 200, 0.4
    q, k, _, x = (np.ones_like(y) for y in drawn(length))
    params, state = made(GATED)
    bias = np.log(gate / (1 - gate))
    params |= {"bias": params["bias"] + bias, "gate": 0 * params["gate"]}
    matrix_BHQK = np.asarray(matrix_of(GATED, params, state, q, k, x))
    distance = np.arange(length)[:, None] - np.arange(length)
    weights = np.where(distance >= 0, gate ** np.maximum(distance, 0.0), 0)
    np.testing.assert_allclose(
        matrix_BHQK[0, 0], weights / weights.sum(-1, keepdims=True), atol=1e-6
    )


def test_gates_need_the_layers_input_and_one_sequence():
    q, k, v, x = drawn(5)
    with pytest.raises(ValueError, match=r"RFA: x_BTM is missing"):
        attended(GATED, q, k, v, None)
    with pytest.raises(NotImplementedError, match=r"RFA cannot attend across .*; use Softmax"):
        attended(GATED, q[:, :3], k, v, x[:, :3])
    assert not GATED.capabilities.cross
    assert RFA().capabilities.cross


@pytest.mark.parametrize("sign", [1, -1])
def test_a_small_denominator_is_kept_at_the_floor_with_its_sign(sign):
    """One draw and one key: the weight is cos(ω(q - k)), and the floor the size of its least."""
    attend, size = RFA(random_features=1, floor=0.1), Sizes(1, 2, 1, 2)
    params, _ = initialised(attend, size)
    small = 0.01 * sign
    draws_HRD = np.array([[[np.arccos(small), 0.0]]], "float32")
    # q and k are of length one, and differ by one along ω.
    q, k = (np.array([[[[first, 0.75**0.5]]]], "float32") for first in (0.5, -0.5))
    v, state = np.ones((1, 1, 1, 1), "float32"), {"draws_HRD": draws_HRD}
    out = np.asarray(attended_with(attend, params, state, q, k, v, None, None))
    np.testing.assert_allclose(out[0, 0, 0, 0], small / (0.1 * sign), rtol=1e-4)


def test_where_no_floor_holds_weights_sum_to_one():
    q, k, _, x = drawn(20)
    for attend in (RFA(random_features=64), GATED):
        matrix = np.asarray(matrix_of(attend, *made(attend), q, k, x))
        np.testing.assert_allclose(matrix.sum(-1), 1.0, atol=2e-6)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Performer(random_features=-1), r"Performer\(random_features=-1\): needs"),
        (lambda: Performer(redraw=2.5), r"Performer\(redraw=2.5\): needs"),
        (lambda: Performer(kind="elu"), r"Performer\(kind='elu'\): needs one of softmax, relu"),
        (lambda: RFA(random_features=-1), r"RFA\(random_features=-1\): needs"),
        (lambda: RFA(floor=0.0), r"RFA\(floor=0.0\): needs"),
    ],
)
def test_what_is_out_of_range_is_refused(make, error):
    with pytest.raises(ValueError, match=error):
        make()

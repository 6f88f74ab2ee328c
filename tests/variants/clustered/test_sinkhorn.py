"""Sparse Sinkhorn attention beside the laws: that it sorts, what is excluded, noise, decoding."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead
from attention.kernels import softmax_attention
from attention.masks import Causal, Lengths, NearBlocks, Valid
from attention.positions import Rotary
from attention.protocols import WithAxes
from attention.shapes import Sizes
from attention.variants.clustered.sinkhorn import Sinkhorn
from attention.variants.clustered.sinkhorn_balance import balanced

RANDOM = np.random.default_rng(0)
SIZES = Sizes(heads=2, size=4, value_size=3, model_size=6)


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), "float32")


Q, K, V, X = normal(2, 12, 2, 4), normal(2, 12, 2, 4), normal(2, 12, 2, 3), normal(2, 12, 6)
SORTING = Sinkhorn(block=3, length=12)


@functools.cache
def params_of(attend):
    @jax.jit
    def made(rng):
        boxed, state = attend.init(rng, SIZES)
        assert state == {}
        return jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, WithAxes))

    return jax.tree.map(np.asarray, made(jax.random.key(0)))


@functools.partial(jax.jit, static_argnums=0)
def attended(attend, params, q, k, v, x, mask, rng):
    return attend.attend(params, {}, q, k, v, mask, x_BTM=x, rng=rng)[0]


def out_of(attend, params=None, q=Q, k=K, v=V, x=X, mask=None, rng=None):
    params = params_of(attend) if params is None else params
    return attended(attend, params, q, k, v, x, mask, rng)


@functools.partial(jax.jit, static_argnums=0)
def gradients(attend, params, mask):
    return jax.grad(lambda p: (out_of(attend, p, mask=mask) ** 2).sum())(params)


plain = jax.jit(softmax_attention)
sorting = jax.jit(balanced, static_argnums=(2, 3))


@pytest.mark.parametrize(
    ("mask", "cut"), [(None, 0), (Causal(), 0), (None, 1)], ids=["two-sided", "causal", "cut"]
)
def test_the_sorting_network_does_something(mask, cut):
    """Elsewhere an einsum sums the permutation out, so that the network changes nothing."""
    attend = Sinkhorn(block=3, length=12, cut=cut)
    params = params_of(attend)
    out = out_of(attend, mask=mask)
    other = params | {"kernel": params["kernel"][..., ::-1]}
    assert np.max(np.abs(out - out_of(attend, other, mask=mask))) > 1e-2
    assert np.max(np.abs(out - out_of(attend, x=-np.asarray(X), mask=mask))) > 1e-2
    grads = gradients(attend, params, mask)
    for grad in grads.values():
        assert np.max(np.abs(grad)) > 1e-3
    by_head = np.abs(grads["kernel"]).max(axis=(0, 2))
    assert np.all(by_head > 1e-3)


def test_a_sharp_network_sends_whole_blocks():
    """Scores that name a permutation: block i sees itself and the block that comes to it."""
    permutation = [2, 3, 1, 0]
    x, kernel = np.zeros((2, 12, 6), "float32"), np.zeros((6, 2, 4), "float32")
    x[:, np.arange(12), np.arange(12) // 3] = 1.0
    kernel[np.arange(4), :, permutation] = 40.0
    ours = out_of(SORTING, {"kernel": kernel, "bias": np.zeros((2, 4), "float32")}, x=x)
    block = np.arange(12) // 3
    to = np.asarray(permutation)[block]
    see = (block[:, None] == block[None]) | (to[:, None] == block[None])
    np.testing.assert_allclose(ours, plain(Q, K, V, see), atol=1e-5)


def test_columns_sum_to_one_and_rows_nearly():
    s_BHNJ = 2 * np.asarray(normal(3, 2, 6, 6))
    ones = np.ones((1, 1, 6, 6), bool)
    for iterations, most in ((5, 0.2), (200, 1e-3)):
        sort_BHNJ = np.asarray(sorting(s_BHNJ, ones, iterations, False))
        np.testing.assert_allclose(sort_BHNJ.sum(axis=2), 1.0, atol=1e-5)  # columns are the last
        np.testing.assert_allclose(sort_BHNJ.sum(axis=3), 1.0, atol=most)


def test_no_row_of_a_causal_permutation_depends_on_a_later_one():
    s_BHNJ, may = 5 * np.asarray(normal(1, 2, 6, 6)), np.tri(6, k=-1, dtype=bool)[None, None]
    first = np.asarray(sorting(s_BHNJ, may, 8, True))
    assert not np.any(np.triu(first))
    for i in range(6):
        later = np.where((np.arange(6) > i)[None, None, :, None], -30 * s_BHNJ, s_BHNJ)
        ours = np.asarray(sorting(later, may, 8, True))
        np.testing.assert_array_equal(ours[:, :, : i + 1], first[:, :, : i + 1])
        assert i > 3 or np.any(ours != first)
    np.testing.assert_allclose(np.diagonal(first, -1, 2, 3), 1.0, atol=1e-6)


def test_entries_that_may_not_be_are_zero_and_have_no_gradient():
    s_BHNJ, may = 100 * np.asarray(normal(1, 1, 5, 5)), np.array([1, 1, 0, 1, 0], bool)
    may = (may[:, None] & may[None])[None, None]
    for causal in (False, True):
        run = lambda s: sorting(s, may, 8, causal)  # noqa: B023, E731
        assert not np.any(np.where(may, 0, run(s_BHNJ)))
        grad = jax.jit(jax.grad(lambda s: (run(s) ** 2).sum()))(s_BHNJ)  # noqa: B023
        assert np.all(np.isfinite(grad))
        assert not np.any(np.where(may, 0, grad))
        others = np.where(may, s_BHNJ, np.float32(1e4))
        np.testing.assert_array_equal(run(others), run(s_BHNJ))


@pytest.mark.parametrize("cut", [0, 2])
def test_padding_before_a_sentence_hides_no_block_of_it(cut):
    """Blocks of padding are no part of the permutation, nor of those that a cut takes."""
    attend = Sinkhorn(block=3, length=12, cut=cut)
    mask = Valid(jnp.asarray(np.arange(12)[None].repeat(2, 0) >= 6))
    params = params_of(attend)
    late = {name: w[..., 2:] for name, w in params.items()}
    inputs = (np.asarray(x)[:, 6:] for x in (Q, K, V, X))
    short = out_of(Sinkhorn(block=3, length=6, cut=cut), late, *inputs)
    np.testing.assert_allclose(out_of(attend, mask=mask)[:, 6:], short, atol=1e-6)


@pytest.mark.parametrize("mask", [None, Causal()], ids=["two-sided", "causal"])
def test_a_sentence_is_the_same_however_its_batch_is_padded(mask):
    for length in (1, 2, 3, 4, 7, 9):
        inputs = (np.asarray(x)[:1, :length] for x in (Q, K, V, X))
        short = out_of(SORTING, None, *inputs, mask=mask)
        lengths = Lengths(jnp.array([length, 12]))
        padded = out_of(SORTING, mask=lengths if mask is None else mask & lengths)
        np.testing.assert_allclose(padded[:1, :length], short, atol=1e-6)


def test_a_first_block_has_itself_alone_under_a_causal_mask():
    own = np.asarray(plain(Q, K, V, Causal() & NearBlocks(3, 0)))
    out = np.asarray(out_of(SORTING, mask=Causal()))
    np.testing.assert_allclose(out[:, :3], own[:, :3], atol=1e-6)
    assert np.all(np.any(np.abs(out[:, 3:] - own[:, 3:]) > 1e-3, axis=(2, 3)))


def test_a_cut_of_all_blocks_sees_them_all():
    out = out_of(Sinkhorn(block=3, length=12, cut=9), v=np.ones_like(V))
    # Columns sum to one and rows nearly: so do the weights of all values together.
    np.testing.assert_allclose(out, 1.0, atol=0.2)


def test_a_cut_is_not_causal():
    with pytest.raises(NotImplementedError, match=r"Sinkhorn cannot attend causally.*cut=0"):
        out_of(Sinkhorn(block=3, length=12, cut=1), mask=Causal())


def test_noise_and_dropout_are_of_training_alone():
    for attend in (SORTING, Sinkhorn(block=3, length=12, dropout_rate=0.5)):
        outs = [out_of(attend, rng=rng) for rng in (None, jax.random.key(0), jax.random.key(1))]
        np.testing.assert_array_equal(outs[0], out_of(SORTING))
        assert np.any(outs[0] != outs[1])
        assert np.any(outs[1] != outs[2])


def test_decoding_works_out_the_prefix_and_is_the_full_pass():
    layer = MultiHead(heads=2, attention=SORTING)
    variables = jax.jit(layer.init)(jax.random.key(0), X)
    full = np.asarray(jax.jit(layer.apply)(variables, X, mask=Causal()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cache = jax.jit(lambda v: layer.apply(v, 2, 12, 6, method="start"))(variables)
    step = jax.jit(lambda cache, x, pos: layer.apply(variables, cache, x, pos, method="extend"))
    for t in range(12):
        out, cache = step(cache, np.asarray(X)[:, t : t + 1], np.full((2, 1), t))
        np.testing.assert_allclose(out[:, 0], full[:, t], atol=1e-5)


def test_rotary_positions_are_refused():
    layer = MultiHead(heads=2, attention=SORTING, rotary=Rotary())
    with pytest.raises(NotImplementedError, match="Sinkhorn cannot take rotary positions"):
        jax.eval_shape(layer.init, jax.random.key(0), normal(1, 4, 8))


def test_what_is_missing_or_too_long_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match="x_BTM is missing"):
        out_of(SORTING, x=None)
    for x in (X[:1], X[:, :-1]):
        with pytest.raises(ValueError, match=r"x_BTM has shape .*; it needs q's batch and length"):
            out_of(SORTING, x=x)
    short = Sinkhorn(block=3, length=9)
    with pytest.raises(ValueError, match=r"Sinkhorn\(length=9\): got 12 positions; set length=12"):
        out_of(short)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"block": 0}, "needs a whole number, 1 or more"),
        ({"length": 1.5}, "needs a whole number, 1 or more"),
        ({"block": True}, "needs a whole number, 1 or more"),
        ({"iterations": 0}, "needs a whole number, 1 or more"),
        ({"cut": -1}, "needs a whole number, 0 or more"),
        ({"temperature": 0.0}, "needs to be above 0"),
        ({"temperature": float("inf")}, "needs to be above 0, and finite"),
        ({"dropout_rate": 1.0}, r"needs to be in \[0, 1\)"),
    ],
)
def test_fields_are_checked(fields, said):
    with pytest.raises(ValueError, match=rf"^Sinkhorn\(.*\): {said}"):
        Sinkhorn(**fields)

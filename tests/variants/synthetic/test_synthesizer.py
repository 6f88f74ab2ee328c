"""Synthesizer: what its scores depend on, what is trained, and its checks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.analysis.matrices import effective_matrix
from attention.masks import Causal, Lengths
from attention.protocols import WithAxes
from attention.shapes import Sizes
from attention.variants.synthetic.scores import PARTS, factors
from attention.variants.synthetic.synthesizer import Synthesizer

SIZES = Sizes(heads=2, size=4, value_size=4, model_size=8)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@functools.cache
def made(*parts, **fields):
    attend = Synthesizer(parts, **{"length": 12, **fields})

    @jax.jit
    def init(rng):
        boxed = attend.init(rng, SIZES)
        return jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, WithAxes))

    return attend, *jax.tree.map(np.asarray, init(jax.random.key(0)))


@functools.partial(jax.jit, static_argnums=0)
def attended(attend, params, state, q, k, v, mask, **options):
    return attend.attend(params, state, q, k, v, mask, **options)[0]


@functools.partial(jax.jit, static_argnums=0)
def matrix_of(attend, params, state, q, k, mask, x_BTM):
    return effective_matrix(attend, params, state, q, k, mask, x_BTM=x_BTM)


def matrix(attend, params, state, x_BTM, mask=None, seed=0):
    """The attention weights, [B, H, Q, K]."""
    q_BTHD = normal(*x_BTM.shape[:2], 2, 4, seed=seed)
    return np.asarray(matrix_of(attend, params, state, q_BTHD, q_BTHD, mask, x_BTM))


@pytest.mark.parametrize("part", PARTS)
def test_which_tokens_a_score_depends_on(part):
    """A dense score on its query's token, a random one on none, a product on both."""
    attend, params, state = made(part)
    one_BTM, two_BTM = normal(1, 6, 8), normal(1, 6, 8, seed=1)
    two_BTM[:, 2] = one_BTM[:, 2]
    one, two = (matrix(attend, params, state, x_BTM) for x_BTM in (one_BTM, two_BTM))
    same_QK = np.all(np.isclose(one, two, atol=1e-6), axis=(0, 1, 3))
    np.testing.assert_array_equal(same_QK, ["dense" not in part or i == 2 for i in range(6)])
    other = matrix(attend, params, state, one_BTM, seed=1)
    assert np.allclose(one, other, atol=1e-6) == (part != "dot")


def test_weights_of_several_parts_sum_to_one_and_mix_scores():
    attend, params, state = made("random", "factorised_random")
    x_BTM = normal(1, 6, 8)
    alone = [
        np.log(matrix(Synthesizer((part,), 12), {part: params[part]}, state, x_BTM))
        for part in attend.parts
    ]
    params = params | {"mixture": np.log(np.array([1.0, 3.0], "float32"))}
    ours = np.log(matrix(attend, params, state, x_BTM))
    theirs = 0.25 * alone[0] + 0.75 * alone[1]
    theirs -= np.log(np.exp(theirs).sum(-1, keepdims=True))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_fixed_matrix_is_state_and_has_no_gradient():
    attend, params, state = made("fixed")
    assert params == {}
    v_BTHE = normal(1, 6, 2, 4)

    def loss(state):
        return (attend.attend({}, state, v_BTHE, v_BTHE, v_BTHE, None)[0] ** 2).sum()

    assert not np.any(jax.jit(jax.grad(loss))(state)["fixed"])
    assert "fixed" not in made("random")[2]


def test_every_column_of_a_factorised_score_has_a_pair_of_factors_of_its_own():
    assert [factors(n) for n in (1, 7, 12, 512)] == [(1, 1), (1, 7), (3, 4), (16, 32)]
    attend, params, state = made("factorised_dense")
    row_K = matrix(attend, params, state, normal(1, 12, 8))[0, 0, 5]
    assert len(np.unique(np.round(row_K, 7))) > 3 + 4  # more than one factor alone could make


def test_rows_are_a_softmax_over_what_is_visible_alone():
    attend, params, state = made("random")
    mask = Causal() & Lengths(jnp.array([4]))
    ours = matrix(attend, params, state, normal(1, 6, 8), mask)[0]
    for h, i in np.ndindex(2, 4):
        powers = np.exp(params["random"][h, i, : i + 1])
        np.testing.assert_allclose(ours[h, i, : i + 1], powers / powers.sum(), atol=1e-6)
    assert not np.any(ours[:, 4:])


@pytest.mark.parametrize("part", ["dense", "factorised_dense"])
def test_a_nan_in_padding_does_not_reach_the_gradients_of_parameters(part):
    attend, params, state = made(part)
    v_BTHE, x_BTM = normal(1, 6, 2, 4), normal(1, 6, 8)
    x_BTM[:, 4:] = np.nan

    def loss(params):
        given = (params, state, v_BTHE, v_BTHE, v_BTHE, Lengths(jnp.array([4])))
        return (attend.attend(*given, x_BTM=x_BTM)[0] ** 2).sum()

    for grad in jax.tree.leaves(jax.jit(jax.grad(loss))(params)):
        assert np.isfinite(grad).all()
        assert np.any(grad)


def test_a_nan_in_padded_queries_and_keys_does_not_reach_the_mixture():
    attend, params, state = made("random", "dot")
    q_BTHD = normal(1, 6, 2, 4)
    q_BTHD[:, 4:] = np.nan

    def loss(params):
        given = (params, state, q_BTHD, q_BTHD, normal(1, 6, 2, 4), Lengths(jnp.array([4])))
        return (attend.attend(*given)[0] ** 2).sum()

    for grad in jax.tree.leaves(jax.jit(jax.grad(loss))(params)):
        assert np.isfinite(grad).all()
        assert np.any(grad)


def test_dropout_is_on_in_training_alone():
    attend, params, state = made("dense", dropout_rate=0.5)
    v_BTHE, x_BTM = normal(1, 6, 2, 4), normal(1, 6, 8)

    def out(rng=None):
        given = (params, state, v_BTHE, v_BTHE, v_BTHE, None)
        return np.asarray(attended(attend, *given, x_BTM=x_BTM, rng=rng))

    np.testing.assert_array_equal(out(), out())
    assert np.any(out(jax.random.key(0)) != out())


def test_only_products_need_queries_and_keys():
    wanted = {part: Synthesizer((part,)).capabilities for part in PARTS}
    assert [p for p in PARTS if wanted[p].projections == "apart"] == ["dot"]
    assert [p for p in PARTS if wanted[p].needs_x] == ["dense", "factorised_dense"]
    attend, params, state = made("random")
    assert "k_BHKD" not in attend.init_cache(params, state, SIZES, 1, 8, jnp.float32)


@pytest.mark.parametrize("part", ["dense", "factorised_dense"])
def test_the_layers_input_is_asked_for(part):
    attend, params, state = made(part)
    given = [normal(1, 3, 2, 4)] * 3
    cache = attend.init_cache(params, state, SIZES, 1, 8, jnp.float32)
    for call in (
        lambda: attend.attend(params, state, *given, None),
        lambda: attend.extend(params, state, cache, *given, None),
    ):
        with pytest.raises(ValueError, match="^Synthesizer: x_BTM is missing"):
            call()


def test_fields_and_lengths_are_checked():
    for wrong in ("dense", (), ("sparse",)):
        with pytest.raises(ValueError, match=r"Synthesizer\(parts=.*\): needs a tuple of some of"):
            Synthesizer(wrong)
    with pytest.raises(ValueError, match=r"Synthesizer\(parts=.*\): needs each at most once"):
        Synthesizer(("dot", "dot"))
    with pytest.raises(ValueError, match=r"Synthesizer\(rank=0\): needs a whole number, 1 or more"):
        Synthesizer(rank=0)
    with pytest.raises(ValueError, match=r"Synthesizer\(length=True\): needs a whole number, 1"):
        Synthesizer(length=True)
    attend, params, state = made("random")
    with pytest.raises(
        ValueError, match=r"Synthesizer\(length=12\): got 13 positions; .*length=13"
    ):
        attend.attend(params, state, *[normal(1, 13, 2, 4)] * 3, None)
    with pytest.raises(ValueError, match=r"Synthesizer\(length=12\): got 13 positions"):
        attend.init_cache(params, state, SIZES, 1, 13, jnp.float32)

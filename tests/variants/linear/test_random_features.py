"""Performer and random feature attention: what their draws promise, and when they are made."""

import functools
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import masks
from attention.modules.attention.multi_head import MultiHead
from attention.modules.attention.variables import STATE
from attention.shapes import Sizes
from attention.variants.dense.softmax import Softmax
from attention.variants.linear.performer import Performer, orthogonal
from attention.variants.linear.rfa import RFA

SIZE = 8
SIZES = Sizes(heads=2, size=SIZE, value_size=SIZE, model_size=16)
RANDOM = np.random.default_rng(0)
Q, K, V = (  # products of large ones have estimates with long tails
    np.asarray(deviation * RANDOM.normal(size=(2, 20, 2, SIZE)), "float32")
    for deviation in (0.5, 0.5, 1.0)
)
RNG = jax.random.key(3)


def plain(tree):
    return {name: leaf.value for name, leaf in tree.items()}


@functools.partial(jax.jit, static_argnums=0)
def initialised(attend, seed):
    params, state = attend.init(jax.random.key(seed), SIZES)
    return plain(params), plain(state)


def made(attend, seed=0):
    return initialised(attend, np.int32(seed))


@functools.partial(jax.jit, static_argnums=0)
def attended(attend, params, state, q, k, v, mask, rng=None):
    return attend.attend(params, state, q, k, v, mask, rng=rng)


def softmax(q, k, v, mask=None):
    return np.asarray(attended(Softmax(), {}, {}, q, k, v, mask)[0])


drawn = jax.jit(orthogonal, static_argnums=(1, 2, 3))


def error(attend, mask, exact, draws):
    """The root of the mean square over several draws."""
    outs = (attended(attend, *made(attend, seed), Q, K, V, mask)[0] for seed in range(draws))
    return np.sqrt(np.mean([np.mean((np.asarray(out) - exact) ** 2) for out in outs]))


@pytest.mark.parametrize("mask", [None, masks.Causal()], ids=["encoder", "decoder"])
@pytest.mark.parametrize("variant", [Performer, RFA])
def test_the_error_against_softmax_attention_falls_as_the_root_of_features(variant, mask):
    if variant is Performer:
        exact = softmax(Q, K, V, mask)
    else:  # of queries and keys of length one, with no 1/sqrt(D), as sigma is one
        q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (Q, K))
        exact = softmax(q * np.float32(SIZE**0.5), k, V, mask)
    counts = 32, 128, 512, 2048
    errors = [error(variant(random_features=n), mask, exact, 6) for n in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert errors[-1] < 0.2
    assert -0.75 < slope < -0.35


@pytest.mark.parametrize("features", [3, 8, 20])
def test_draws_are_orthogonal_in_blocks_and_as_long_as_normal_ones(features):
    draws_HRD = np.asarray(drawn(RNG, 500, features, SIZE))
    assert draws_HRD.shape == (500, features, SIZE)
    for first in range(0, features, SIZE):
        block = draws_HRD[:, first : first + SIZE]
        products = np.einsum("HRD,HSD->HRS", block, block)
        off = products * (1 - np.eye(block.shape[1]))
        assert np.abs(off).max() < 1e-4
    lengths = (draws_HRD**2).sum(-1)  # of D squares of normal numbers: mean D, variance 2·D
    assert abs(lengths.mean() / SIZE - 1) < 0.05
    assert abs(lengths.var() / (2 * SIZE) - 1) < 0.25


def test_draws_point_everywhere_alike():
    """An orthogonal factor whose signs are the algorithm's choice leans to one side."""
    draws_HRD = np.asarray(drawn(RNG, 4000, SIZE, SIZE))
    assert np.abs(draws_HRD.mean(0)).max() < 0.08
    covariance = np.einsum("HRD,HRC->RDC", draws_HRD, draws_HRD) / 4000
    assert np.abs(covariance - np.eye(SIZE)).max() < 0.15


def test_heads_have_draws_of_their_own():
    draws_HRD = np.asarray(drawn(RNG, 3, 10, SIZE))
    assert not np.allclose(draws_HRD[0], draws_HRD[1])
    assert not np.allclose(draws_HRD[0, :2], draws_HRD[0, SIZE:10])


def test_orthogonal_draws_are_better_than_independent_ones():
    attend, exact = Performer(random_features=SIZE), softmax(Q, K, V)

    def mean_error(draw):
        @jax.jit
        def out_of(seed):
            state = {"draws_HRD": draw(jax.random.key(seed)), "calls": 0}
            return attend.attend({}, state, Q, K, V, None)[0]

        return np.mean((np.stack([out_of(seed) for seed in range(100)]) - exact) ** 2)

    together = mean_error(lambda rng: orthogonal(rng, 2, SIZE, SIZE))
    apart = mean_error(lambda rng: jax.random.normal(rng, (2, SIZE, SIZE)))
    assert together < 0.97 * apart


def test_features_are_unbiased():
    """φ(q)·φ(k) is exp(qᵀk/sqrt(D)) on average: queries and keys share their draws."""
    q_D, k_D = (0.5 * np.asarray(x[0, 0, 0]) / SIZE**0.25 for x in (Q, K))
    draws_RD = np.asarray(drawn(RNG, 4000, SIZE, SIZE)).reshape(-1, SIZE)
    phi_q, phi_k = (np.exp(draws_RD @ x - x @ x / 2) for x in (q_D, k_D))
    assert abs((phi_q * phi_k).mean() / np.exp(q_D @ k_D) - 1) < 0.02


@pytest.mark.parametrize(("size", "features"), [(1, 1), (2, 2), (4, 6), (64, 266)])
def test_there_are_about_d_log_d_features(size, features):
    sizes = Sizes(1, size, size, size)
    state = jax.eval_shape(lambda rng: plain(Performer().init(rng, sizes)[1]), RNG)
    assert state["draws_HRD"].shape == (1, features, size)


def calls(attend, rngs):
    """The draws used by each call in training, each with its rng."""
    _, state = made(attend)
    used = []
    for rng in rngs:
        _, state = attended(attend, {}, state, Q, K, V, None, rng)
        used.append(np.asarray(state["draws_HRD"]))
    return used


def test_draws_are_made_again_exactly_when_they_should_be():
    attend = Performer(redraw=3)
    used = calls(attend, jax.random.split(RNG, 10))
    changed = [i for i in range(1, 10) if np.any(used[i] != used[i - 1])]
    assert changed == [3, 6, 9]
    np.testing.assert_array_equal(used[0], made(attend)[1]["draws_HRD"])


def test_new_draws_are_used_at_once():
    attend = Performer(redraw=1)
    _, state = made(attend)
    state |= {"calls": np.ones((), np.int32)}
    out, after = attended(attend, {}, state, Q, K, V, None, RNG)
    again, _ = attended(attend, {}, after, Q, K, V, None)
    np.testing.assert_array_equal(out, again)
    assert np.any(out != attended(attend, {}, state, Q, K, V, None)[0])


def test_draws_come_from_the_rng_alone():
    attend = Performer(redraw=2)
    rngs = jax.random.split(RNG, 5)
    one, again = calls(attend, rngs), calls(attend, rngs)
    np.testing.assert_array_equal(one, again)
    other = calls(attend, jax.random.split(jax.random.key(4), 5))
    assert np.any(one[4] != other[4])
    assert np.any(made(attend, 0)[1]["draws_HRD"] != made(attend, 1)[1]["draws_HRD"])


def test_without_an_rng_or_a_redraw_nothing_changes():
    for attend, rng in ((Performer(redraw=1), None), (Performer(redraw=0), RNG)):
        _, state = made(attend)
        kept = state
        for _ in range(4):
            _, kept = attended(attend, {}, kept, Q, K, V, None, rng)
        jax.tree.map(np.testing.assert_array_equal, kept, state)


def test_draws_have_no_gradient():
    for attend in (Performer(), RFA()):
        params, state = made(attend)

        def loss(draws_HRD, attend=attend, params=params, state=state):
            out, _ = attend.attend(params, state | {"draws_HRD": draws_HRD}, Q, K, V, None)
            return (out**2).sum()

        assert not np.any(jax.jit(jax.grad(loss))(state["draws_HRD"]))


def test_a_layer_keeps_its_draws_and_makes_new_ones_in_training():
    layer = MultiHead(heads=2, attention=Performer(redraw=1))
    x_BTM = jnp.asarray(RANDOM.normal(size=(1, 5, 16)), "float32")
    variables = jax.jit(layer.init)(jax.random.key(0), x_BTM)
    train = jax.jit(functools.partial(layer.apply, rngs={"dropout": RNG}, mutable=[STATE]))
    first, kept = train(variables, x_BTM)
    np.testing.assert_allclose(first, jax.jit(layer.apply)(variables, x_BTM), atol=1e-6)
    second, _ = train({**variables, **kept}, x_BTM)
    assert np.abs(second - first).max() > 1e-3


def test_sigma_is_the_width_of_what_is_approximated():
    q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (Q, K))
    attend = RFA(random_features=4096)
    params, state = made(attend)
    for sigma in (0.8, 2.0):
        exact = softmax(q * np.float32(SIZE**0.5 / sigma**2), k, V)
        width = {"log_sigma": np.full((2, SIZE), np.log(sigma), "float32")}
        out, _ = attended(attend, params | width, state, Q, K, V, None)
        np.testing.assert_allclose(out, exact, atol=0.15)
    assert params["log_sigma"].shape == (2, SIZE)


@pytest.mark.slow
def test_draws_of_several_layers_at_once_come_to_an_end():
    """LAPACK's, batched, wait for each other where they have all threads of the pool."""
    source = """
        import jax
        from attention.variants.linear.performer import orthogonal
        rngs = jax.random.split(jax.random.key(0), 8)
        draw = jax.jit(lambda rngs: [orthogonal(rng, 4, 96, 32) for rng in rngs])
        for _ in range(300):
            jax.block_until_ready(draw(rngs))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source)], timeout=900, check=True)

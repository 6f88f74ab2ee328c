"""One update: accumulation, randomness and what is not finite."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.lab.training.step import make_train_step

pytestmark = pytest.mark.usefixtures("empty_caches")


def run(toy, steps, accumulate=1, dropout=0.0, **options):
    opt = toy.make_optimiser(**options)
    update = make_train_step(toy.make_loss(dropout), opt, accumulate=accumulate)
    state = toy.state(opt)
    history = []
    for number in range(steps):
        state, metrics = update(state, toy.batch(number))
        history.append(jax.device_get(metrics))
    assert update._cache_size() == 1
    return state, history


def assert_close(one, other, rtol):
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.max(np.abs(x - y)) <= rtol * np.max(np.abs(y))


def test_four_microbatches_equal_the_whole_batch(toy):
    # eps=1 keeps Adam from blowing up the rounding of gradients that are nearly zero.
    whole, whole_metrics = run(toy, 6, eps=1.0, clip=0.5, peak=0.5)
    parts, parts_metrics = run(toy, 6, accumulate=4, eps=1.0, clip=0.5, peak=0.5)
    rows = (toy.batch(0)["target_BT"] > 0).sum(axis=1)
    assert len({int(rows[m::4].sum()) for m in range(4)}) > 1  # token counts do differ
    assert_close(parts.params, whole.params, 1e-6)
    for one, other in zip(parts_metrics, whole_metrics, strict=True):
        assert one["weight"] == other["weight"]
        np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-6)
        np.testing.assert_allclose(one["grad_norm"], other["grad_norm"], rtol=1e-5)
    assert int(parts.model_state["calls"]) == 24


@pytest.mark.slow
def test_the_gradient_is_that_of_the_mean_per_token(toy):
    opt = toy.make_optimiser()
    batch = toy.batch(0)
    total, (weight, _) = toy.make_loss()(
        toy.params(), {"calls": 0}, batch, rng=jax.random.key(0), step=0
    )
    _, (metrics, *_) = run(toy, 1)
    np.testing.assert_allclose(metrics["loss"], total / (batch["target_BT"] > 0).sum(), rtol=1e-6)
    assert metrics["weight"] == weight
    assert opt is not None


def test_learning_rate_is_reported(toy):
    _, history = run(toy, 4)
    np.testing.assert_allclose(
        [m["learning_rate"] for m in history], [0.01 / 3, 0.02 / 3, 0.01, 0.01], rtol=1e-6
    )


def test_dropout_differs_by_step_row_and_microbatch(toy):
    """The same rows everywhere: only the randomness can make their losses differ."""
    seen = []

    def loss(params, model_state, batch, *, rng, step):
        noise_B = jax.random.normal(rng, batch["x_B"].shape)
        jax.debug.callback(lambda x: seen.append(np.array(x)), noise_B, ordered=True)
        return jnp.sum(params * noise_B), (jnp.float32(noise_B.size), model_state)

    opt = toy.make_optimiser()
    update = make_train_step(loss, opt, accumulate=2)
    state = dataclasses.replace(
        toy.state(opt), params=jnp.ones(()), opt_state=opt.init(jnp.ones(())), model_state={}
    )
    for _ in range(3):
        state, _ = update(state, {"x_B": jnp.zeros(8)})
    jax.effects_barrier()
    assert len(seen) == 6
    assert len(np.unique(np.concatenate(seen))) == 24


def test_two_runs_are_bit_identical(toy):
    one, other = (run(toy, 3, dropout=0.3, accumulate=2)[0] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


@pytest.mark.parametrize("boost", [np.nan, np.inf])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_step_that_is_not_finite_changes_nothing(toy, boost, accumulate):
    opt = toy.make_optimiser(clip=1.0)
    update = make_train_step(toy.make_loss(), opt, accumulate=accumulate)
    good = toy.batch(0) | {"boost_B": np.ones(8, np.float32)}
    bad = toy.batch(1) | {"boost_B": np.ones(8, np.float32)}
    bad["boost_B"][5] = boost
    state, _ = update(toy.state(opt), good)
    before = jax.device_get((state.params, state.opt_state, state.model_state))
    for skipped in (1, 2, 3):
        state, metrics = update(state, bad)
        assert not metrics["finite"]
        assert int(metrics["skipped"]) == int(state.skipped) == skipped
    after = jax.device_get((state.params, state.opt_state, state.model_state))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert int(state.step) == 4
    state, metrics = update(state, good)
    assert metrics["finite"]
    assert int(state.skipped) == 0
    assert np.any(state.params["dense"]["kernel"] != before[0]["dense"]["kernel"])


def test_a_finite_loss_with_a_gradient_that_is_not_is_skipped(toy):
    def loss(params, model_state, batch, *, rng, step):
        return jnp.sum(jnp.sqrt(params) * batch["x_B"]), (jnp.float32(1), model_state)

    opt = toy.make_optimiser()
    params = jnp.zeros(2)
    state = dataclasses.replace(
        toy.state(opt), params=params, opt_state=opt.init(params), model_state={}
    )
    state, metrics = make_train_step(loss, opt)(state, {"x_B": jnp.ones(2)})
    assert np.isfinite(metrics["loss"])
    assert not metrics["finite"]
    np.testing.assert_array_equal(state.params, np.zeros(2))


def test_a_batch_of_filler_rows_is_harmless(toy):
    opt = toy.make_optimiser()
    batch = jax.tree.map(np.zeros_like, toy.batch(0))
    state, metrics = make_train_step(toy.make_loss(), opt)(toy.state(opt), batch)
    assert metrics["finite"]
    assert metrics["loss"] == metrics["weight"] == 0
    jax.tree.map(np.testing.assert_array_equal, state.params, toy.params())


def test_the_guard_needs_no_second_copy_of_the_state(toy):
    opt = toy.make_optimiser(clip=1.0)
    size = 512

    def loss(params, model_state, batch, *, rng, step):
        y_BM = batch["x_BM"] @ params
        return jnp.sum(y_BM**2), (jnp.float32(1), model_state)

    params = jnp.zeros((size, size))
    state = dataclasses.replace(
        toy.state(opt), params=params, opt_state=opt.init(params), model_state={}
    )
    batch = {"x_BM": jnp.ones((4, size))}
    memory = make_train_step(loss, opt).lower(state, batch).compile().memory_analysis()
    # Params and two moments are updated in place; the gradient is the only other array.
    assert memory.alias_size_in_bytes >= 3 * params.nbytes
    assert memory.temp_size_in_bytes <= 2.1 * params.nbytes


def test_accumulate_out_of_range(toy):
    opt = toy.make_optimiser()
    update = make_train_step(toy.make_loss(), opt, accumulate=3)
    with pytest.raises(ValueError, match="accumulate=3 must divide the rows of a batch, got 8"):
        update(toy.state(opt), toy.batch(0))

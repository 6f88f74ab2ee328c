"""The loop: when things happen, and that a resumed run is the same run."""

import dataclasses
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.errors import DivergedError
from attention.lab.storage.checkpoints import Checkpoints
from attention.lab.training import loop
from attention.lab.training.early_stop import EarlyStop
from attention.lab.training.loop import train
from attention.lab.training.step import make_train_step


@pytest.fixture(scope="module")
def setup(toy):
    """A fresh state and the compiled update, which all tests here share."""
    opt = toy.make_optimiser(clip=1.0)
    update = make_train_step(toy.make_loss(0.2), opt)
    return lambda: toy.state(opt), update


class Recorder:
    """Notes all that the loop says, in order."""

    def __init__(self, scores=()):
        self.events = []
        self.losses = {}
        self.positions = {}
        self.scores = iter(scores)

    def hooks(self):
        return {
            "on_step": self.on_step,
            "on_log": lambda step, metrics: self.events.append(("log", step)),
            "on_eval": self.on_eval,
            "on_save": self.on_save,
        }

    def on_step(self, step, metrics):
        self.losses[step] = metrics["train/loss"]

    def on_eval(self, step, state):
        assert int(state.step) == step
        assert max(self.losses) == step  # nothing is pending
        self.events.append(("eval", step))
        return next(self.scores, None)

    def on_save(self, step, state, position, score):
        assert int(state.step) == step
        self.events.append(("save", step, score))
        self.positions[step] = position


def test_when_things_happen(toy, setup):
    state, update = setup
    notes = Recorder(scores=[0.5, math.nan, 0.7])
    done = train(
        state(),
        update,
        toy.Batches(),
        steps=7,
        log_every=2,
        eval_every=3,
        checkpoint_every=4,
        **notes.hooks(),
    )
    assert (done.step, done.reason, int(done.state.step)) == (7, "steps", 7)
    assert notes.events == [
        ("log", 2),
        ("eval", 3),
        ("save", 3, 0.5),
        ("log", 4),
        ("save", 4, None),
        ("log", 6),
        ("eval", 6),
        ("save", 6, None),
        ("eval", 7),
        ("save", 7, 0.7),
    ]
    assert list(notes.losses) == [1, 2, 3, 4, 5, 6, 7]


def test_the_loss_falls_and_metrics_are_complete(toy, setup):
    state, update = setup
    seen = []
    train(state(), update, toy.Batches(), steps=60, log_every=20, on_log=lambda *x: seen.append(x))
    assert [step for step, _ in seen] == [20, 40, 60]
    assert seen[-1][1]["train/loss"] < seen[0][1]["train/loss"]
    for _, metrics in seen:
        assert metrics.keys() == {
            "train/loss",
            "train/grad_norm",
            "train/learning_rate",
            "perf/tokens_per_second",
            "perf/step_seconds",
        }
        assert metrics["perf/tokens_per_second"] > 0
        assert all(isinstance(x, float) for x in metrics.values())


def test_metrics_are_fetched_only_when_the_next_step_is_on_its_way(toy, setup):
    state, update = setup
    order = []

    def step(state, batch):
        order.append("send")
        return update(state, batch)

    train(
        state(),
        step,
        toy.Batches(),
        steps=3,
        on_step=lambda number, metrics: order.append(number),
    )
    assert order == ["send", "send", 1, "send", 2, 3]


@pytest.mark.parametrize("cut", [2, 5])
def test_a_resumed_run_is_the_same_run(toy, setup, tmp_path, cut):
    state, update = setup
    scores = [0.3, 0.2, 0.1, 0.4]
    whole = Recorder(scores)
    options = {"eval_every": 2, "checkpoint_every": 1, "steps": 8}
    expected = train(state(), update, toy.Batches(), **options, **whole.hooks())

    first = Recorder(scores)
    with Checkpoints(tmp_path) as checkpoints:
        train(
            state(),
            update,
            toy.Batches(),
            **options,
            **first.hooks() | {"on_save": checkpoints.save},
            should_stop=lambda: len(first.losses) >= cut,
        )
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        restored = checkpoints.restore("latest", jax.eval_shape(state))
    assert restored.step == cut
    second = Recorder(first.scores)
    early_stop = EarlyStop(patience=10)
    done = train(
        restored.state,
        update,
        toy.Batches(),
        position=restored.data_state,
        early_stop=early_stop,
        **options,
        **second.hooks(),
    )
    assert first.losses | second.losses == whole.losses
    assert min(second.losses) == cut + 1
    jax.tree.map(np.testing.assert_array_equal, done.state.params, expected.state.params)
    assert second.positions[8] == whole.positions[8]
    assert (early_stop.best, early_stop.since) == (0.4, 0)


def test_early_stop_and_that_resuming_keeps_it(toy, setup):
    state, update = setup
    notes = Recorder(scores=[0.5, 0.4, 0.3, 0.9])
    options = {"eval_every": 1, "steps": 9}
    done = train(
        state(),
        update,
        toy.Batches(),
        early_stop=EarlyStop(patience=2),
        **options,
        **notes.hooks(),
    )
    assert (done.step, done.reason) == (3, "patience")
    assert notes.positions[3]["since"] == 2
    again = train(
        done.state,
        update,
        toy.Batches(),
        early_stop=EarlyStop(patience=2),
        position=notes.positions[3],
        **options,
    )
    assert (again.step, again.reason) == (3, "patience")


def test_should_stop_saves_and_returns(toy, setup):
    state, update = setup
    notes = Recorder()
    done = train(
        state(),
        update,
        toy.Batches(),
        steps=9,
        should_stop=lambda: len(notes.losses) >= 2,
        **notes.hooks(),
    )
    assert (done.step, done.reason) == (3, "stopped")
    assert notes.events == [("save", 3, None)]


def test_asked_to_stop_while_it_evaluates_it_takes_no_further_step(toy, setup):
    state, update = setup
    notes = Recorder(scores=[0.5])
    done = train(
        state(),
        update,
        toy.Batches(),
        steps=9,
        eval_every=2,
        should_stop=lambda: ("eval", 2) in notes.events,
        **notes.hooks(),
    )
    assert (done.step, done.reason) == (2, "stopped")
    assert notes.events == [("eval", 2), ("save", 2, 0.5)]


def failing(toy, bad):
    """Batches of which those numbered in `bad` give a loss that is not finite."""

    class Failing(toy.Batches):
        def __next__(self):
            batch = super().__next__()
            boost = np.nan if self.number in bad else 1.0
            return batch | {"boost_B": np.full(8, boost, np.float32)}

    return Failing()


def test_several_steps_in_a_row_that_are_not_finite_stop_the_run(toy, setup):
    state, update = setup
    notes = Recorder()
    message = r"not finite in 3 steps in a row, the last being step 6: lower train.learning_rate"
    with pytest.raises(DivergedError, match=message) as caught:
        train(
            state(),
            update,
            failing(toy, {2, 4, 5, 6}),
            steps=20,
            max_skipped=3,
            checkpoint_every=6,
            **notes.hooks(),
        )
    assert "\n" not in str(caught.value)
    assert notes.events == []  # the save that was due at step 6 is not made


def test_fewer_in_a_row_go_on_and_are_counted(toy, setup):
    state, update = setup
    seen = []
    train(
        state(),
        update,
        failing(toy, {2, 4, 5, 7}),
        steps=8,
        max_skipped=3,
        on_step=lambda step, metrics: seen.append(metrics.get("train/skipped", 0.0)),
    )
    assert seen == [0, 1, 0, 1, 2, 0, 1, 0]


def test_a_state_that_is_not_finite_is_never_saved(toy, setup):
    state, update = setup
    broken = state()
    bias = broken.params["dense"]["bias"].at[0].set(jnp.inf)
    params = broken.params | {"dense": broken.params["dense"] | {"bias": bias}}
    notes = Recorder()
    with pytest.raises(DivergedError, match="are not finite at step 1, which is not saved"):
        train(
            dataclasses.replace(broken, params=params),
            update,
            toy.Batches(),
            steps=3,
            checkpoint_every=1,
            **notes.hooks(),
        )
    assert notes.events == []


def test_batches_that_end(toy, setup):
    state, update = setup

    class Ending(toy.Batches):
        def __next__(self):
            if self.number == 2:
                raise StopIteration
            return super().__next__()

    with pytest.raises(ValueError, match="batches ended after step 2 of 5"):
        train(state(), update, Ending(), steps=5)


def test_speed_is_of_the_steps_since_the_last_log(monkeypatch):
    clock, logged = iter([0.0, 1.0, 2.0, 6.0, 10.0]), []
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    meter = loop._Meter(2, lambda *_: None, lambda _, metrics: logged.append(metrics), 9)
    meter.resume_clock()
    for step, tokens in enumerate((10, 10, 40, 120), start=1):
        meter.push(step, {"loss": 1.0, "weight": tokens, "finite": True, "skipped": 0})
    meter.flush()
    assert [metrics["perf/tokens_per_second"] for metrics in logged] == [10.0, 20.0]
    assert [metrics["perf/step_seconds"] for metrics in logged] == [1.0, 4.0]

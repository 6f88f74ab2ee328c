"""What a sweep tries."""

import pytest

from attention.lab.sweeping import (
    Choice,
    Integers,
    LogUniform,
    Uniform,
    grid,
    listed,
    random_search,
    study,
)


def test_a_grid_has_every_combination():
    sweep = grid({"train.steps": (1, 2), "seed": [0, 1]})
    assert [(t["train.steps"], t["seed"]) for t in sweep.trials] == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_random_search_stays_in_its_ranges_and_repeats_itself():
    ranges = {
        "train.learning_rate": LogUniform(1e-4, 1e-2),
        "model.dropout": Uniform(0.0, 0.3),
        "model.layers": Integers(1, 3),
        "model.norm": Choice("layer", "rms"),
    }
    trials = random_search(ranges, 40).trials
    assert trials == random_search(ranges, 40).trials
    assert trials != random_search(ranges, 40, seed=1).trials
    assert all(1e-4 <= t["train.learning_rate"] <= 1e-2 for t in trials)
    assert 10 <= sum(t["train.learning_rate"] < 1e-3 for t in trials) <= 30  # half of the decades
    assert all(0 <= t["model.dropout"] <= 0.3 for t in trials)
    assert {t["model.layers"] for t in trials} == {1, 2, 3}
    assert {t["model.norm"] for t in trials} == {"layer", "rms"}


def test_more_random_trials_keep_those_there_were():
    ranges = {"train.learning_rate": LogUniform(1e-4, 1e-2)}
    assert random_search(ranges, 9).trials[:4] == random_search(ranges, 4).trials


def test_each_random_point_meets_each_seed():
    trials = random_search({"model.dropout": Uniform(0, 1)}, 3, seeds=(7, 8)).trials
    assert [t["seed"] for t in trials] == [7, 8] * 3
    assert trials[0]["model.dropout"] == trials[1]["model.dropout"]


def test_a_study_keeps_its_ranges_and_what_a_trial_needs():
    sweep = study({"model.layers": Integers(1, 3)}, 5).needing(gpus=1, slurm={"timeout_min": 9})
    assert (sweep.count, sweep.gpus, sweep.slurm) == (5, 1, {"timeout_min": 9})
    assert sweep.trials == ()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: listed([]), "no trial"),
        (lambda: listed([{"seed": 1}, {"seed": 1}]), "twice"),
        (lambda: grid({"model.norm": "layer"}), "list of values"),
        (lambda: grid({"seed": []}), "list of values"),
        (lambda: Uniform(1, 1), "low < high"),
        (lambda: LogUniform(0, 1), "0 < low"),
        (lambda: Choice(), "at least one"),
        (lambda: random_search({}, 3), "at least one range"),
        (lambda: study({"seed": Integers(0, 1)}, 0), "count of at least 1"),
        (lambda: listed([{"seed": 1}]).needing(tpus=1), "cpus, gpus"),
    ],
)
def test_mistakes_say_what_is_needed(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_range_must_be_one():
    with pytest.raises(TypeError, match="it needs Uniform"):
        random_search({"train.learning_rate": (1e-4, 1e-2)}, 3)

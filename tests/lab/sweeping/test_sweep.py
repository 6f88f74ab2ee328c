"""Whole sweeps, in which a pool makes up what comes of each trial; no process is started."""

import contextlib
import json
import pathlib
import shlex

import pytest

from attention.lab.commands.resolve import resolve
from attention.lab.storage.directory import write_config, write_result
from attention.lab.sweeping import Integers, LogUniform, grid, listed, study
from attention.lab.sweeping.commands import Outcome
from attention.lab.sweeping.sweep import Plan, sweep

SPEC = "experiments/quickstart.py"


class Pretender:
    """A pool whose trainings write what `comes(overrides)` says: a score, or why they failed."""

    slots = 1

    def __init__(self, comes):
        self.comes, self.queue, self.trained, self.tested = comes, [], [], []
        self.commands = []

    @contextlib.contextmanager
    def opened(self):
        yield self

    def submit(self, job):
        self.queue.append(job)

    def wait(self):
        job = self.queue.pop(0)
        command = job.command[1:]
        self.commands.append(command)
        values = dict(part.partition("=")[::2] for part in command[1:])
        workdir = pathlib.Path(values["--workdir"])
        if command[0] == "evaluate":
            self.tested.append(workdir.name)
            return job, Outcome("", json.dumps({"split": "test", "score": 1.0}), 1.0)
        self.trained.append(workdir.name)
        flags = [part for part in command if part.startswith("--config.")]
        config = resolve(values["--config"], flags)
        come = self.comes(config)
        if isinstance(come, str):
            return job, Outcome(come, seconds=1.0)
        workdir.mkdir(parents=True, exist_ok=True)
        write_config(workdir, config)
        assert "--final_split=valid" in command
        write_result(workdir, {"split": "valid", "score": come})
        return job, Outcome("", "", 1.0)


def plan(workdir, what, said=()):
    return Plan(what, SPEC, said, workdir, resolve, ["launch"])


def run(workdir, what, comes, **more):
    pool = Pretender(comes)
    code = sweep(plan(workdir, what, more.pop("said", ())), open_pool=pool.opened, **more)
    return code, pool


def by_rate(config):
    return 100 * config["train"]["learning_rate"] + config["seed"]


RATES = grid({"train.learning_rate": (0.01, 0.02, 0.03), "seed": (0, 1)})


def test_all_trials_run_and_only_the_winner_meets_the_test_split(tmp_path, capsys):
    code, pool = run(tmp_path, RATES, by_rate)
    assert code == 0
    assert len(pool.trained) == 6
    assert len(pool.tested) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["overrides"] == {"train.learning_rate": 0.03, "seed": 1}
    assert (report["score"], report["winner"]) == (3.5, pool.tested[0])
    assert report["test"] == {"split": "test", "score": 1.0}
    assert "| 1 | 0.03 | 3.50 ± 0.71 | 2 of 2 |" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "plots" / "sweep.png").stat().st_size > 1_000
    assert (tmp_path / "results.csv").is_file()


def test_a_second_run_does_nothing_and_says_the_same(tmp_path, capsys):
    run(tmp_path, RATES, by_rate)
    first = capsys.readouterr().out
    code, pool = run(tmp_path, RATES, by_rate)
    assert (code, pool.trained, pool.tested) == (0, [], [])
    assert capsys.readouterr().out == first


def test_failures_are_rows_and_run_again_alone(tmp_path, capsys):
    def half(config):
        return "Killed\nby the moon" if config["seed"] else by_rate(config)

    code, pool = run(tmp_path, RATES, lambda config: half(config))
    assert code == 1
    assert len(pool.trained) == 6
    err = capsys.readouterr().err
    assert "3 done, 1 running, 2 failed, 1 of 6 left" in err
    assert "to go" in err
    code, pool = run(tmp_path, RATES, by_rate)
    assert code == 0
    assert len(pool.trained) == 3
    assert all("seed=1" in name for name in pool.trained)


def test_a_score_that_is_not_finite_is_a_failure(tmp_path):
    code, _ = run(tmp_path, listed([{}]), lambda config: float("nan"))
    assert code == 1
    assert "without a finite score" in (tmp_path / "results.md").read_text()


def test_a_larger_sweep_runs_what_is_new(tmp_path):
    run(tmp_path, grid({"seed": (0, 1)}), by_rate)
    _, pool = run(tmp_path, grid({"seed": (0, 1, 2)}), by_rate)
    assert [name.partition("-")[0] for name in pool.trained] == ["seed=2"]


def test_another_config_makes_a_finished_trial_run_again(tmp_path):
    run(tmp_path, grid({"seed": (0, 1)}), by_rate)
    _, pool = run(tmp_path, grid({"seed": (0, 1)}), by_rate, said=["--config.train.steps=500"])
    assert len(pool.trained) == 2


def test_the_metric_says_which_way_is_up(tmp_path, capsys):
    run(tmp_path, RATES, by_rate, said=["--config.checkpoint.metric=loss"])
    report = json.loads(capsys.readouterr().out)
    assert report["overrides"] == {"train.learning_rate": 0.01, "seed": 0}


def test_a_structure_stands_behind_the_colon(tmp_path):
    _, pool = run(tmp_path, listed([{"structure": "encoder=softmax"}]), by_rate)
    assert pool.trained[0].startswith("structure=encoder=softmax")


def test_printed_commands_can_be_run_by_hand_and_collected(tmp_path, capsys):
    assert sweep(plan(tmp_path, RATES), executor="print") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert all(shlex.split(line)[:2] == ["launch", "train"] for line in lines)
    assert "Not run" in (tmp_path / "results.md").read_text()
    run(tmp_path, grid({"train.learning_rate": (0.01,), "seed": (0, 1)}), by_rate)
    capsys.readouterr()
    sweep(plan(tmp_path, RATES), executor="print")
    assert len(capsys.readouterr().out.splitlines()) == 4
    run(tmp_path, RATES, by_rate)
    capsys.readouterr()
    assert sweep(plan(tmp_path, RATES), executor="print") == 0
    assert capsys.readouterr().out == ""
    assert "Winner" in (tmp_path / "results.md").read_text()


def test_a_study_learns_goes_on_and_takes_up_what_failed(tmp_path, capsys):
    ranges = {"train.learning_rate": LogUniform(1e-4, 1e-2), "model.layers": Integers(1, 3)}
    failing = iter([1.0, "lost", 3.0, 4.0])
    code, first = run(tmp_path, study(ranges, 4), lambda config: next(failing))
    assert (code, len(first.trained)) == (1, 4)
    code, second = run(tmp_path, study(ranges, 7), by_rate)
    assert code == 0
    assert second.trained[0] == first.trained[1]
    assert len({*first.trained, *second.trained}) == 7
    assert len(second.trained) == 4
    assert (tmp_path / "study.journal").is_file()
    code, third = run(tmp_path, study(ranges, 7), by_rate)
    assert (code, third.trained, third.tested) == (0, [], [])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (grid({"train.learning_rat": (1,)}), "did you mean train.learning_rate"),
        (grid({"train.steps": (0,)}), "at least 1"),
        (grid({"train.steps": ("many",)}), "whole number"),
        (grid({"train.learning_rate": ("1e-3",)}), "use a number"),
        (grid({"structure": ("encoder=sofmax",)}), "softmax"),
        (grid({"checkpoint.metric": ("bleu", "loss")}), "one metric"),
        (study({"model.layers": Integers(0, 3)}, 3), "at least 1"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_starts(tmp_path, what, words):
    with pytest.raises((ValueError, TypeError), match=words):
        run(tmp_path / "new", what, by_rate)
    assert not (tmp_path / "new").exists()


def test_a_study_cannot_be_printed(tmp_path):
    with pytest.raises(ValueError, match="cannot be printed"):
        sweep(plan(tmp_path, study({"model.layers": Integers(1, 3)}, 3)), executor="print")


def test_a_run_is_no_place_for_a_sweep(tmp_path):
    write_config(tmp_path, resolve(SPEC, []))
    with pytest.raises(ValueError, match="holds a single run"):
        run(tmp_path, RATES, by_rate)

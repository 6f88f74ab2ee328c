"""Killed at any step and started again, or on many devices, a run comes to the same losses."""

import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from attention.training.logs import read_metrics

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS, KILLS = 80, 5
NOISY = [
    "--config.noise.kind=scheduled",
    "--config.noise.k=20",
    "--config.noise.mix=sample",
    "--config.noise.token_rate=0.1",
    "--config.train.log_every=1",
]


def losses(workdir):
    """The lines of metrics.jsonl, in their order, without what depends on the clock."""
    return [
        {name: value for name, value in row.items() if not name.startswith("perf/")}
        for row in read_metrics(workdir)
    ]


def start(arguments, workdir):
    command = [sys.executable, "launch.py", *arguments, f"--workdir={workdir}"]
    with (workdir.parent / f"{workdir.name}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def last_step(workdir):
    """The last step that a line of metrics.jsonl tells of, 0 if there is none yet."""
    try:
        return max((row["step"] for row in read_metrics(workdir)), default=0)
    except FileNotFoundError:
        return 0


def kill_after(process, workdir, step):
    """Kills a training once it has logged a step; asserts that it was then in its midst."""
    deadline = time.monotonic() + 120
    while last_step(workdir) < step:
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = last_step(workdir)
    assert step <= reached < STEPS
    return reached


@pytest.mark.slow
def test_killed_at_five_random_steps_the_losses_are_those_of_an_uninterrupted_run(tiny, tmp_path):
    arguments = [
        *tiny,
        *NOISY,
        f"--config.train.steps={STEPS}",
        "--config.train.checkpoint_every=3",
        "--config.train.eval_every=40",
    ]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    seed = random.randrange(1 << 32)
    print("seed of the kills:", seed)  # shown if the test fails
    chance = random.Random(seed)
    width = (STEPS - 10) // KILLS
    with start(arguments, whole) as uninterrupted:
        reached, resumed = 0, []
        for number in range(KILLS):
            step = max(reached + 1, number * width + chance.randint(1, width))
            reached = kill_after(start(arguments, broken), broken, step)
            resumed.append(max(int(p.name) for p in saved(broken)) if saved(broken) else 0)
        assert start(arguments, broken).wait(timeout=120) == 0
        assert uninterrupted.wait(timeout=120) == 0
    assert len({*resumed} - {0}) >= 3, f"the run went on from {resumed}: too few checkpoints"
    expected = losses(whole)
    assert [row["step"] for row in expected if "train/loss" in row] == [*range(1, STEPS + 1)]
    assert losses(broken) == expected
    reports = [last_report(workdir) for workdir in (whole, broken)]
    assert reports[0] == reports[1]


def saved(workdir):
    """The checkpoints that are whole."""
    steps = (workdir / "checkpoints").glob("*/manifest/metadata")
    return [path.parent.parent for path in steps if path.parent.parent.name.isdecimal()]


def last_report(workdir):
    """What the run wrote to stdout at its end."""
    log = (workdir.parent / f"{workdir.name}.log").read_text("utf-8")
    return json.loads([line for line in log.splitlines() if line.startswith("{")][-1])


EIGHT = """
import io, os, sys
import jax
import launch
assert jax.device_count() == 8
workdir, *arguments = sys.argv[1:]
assert launch.main(["launch.py", *arguments]) == 0
assert launch.main(["launch.py", "evaluate", workdir, "--split=valid"]) == 0
sys.stdin = io.TextIOWrapper(io.BytesIO(b"a b c\\n\\nd\\ne f\\n"))
assert launch.main(["launch.py", "translate", workdir]) == 0
"""


@pytest.mark.slow
def test_eight_devices_train_evaluate_and_translate_as_one_does(
    tiny, launched, eight_devices, tmp_path
):
    arguments = [*tiny, "--config.train.log_every=1", "--config.train.steps=10"]
    one, eight = f"--workdir={tmp_path / 'one'}", f"--workdir={tmp_path / 'eight'}"
    assert launched(*arguments, one).code == 0
    lines = eight_devices(EIGHT, eight, *arguments, eight).splitlines()
    rows = [
        [row["train/loss"] for row in losses(tmp_path / name) if "train/loss" in row]
        for name in ("one", "eight")
    ]
    assert len(rows[0]) == 10
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-5)
    valid = launched("evaluate", one, "--split=valid").report
    assert json.loads(lines[1])["loss"] == pytest.approx(valid["loss"], rel=1e-5)
    said = launched("translate", eight, stdin=b"a b c\n\nd\ne f\n").out
    assert lines[2:] == said.split("\n")[:-1]

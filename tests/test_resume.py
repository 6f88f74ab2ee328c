"""Killed at any step and started again, or on many devices, a run comes to the same losses."""

import json
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from attention.lab.storage import checksums
from attention.lab.storage.metrics import read_metrics

ROOT = pathlib.Path(__file__).resolve().parent.parent
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


@pytest.fixture
def start():
    """Starts launch.py; with ``moment``, such as ("KILL", "logged 7"), as tests.moments does."""
    started = []

    def run(arguments, workdir, moment=(), log=None):
        program = ["-m", "tests.moments", *moment] if moment else ["launch.py"]
        command = [sys.executable, *program, *arguments, f"--workdir={workdir}"]
        with (log or log_of(workdir)).open("ab") as stream:
            process = subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def log_of(workdir):
    return workdir.parent / f"{workdir.name}.log"


def last_step(workdir):
    """The last step of which metrics.jsonl has a line, 0 if there is none yet."""
    return max((row["step"] for row in read_metrics(workdir)), default=0)


@pytest.fixture(scope="module")
def uninterrupted(tiny, launched, tmp_path_factory):
    """The arguments of a run and, for a number of steps, its workdir once it has ended."""
    ended = {}

    def run(steps):
        arguments = [
            *(*tiny, *NOISY, f"--config.train.steps={steps}"),
            *("--config.train.checkpoint_every=3", f"--config.train.eval_every={steps // 2}"),
        ]
        if steps not in ended:
            ended[steps] = workdir = tmp_path_factory.mktemp("uninterrupted") / "whole"
            ran = launched(*arguments, f"--workdir={workdir}")
            assert ran.code == 0, ran.err
            log_of(workdir).write_text(ran.out)
        return arguments, ended[steps]

    return run


@pytest.mark.parametrize(
    ("kills", "steps"),
    [
        pytest.param(2, 24, marks=pytest.mark.slow),
        pytest.param(20, 300, marks=pytest.mark.long),
    ],
)
def test_killed_at_any_step_the_losses_are_those_of_an_uninterrupted_run(
    start, launched, uninterrupted, tmp_path, kills, steps
):
    """In its steps and, every second time, while it saves."""
    (arguments, whole), broken = uninterrupted(steps), tmp_path / "broken"
    chance, width = random.Random(steps), steps // (kills + 1)
    resumed = []
    for number in range(kills):
        step = number * width + chance.randint(6, width)
        saving = number % 2 == 1
        moment = f"{'saving' if saving else 'logged'} {step}"
        assert start(arguments, broken, ("KILL", moment)).wait(timeout=600) == -signal.SIGKILL
        assert step <= last_step(broken) < steps
        assert any((broken / "checkpoints").glob("saving.*")) or not saving
        resumed.append(max((int(path.name) for path in saved(broken)), default=0))
    ran = launched(*arguments, f"--workdir={broken}")
    assert ran.code == 0, ran.err
    log_of(broken).write_text(ran.out)
    assert len({*resumed}) == kills
    assert_same_runs(whole, broken, steps)


def assert_same_runs(whole, broken, steps):
    """Bit for bit: every loss, the last state with optimiser and rng, where the data stands."""
    expected = losses(whole)
    assert [row["step"] for row in expected if "train/loss" in row] == [*range(1, steps + 1)]
    assert losses(broken) == expected
    reports = [last_report(workdir) for workdir in (whole, broken)]
    assert reports[0] == reports[1]
    ends = [workdir / "checkpoints" / str(steps) for workdir in (whole, broken)]
    notes = [json.loads((end / "notes.json").read_text()) for end in ends]
    assert notes[0] == notes[1]
    with ocp.StandardCheckpointer() as reader:
        states = [reader.restore(end / "state") for end in ends]
    jax.tree.map(np.testing.assert_array_equal, *states)


def saved(workdir):
    """The checkpoints that are whole."""
    return [path.parent for path in (workdir / "checkpoints").glob("[0-9]*/SHA256SUMS")]


def wait_until(happened, process):
    """Waits for something that a process does, however long it takes."""
    while not happened():
        assert process.poll() is None
        time.sleep(0.002)


@pytest.mark.slow
def test_stopped_by_signals_at_any_time_nothing_is_lost(start, uninterrupted, tmp_path):
    """While it sets up, in its steps, and in the final evaluation."""
    steps = 24
    (arguments, whole), stopped = uninterrupted(steps), tmp_path / "it's  stopped"
    log = log_of(stopped)
    for number, moment in (
        (signal.SIGINT, "said data: "),
        (signal.SIGTERM, "logged 10"),
        (signal.SIGINT, "final"),
    ):
        process = start(arguments, stopped, (number.name.removeprefix("SIG"), moment))
        assert process.wait(timeout=600) == 128 + number
        line = log.read_text().splitlines()[-1]
        done, _, command = line.partition("; to go on: ")
        assert shlex.split(command) == [sys.executable, "launch.py", *process.args[5:]]
        if found := re.search(r"at step (\d+), which is saved$", done):
            last = int(found[1])
            assert last == last_step(stopped) == max(int(p.name) for p in saved(stopped))
        assert done.startswith(f"launch.py: stopped by {number.name}")
    with log.open("ab") as stream:
        assert subprocess.run(shlex.split(command), cwd=ROOT, stdout=stream).returncode == 0
    assert len(re.findall(r"at step \d+, which is saved", log.read_text())) == 1
    assert_same_runs(whole, stopped, steps)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("every", "fault"),
    [
        (1, r"(metrics.jsonl or tb/ cannot be written|checkpoint \d+ could not be saved)"),
        pytest.param(10**6, r"checkpoint \d+ could not be saved", marks=pytest.mark.long),
    ],
)
def test_a_full_disk_ends_the_run_and_the_last_checkpoint_is_good(
    start, launched, tiny, small_disk, tmp_path, every, fault
):
    """Whether it is metrics that find no place or a checkpoint."""
    workdir, filler = small_disk / "run", small_disk / "filler"
    arguments = [*tiny, f"--config.train.log_every={every}", "--config.train.eval_every=1000000"]
    log = tmp_path / "run.log"
    process = start([*arguments, "--config.train.steps=1000000"], workdir, log=log)
    try:
        wait_until(lambda: saved(workdir), process)
        with filler.open("wb", buffering=0) as stream:
            while process.poll() is None:
                try:
                    stream.write(bytes(1024))
                except OSError:  # it is full; what the run deletes is filled again
                    time.sleep(0.001)
        assert process.poll() == 2
    finally:
        process.kill()
    said = log.read_text()
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert re.match(rf"launch.py: .*{fault}.* \(.*No space left", last)
    filler.unlink()
    step = max(int(path.name) for path in saved(workdir))
    checksums.check(workdir / "checkpoints" / str(step))
    arguments += ["--config.train.steps=" + str(step + 5)]
    ran = launched(*arguments, f"--workdir={workdir}")
    assert ran.code == 0, ran.err
    assert f"resumed at step {step} of {step + 5}" in ran.err


def last_report(workdir):
    """What the run wrote to stdout at its end."""
    log = log_of(workdir).read_text("utf-8")
    return json.loads([line for line in log.splitlines() if line.startswith("{")][-1])


EIGHT = """
import io, sys
import jax
import launch
assert jax.device_count() == 8
workdir, *arguments = sys.argv[1:]
assert launch.main(["launch.py", *arguments]) == 0
sys.stdin = io.TextIOWrapper(io.BytesIO(b"a b c\\n\\nd\\ne f\\n"))
assert launch.main(["launch.py", "translate", workdir]) == 0
"""


@pytest.mark.slow
def test_eight_devices_train_evaluate_and_translate_as_one_does(
    tiny, launched, eight_devices, tmp_path
):
    arguments = [*tiny, "--config.train.log_every=1", "--config.train.steps=10"]
    one, eight = f"--workdir={tmp_path / 'one'}", f"--workdir={tmp_path / 'eight'}"
    ran = launched(*arguments, one)
    assert ran.code == 0, ran.err
    lines = eight_devices(EIGHT, eight, *arguments, eight).splitlines()
    rows = [
        [row["train/loss"] for row in losses(tmp_path / name) if "train/loss" in row]
        for name in ("one", "eight")
    ]
    assert len(rows[0]) == 10
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-5)
    assert json.loads(lines[0])["loss"] == pytest.approx(ran.report["loss"], rel=1e-5)
    said = launched("translate", eight, stdin=b"a b c\n\nd\ne f\n").out
    assert lines[1:] == said.split("\n")[:-1]

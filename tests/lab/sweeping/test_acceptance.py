"""The whole of it: trainings on Ray, four of which come to grief, and then only those again."""

import csv
import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT

EXPERIMENT = """
    import os, pathlib, resource, signal, sys

    from attention.lab.sweeping import grid
    from experiments import text

    FAULTS = pathlib.Path(__file__).with_name("faults")


    def get_config(structure=""):
        if "train" in sys.argv and FAULTS.exists() and "--config.train.warmup=6" in sys.argv:
            grief()
        return text.get_config(structure)


    def grief():
        if "--config.seed=0" in sys.argv:
            raise KeyError("a mistake in the experiment")
        if "--config.seed=1" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)
        if "--config.seed=2" in sys.argv:
            from attention.lab.tasks.translation import Translation

            whole = Translation.loss
            Translation.loss = lambda *all, **named: nan(*whole(*all, **named))
        if "--config.seed=3" in sys.argv:
            used = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
            most = used * resource.getpagesize() + 2**28
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            hoard = [bytearray(2**24) for _ in range(1_000)]


    def nan(loss, *rest):
        return loss * float("nan"), *rest


    def sweep():
        return grid({"train.warmup": (4, 5, 6), "seed": (0, 1, 2, 3)})
"""


@pytest.fixture
def swept(tmp_path, tiny):
    """Runs the sweep, and returns its exit code, its report, its rows by name and its stderr."""
    experiment = tmp_path / "experiment.py"
    experiment.write_text(textwrap.dedent(EXPERIMENT))
    small = [flag for flag in tiny if flag.startswith("--config.")]
    small += [f"--config.train.{short}" for short in ("steps=10", "max_skipped=2")]

    def run():
        ran = subprocess.run(
            [
                *(sys.executable, "launch.py", "sweep", f"--config={experiment}"),
                *(f"--workdir={tmp_path / 'sweep'}", *small),
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1_800,
        )
        assert len(ran.stdout.splitlines()) == 1, ran.stderr
        with (tmp_path / "sweep" / "results.csv").open(newline="", encoding="utf-8") as stream:
            rows = {row["name"]: row for row in csv.DictReader(stream)}
        return ran.returncode, json.loads(ran.stdout), rows, ran.stderr

    return run


def changed(tmp_path, names):
    """When each trial last said something."""
    trials = tmp_path / "sweep" / "trials"
    return {name: (trials / name / "log.txt").stat().st_mtime_ns for name in names}


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_twelve_trials_of_which_four_come_to_grief(swept, tmp_path):
    (tmp_path / "faults").touch()
    code, report, rows, err = swept()
    assert code == 1, err
    assert (report["finished"], report["failed"], len(rows)) == (8, 4, 12)
    reasons = {row["seed"]: row["reason"] for row in rows.values() if row["state"] == "failed"}
    assert "a mistake in the experiment" in reasons["0"]
    assert "killed by signal 9" in reasons["1"]
    assert "not finite" in reasons["2"]
    assert "MemoryError" in reasons["3"]
    assert report["test"]["split"] == "test"
    assert "12 of 12 left" in err
    assert "1 running" in err
    tests = [*(tmp_path / "sweep").glob("trials/*/decodes/*.test.txt")]
    assert [path.parent.parent.name for path in tests] == [report["winner"]]
    finished = {name for name, row in rows.items() if row["state"] == "finished"}
    before = changed(tmp_path, rows)

    (tmp_path / "faults").unlink()
    code, report, rows, err = swept()
    assert code == 0, err
    assert (report["finished"], report["failed"], len(rows)) == (12, 0, 12)
    after = changed(tmp_path, rows)
    assert {name for name in rows if before[name] == after[name]} == finished

    code, again, _, _ = swept()
    assert (code, again) == (0, report)

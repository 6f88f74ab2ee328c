"""A process in which nothing happens ends, and says where it hangs; any other does not."""

import os
import pathlib
import shlex
import subprocess
import sys
import time

import pytest

from attention.training.watchdog import watchdog

ROOT = pathlib.Path(__file__).resolve().parents[2]
HANGS = """
import sys, time
from attention.training.watchdog import watchdog
def hang():
    time.sleep(60)
with watchdog(0.5) as dog:
    dog.pet("step 7")
    hang()
"""


def test_a_hang_ends_with_all_stacks_and_one_line(tmp_path):
    (tmp_path / "hangs.py").write_text(HANGS)
    command = [sys.executable, str(tmp_path / "hangs.py"), "a b"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (ran.returncode, ran.stdout) == (1, "")
    *stacks, last = ran.stderr.splitlines()
    assert " in hang" in "\n".join(stacks)
    assert "most recent call first" in "\n".join(stacks)
    assert last.startswith(
        "nothing has happened for 0.5 seconds after step 7, so this process ends"
    )
    assert last.endswith(f"go on from the last checkpoint: {shlex.join(command)}")


@pytest.fixture
def fired(monkeypatch):
    """The seconds of every watchdog that would have ended this process."""
    seen = []
    monkeypatch.setattr("attention.training.watchdog.Watchdog._end", lambda _, s: seen.append(s))
    return seen


def test_steps_keep_it_quiet(fired):
    with watchdog(1.0) as dog:
        for step in range(25):
            time.sleep(0.1)
            dog.pet(f"step {step}")
    assert fired == []


def test_the_first_step_and_evaluations_may_take_any_time(fired):
    with watchdog(0.1) as dog:
        time.sleep(0.5)
        with dog.asleep():
            time.sleep(0.5)
        time.sleep(0.5)
        assert fired == []
        dog.pet("step 1")
        with dog.asleep():
            time.sleep(0.5)
        assert fired == []
        time.sleep(0.5)
        assert 0.1 in fired


def test_zero_watches_over_nothing(fired):
    with watchdog(0) as dog:
        dog.pet("step 1")
        time.sleep(0.2)
    assert fired == []

"""A process in which nothing happens ends, and says where it hangs; any other does not."""

import faulthandler
import os
import pathlib
import subprocess
import sys

import pytest

from attention.lab.training.watchdog import Watchdog

ROOT = pathlib.Path(__file__).resolve().parents[3]
HANGS = """
import time
from attention.lab.training.watchdog import Watchdog
def hang():
    time.sleep(600)
dog = Watchdog(0.5)
with dog.asleep():
    pass
hang()
"""


def test_a_hang_ends_with_all_stacks():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HANGS]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "Timeout (0:00:00.500000)!" in ran.stderr
    assert " in hang" in ran.stderr


@pytest.fixture
def calls(monkeypatch):
    """What faulthandler was called for."""
    seen = []
    monkeypatch.setattr(
        faulthandler, "dump_traceback_later", lambda seconds, **_: seen.append(seconds)
    )
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: seen.append("stop"))
    return seen


def test_evaluations_may_take_any_time(calls):
    dog = Watchdog(7.0)
    assert calls == []
    dog.pet()
    with dog.asleep():
        assert calls == [7.0, "stop"]
    assert calls == [7.0, "stop", 7.0]
    dog.close()
    assert calls[-1] == "stop"


def test_zero_watches_over_nothing(calls):
    dog = Watchdog(0)
    dog.pet()
    with dog.asleep():
        dog.close()
    assert calls == []

"""A process in which nothing happens ends, and says where it hangs; any other does not."""

import contextlib
import functools
import os
import pathlib
import shlex
import subprocess
import sys
import threading

import pytest

from attention.training.watchdog import Watchdog, watchdog

ROOT = pathlib.Path(__file__).resolve().parents[2]
HANGS = """
import sys, time
from attention.training.watchdog import watchdog
def hang():
    time.sleep(600)
with watchdog(0.5) as dog:
    dog.pet("step 7")
    hang()
"""


def test_a_hang_ends_with_all_stacks_and_one_line(tmp_path):
    (tmp_path / "hangs.py").write_text(HANGS)
    command = [sys.executable, str(tmp_path / "hangs.py"), "a b"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
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


class Ticks:
    """Stands where the watch waits: time passes as a test lets it, a twentieth at a time."""

    def __init__(self, *passes):
        self._events = iter([e for p in passes for e in ([None] * p if p in range(99) else [p])])

    def wait(self, seconds):
        for event in self._events:
            if event is None:
                return False
            event()
        return True


def watch(dog, *passes):
    """Lets so many twentieths of the time pass, and calls what stands between them."""
    dog._watch(1.0, Ticks(*passes))


def test_steps_keep_it_quiet(fired):
    dog = Watchdog()
    step = functools.partial(dog.pet, "step")
    watch(dog, step, 19, step, 19, step, 19)
    assert fired == []
    watch(dog, step, 20)
    assert fired == [1.0]


def test_the_first_step_and_evaluations_may_take_any_time(fired):
    dog, evaluation = Watchdog(), contextlib.ExitStack()
    begin, end = (lambda: evaluation.enter_context(dog.asleep())), evaluation.close
    step = functools.partial(dog.pet, "step 1")
    watch(dog, 50, begin, 50, end, 50)  # before the first step has ended
    assert fired == []
    watch(dog, step, 19, begin, 50, end, 19)
    assert fired == []
    watch(dog, step, 19, begin, 50, end, 20)
    assert fired == [1.0]


def test_zero_watches_over_nothing(monkeypatch):
    monkeypatch.setattr("threading.Thread.start", lambda self: pytest.fail("a watch began"))
    with watchdog(0) as dog:
        dog.pet("step 1")


def test_a_watch_ends_with_what_it_watches_over():
    before = threading.active_count()
    with watchdog(1000.0) as dog:
        dog.pet("step 1")
        assert threading.active_count() == before + 1
    assert threading.active_count() == before

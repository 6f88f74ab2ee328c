"""A command in a process of its own, and the line that says why it failed."""

import os
import subprocess
import sys
import time

import pytest

from attention.lab.sweeping.commands import Job, run_job


def ran(tmp_path, source):
    command = (sys.executable, "-c", source)
    return run_job(Job("job", command, str(tmp_path), str(tmp_path / "new" / "log.txt")))


def test_a_command_that_succeeds_gives_its_last_line_and_a_log(tmp_path):
    outcome = ran(tmp_path, "import sys; print('one'); print('two'); print('e', file=sys.stderr)")
    assert (outcome.reason, outcome.last) == ("", "two")
    assert outcome.seconds > 0
    assert (tmp_path / "new" / "log.txt").read_text() == "e\none\ntwo\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import sys; sys.exit('launch.py: the loss is   not finite')", "the loss is not finite"),
        ("import sys; sys.exit('attention-jax: it is full')", "it is full"),
        ("raise KeyError('a')", "KeyError: 'a'"),
        ("import sys; sys.exit(3)", "exit code 3, without a word"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9 (SIGKILL; out of memory?)"),
        (
            "import os, sys; print('bad', file=sys.stderr, flush=True); os.abort()",
            "killed by signal 6 (SIGABRT): bad",
        ),
        (
            "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28)); b'a' * 2**30",
            "MemoryError",
        ),
    ],
)
def test_a_command_that_fails_gives_its_reason(tmp_path, source, reason):
    assert ran(tmp_path, source).reason == reason


def test_reasons_are_of_this_attempt(tmp_path):
    ran(tmp_path, "raise KeyError('old')")
    assert ran(tmp_path, "import sys; sys.exit(3)").reason == "exit code 3, without a word"
    assert "old" in (tmp_path / "new" / "log.txt").read_text()


def test_what_cannot_be_run_has_a_reason(tmp_path):
    outcome = run_job(Job("job", (str(tmp_path / "no"),), str(tmp_path), str(tmp_path / "log")))
    assert outcome.reason.endswith("cannot be run (No such file or directory)")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_a_job_dies_with_its_parent(tmp_path):
    source = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    parent = (
        "import sys\nfrom attention.lab.sweeping.commands import Job, run_job\n"
        "run_job(Job('j', (sys.executable, '-c', sys.argv[1]), sys.argv[2], sys.argv[2] + '/log'))"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, source, str(tmp_path)])
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.kill()
    process.wait()
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(pid))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(holds, seconds=300.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, os.getpid()
        time.sleep(0.05)

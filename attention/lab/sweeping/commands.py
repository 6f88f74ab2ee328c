"""Runs a command in a process of its own, and says in a line what came of it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Asks Linux to kill this process when its parent dies, then becomes the command. It is a separate
# program because a function between fork and exec may deadlock in a process with threads.
_TIED_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG of prctl.h
if os.getppid() != int(sys.argv[1]):
    sys.exit("its parent has died")
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]} cannot be run ({error.strerror})")
"""
_TAIL = 8_192


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
      name: for people.
      command: the program and its arguments.
      cwd: where it runs.
      log: the file that gets what it writes to stderr, and at the end its stdout.
    """

    name: str
    command: tuple[str, ...]
    cwd: str
    log: str


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    Attributes:
      reason: why it failed, in one line; empty if it did not.
      last: the last line of its stdout.
      seconds: how long it took.
    """

    reason: str
    last: str = ""
    seconds: float = 0.0


def run_job(job: Job) -> Outcome:
    """Runs a job to its end; if this process dies, so does the job."""
    start = time.monotonic()
    log = Path(job.log)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        begin = stream.tell()
        try:
            ran = subprocess.run(
                _tied(job.command),
                cwd=job.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        except OSError as error:
            return Outcome(f"{job.command[0]} cannot be run ({error.strerror})")
        stream.write(ran.stdout)
    seconds = time.monotonic() - start
    if ran.returncode:
        return Outcome(reason(ran.returncode, _last_line(log, begin)), seconds=seconds)
    lines = ran.stdout.decode("utf-8", "replace").strip().splitlines()
    return Outcome("", lines[-1] if lines else "", seconds)


def reason(code: int, last: str) -> str:
    """Why a command failed, from its exit code and the last line that it wrote."""
    said = last.removeprefix("launch.py: ").removeprefix("attention-jax: ")
    if code >= 0:
        return said or f"exit code {code}, without a word"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    if -code == signal.SIGKILL:
        return f"killed by signal {-code} ({name}; out of memory?)"
    return f"killed by signal {-code} ({name}): {said}" if said else f"killed by signal {-code}"


def _last_line(log: Path, begin: int) -> str:
    """The last line of a log that is not blank, from an offset on."""
    with log.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(begin, end - _TAIL))
        lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    return one_line(lines[-1])[:500] if lines else ""


def _tied(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, on Linux as a process that is killed when this one dies."""
    if not sys.platform.startswith("linux"):
        return command
    return (sys.executable, "-I", "-S", "-c", _TIED_TO_PARENT, str(os.getpid()), *command)


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """A text without its line breaks, for reasons."""
    return " ".join(text.split())

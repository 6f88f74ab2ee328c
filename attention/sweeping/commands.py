"""Runs a command in a process of its own, and says in a line what came of it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # Linux's prctl.h
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
                job.command,
                cwd=job.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                preexec_fn=_die_with_parent,
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
    said = last.removeprefix("launch.py: ")
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


def _die_with_parent() -> None:
    """In the child, before it becomes the command: asks the kernel to be killed with the parent."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# Loaded before any fork: a child must not.
_LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """A text without its line breaks, for reasons."""
    return " ".join(text.split())

"""Runs launch.py, and stops it at a moment that is named rather than hoped for.

    python -m tests.moments KILL "logged 17" train --config=... --workdir=...

The signal is sent by the process to itself, at the first of:

- ``said TEXT``: a line of progress that begins so has been printed;
- ``logged N``: the metrics of step N, or of a later one, have been written;
- ``saving N``: the arrays of checkpoint N, or of a later one, are written, but it is not complete;
- ``final``: the final evaluation has begun.
"""

import os
import runpy
import signal
import sys
from collections.abc import Callable
from typing import Any

from attention.lab.evaluation.evaluator import Evaluator
from attention.lab.runs import train
from attention.lab.storage.metrics import MetricsWriter
from attention.lab.storage.step_directories import StepDirectories


def at(owner: Any, name: str, reached: Callable[..., bool], act: Callable, *, after: bool) -> None:
    """Replaces ``owner.name`` by a function that also acts, the first time that it has reached."""
    original, left = getattr(owner, name), [act]

    def replaced(*arguments: Any, **options: Any) -> Any:
        if after:
            result = original(*arguments, **options)
        if left and reached(*arguments):
            left.pop()()
        return result if after else original(*arguments, **options)

    setattr(owner, name, replaced)


def arrange(moment: str, act: Callable[[], None]) -> None:
    """Lets ``act`` happen at a moment, see above."""
    kind, _, value = moment.partition(" ")
    if kind == "said":
        at(train, "say", lambda text: text.startswith(value), act, after=True)
    elif kind == "logged":
        at(MetricsWriter, "log", lambda _, step, *__: step >= int(value), act, after=True)
    elif kind == "saving":
        at(StepDirectories, "finish", lambda _, step, *__: step >= int(value), act, after=False)
    elif kind == "final":

        def evaluate(*arguments: Any, **options: Any) -> Any:
            at(Evaluator, "report", lambda *_: True, act, after=False)
            return original(*arguments, **options)

        original, train.load.evaluate = train.load.evaluate, evaluate
    else:
        raise ValueError(f"moment is {moment!r}; see tests/moments.py")


def main() -> None:
    name, moment, *arguments = sys.argv[1:]
    arrange(moment, lambda: os.kill(os.getpid(), signal.Signals[f"SIG{name}"]))
    sys.argv = ["launch.py", *arguments]
    sys.orig_argv = [sys.executable, *sys.argv]  # the command that the message names
    runpy.run_path("launch.py", run_name="__main__")


if __name__ == "__main__":
    main()

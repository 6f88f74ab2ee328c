"""The command line: launch.py of a checkout, and attention-jax where the package is installed.

Exit codes: 0; 1 for a fault of ours, a loss that diverged or a lack of memory; 2 for a mistake of
the user; 128 + N after signal N. Each of these is one line on stderr. The traceback of whatever is
no mistake of the user is appended to ``errors.log`` in the workdir.
"""

import datetime
import logging
import os
import sys
import threading
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from absl import flags

from attention.errors import DivergedError, UserError
from attention.lab.commands import arguments
from attention.lab.commands.arguments import Call

_LOG = "errors.log"


def console() -> None:
    """Runs the command of this process, whose signals and exit code are ours."""
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main(sys.argv, owns_process=True))


def main(argv: list[str], *, owns_process: bool = False) -> int:
    """Returns the exit code.

    Args:
      argv: the program and its arguments.
      owns_process: whether signals may end the process, and hooks of threads may be set.
    """
    program, call = Path(argv[0]).name, None

    def say(text: str) -> None:
        print(f"{program}: {' '.join(text.splitlines())}", file=sys.stderr, flush=True)

    logging.disable(logging.ERROR)  # libraries log what they raise as well
    warnings.showwarning = lambda warning, *_: say(f"warning: {warning}")
    try:
        if {"-h", "--help"} & {*argv}:
            print(arguments.help_of(argv, program))
            return 0
        call = arguments.parse(argv, program=[sys.executable, os.path.abspath(argv[0])])
        if owns_process:
            _take_over(call)
        code = run(call)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has left, as `| head` does
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 0
    except KeyboardInterrupt as stop:
        say(str(stop) or "interrupted")
        return getattr(stop, "code", 130)
    except Exception as error:
        if os.environ.get("ATTENTION_TRACEBACK"):
            traceback.print_exc()
        if isinstance(error, UserError | flags.Error):
            say(str(error))
            return 2
        if isinstance(error, DivergedError):
            say(str(error))
            return 1
        path = keep(traceback.format_exc(), call)
        if path is None:
            traceback.print_exc()
        say(f"{_explained(error)}; traceback: {path or 'above'}")
        return 1


def run(call: Call) -> int:
    """Does a command's work and returns the exit code."""
    from attention.lab.commands import process

    process.keep_compiled_programs()
    process.keep_freed_memory()
    return import_module(f"attention.lab.commands.{call.command}").run(call) or 0


def keep(text: str, call: Call | None) -> str | None:
    """Appends a traceback to the workdir's log and returns its path; None where that cannot be."""
    workdir = call.given.get("workdir") if call else None
    if not workdir or not Path(workdir).is_dir():
        return None
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        with (path := Path(workdir) / _LOG).open("a", encoding="utf-8") as stream:
            stream.write(f"{time} {' '.join(sys.argv)}\n{text}\n")
    except OSError:
        return None
    return str(path)


def _explained(error: Exception) -> str:
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return (
            "out of memory: lower train.batch_tokens (of translate and evaluate: "
            "decode.batch_tokens), or set model.remat"
        )
    return f"a fault of this program, {type(error).__name__}: {error}"


def _take_over(call: Call) -> None:
    """Signals end the process in order; the errors of threads go into the log."""
    from attention.lab.training.interrupts import end_when_asked

    def kept(found: Any) -> None:
        error = found.exc_value
        lines = traceback.format_exception(type(error), error, found.exc_traceback)
        if keep("".join(lines), call) is None:
            print(f"in a thread: {lines[-1].strip()}", file=sys.stderr, flush=True)

    sys.unraisablehook = threading.excepthook = kept
    end_when_asked()

"""The command line: train, evaluate, translate, look inside. README.md says more.

launch.py train     --config=experiments/NAME.py[:argument] [--config.key=value ...]
                    [--workdir=runs/NAME] [--on_change=refuse|continue|restart]
launch.py sweep     --config=... --workdir=DIR [--executor=local|ray|slurm|print] [--config.key=...]
launch.py evaluate  --workdir=DIR [--split=test] [--data_dir=DIR] [--compare=DIR] [--checkpoint=...]
                    [--teacher=DIR] [--samples=8]
launch.py translate --workdir=DIR [--beam=4] [--nbest=1] [--scores] [--checkpoint=...]
                    [--teacher=DIR] < in > out
launch.py inspect   --workdir=DIR --text="a sentence" [--checkpoint=best|latest|average|STEP]
launch.py distil    --workdir=DIR --target_dir=DIR [--beam=4] [--checkpoint=...]
launch.py mix       --data_dir=DIR --synthetic=FILE --monolingual=FILE --target_dir=DIR
                    --source_lang=en --target_lang=de [--tag="<BT>"]     back-translated pairs
launch.py expose    --workdir=DIR [--split=valid] [--data_dir=DIR] [--checkpoint=...]
launch.py options   [--config=experiments/NAME.py]      every key, its value, meaning and range
"""

import logging
import os
import sys
import threading
import traceback
import warnings

from absl import flags

from experiments.arguments import parse

MISTAKES = (flags.Error, ValueError, TypeError, NotImplementedError, OSError, FloatingPointError)


def run(command: str, given: dict, keys: list[str]) -> int:
    """Does the command's work and returns the exit code."""
    from attention import (
        distilling,
        exposing,
        host,
        inspecting,
        options,
        tagging,
        trained,
        translating,
    )
    from attention import run as runs
    from attention.training.interrupts import end_when_asked
    from experiments import sweeping
    from experiments.resolve import default_workdir, resolve

    if __name__ == "__main__":  # the process is ours to end
        end_when_asked()
    host.keep_compiled_programs()
    host.keep_freed_memory()
    if command == "train":
        given = {"workdir": default_workdir(given["config"])} | given
        said = {"config": (spec := given.pop("config")), "overrides": keys}
        runs.print_report(runs.train(resolve(spec, keys), said=said, **given))
    elif command == "sweep":
        return sweeping.run(keys=keys, program=[sys.executable, os.path.abspath(__file__)], **given)
    elif command == "evaluate":
        runs.print_report(trained.evaluate(**given))
    elif command == "translate":
        translating.translate(source=sys.stdin.buffer, target=sys.stdout, **given)
    elif command == "inspect":
        inspecting.inspect(**given)
    elif command == "distil":
        distilling.distil(**given)
    elif command == "mix":
        tagging.mix(**given)
    elif command == "expose":
        exposing.expose(**given)
    else:
        print(options.table(resolve(given.get("config", "experiments/base.py"), keys)))
    return 0


def main(argv: list[str]) -> int:
    """Returns the exit code; a mistake, the user's (2) or ours (1), is one line on stderr."""
    logging.disable(logging.ERROR)  # libraries log what they raise as well
    warnings.showwarning = lambda warning, *_: say(f"warning: {warning}")
    try:
        code = print(__doc__) or 0 if {"-h", "--help"} & {*argv} else run(*parse(argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has left, as `| head` does
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except KeyboardInterrupt as stop:
        say(str(stop) or "interrupted")
        return getattr(stop, "code", 130)
    except Exception as error:
        if os.environ.get("ATTENTION_TRACEBACK"):
            traceback.print_exc()
        if isinstance(error, MISTAKES):
            say(str(error))
            return 2
        say(f"{type(error).__name__}: {error}; set ATTENTION_TRACEBACK=1 for the traceback")
        return 1
    return 0


def say(text: str) -> None:
    """One line on stderr, whatever line breaks the text has."""
    print(f"launch.py: {' '.join(text.splitlines())}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if not os.environ.get("ATTENTION_TRACEBACK"):  # what libraries' threads say after an error
        sys.unraisablehook = threading.excepthook = lambda _: None
    sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(main(sys.argv))

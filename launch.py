"""The command line: train, evaluate, translate, look inside. README.md says more.

launch.py train     --config=experiments/NAME.py[:argument] [--config.key=value ...]
                    [--workdir=runs/NAME] [--on_change=refuse|continue|restart]
launch.py sweep     --config=... --workdir=DIR [--executor=local|ray|slurm|print] [--config.key=...]
launch.py evaluate  --workdir=DIR [--split=test] [--data_dir=DIR] [--compare=DIR] [--checkpoint=...]
launch.py translate --workdir=DIR [--beam=4] [--nbest=1] [--scores] [--checkpoint=...] < in > out
launch.py inspect   --workdir=DIR --text="a sentence" [--checkpoint=best|latest|average|STEP]
"""

import os
import re
import sys
import traceback
import warnings

from absl import flags, logging

COMMANDS = {  # the flags each needs, and those it may have
    "train": (["config"], ["workdir", "on_change", "final_split"]),
    "sweep": (["config", "workdir"], ["executor", "on_change"]),
    "evaluate": (["workdir"], ["split", "data_dir", "checkpoint", "compare"]),
    "translate": (["workdir"], ["checkpoint", "beam", "nbest", "scores"]),
    "inspect": (["workdir", "text"], ["checkpoint"]),
}
MISTAKES = (flags.Error, ValueError, TypeError, NotImplementedError, OSError, FloatingPointError)


def parse(argv: list[str]) -> tuple[str, dict, list[str]]:
    """The command, its flags by name, and what is said of single keys of the config."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    for name in {name for both in COMMANDS.values() for names in both for name in names}:
        kind = {"beam": "integer", "nbest": "integer", "scores": "boolean"}.get(name, "string")
        getattr(flags, f"DEFINE_{kind}")(name, None, name, flag_values=values)
    keys = [arg for arg in argv if re.match(r"--?(no)?config\.", arg)]
    said = " ".join(values([arg for arg in argv if arg not in keys])[1:])
    if said not in COMMANDS:
        raise ValueError(f"needs one of {', '.join(COMMANDS)}; got {said or 'none'}; see --help")
    given = {name: values[name].value for name in values if values[name].present}
    needed, optional = COMMANDS[said]
    known = needed + optional
    for name in [*needed, *given, *(["config"] if keys else [])]:
        if name not in known or given.get(name, "") == "":
            verb = "needs a value for" if name in known else "has no flag"
            raise ValueError(f"{said} {verb} --{name}; its flags are --{', --'.join(known)}")
    return said, given, keys


def run(command: str, given: dict, keys: list[str]) -> int:
    """Does the command's work and returns the exit code."""
    from attention import host, inspecting, trained, translating
    from attention import run as runs
    from experiments import sweeping
    from experiments.resolve import default_workdir, resolve

    host.keep_compiled_programs()
    host.keep_freed_memory()
    if command == "train":
        given = {"workdir": default_workdir(given["config"])} | given
        runs.print_report(runs.train(resolve(given.pop("config"), keys), **given))
    elif command == "sweep":
        return sweeping.run(keys=keys, program=[sys.executable, os.path.abspath(__file__)], **given)
    elif command == "evaluate":
        runs.print_report(trained.evaluate(**given))
    elif command == "translate":
        translating.translate(source=sys.stdin.buffer, target=sys.stdout, **given)
    else:
        inspecting.inspect(**given)
    return 0


def main(argv: list[str]) -> int:
    """Returns the exit code; a mistake, the user's (2) or ours (1), is one line on stderr."""
    logging.set_verbosity(logging.ERROR)
    warnings.showwarning = lambda warning, *_: say(f"warning: {warning}")
    try:
        code = print(__doc__) or 0 if {"-h", "--help"} & {*argv} else run(*parse(argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has left, as `| head` does
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except KeyboardInterrupt:
        say("interrupted")
        return 130
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
    print(f"launch.py: {' '.join(text.split())}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(main(sys.argv))

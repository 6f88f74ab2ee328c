"""The command line: train, evaluate, translate and look inside; see README.md."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

COMMANDS = ("train", "evaluate", "translate", "inspect")

flags.DEFINE_string("workdir", None, "where the run lives; runs/NAME of the config by default")
flags.DEFINE_enum("on_change", "refuse", ["refuse", "continue", "restart"], "if configs differ")
flags.DEFINE_string("split", "test", "what to evaluate")
flags.DEFINE_string("data_dir", None, "where the split's files lie")
flags.DEFINE_string("checkpoint", "best", "best, latest, average, or a step")
flags.DEFINE_string("compare", None, "evaluate: another workdir, by paired bootstrap")
flags.DEFINE_integer("beam", None, "translate: beams")
flags.DEFINE_integer("nbest", 1, "translate: translations of each line")
flags.DEFINE_bool("scores", False, "translate: print scores")
flags.DEFINE_string("text", None, "inspect: the sentence to look at")
config_flags.DEFINE_config_file("config", None, "experiments/NAME.py[:argument]", lock_config=True)
FLAGS = flags.FLAGS


def run(argv: list[str]) -> None:
    """Runs one command with the flags already parsed."""
    command = argv[1] if len(argv) > 1 else None
    if command not in COMMANDS or len(argv) > 2:
        given = " ".join(argv[1:]) or "nothing"
        raise ValueError(f"needs one command of {', '.join(COMMANDS)}; got {given}")
    if command == "train" and FLAGS.config is None:
        raise ValueError("train needs --config=experiments/NAME.py")
    if command != "train" and FLAGS.workdir is None:
        raise ValueError(f"{command} needs --workdir=DIR, the directory of a trained run")
    if command == "inspect" and not FLAGS.text:
        raise ValueError("inspect needs --text='a sentence'")
    from attention import inspecting, trained
    from attention import run as runs

    if command == "train":
        config = json.loads(FLAGS.config.to_json_best_effort())
        name = Path(FLAGS["config"].config_filename.partition(":")[0]).stem
        workdir = FLAGS.workdir or f"runs/{name}"
        runs.print_report(runs.train(config, workdir, on_change=FLAGS.on_change))
    elif command == "evaluate":
        options = dict(data_dir=FLAGS.data_dir, checkpoint=FLAGS.checkpoint, compare=FLAGS.compare)
        runs.print_report(trained.evaluate(FLAGS.workdir, FLAGS.split, **options))
    elif command == "translate":
        options = dict(beam=FLAGS.beam, nbest=FLAGS.nbest, scores=FLAGS.scores)
        source, target = sys.stdin.buffer, sys.stdout
        trained.translate(FLAGS.workdir, source, target, checkpoint=FLAGS.checkpoint, **options)
    else:
        inspecting.inspect(FLAGS.workdir, FLAGS.text, checkpoint=FLAGS.checkpoint)


def main(argv: list[str]) -> int:
    """Turns a user's mistake into one line on stderr and exit code 2."""
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".cache/jax"))
    try:
        run(FLAGS(argv))
    except BrokenPipeError:  # the reader has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (
        flags.Error,
        ValueError,
        TypeError,
        KeyError,
        NotImplementedError,
        AttributeError,
        OSError,
        FloatingPointError,
    ) as error:
        if os.environ.get("ATTENTION_TRACEBACK"):
            raise
        print(f"launch.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

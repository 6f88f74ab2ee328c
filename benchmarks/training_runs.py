"""Runs ``launch.py train`` as a user would, and writes down BLEU over minutes.

    python benchmarks/training_runs.py quickstart
    python benchmarks/training_runs.py text --data_dir=DIR [--workdir=DIR] [--config.key=value ...]

Prints a Markdown table of the validation scores against wall-clock and processor minutes since the
start of the command, the test scores, the settings and the machine. The test split is read once,
by the command itself, at its end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MULTI30K = Path(os.environ.get("ATTENTION_MULTI30K", ROOT / "../shared/data/multi30k-en-de"))
EVALUATION = re.compile(r"step (\d+)  valid loss ([\d.]+)  BLEU ([\d.]+)")
SETTINGS = (
    "seed",
    "data.vocab_size",
    "model.layers",
    "model.size",
    "model.ff_size",
    "model.heads",
    "model.dropout",
    "train.steps",
    "train.batch_tokens",
    "train.learning_rate",
    "train.schedule",
    "train.warmup",
    "train.label_smoothing",
    "decode.beam",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=("quickstart", "text"), nargs="?")
    parser.add_argument("--data_dir", type=Path, default=MULTI30K)
    parser.add_argument("--workdir", type=Path)
    options, flags = parser.parse_known_args()
    for experiment in [options.experiment] if options.experiment else ["quickstart", "text"]:
        given = list(flags)
        if experiment == "text":
            if not options.data_dir.is_dir():
                print(f"text: skipped, {options.data_dir} is absent; say --data_dir=DIR")
                continue
            given.append(f"--config.data.dir={options.data_dir}")
        with tempfile.TemporaryDirectory() as scratch:
            report(experiment, options.workdir or Path(scratch) / "run", given)


def report(experiment: str, workdir: Path, flags: list[str]) -> None:
    """Trains, and prints what there is to say."""
    command = [f"--config=experiments/{experiment}.py", f"--workdir={workdir}", *flags]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "launch.py", "train", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    rows = []
    for line in process.stderr:
        print(line, end="", file=sys.stderr, flush=True)
        if found := EVALUATION.match(line):
            minutes = (time.perf_counter() - started) / 60
            rows.append((*found.groups(), minutes, processor_minutes(process.pid)))
    result = process.stdout.read().splitlines()
    if process.wait():
        sys.exit(f"training failed with exit code {process.returncode}")
    wall = (time.perf_counter() - started) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = (used.ru_utime + used.ru_stime) / 60
    test, config = json.loads(result[-1]), json.loads((workdir / "config.json").read_text())
    print(f"\n`python benchmarks/training_runs.py {experiment}` on {machine()}\n")
    print("| step | validation loss | BLEU (greedy) | minutes | processor minutes |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for step, loss, bleu, minutes, spent in rows:
        print(f"| {step} | {loss} | {bleu} | {minutes:.1f} | {spent:.1f} |")
    print(
        f"\nTest: BLEU {test['bleu']:.2f}, chrF++ {test['chrf']:.2f}, loss {test['loss']:.4f}, "
        f"step {test['step']}, {test['sentences']} sentences, {test['signature']}; "
        f"{wall:.1f} minutes from raw text to this score, {cores:.1f} processor minutes."
    )
    settings = {name: look_up(config, name) for name in SETTINGS}
    print("\n" + ", ".join(f"{name} {value}" for name, value in settings.items()) + "\n")


def processor_minutes(pid: int) -> float:
    """User and system time of a running process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") / 60


def machine() -> str:
    """Processor and core count."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    name = found[1] if found else platform.processor()
    return f"{len(os.sched_getaffinity(0))} cores of {name}, Python {platform.python_version()}"


def look_up(config: dict, name: str) -> object:
    """A value by its dotted name."""
    value: object = config
    for part in name.split("."):
        value = value[part]
    return value


if __name__ == "__main__":
    main()

"""Trains the quickstart with each encoder attention, and makes a table.

    python benchmarks/encoders.py [--parts=train,time,table] [--workdir=runs/encoders] [--only=...]

- train: ``launch.py train`` for each attention, all else equal; one that is finished stays. Writes
  BLEU and the process's peak memory to WORKDIR/NAME.json.
- time: the update of each against that with softmax, in turn, in one process; alone on the machine,
  please. Writes WORKDIR/NAME.time.json.
- table: Markdown of what is there.

Patterns are as small as the sentences, of about a dozen words, need for something to be hidden.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.paired import paired, use_processors  # noqa: E402

RUNS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "additive": {},
    "relu": {},
    "learned_temperature": {},
    "cosine": {},
    "local": {"left": 2, "right": 2},
    "dilated": {"left": 2, "right": 2, "step": 2},
    "strided": {"stride": 4},
    "fixed": {"block": 4, "summary": 1},
    "global": {"first": 2},
    "longformer": {"left": (2,), "right": (2,), "first": 1},
    "bigbird": {"block": 2, "random": 1},
    "grid": {"width": 4, "rows": 1, "columns": 1},
    "axial": {"width": 4},
    "graph": {},
    "per_head": {"left": (2, 2, 4, 4), "right": (2, 2, 4, 4), "step": (1, 1, 2, 2)},
    "reformer": {"chunk": 4, "rounds": 2},
    "routing": {"clusters": 4},
    "routing-local": {"clusters": 4, "local_heads": 2, "left": 2, "right": 2},
    "sinkhorn": {"block": 4},
    "linformer": {"length": 128, "rank": 16},
    "compressed": {},
    "linear": {},
    "efficient": {},
    "performer": {},
    "performer-relu": {"kind": "relu"},
    "rfa": {},
    "rfa-gated": {"gated": True},
    "synthesizer": {"length": 128},
    "fnet": {},
    "mixer": {"length": 128, "hidden": 64},
    "conv": {},
    "conv-light": {"kind": "light"},
    "conv-dynamic": {"kind": "dynamic"},
    "lstm": {},
    "gru": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="train,time,table")
    parser.add_argument("--workdir", type=Path, default=ROOT / "runs/encoders")
    parser.add_argument("--only", default="", help="these alone, with commas between")
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    options.workdir.mkdir(parents=True, exist_ok=True)
    names = options.only.split(",") if options.only else list(RUNS)
    parts: dict[str, Callable[[], None]] = {
        "train": lambda: train(names, options.workdir),
        "time": lambda: measure(names, options.workdir, options.pairs),
        "table": lambda: table(names, options.workdir),
    }
    for part in options.parts.split(","):
        parts[part]()


def name_of(run: str) -> str:
    """The attention of a run: ``performer-relu`` is a form of performer."""
    return run.partition("-")[0]


def train(runs: list[str], workdir: Path) -> None:
    """Trains what is not finished."""
    for run in runs:
        found = workdir / f"{run}.json"
        if found.exists():
            continue
        command = [
            sys.executable,
            "launch.py",
            "train",
            f"--config=experiments/quickstart.py:encoder={name_of(run)}",
            f"--workdir={workdir / run}",
            *(f"--config.model.encoder.{key}={said(value)}" for key, value in RUNS[run].items()),
        ]
        with (
            open(workdir / f"{run}.out", "w+b") as out,
            open(workdir / f"{run}.log", "wb") as log,
        ):
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=log)
            _, status, used = os.wait4(process.pid, 0)
            out.seek(0)
            lines = out.read().decode().splitlines()
        if os.waitstatus_to_exitcode(status):
            print(f"{run}: failed, see {log.name}", file=sys.stderr, flush=True)
            continue
        result = json.loads(lines[-1])
        kept = {key: result[key] for key in ("bleu", "loss", "step")}
        found.write_text(json.dumps(kept | {"peak_mib": used.ru_maxrss / 1024}))
        print(run, found.read_text(), file=sys.stderr, flush=True)


def said(value: Any) -> str:
    """A value as flags have it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def measure(runs: list[str], workdir: Path, pairs: int) -> None:
    """Times an update of each against one with softmax."""
    use_processors(2)
    softmax = update_of("softmax")
    for run in runs:
        ratio = paired(update_of(run), softmax, pairs=pairs)
        found = {"seconds": ratio.seconds_a, "times": 1 / ratio.median}
        (workdir / f"{run}.time.json").write_text(json.dumps(found))
        print(run, found, file=sys.stderr, flush=True)


def update_of(run: str) -> Callable[[], None]:
    """An update of the quickstart's model on a batch of 128 sentences of 16 tokens a side."""
    import jax
    import numpy as np

    from attention.lab import build
    from attention.lab.commands import process as host
    from attention.lab.commands.resolve import resolve
    from attention.lab.training.step import create_state, make_train_step

    host.keep_compiled_programs()
    host.keep_freed_memory()
    flags = [f"--config.model.encoder.{key}={said(value)}" for key, value in RUNS[run].items()]
    config = resolve(f"experiments/quickstart.py:encoder={name_of(run)}", flags)
    size = config["data"]["vocab_size"]
    experiment = build.experiment(config)
    task, optimiser = experiment.task(SimpleNamespace(vocab_size=size)), experiment.optimiser
    params, model_state = task.init(jax.random.key(0))
    update = make_train_step(task.loss, optimiser)
    state = create_state(params, model_state, optimiser, jax.random.key(1))
    source_BS, target_BT = np.random.default_rng(0).integers(4, size, (2, 128, 16), dtype=np.int32)
    fed = jax.device_put({"source_BS": source_BS, "target_BT": target_BT})

    def step() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(update(state, fed))

    return step


def table(runs: list[str], workdir: Path) -> None:
    """What was found."""
    print("| encoder | parameters set | test BLEU | loss, nats | s a step | by softmax's | MiB |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for run in runs:
        row: dict[str, Any] = {}
        for path in (workdir / f"{run}.json", workdir / f"{run}.time.json"):
            row |= json.loads(path.read_text()) if path.exists() else {}
        told = ", ".join(f"{key}={said(value)}" for key, value in RUNS[run].items())
        forms = (("bleu", ".2f"), ("loss", ".3f"), ("seconds", ".3f"), ("times", ".2f"))
        cells = [format(row[key], form) if key in row else "–" for key, form in forms]
        cells.append(f"{row['peak_mib']:,.0f}" if "peak_mib" in row else "–")
        print(f"| `{name_of(run)}` | {told} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

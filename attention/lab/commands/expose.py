"""A report of exposure bias: loss and accuracy by position, after gold and after own words."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from attention.errors import UnsupportedError
from attention.lab.commands.arguments import Call
from attention.lab.pictures.plots import by_position
from attention.lab.runs import load
from attention.lab.tasks import exposure
from attention.lab.tasks.translation import Translation

WAYS = {"after gold": exposure.after_gold, "after own words": exposure.after_own}
_FEW = 20  # tokens at a position, below which it is drawn and told no more


def run(call: Call) -> None:
    """Does what the command line says."""
    expose(**call.given)


def expose(
    workdir: str | Path,
    *,
    split: str = "valid",
    data_dir: str | None = None,
    checkpoint: str = "best",
    allow_import: Sequence[str] = (),
) -> Path:
    """Prints the table, a line a position, and draws it to ``workdir/plots/exposure.png``.

    Args:
      workdir: the run.
      split, data_dir, checkpoint, allow_import: see ``attention.lab.runs.load.evaluate``.

    Returns:
      The picture.

    Raises:
      RunError: there is no run or no such checkpoint.
      ValueError: the split's text cannot be used.
    """
    run = load.load(workdir, checkpoint, allow_import=allow_import)
    task = run.task
    if not isinstance(task, Translation):
        raise UnsupportedError(
            f"{workdir} fills targets in, and reads no words of its own; expose a run of task.kind "
            "left_to_right"
        )
    examples = run.evaluator.examples(run.experiment.data.pairs(split, data_dir))
    counted = {way: _counted(task, run, examples, function) for way, function in WAYS.items()}
    tokens_T = counted["after gold"][2]
    told = int((tokens_T >= min(_FEW, tokens_T[0])).sum())
    columns = {
        way: (nats_T[:told] / tokens_T[:told], right_T[:told] / tokens_T[:told])
        for way, (nats_T, right_T, _) in counted.items()
    }
    print("position", "tokens", *(f"{what} {way}" for what in ("loss", "accuracy") for way in WAYS),
          sep="\t")  # fmt: skip
    for at in range(told):
        cells = [f"{columns[way][what][at]:.4f}" for what in (0, 1) for way in WAYS]
        print(at + 1, int(tokens_T[at]), *cells, sep="\t")
    picture = by_position(columns, tokens_T[:told], Path(workdir) / "plots" / "exposure.png",
                          f"{split}, step {run.step}")  # fmt: skip
    for way, (nats_T, right_T, _) in counted.items():
        loss, accuracy = nats_T.sum() / tokens_T.sum(), right_T.sum() / tokens_T.sum()
        print(f"{way}: loss {loss:.4f} nats a token, accuracy {accuracy:.4f}", file=sys.stderr)
    print(f"exposure bias: {picture}", file=sys.stderr)
    return picture


def _counted(
    task: Translation, run: load.Trained, examples: Any, way: Any
) -> tuple[np.ndarray, ...]:
    """Sums [T] over the whole split: nats, tokens told right, tokens."""
    evaluator = run.evaluator
    function = jax.jit(lambda *arguments: way(task, *arguments))
    longest = max(bucket.target for bucket in evaluator.buckets)
    sums_3T = np.zeros((3, longest))
    for found in evaluator.over(function, run.params, run.model_state, examples):
        found_3T = np.stack([np.asarray(x, np.float64) for x in found])
        sums_3T[:, : found_3T.shape[1]] += found_3T
    last = int(np.flatnonzero(sums_3T[2])[-1]) + 1
    return tuple(sums_3T[:, :last])

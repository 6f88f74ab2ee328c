"""What checkpoints, logging and the watchdog add to the training steps of the quickstart.

    python benchmarks/checkpointing.py [--steps=500] [--pairs=5]

Runs steps with one save in their midst and lines of metrics as often as the config says, and the
same steps with nothing of it, in turn; evaluation is left out. What is saved in the background
takes processors from the steps beside it, and that counts; two processors.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from paired import paired, use_processors

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500, help="steps a save")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    use_processors(2)
    bare, whole = make(options.steps)
    found = paired(whole, bare, pairs=options.pairs, warm_up=1)
    print(
        f"{options.steps} steps with one save and metrics take {found.seconds_a:.2f} s, without "
        f"{found.seconds_b:.2f} s: a share of {1 - found.median:.1%} (median of {options.pairs} "
        f"pairs; quartiles {1 - found.high:.1%} to {1 - found.low:.1%}); wanted: at most 5%. "
        f"Two processors, Python {platform.python_version()}"
    )


def make(steps: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Steps without anything beside them, and with all that a run has but evaluations."""
    sys.path.insert(0, str(ROOT))
    import jax
    import jax.numpy as jnp

    from attention.lab import build
    from attention.lab.commands import process
    from attention.lab.commands.resolve import resolve
    from attention.lab.data.batching.batches import iterator
    from attention.lab.runs import load
    from attention.lab.runs import train as run
    from attention.lab.storage.metrics import MetricsWriter
    from attention.lab.training.devices import mesh, shard_batch
    from attention.lab.training.loop import train
    from attention.lab.training.step import make_train_step
    from attention.lab.training.watchdog import Watchdog

    process.keep_compiled_programs()
    process.keep_freed_memory()
    experiment = build.experiment(resolve("experiments/quickstart.py", []))
    with tempfile.TemporaryDirectory() as scratch:
        setup = run._set_up(experiment, Path(scratch), mesh(experiment.devices))
        with load.open_checkpoints(experiment, Path(scratch)) as none_yet:
            start = run._start(setup, none_yet).state
    update = make_train_step(setup.task.loss, experiment.optimiser)

    def go(**hooks: object) -> None:
        with jax.set_mesh(setup.devices):
            train(
                jax.tree.map(jnp.copy, start),
                update,
                iterator(setup.batches),
                steps=steps,
                put=lambda batch: shard_batch(batch, setup.devices),
                log_every=experiment.loop.log_every,
                **hooks,
            )

    def whole() -> None:
        with (
            tempfile.TemporaryDirectory() as scratch,
            load.open_checkpoints(experiment, Path(scratch)) as checkpoints,
            MetricsWriter(scratch, steps=steps, stream=io.StringIO()) as writer,
            contextlib.closing(Watchdog(experiment.loop.watchdog_seconds)) as dog,
        ):

            def on_step(step, metrics):
                dog.pet()
                writer.step(step, metrics)

            def on_save(step, *what):
                if step < steps:
                    checkpoints.save(step, *what)

            go(
                checkpoint_every=steps // 2 + 1,
                on_save=on_save,
                on_step=on_step,
                on_log=writer.log,
            )

    return go, whole


if __name__ == "__main__":
    main()

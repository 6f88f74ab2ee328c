"""From an experiment's ``sweep()`` to the sweep that ``launch.py sweep`` runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attention.sweeping import Sweep
from attention.sweeping.sweep import Plan, sweep
from experiments.resolve import load, resolve


def run(
    *,
    config: str,
    workdir: str,
    keys: list[str],
    program: Sequence[str],
    executor: str = "local",
    on_change: str = "refuse",
) -> int:
    """Runs the sweep of an experiment's file.

    Args:
      config: the file, and its argument after a colon if it has one.
      workdir: where trials and tables go.
      keys: ``--config.KEY=VALUE`` each, for all trials; what a trial says goes before it.
      program: what starts ``launch.py``.
      executor: see ``attention.sweeping.sweep.sweep``.
      on_change: of the trials, see ``attention.workdir.claimed``.

    Returns:
      The exit code.
    """
    path, colon, argument = config.partition(":")
    there = Path(workdir).absolute()
    spec = f"{Path(path).absolute()}{colon}{argument}"
    plan = Plan(load_sweep(config), spec, keys, there, resolve, program, on_change)
    return sweep(plan, executor=executor)


def load_sweep(spec: str) -> Sweep:
    """What ``sweep()`` of the file returns.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it has no ``sweep()``.
      TypeError: ``sweep()`` returns something else.
    """
    path, module = spec.partition(":")[0], load(spec)
    if not hasattr(module, "sweep"):
        raise ValueError(
            f"--config={spec}: {path} has no function sweep, which says what to try, as in "
            "experiments/sweep_quickstart.py"
        )
    found = module.sweep()
    if not isinstance(found, Sweep):
        raise TypeError(
            f"sweep of {path} returned {type(found).__name__}; it needs what grid, listed, "
            "random_search or study of attention.sweeping return"
        )
    return found

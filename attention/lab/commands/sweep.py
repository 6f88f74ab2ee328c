"""From an experiment's ``sweep()`` to the sweep that ``launch.py sweep`` runs."""

from pathlib import Path

from attention.errors import ConfigError
from attention.lab.commands.arguments import Call
from attention.lab.commands.resolve import file_of, load, resolve
from attention.lab.sweeping import Sweep
from attention.lab.sweeping.sweep import Plan, sweep


def run(call: Call) -> int:
    """Runs the sweep of an experiment's file, and returns the exit code."""
    given = dict(call.given)
    path, colon, argument = given["config"].partition(":")
    found = load_sweep(given["config"])
    plan = Plan(
        found,
        f"{file_of(path).absolute()}{colon}{argument}",
        call.overrides,
        Path(given["workdir"]).absolute(),
        resolve,
        call.program,
        given.get("on_change", "refuse"),
    )
    return sweep(plan, executor=given.get("executor", "local"))


def load_sweep(spec: str) -> Sweep:
    """What ``sweep()`` of the file returns.

    Raises:
      ConfigError: there is no such file.
      ValueError: it has no ``sweep()``.
      TypeError: ``sweep()`` returns something else.
    """
    path, module = spec.partition(":")[0], load(spec)
    if not hasattr(module, "sweep"):
        raise ConfigError(
            f"--config={spec}: {path} has no function sweep, which says what to try, as in "
            "experiments/sweep_quickstart.py"
        )
    found = module.sweep()
    if not isinstance(found, Sweep):
        raise ConfigError(
            f"sweep of {path} returned {type(found).__name__}; it needs what grid, listed, "
            "random_search or study of attention.lab.sweeping return"
        )
    return found

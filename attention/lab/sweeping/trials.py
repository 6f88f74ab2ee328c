"""One trial: its name, the command that runs it, and what its directory says came of it."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attention.errors import ConfigError
from attention.lab.build import Experiment
from attention.lab.config import schema
from attention.lab.config.flags import written
from attention.lab.config.key import check_value
from attention.lab.storage.directory import read_config, read_result

STRUCTURE = "structure"
FAILURE = "failure.txt"


@dataclass(frozen=True, eq=False)
class Trial:
    """A point of the sweep.

    Attributes:
      name: of its directory; readable, and different for different overrides.
      overrides: values by config key.
      experiment: all that they make.
      path: its directory.
    """

    name: str
    overrides: Mapping[str, Any]
    experiment: Experiment
    path: Path


def name_of(overrides: Mapping[str, Any]) -> str:
    """A directory's name from overrides alone, whatever their order.

    >>> name_of({"seed": 0, "train.learning_rate": 0.001})
    'learning_rate=0.001,seed=0-dd327f2e'
    """
    text = json.dumps(overrides, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    order = sorted(overrides, key=lambda name: (name == "seed", name))
    parts = [f"{name.rpartition('.')[2]}={_short(overrides[name])}" for name in order]
    readable = re.sub(r"[^A-Za-z0-9._=,+-]", "_", ",".join(parts))[:100]
    return f"{readable}-{digest}" if readable else f"default-{digest}"


def flags(overrides: Mapping[str, Any]) -> list[str]:
    """The overrides as flags of the command line."""
    return [
        f"--config.{name}={written(value)}"
        for name, value in overrides.items()
        if name != STRUCTURE
    ]


def spec_of(spec: str, overrides: Mapping[str, Any]) -> str:
    """``FILE.py:structure``, with the trial's structure if it has one."""
    if STRUCTURE not in overrides:
        return spec
    return f"{spec.partition(':')[0]}:{overrides[STRUCTURE]}"


def check_taken(overrides: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Checks that the config has what the overrides say, and of the right types.

    Raises:
      ValueError, TypeError: a value has another type, is out of range, or did not arrive.
    """
    plain = dict(schema.flatten(config))
    for name, value in overrides.items():
        if name == STRUCTURE:
            continue
        if name in schema.SCHEMA:
            check_value(name, schema.SCHEMA[name], value)
        if plain.get(name) != ([*value] if isinstance(value, tuple) else value):
            raise ConfigError(
                f"config.{name} is {value!r} in the sweep, but as a flag {plain.get(name)!r}"
            )


def score_of(trial: Trial) -> float | None:
    """The validation score of a trial that has finished as it is now defined, else None.

    Raises:
      ValueError, OSError: what the directory holds is damaged.
    """
    report = read_result(trial.path)
    if report is None or report.get("split") != "valid":
        return None
    if read_config(trial.path) != trial.experiment.config:
        return None
    score = report.get("score")
    return score if isinstance(score, int | float) and math.isfinite(score) else None


def failure_of(trial: Trial) -> str | None:
    """Why the trial's last attempt failed, in one line; None where it has not, or not run yet."""
    file = trial.path / FAILURE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None


def write_failure(trial: Trial, reason: str | None) -> None:
    """Keeps why a trial failed, or that it has not."""
    file = trial.path / FAILURE
    if reason is None:
        file.unlink(missing_ok=True)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{reason}\n", encoding="utf-8")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else written(value)

"""What a sweep tries: a grid, a list, random search over ranges, or a study of Optuna.

Overrides are values by config key, as in ``{"train.learning_rate": 1e-3}``. The key ``structure``
is what stands behind the colon of ``--config``, as in ``{"structure": "encoder=bigbird"}``.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attention.errors import ConfigError

Overrides = dict[str, Any]


@dataclass(frozen=True)
class _Interval:
    """Numbers between two ends."""

    low: Any
    high: Any

    def __post_init__(self) -> None:
        _need(self.low < self.high, self, "low < high")

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values to check beforehand."""
        return self.low, self.high


class Uniform(_Interval):
    """Numbers between low and high, all equally likely."""

    def draw(self, chance: random.Random) -> float:
        """A number, to six digits."""
        return float(f"{chance.uniform(self.low, self.high):.6g}")


class LogUniform(_Interval):
    """Numbers between low and high whose logarithms are equally likely, as for learning rates."""

    def __post_init__(self) -> None:
        _need(0 < self.low < self.high, self, "0 < low < high")

    def draw(self, chance: random.Random) -> float:
        """A number, to six digits."""
        value = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
        return min(max(float(f"{value:.6g}"), self.low), self.high)


class Integers(_Interval):
    """Whole numbers from low to high, both included."""

    def draw(self, chance: random.Random) -> int:
        """A whole number."""
        return chance.randint(self.low, self.high)


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)
        _need(len(values) > 0, self, "at least one value")

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values to check beforehand."""
        return self.values

    def draw(self, chance: random.Random) -> Any:
        """One of the values."""
        return chance.choice(self.values)


Range = Uniform | LogUniform | Integers | Choice


@dataclass(frozen=True)
class Sweep:
    """What to try, and what a trial needs; made by the functions below.

    Attributes:
      trials: the overrides of each trial; empty for a study.
      ranges: for a study, where Optuna may look.
      count: for a study, how many trials in all.
      seed: for a study, of its sampler.
      parallel: for a study, how many trials at once; 0 for as many as there is room for.
      cpus, gpus: cores and GPUs of a trial, as Ray and SLURM count them.
      resources: further resources of Ray: ``{"TPU-v5litepod-8-head": 1}`` for a slice a trial.
      slurm: settings of submitit, as in ``{"timeout_min": 600, "slurm_partition": "long"}``.
    """

    trials: tuple[Overrides, ...] = ()
    ranges: Mapping[str, Range] = dataclasses.field(default_factory=dict)
    count: int = 0
    seed: int = 0
    parallel: int = 1
    cpus: float = 2
    gpus: float = 0
    resources: Mapping[str, float] = dataclasses.field(default_factory=dict)
    slurm: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def needing(self, **needs: Any) -> Sweep:
        """The same with other ``cpus``, ``gpus``, ``resources`` or ``slurm`` for each trial."""
        known = ("cpus", "gpus", "resources", "slurm")
        for name in needs:
            if name not in known:
                raise ConfigError(f"needing({name}=...): a trial may need {', '.join(known)}")
        return dataclasses.replace(self, **needs)


def grid(values: Mapping[str, Sequence[Any]]) -> Sweep:
    """Every combination of the values, the last key's changing fastest.

    >>> [trial["seed"] for trial in grid({"train.steps": (10, 20), "seed": (0, 1)}).trials]
    [0, 1, 0, 1]
    """
    for name, several in values.items():
        if isinstance(several, str) or not isinstance(several, Sequence) or not several:
            raise ConfigError(f"grid: {name} is {several!r}; it needs a list of values")
    combinations = itertools.product(*values.values())
    return listed([dict(zip(values, combination, strict=True)) for combination in combinations])


def listed(trials: Sequence[Mapping[str, Any]]) -> Sweep:
    """Exactly these trials; ``listed([])`` and repeated trials are mistakes.

    Raises:
      ValueError: there is no trial, or two are the same.
    """
    if not trials:
        raise ConfigError("the sweep has no trial: give at least one")
    seen: list[dict[str, Any]] = []
    for trial in map(dict, trials):
        if trial in seen:
            raise ConfigError(f"the sweep has the trial {trial} twice: leave one out")
        seen.append(trial)
    return Sweep(trials=tuple(seen))


def random_search(
    ranges: Mapping[str, Range], count: int, *, seed: int = 0, seeds: Sequence[int] = ()
) -> Sweep:
    """Points drawn from ranges; a larger ``count`` adds points and keeps those there were.

    Args:
      ranges: ``Uniform``, ``LogUniform``, ``Integers`` or ``Choice`` by config key.
      count: how many points.
      seed: of the draws.
      seeds: if given, each point is tried with each of these as ``config.seed``.

    >>> search = random_search({"train.learning_rate": LogUniform(1e-4, 1e-2)}, 3, seeds=(0, 1))
    >>> len(search.trials)
    6
    """
    _check_ranges(ranges, count)
    points: list[Overrides] = []
    for number in range(count):
        chance = random.Random(f"{seed}.{number}")
        point = {name: space.draw(chance) for name, space in ranges.items()}
        if point not in points:
            points.append(point)
    if not seeds:
        return listed(points)
    return listed([point | {"seed": value} for point in points for value in seeds])


def study(ranges: Mapping[str, Range], count: int, *, seed: int = 0, parallel: int = 1) -> Sweep:
    """Points that Optuna's TPE chooses by the scores so far; its journal lies in the workdir.

    Args:
      ranges: as for ``random_search``.
      count: how many trials in all.
      seed: of the sampler.
      parallel: how many trials at once; the more, the less each knows. 0: as there is room.
    """
    _check_ranges(ranges, count)
    if parallel < 0:
        raise ConfigError(f"study: parallel is {parallel}; it needs to be at least 0")
    return Sweep(ranges=dict(ranges), count=count, seed=seed, parallel=parallel)


def _check_ranges(ranges: Mapping[str, Any], count: int) -> None:
    if not ranges or count < 1:
        raise ConfigError("the sweep needs at least one range and a count of at least 1")
    for name, space in ranges.items():
        if not isinstance(space, Range):
            raise ConfigError(
                f"sweep: {name} is {space!r}; it needs Uniform, LogUniform, Integers or Choice"
            )


def _need(holds: bool, space: Any, what: str) -> None:
    if not holds:
        raise ConfigError(f"{space}: it needs {what}")

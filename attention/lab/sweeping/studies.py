"""Where a sweep's trials come from: a list that is known, or Optuna, which asks for scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attention.errors import ConfigError
from attention.lab.sweeping.spaces import Choice, LogUniform, Range, Sweep, Uniform
from attention.lab.sweeping.trials import Trial

MakeTrial = Callable[[Mapping[str, Any]], Trial]


class Listed:
    """Trials that are known beforehand.

    Attributes:
      count: how many there are in all.
      parallel: how many may run at once, 0 for as many as there is room for.
    """

    def __init__(self, trials: Sequence[Trial]):
        self.count = self.parallel = len(trials)  # all are handed over: who runs them has a queue
        self._left = iter(trials)

    def ask(self) -> Trial | None:
        """The next trial."""
        return next(self._left, None)

    def tell(self, trial: Trial, score: float) -> None:
        """Scores change nothing."""


class Study:
    """Trials that Optuna chooses; a failed one stays open, so that the next run takes it up again.

    Args:
      sweep: the ranges, the count and the seed.
      journal: the file that Optuna keeps; made if it is not there.
      mode: "max" if a higher score is better, else "min".
      make: makes a trial of overrides.

    Raises:
      ValueError: optuna is missing.
    """

    def __init__(self, sweep: Sweep, journal: Path, mode: str, make: MakeTrial):
        try:
            import optuna
            from optuna.storages.journal import JournalFileBackend, JournalStorage
        except ImportError:
            raise ConfigError("a study needs optuna: pip install -e .[sweep]") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.count, self.parallel = sweep.count, sweep.parallel
        self._make = make
        self._numbers: dict[str, list[int]] = {}
        self._distributions = {name: _distribution(space) for name, space in sweep.ranges.items()}
        storage = JournalStorage(JournalFileBackend(str(journal)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is experimental there
            self._study = optuna.create_study(
                study_name="sweep",
                storage=storage,
                direction="maximize" if mode == "max" else "minimize",
                load_if_exists=True,
            )
            there = self._study.get_trials(deepcopy=False)
            # A sampler begun anew with the same seed would repeat its first points.
            self._study.sampler = optuna.samplers.TPESampler(seed=sweep.seed + len(there))
        self._again = [(frozen.number, frozen.params) for frozen in there]

    def ask(self) -> Trial | None:
        """First every trial of earlier runs, then new ones."""
        if self._again:
            number, overrides = self._again.pop(0)
        elif len(self._study.get_trials(deepcopy=False)) < self.count:
            asked = self._study.ask(self._distributions)
            number, overrides = asked.number, asked.params
        else:
            return None
        trial = self._make(overrides)
        self._numbers.setdefault(trial.name, []).append(number)
        return trial

    def tell(self, trial: Trial, score: float) -> None:
        """Lets Optuna know, once."""
        for number in self._numbers.pop(trial.name, ()):
            self._study.tell(number, score, skip_if_finished=True)


Source = Listed | Study


def _distribution(space: Range) -> Any:
    from optuna import distributions

    if isinstance(space, Choice):
        return distributions.CategoricalDistribution(space.values)
    if isinstance(space, Uniform | LogUniform):
        log = isinstance(space, LogUniform)
        return distributions.FloatDistribution(space.low, space.high, log=log)
    return distributions.IntDistribution(space.low, space.high)

"""Trials that Optuna chooses by the scores of those before."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attention.errors import ConfigError
from attention.lab.sweeping.spaces import Choice, LogUniform, Range, Sweep, Uniform
from attention.lab.sweeping.trials import Trial

MakeTrial = Callable[[Mapping[str, Any]], Trial]


class Study:
    """Yields the trials that Optuna chooses; a failed one stays open for the next run.

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
        self._count, self._make = sweep.count, make
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
            self._earlier = self._study.get_trials(deepcopy=False)
            # A sampler begun anew with the same seed would repeat its first points.
            seed = sweep.seed + len(self._earlier)
            self._study.sampler = optuna.samplers.TPESampler(seed=seed)

    def __iter__(self) -> Iterator[Trial]:
        """First every trial of earlier runs, then new ones."""
        for earlier in self._earlier:
            yield self._numbered(earlier)
        while len(self._study.get_trials(deepcopy=False)) < self._count:
            yield self._numbered(self._study.ask(self._distributions))

    def _numbered(self, chosen: Any) -> Trial:
        trial = self._make(chosen.params)
        self._numbers.setdefault(trial.name, []).append(chosen.number)
        return trial

    def tell(self, trial: Trial, score: float) -> None:
        """Lets Optuna know, once."""
        for number in self._numbers.pop(trial.name, ()):
            self._study.tell(number, score, skip_if_finished=True)


def _distribution(space: Range) -> Any:
    from optuna import distributions

    if isinstance(space, Choice):
        return distributions.CategoricalDistribution(space.values)
    if isinstance(space, Uniform | LogUniform):
        log = isinstance(space, LogUniform)
        return distributions.FloatDistribution(space.low, space.high, log=log)
    return distributions.IntDistribution(space.low, space.high)

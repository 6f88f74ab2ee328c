"""Checkpoints of the whole state, written in the background, checked when read."""

import contextlib
import dataclasses
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from attention.errors import ConfigError, RunError, StorageError
from attention.lab.storage import array_specs
from attention.lab.storage.step_directories import Damaged, StepDirectories
from attention.lab.training.step import TrainState


class Restored(NamedTuple):
    """A checkpoint: the state, what was saved as its ``data_state``, and its step."""

    state: TrainState
    data_state: Any
    step: int


class Checkpoints(contextlib.AbstractContextManager):
    """The checkpoints of one run, a directory each, named by step.

    A step's directory appears whole and sealed (see ``checksums``) or not at all, whenever the
    process is killed: it is written under another name, and only once it is there are older ones
    deleted. Kept are the latest ``max(keep, average)`` and the one with the best score.

    Args:
      directory: made if it is not there.
      keep: how many of the latest checkpoints to keep.
      average: how many of the latest ``restore("average")`` takes the mean of.
      metric_mode: "max" if a higher score is better, else "min".
      read_only: for a reader beside a running training: nothing is made or cleaned up.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        keep: int = 1,
        average: int = 1,
        metric_mode: str = "max",
        read_only: bool = False,
    ):
        self.directory = Path(directory).absolute()
        self._keep, self._average = max(keep, average), average
        self._read_only = read_only
        self._steps = StepDirectories(self.directory, 1 if metric_mode == "max" else -1)
        if not read_only:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._steps.clean()
        elif not self.directory.is_dir():
            raise RunError(f"no checkpoints in {self.directory}: the run has none yet")
        self._arrays = ocp.StandardCheckpointer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._saving: Future[None] | None = None

    def steps(self) -> tuple[int, ...]:
        """Returns the steps that are saved, in order, once nothing is being saved."""
        self.wait()
        return self._steps.sealed()

    def save(
        self, step: int, state: TrainState, data_state: Any, score: float | None = None
    ) -> None:
        """Saves in the background; the state may be donated as soon as this returns.

        Args:
          step: above every step saved before.
          state: what ``restore`` gives back bit for bit.
          data_state: anything JSON can hold, such as the batch iterator's state.
          score: of the validation split, finite, if it was evaluated at this step.

        Raises:
          ValueError: if the step is not above the last.
          StorageError: if this or an earlier save failed, as on a full disk.
        """
        if step <= (last := max(self.steps(), default=-1)):
            raise ValueError(f"step must be above the last saved step {last}, got {step}")
        tree = array_specs.as_saved(state)
        notes = {
            "data_state": data_state,
            "score": None if score is None else float(score),
            "rng_impl": str(jax.random.key_impl(state.rng)),
            "arrays": array_specs.describe(tree),
        }
        try:
            path = self._steps.begin(step, notes)
            self._arrays.save(path / "state", tree)
        except Exception as error:
            raise self._not_saved(step, error) from error
        self._saving = self._thread.submit(self._finish, step, path)

    def restore(self, which: str | int, abstract_state: TrainState) -> Restored:
        """Reads a checkpoint.

        Args:
          which: "latest" (of those that are not damaged), "best" (by score), "average" (the
            latest, but with the mean of the params of the last ``average``), or a step.
          abstract_state: a state, or its ``jax.ShapeDtypeStruct``s, whose shapes, dtypes and
            shardings the result has.

        Returns:
          The state, the data state and the step.

        Raises:
          RunError: if there is no such checkpoint, or it is damaged (the text names the file), or
            of another model.
          ConfigError: if ``which`` is not understood.
        """
        steps = self._find(which)
        if which == "latest":
            return self._read_first(steps, abstract_state)
        restored = self._read(steps[0], abstract_state)
        if len(steps) == 1:
            return restored
        total = jax.tree.map(lambda p: np.asarray(p, np.float64), restored.state.params)
        for other in steps[1:]:
            params = self._read(other, abstract_state).state.params
            total = jax.tree.map(lambda t, p: t + np.asarray(p, np.float64), total, params)
        params = jax.tree.map(
            lambda t, p: jax.device_put((t / len(steps)).astype(p.dtype), p.sharding),
            total,
            restored.state.params,
        )
        return restored._replace(state=dataclasses.replace(restored.state, params=params))

    def wait(self) -> None:
        """Waits until what is being saved is on disk; raises what went wrong there."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def close(self) -> None:
        """Waits, then lets go of the directory."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            with contextlib.suppress(Exception):  # what went wrong there, a save has told of
                self._arrays.close()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _finish(self, step: int, path: Path) -> None:
        """Seals what is being saved and gives it its name; then deletes what is not kept."""
        try:
            self._arrays.wait_until_finished()
            self._steps.finish(step, path)
        except Exception as error:
            raise self._not_saved(step, error) from error
        self._steps.prune(self._keep)

    def _not_saved(self, step: int, error: Exception) -> StorageError:
        there = ", ".join(map(str, self._steps.sealed())) or "none"
        reason = " ".join(str(error).replace(f"{self.directory}/", "").split())
        return StorageError(
            f"checkpoint {step} could not be saved in {self.directory} ({reason[:500]}); those"
            f" saved before are whole: {there}; make room or mend the disk, and start again"
        )

    def _find(self, which: str | int) -> list[int]:
        """The steps that are asked for, the one that counts first."""
        steps = self.steps()
        there = f"available in {self.directory}: {', '.join(map(str, steps)) or 'none'}"
        if isinstance(which, str) and which not in ("latest", "best", "average"):
            if not which.isdecimal():
                raise ConfigError(
                    f"checkpoint must be latest, best, average or a step, got {which!r}"
                )
            which = int(which)
        if isinstance(which, int):
            if which not in self._steps.numbered():
                raise RunError(f"no checkpoint of step {which}; {there}")
            return [which]
        if which == "latest" and (numbered := self._steps.numbered()):
            return [*reversed(numbered)]
        if not steps:
            raise RunError(f"no checkpoints in {self.directory}: train first")
        if which == "average":
            return [*reversed(steps[-self._average :])]
        best = self._steps.best(strict=True)
        if best is None:
            raise RunError(f"no checkpoint has a score, so none is best; {there}")
        return [best]

    def _read_first(self, steps: list[int], abstract_state: TrainState) -> Restored:
        """Reads the first that is not damaged; a training moves those before it aside."""
        damaged: list[tuple[int, Damaged]] = []
        for step in steps:
            try:
                restored = self._read(step, abstract_state)
            except Damaged as error:
                damaged.append((step, error))
                continue
            for bad, fault in damaged:
                warnings.warn(f"checkpoint {step} is used: {fault}", stacklevel=3)
                if not self._read_only:
                    self._steps.move_aside(bad)
            return restored
        raise damaged[0][1]

    def _read(self, step: int, abstract_state: TrainState) -> Restored:
        self._steps.check(step)
        notes = self._steps.notes(step)
        abstract = jax.tree.map(array_specs.abstract_leaf, array_specs.as_saved(abstract_state))
        expected = array_specs.describe(abstract)
        array_specs.check_same_model(notes["arrays"], expected, f"checkpoint {step}")
        tree = self._arrays.restore(self._steps.path(step) / "state", abstract)
        rng = jax.random.wrap_key_data(tree.pop("rng"), impl=notes["rng_impl"])
        return Restored(TrainState(rng=rng, **tree), notes["data_state"], step)

"""Checkpoints of the whole state, written in the background, checked when read."""

import dataclasses
import math
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from attention.training import manifests
from attention.training.step import TrainState


class Restored(NamedTuple):
    """A checkpoint: the state, what was saved as its ``data_state``, and its step."""

    state: TrainState
    data_state: Any
    step: int


class Checkpoints:
    """The checkpoints of one run, a directory each, named by step.

    A step's directory appears whole or not at all, whenever the process is killed. Kept are the
    latest ``max(keep, average)`` and the one with the best score. Beside the state stands a
    SHA-256 of every array, which ``restore`` checks.

    Args:
      directory: made if it is not there.
      keep: how many of the latest checkpoints to keep.
      average: how many of the latest ``restore("average")`` takes the mean of.
      metric_mode: "max" if a higher score is better, else "min".
      read_only: for a reader beside a running training: nothing is made or cleaned up.

    Raises:
      ValueError: if an argument is out of range.
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
        for name, value in (("keep", keep), ("average", average)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1 checkpoint, got {value}")
        if metric_mode not in ("max", "min"):
            raise ValueError(f"metric_mode must be 'max' or 'min', got {metric_mode!r}")
        self.directory = Path(directory).absolute()
        self.average = average
        if read_only and not self.directory.is_dir():
            raise FileNotFoundError(f"no checkpoints in {self.directory}: the run has none yet")
        self._read_only = read_only
        worst = -math.inf if metric_mode == "max" else math.inf

        def score(metrics: dict[str, float | None]) -> float:
            return worst if metrics["score"] is None else metrics["score"]

        options = ocp.CheckpointManagerOptions(
            best_fn=score,
            best_mode=metric_mode,
            create=not read_only,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
            enable_background_delete=False,
            preservation_policy=policies.AnyPreservationPolicy(
                [
                    policies.LatestN(max(keep, average)),
                    policies.BestN(
                        get_metric_fn=score,
                        reverse=metric_mode == "min",
                        n=1,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
        )
        if not read_only:
            self._set_aside_incomplete()
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=options,
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "data": ocp.JsonCheckpointHandler(),
                "manifest": ocp.JsonCheckpointHandler(),
            },
        )

    def steps(self) -> tuple[int, ...]:
        """Returns the steps that can be restored, in order, once nothing is being saved."""
        if self._read_only:
            self._manager.reload()
        else:
            self.wait()
        return tuple(sorted(s for s in self._manager.all_steps() if self._is_complete(s)))

    def save(
        self, step: int, state: TrainState, data_state: Any, score: float | None = None
    ) -> None:
        """Saves in the background; the state may be donated as soon as this returns.

        Args:
          step: above every step saved before.
          state: what ``restore`` gives back bit for bit.
          data_state: anything JSON can hold, such as the batch iterator's state.
          score: of the validation split, if it was evaluated at this step.

        Raises:
          ValueError: if the step is not above the last, or the score is not finite.
          RuntimeError: if an earlier save failed.
        """
        if score is not None and not math.isfinite(score):
            raise ValueError(f"score of step {step} must be finite, got {score}")
        self.wait()
        tree = manifests.as_saved(state)
        notes = {"data_state": data_state, "rng_impl": str(jax.random.key_impl(state.rng))}
        saved = self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(tree),
                data=ocp.args.JsonSave(notes),
                manifest=ocp.args.JsonSave(manifests.describe(tree)),
            ),
            metrics={"score": None if score is None else float(score)},
        )
        if not saved:
            last = self._manager.latest_step()
            raise ValueError(f"step must be above the last saved step {last}, got {step}")

    def restore(self, which: str | int, abstract_state: TrainState) -> Restored:
        """Reads a checkpoint.

        Args:
          which: "latest", "best" (by score), "average" (the latest, but with the mean of the
            params of the last ``average`` checkpoints), or a step.
          abstract_state: a state, or its ``jax.ShapeDtypeStruct``s, whose shapes, dtypes and
            shardings the result has.

        Returns:
          The state, the data state and the step.

        Raises:
          FileNotFoundError: if there is no such checkpoint.
          ValueError: if the checkpoint is of another model, or ``which`` is not understood.
          OSError: if the checkpoint is damaged.
        """
        step = self._find(which)
        restored = self._read(step, abstract_state)
        if which != "average":
            return restored
        last = self.steps()[-self.average :]
        total = jax.tree.map(lambda p: np.asarray(p, np.float64), restored.state.params)
        for other in last[:-1]:
            params = self._read(other, abstract_state).state.params
            total = jax.tree.map(lambda t, p: t + np.asarray(p, np.float64), total, params)
        params = jax.tree.map(
            lambda t, p: jax.device_put((t / len(last)).astype(p.dtype), p.sharding),
            total,
            restored.state.params,
        )
        return restored._replace(state=dataclasses.replace(restored.state, params=params))

    def wait(self) -> None:
        """Waits until what is being saved is on disk; raises what went wrong there."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then lets go of the directory."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _find(self, which: str | int) -> int:
        steps = self.steps()
        there = f"available in {self.directory}: {', '.join(map(str, steps)) or 'none'}"
        if isinstance(which, str) and which not in ("latest", "best", "average"):
            if not which.isdecimal():
                raise ValueError(
                    f"checkpoint must be latest, best, average or a step, got {which!r}"
                )
            which = int(which)
        if isinstance(which, int):
            if which not in steps:
                raise FileNotFoundError(f"no checkpoint of step {which}; {there}")
            return which
        if not steps:
            raise FileNotFoundError(f"no checkpoints in {self.directory}: train first")
        if which != "best":
            return steps[-1]
        best = self._manager.best_step()
        if best not in steps or self._manager.metrics(best)["score"] is None:
            raise FileNotFoundError(f"no checkpoint has a score, so none is best; {there}")
        return best

    def _read(self, step: int, abstract_state: TrainState) -> Restored:
        try:
            notes = self._restore(
                step, manifest=ocp.args.JsonRestore(), data=ocp.args.JsonRestore()
            )
        except Exception as error:
            raise self._damaged(step, error) from error
        abstract = jax.tree.map(manifests.abstract_leaf, manifests.as_saved(abstract_state))
        manifests.check_same_model(notes["manifest"], abstract, f"checkpoint {step}")
        try:
            tree = self._restore(step, state=ocp.args.StandardRestore(abstract))["state"]
            manifests.check_intact(notes["manifest"], tree)
        except Exception as error:
            raise self._damaged(step, error) from error
        rng = jax.random.wrap_key_data(tree.pop("rng"), impl=notes["data"]["rng_impl"])
        return Restored(TrainState(rng=rng, **tree), notes["data"]["data_state"], step)

    def _restore(self, step: int, **items: ocp.args.CheckpointArgs) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**items))

    def _damaged(self, step: int, error: Exception) -> OSError:
        others = ", ".join(str(s) for s in self.steps() if s != step) or "none"
        reason = " ".join(str(error).split())[:200]
        return OSError(
            f"checkpoint {step} in {self.directory} is damaged ({reason});"
            f" remove it and use another: {others}"
        )

    def _is_complete(self, step: int) -> bool:
        return (self.directory / str(step) / "manifest" / "metadata").is_file()

    def _set_aside_incomplete(self) -> None:
        """Renames step directories that this class did not finish (copied in part, say)."""
        for path in self.directory.glob("[0-9]*"):
            if path.name.isdecimal() and not self._is_complete(int(path.name)):
                aside = path.with_name(f"incomplete.{path.name}.{time.time_ns()}")
                path.rename(aside)
                warnings.warn(f"checkpoint {path} is incomplete: moved to {aside}", stacklevel=3)

"""The loop: steps on the device, and on the host what happens every so many steps."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attention.errors import DivergedError
from attention.lab.training.early_stop import EarlyStop
from attention.lab.training.step import TrainState

LogHook = Callable[[int, dict[str, float]], None]
EvalHook = Callable[[int, TrainState], float | None]
SaveHook = Callable[[int, TrainState, Any, float | None], None]


class Finished(NamedTuple):
    """How training ended: the state, its step, and "steps", "patience" or "stopped"."""

    state: TrainState
    step: int
    reason: str


def train(
    state: TrainState,
    step: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    batches: Any,
    *,
    steps: int,
    put: Callable[[Mapping[str, np.ndarray]], Any] = lambda batch: batch,
    position: Mapping[str, Any] | None = None,
    log_every: int = 50,
    eval_every: int = 0,
    checkpoint_every: int = 0,
    on_step: LogHook = lambda step, metrics: None,
    on_log: LogHook = lambda step, metrics: None,
    on_eval: EvalHook = lambda step, state: None,
    on_save: SaveHook = lambda step, state, position, score: None,
    early_stop: EarlyStop | None = None,
    max_skipped: int = 5,
    should_stop: Callable[[], bool] = lambda: False,
) -> Finished:
    """Trains until ``steps``, early stopping or ``should_stop``.

    The device is never waited for but at evaluations and checkpoints: metrics are fetched one step
    late. Every evaluation is saved, so that the best score has its checkpoint; so is the last step.

    Args:
      state: where to start; consumed.
      step: from ``make_train_step``.
      batches: an endless iterator of batches, whose ``get_state`` says where it stands, and whose
        ``set_state`` goes there.
      steps: the number of the last step.
      put: places a batch on the devices.
      position: what ``on_save`` was given, to resume from there: data and early stopping.
      log_every: steps between calls of ``on_log``; 0 for never, as in the next two.
      eval_every: steps between evaluations.
      checkpoint_every: steps between checkpoints.
      on_step: called with every step's number and metrics.
      on_log: the same, at its steps only: train/loss (this step's, nats per token),
        train/grad_norm, train/learning_rate, perf/tokens_per_second, perf/step_seconds (means
        since the last call, without evaluations and checkpoints).
      on_eval: returns the validation score, or None if there is none.
      on_save: saves the state with ``position`` (JSON-able) and, if just evaluated, the score.
      early_stop: when to give up.
      max_skipped: how many steps in a row may be not finite before training stops.
      should_stop: asked after every step and every save; True saves and returns.

    Returns:
      The last state, its step and why it is the last.

    Raises:
      DivergedError: after ``max_skipped`` steps in a row that were not finite, or when the
        state to be saved is not finite; such a state is never saved.
      ValueError: if the batches end.
    """
    early_stop = early_stop or EarlyStop()
    if position is not None:
        batches.set_state(position["batches"])
        early_stop.best, early_stop.since = position["best"], position["since"]
    meter = _Meter(log_every, on_step, on_log, max_skipped)
    number = int(state.step)
    stopped = False
    meter.resume_clock()
    while number < steps and not early_stop.exhausted and not stopped:
        batch = next(batches, None)
        if batch is None:
            raise ValueError(f"batches ended after step {number} of {steps}: make them repeat")
        state, metrics = step(state, put(batch))
        number += 1
        meter.push(number, metrics)
        stopped = should_stop()
        evaluate = _due(eval_every, number, number == steps)
        if not (evaluate or stopped or _due(checkpoint_every, number, number == steps)):
            continue
        meter.flush()
        score = on_eval(number, state) if evaluate else None
        if score is not None:
            early_stop.see(score)
        _save(number, state, batches, score, early_stop, on_save)
        stopped = stopped or should_stop()  # it may have been asked meanwhile
        meter.resume_clock()
    meter.flush()
    reason = "stopped" if stopped else "steps" if number >= steps else "patience"
    return Finished(state, number, reason)


def _due(every: int, number: int, last: bool) -> bool:
    return every > 0 and (last or number % every == 0)


def _save(
    number: int,
    state: TrainState,
    batches: Any,
    score: float | None,
    early_stop: EarlyStop,
    on_save: SaveHook,
) -> None:
    if not _all_finite((state.params, state.model_state, state.opt_state)):
        raise DivergedError(
            f"the parameters or the optimiser's state are not finite at step {number}, which is"
            " not saved: lower train.learning_rate and resume from the last checkpoint"
        )
    where = {"batches": batches.get_state(), "best": early_stop.best, "since": early_stop.since}
    usable = score is not None and math.isfinite(score)
    on_save(number, state, where, score if usable else None)


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in leaves]))


class _Meter:
    """Holds each step's metrics until the next step is on its way, then reports them."""

    def __init__(self, log_every: int, on_step: LogHook, on_log: LogHook, max_skipped: int):
        self._log_every = log_every
        self._on_step = on_step
        self._on_log = on_log
        self._max_skipped = max_skipped
        self._pending: tuple[int, dict[str, jax.Array]] | None = None
        self._seconds = self._tokens = 0.0
        self._steps = 0

    def resume_clock(self) -> None:
        """Forgets the time since the last report."""
        self._clock = time.perf_counter()

    def push(self, number: int, metrics: dict[str, jax.Array]) -> None:
        """Takes the metrics of the step just sent off, and reports the step before."""
        self.flush()
        self._pending = (number, metrics)

    def flush(self) -> None:
        """Reports the step that is pending, waiting for it if need be."""
        if self._pending is None:
            return
        number, on_device = self._pending
        self._pending = None
        host = {name: float(x) for name, x in jax.device_get(on_device).items()}
        now = time.perf_counter()
        self._seconds += now - self._clock
        self._clock = now
        self._tokens += host["weight"]
        self._steps += 1
        names = ("loss", "grad_norm", "learning_rate")
        metrics = {f"train/{name}": host[name] for name in names if name in host}
        if not host["finite"]:
            metrics["train/skipped"] = host["skipped"]
        metrics["perf/tokens_per_second"] = self._tokens / self._seconds
        metrics["perf/step_seconds"] = self._seconds / self._steps
        self._on_step(number, metrics)
        if _due(self._log_every, number, False):
            self._on_log(number, metrics)
            self._seconds = self._tokens = 0.0
            self._steps = 0
        if host["skipped"] >= self._max_skipped:
            raise DivergedError(
                f"the loss or its gradient was not finite in {int(host['skipped'])} steps in a row,"
                f" the last being step {number}: lower train.learning_rate or raise train.warmup,"
                " and resume from the last checkpoint"
            )

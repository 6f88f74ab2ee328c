"""Wires a task, the loop and the evaluation together: what ``launch.py`` calls."""

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from attention.errors import ConfigError, DataError, named
from attention.lab import build
from attention.lab.build.tasks import check_beam
from attention.lab.data.batching.batches import TrainBatches, iterator
from attention.lab.data.batching.buckets import Bucket, choose_buckets
from attention.lab.data.batching.examples import Examples, encode_pairs
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.tokenizer import Tokenizer, train_tokenizer
from attention.lab.pictures.plots import loss_curve
from attention.lab.runs import load, warm_start
from attention.lab.storage import provenance
from attention.lab.storage.checkpoints import Checkpoints, Restored
from attention.lab.storage.directory import claimed, write_config, write_result
from attention.lab.storage.files import atomic_write
from attention.lab.storage.metrics import MetricsWriter, read_metrics
from attention.lab.tasks.rescoring import Task
from attention.lab.training.devices import mesh, replicate, shard_batch
from attention.lab.training.early_stop import EarlyStop
from attention.lab.training.interrupts import interrupts
from attention.lab.training.loop import train as loop
from attention.lab.training.step import Metrics, TrainState, create_state, make_train_step
from attention.lab.training.watchdog import Watchdog

Config = dict[str, Any]
FINAL_SPLITS = ("test", "valid")


def say(text: str) -> None:
    """A line of progress, on stderr: stdout belongs to results."""
    print(text, file=sys.stderr, flush=True)


def train(
    config: Config,
    workdir: str | Path,
    *,
    on_change: str = "refuse",
    final_split: str = "test",
    said: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Trains a run, or goes on with it, and evaluates its best checkpoint on the test split.

    Args:
      config: the whole config, see ``attention.lab.config.schema``.
      workdir: where the run lives.
      on_change: see ``attention.lab.storage.directory.claimed``.
      final_split: the split of the evaluation at the end; "valid" for a trial of a sweep, of which
        only the winner is to meet the test split.
      said: how the run was asked for, which is kept beside its config.

    Returns:
      The report of that split, see ``attention.lab.runs.load.evaluate``; the workdir keeps it too.

    Raises:
      ValueError, TypeError, NotImplementedError: the config or the data cannot be used; one line.
      OSError: files are missing, damaged or in use.
      DivergedError: the loss was not finite too often.
      Interrupted: a SIGTERM or SIGINT came while it trained; the step was ended and saved.
    """
    experiment = build.experiment(config)
    if final_split not in FINAL_SPLITS:
        raise ConfigError(f"final_split is {final_split!r}; choose {' or '.join(FINAL_SPLITS)}")
    with named("config.mesh.data"):
        devices = mesh(experiment.devices)
    with claimed(workdir, experiment.config, on_change) as path:
        setup = _set_up(experiment, path, devices)
        write_config(path, experiment.config)
        provenance.record(path, said or {})
        atomic_write(path / "tokenizer.model", setup.task.tokenizer.model)
        _train(setup, path)
        curve = loss_curve(read_metrics(path), path / "plots" / "loss.png", title=path.name)
        say(f"loss curve: {curve}")
        report = load.evaluate(path, final_split, allow_import=experiment.imports)
        write_result(path, report)
        return report


@dataclass(frozen=True, eq=False)
class _Setup:
    """What a training takes, before its first step."""

    experiment: build.Experiment
    devices: Mesh
    task: Task
    batches: TrainBatches
    valid: Pairs
    start: load.Trained | None


def _set_up(experiment: build.Experiment, path: Path, devices: Mesh) -> _Setup:
    """Makes everything, so that what cannot be used is told before anything is written."""
    data = experiment.data
    pairs, valid, _ = (data.pairs(split) for split in ("train", "valid", "test"))
    start = warm_start.load(experiment, path)
    tokenizer = start.task.tokenizer if start else _tokenizer(path, pairs, data)
    for name, search in (("beam", experiment.search), ("valid_beam", experiment.valid_search)):
        check_beam(f"config.decode.{name}", search.beams, tokenizer.vocab_size)
    examples = encode_pairs(pairs, tokenizer, data.max_length)
    say(f"data: {examples}")
    batches = _batches(experiment, examples)
    say(f"data: {batches}")
    task = experiment.task(tokenizer)
    params, _ = jax.eval_shape(task.init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    say(f"model: {count:,} parameters, vocabulary {tokenizer.vocab_size:,}")
    return _Setup(experiment, devices, task, batches, valid, start)


def _tokenizer(path: Path, pairs: Pairs, data: build.Data) -> Tokenizer:
    """The run's own vocabulary, trained once on both sides of the training text."""
    file = path / "tokenizer.model"
    if file.exists():
        return Tokenizer.load(file)
    if given := data.vocabulary:
        if not Path(given).is_file():
            raise ConfigError(
                f"config.data.vocabulary: there is no file {given}; name a run's tokenizer.model"
            )
        return Tokenizer.load(given)
    try:
        return Tokenizer(train_tokenizer([*pairs.source, *pairs.target], data.vocab_size))
    except DataError:
        raise
    except ValueError as error:
        raise ConfigError(f"config.data.{error}") from None


def _batches(experiment: build.Experiment, examples: Examples) -> TrainBatches:
    """The training batches; the same, all processes together, for any number of them."""
    lengths = examples.source_lengths, examples.target_lengths
    try:
        return TrainBatches(
            examples,
            batch_tokens=experiment.loop.batch_tokens,
            seed=experiment.seed,
            buckets=choose_buckets(*lengths, experiment.data.buckets),
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
    except ValueError as error:
        raise ConfigError(f"config.train.{error}") from None


def _update(setup: _Setup) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """One update on a batch that lies on the devices."""
    experiment = setup.experiment
    optimiser, accumulate = experiment.optimiser, experiment.loop.accumulate
    if experiment.minimum_risk is None:
        return make_train_step(setup.task.loss, optimiser, accumulate=accumulate)
    risk = experiment.minimum_risk(setup.task)
    step = make_train_step(risk.loss, optimiser, accumulate=accumulate)
    return risk.update(step, lambda batch: shard_batch(batch, setup.devices))


def _train(setup: _Setup, path: Path) -> None:
    """Trains from the latest checkpoint on, or from the start."""
    settings, mode = setup.experiment.loop, setup.experiment.checkpointing.metric_mode
    with load.open_checkpoints(setup.experiment, path) as checkpoints:
        state, position, start = _start(setup, checkpoints)
        # Under the mesh, kernels keep each device's rows where they are.
        writing = MetricsWriter(path, steps=settings.steps, resume_step=start)
        dog = Watchdog(settings.watchdog_seconds)
        stopping = contextlib.closing(dog)
        with jax.set_mesh(setup.devices), writing as writer, interrupts() as asked, stopping:

            def on_step(step: int, metrics: dict[str, float]) -> None:
                dog.pet()
                writer.step(step, metrics)

            finished = loop(
                state,
                _update(setup),
                iterator(setup.batches),
                steps=settings.steps,
                put=partial(shard_batch, mesh=setup.devices, accumulate=settings.accumulate),
                position=position,
                log_every=settings.log_every,
                eval_every=settings.eval_every,
                checkpoint_every=settings.checkpoint_every,
                on_step=on_step,
                on_log=writer.log,
                on_eval=_evaluation(setup, path, writer, dog),
                on_save=checkpoints.save,
                early_stop=EarlyStop(settings.patience or None, mode),
                max_skipped=settings.max_skipped,
                should_stop=asked,
            )
            if finished.reason == "patience":
                writer.say(f"stopped at step {finished.step}: the score no longer rises")
            checkpoints.wait()
        asked.raise_if_asked(f" at step {finished.step}, which is saved")


def _start(setup: _Setup, checkpoints: Checkpoints) -> Restored:
    """The latest checkpoint, or the state before the first step; on every device."""
    rng_params, rng_train = jax.random.split(jax.random.key(setup.experiment.seed))
    if setup.start is None:
        params, model_state = setup.task.init(rng_params)
    else:
        params, model_state = setup.start.params, setup.start.model_state
    state = create_state(params, model_state, setup.experiment.optimiser, rng_train)
    state = replicate(state, setup.devices)
    if not checkpoints.steps():
        return Restored(state, None, 0)
    restored = checkpoints.restore("latest", state)
    say(f"resumed at step {restored.step} of {setup.experiment.loop.steps}")
    return restored


def _evaluation(
    setup: _Setup, path: Path, writer: MetricsWriter, dog: Watchdog
) -> Callable[[int, TrainState], float]:
    """What the loop calls to score a state on the validation split."""
    experiment = setup.experiment
    buckets = [Bucket(source, target) for _, source, target in setup.batches.shapes]
    evaluator = load.make_evaluator(experiment, setup.task, setup.devices, buckets)

    def on_eval(step: int, state: TrainState) -> float:
        with dog.asleep():
            report, hypotheses = evaluator.report(
                state.params, state.model_state, setup.valid, experiment.valid_search
            )
        load.write_decodes(path, step, "valid", hypotheses)
        writer.write(step, {f"eval/{name}": report[name] for name in ("loss", "bleu", "chrf")})
        writer.say(
            f"step {step}  valid loss {report['loss']:.4f}  BLEU {report['bleu']:.2f}  "
            f"chrF {report['chrf']:.2f}"
        )
        return float(report[experiment.checkpointing.metric])

    return on_eval

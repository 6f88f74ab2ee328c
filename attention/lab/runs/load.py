"""A trained run, opened again: to evaluate it, and for others to translate and look inside."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from attention.errors import ConfigError, RunError
from attention.lab import build
from attention.lab.build.imports import check_allowed
from attention.lab.data.batching.buckets import Bucket
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.tokenizer import Tokenizer
from attention.lab.evaluation.evaluator import Evaluator
from attention.lab.evaluation.scores import paired_bootstrap
from attention.lab.storage.checkpoints import Checkpoints
from attention.lab.storage.directory import read_config
from attention.lab.tasks.rescoring import Rescored, Task
from attention.lab.tasks.translation import Translation
from attention.lab.training.devices import mesh, replicate
from attention.lab.training.step import create_state
from attention.shapes import Tree

_LENGTHS = (8, 16, 24, 32, 48, 64, 96)  # batch shapes: each is compiled once, when it is met


@dataclass(frozen=True, eq=False)
class Trained:
    """A checkpoint with the task it belongs to."""

    experiment: build.Experiment
    task: Task
    evaluator: Evaluator
    params: Tree
    model_state: Tree
    step: int


def load(
    workdir: str | Path,
    checkpoint: str = "best",
    *,
    teacher: str | Path | None = None,
    allow_import: Sequence[str] = (),
) -> Trained:
    """Opens a run at a checkpoint: "best", "latest", "average", or a step.

    Args:
      workdir: the run.
      checkpoint: which.
      teacher: another run, at its best checkpoint, that ranks the candidates of this one.
      allow_import: modules or packages outside this one that its attentions may be imported from.

    Raises:
      RunError: there is no run, or no such checkpoint, or it needs an import that is not allowed.
      ValueError, OSError: the run is damaged, or ``checkpoint`` is not understood.
    """
    if teacher is not None:
        run, other = (
            load(path, which, allow_import=allow_import)
            for path, which in ((workdir, checkpoint), (teacher, "best"))
        )
        return _taught(run, other, workdir, teacher)
    path = Path(workdir)
    config = read_config(path)
    check_allowed(config, path, allow_import)
    experiment = build.experiment(config)
    vocabulary = path / "tokenizer.model"
    if not vocabulary.is_file():
        raise RunError(f"{path} has no {vocabulary.name}: its training has not begun yet")
    task = experiment.task(Tokenizer.load(vocabulary))
    # A run may be read where there are fewer devices than it was trained on.
    devices = mesh(min(experiment.devices or jax.device_count(), jax.device_count()))
    params, model_state = task.init(jax.random.key(0))
    state = create_state(params, model_state, experiment.optimiser, jax.random.key(0))
    with open_checkpoints(experiment, path, read_only=True) as checkpoints:
        restored = checkpoints.restore(checkpoint, replicate(state, devices))
    longest = experiment.data.max_length
    lengths = [*(length for length in _LENGTHS if length < longest), longest]
    return Trained(
        experiment,
        task,
        make_evaluator(experiment, task, devices, [Bucket(length, length) for length in lengths]),
        restored.state.params,
        restored.state.model_state,
        restored.step,
    )


def _taught(run: Trained, other: Trained, workdir: str | Path, teacher: str | Path) -> Trained:
    """The run with its candidates ranked by another."""
    if not isinstance(other.task, Translation):
        raise ConfigError(
            f"teacher: {teacher} fills targets in and cannot rank them; name a run of task.kind "
            "left_to_right"
        )
    if run.task.tokenizer.model != other.task.tokenizer.model:
        raise ConfigError(
            f"teacher: {teacher} has another vocabulary than {workdir}; train the student with "
            f"--config.data.vocabulary={Path(teacher) / 'tokenizer.model'}"
        )
    task = Rescored(run.task, other.task)
    params, model_state = replicate((other.params, other.model_state), run.evaluator.mesh)
    return replace(
        run,
        evaluator=replace(run.evaluator, task=task),
        params=(run.params, params),
        model_state=(run.model_state, model_state),
    )


def evaluate(
    workdir: str | Path,
    split: str = "test",
    *,
    data_dir: str | None = None,
    checkpoint: str = "best",
    compare: str | Path | None = None,
    teacher: str | Path | None = None,
    samples: int | None = None,
    allow_import: Sequence[str] = (),
) -> dict[str, Any]:
    """Scores a checkpoint on a split, over every sentence.

    Args:
      workdir: the run.
      split: which split; of files any name.
      data_dir: where the files lie; by default where the run's config says.
      checkpoint: see ``load``.
      teacher: see ``load``.
      compare: another run, against which sacreBLEU's paired bootstrap is taken.
      samples: random translations of each source, of which the mean sentence BLEU is told too.
      allow_import: see ``load``.

    Returns:
      score, metric, loss (nats per target token), bleu, chrf, their signatures, split, step,
      examples, sentences; with ``compare`` also the other's scores and the p-values, with
      ``samples`` their number and expected_bleu.

    Raises:
      RunError: there is no run or no such checkpoint.
      ValueError: the split's text, ``compare`` or ``samples`` cannot be used.
    """
    if samples is not None and samples < 1:
        raise ConfigError(f"samples is {samples}; it needs to be at least 1")
    run = load(workdir, checkpoint, teacher=teacher, allow_import=allow_import)
    pairs, search = run.experiment.data.pairs(split, data_dir), run.experiment.search
    report, hypotheses = run.evaluator.report(run.params, run.model_state, pairs, search)
    write_decodes(Path(workdir), run.step, split, hypotheses)
    metric = run.experiment.checkpointing.metric
    report = {"score": report[metric], "metric": metric, "split": split, "step": run.step} | report
    if samples is not None:
        report["samples"] = samples
        report["expected_bleu"] = run.evaluator.expected_bleu(
            run.params,
            run.model_state,
            pairs,
            samples=samples,
            max_length=search.max_length,
            rng=jax.random.key(run.experiment.seed),
        )
    if compare is not None:
        other = load(compare, checkpoint, allow_import=allow_import)
        report["compare"] = _compare(run, hypotheses, other, compare, pairs)
    return report


def _compare(
    run: Trained, hypotheses: list[str], other: Trained, name: str | Path, pairs: Pairs
) -> dict[str, Any]:
    """sacreBLEU's paired bootstrap of a run against another, which is the baseline."""
    for key in ("source_lang", "target_lang"):
        ours, theirs = (getattr(each.experiment.data, key) for each in (run, other))
        if ours != theirs:
            raise ConfigError(
                f"compare: {name} has data.{key} {theirs!r} and this run {ours!r}; use a run of "
                "the same languages"
            )
    sources = other.evaluator.examples(pairs).source
    found = other.evaluator.translate(
        other.params, other.model_state, sources, other.experiment.search
    )
    baseline = [best[0][0] for best in found]
    language = run.experiment.data.target_lang
    compared = paired_bootstrap(baseline, hypotheses, list(pairs.target), language)
    return {"workdir": str(name), "step": other.step, **compared}


def make_evaluator(
    experiment: build.Experiment, task: Task, devices: Mesh, buckets: Sequence
) -> Evaluator:
    """What evaluates a run of this experiment."""
    data, tokens = experiment.data, experiment.decode_tokens
    return Evaluator(task, devices, tuple(buckets), tokens, data.max_length, data.target_lang)


def open_checkpoints(
    experiment: build.Experiment, path: Path, *, read_only: bool = False
) -> Checkpoints:
    """The checkpoints of a run."""
    settings = experiment.checkpointing
    return Checkpoints(
        path / "checkpoints",
        keep=settings.keep,
        average=settings.average,
        metric_mode=settings.metric_mode,
        read_only=read_only,
    )


def write_decodes(path: Path, step: int, split: str, lines: Sequence[str]) -> None:
    """Keeps translations as decodes/STEP.SPLIT.txt, one a line; warns where it cannot."""
    file = path / "decodes" / f"{step}.{os.path.basename(split)}.txt"
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        warnings.warn(f"{file} cannot be written ({error.strerror})", stacklevel=2)

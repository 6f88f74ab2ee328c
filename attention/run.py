"""Wires a task, the loop and the evaluation together: what ``launch.py`` calls."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from attention import build, trained
from attention.analysis.plots import loss_curve
from attention.data.batches import TrainBatches, iterator
from attention.data.buckets import choose_buckets
from attention.data.examples import Examples, encode_pairs
from attention.data.pairs import Pairs
from attention.data.tokenizer import Tokenizer, train_tokenizer
from attention.training.devices import mesh, replicate, shard_batch
from attention.training.early_stop import EarlyStop
from attention.training.logs import MetricsWriter, read_metrics
from attention.training.loop import train as loop
from attention.training.step import TrainState, create_state, make_train_step
from attention.workdir import claimed

Config = dict[str, Any]


def say(text: str) -> None:
    """A line of progress, on stderr: stdout belongs to results."""
    print(text, file=sys.stderr, flush=True)


def train(config: Config, workdir: str | Path, *, on_change: str = "refuse") -> dict[str, Any]:
    """Trains a run, or goes on with it, and evaluates its best checkpoint on the test split.

    Args:
      config: the whole config, see ``attention.schema``.
      workdir: where the run lives.
      on_change: see ``attention.workdir.claimed``.

    Returns:
      The report of the test split, see ``attention.trained.evaluate``.

    Raises:
      ValueError, TypeError, NotImplementedError: the config or the data cannot be used; one line.
      OSError: files are missing, damaged or in use.
      FloatingPointError: the loss was not finite too often.
    """
    build.check(config)
    for split in ("valid", "test"):  # what is missing is told now rather than after the training
        build.pairs(config, split)
    pairs = build.pairs(config, "train")
    with claimed(workdir, config, on_change) as path:
        tokenizer = _tokenizer(path, pairs, config)
        examples = encode_pairs(pairs, tokenizer, config["data"]["max_length"])
        say(f"data: {examples.report}")
        _train(config, path, tokenizer, examples)
        rows = read_metrics(path)
        if rows:
            say(f"loss curve: {loss_curve(rows, path / 'plots' / 'loss.png', title=path.name)}")
        return trained.evaluate(path, "test")


def _tokenizer(path: Path, pairs: Pairs, config: Config) -> Tokenizer:
    """The run's own vocabulary, trained once on both sides of the training text."""
    file = path / "tokenizer.model"
    if file.exists():
        return Tokenizer.load(file)
    model = train_tokenizer([*pairs.source, *pairs.target], config["data"]["vocab_size"])
    temporary = path / "tokenizer.model.tmp"
    temporary.write_bytes(model)
    os.replace(temporary, file)
    return Tokenizer(model)


def _train(config: Config, path: Path, tokenizer: Tokenizer, examples: Examples) -> None:
    settings = config["train"]
    devices = mesh(config["mesh"]["data"] or None)
    task = build.translation(config, tokenizer)
    buckets = choose_buckets(
        examples.source_lengths, examples.target_lengths, config["data"]["buckets"]
    )
    batches = TrainBatches(
        examples,
        batch_tokens=settings["batch_tokens"],
        seed=config["seed"],
        buckets=buckets,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    rng_params, rng_train = jax.random.split(jax.random.key(config["seed"]))
    params, model_state = task.init(rng_params)
    count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
    say(f"model: {count:,} parameters, vocabulary {tokenizer.vocab_size:,}; data: {batches}")
    optimiser = build.optimiser(config)
    state = replicate(create_state(params, model_state, optimiser, rng_train), devices)
    judge = trained.make_judge(config, task, devices, buckets)
    valid = build.pairs(config, "valid")
    search = build.search(config, beams=config["decode"]["valid_beam"])
    with trained.open_checkpoints(config, path) as checkpoints:
        position, start = None, 0
        if checkpoints.steps():
            state, position, start = checkpoints.restore("latest", state)
            say(f"resumed at step {start} of {settings['steps']}")
        with MetricsWriter(path, steps=settings["steps"], resume_step=start) as writer:

            def on_eval(step: int, state: TrainState) -> float:
                report, hypotheses = judge.report(state.params, state.model_state, valid, search)
                trained.write_decodes(path, step, "valid", hypotheses)
                metrics = {f"eval/{name}": report[name] for name in ("loss", "bleu", "chrf")}
                writer.write(step, metrics)
                writer.say(
                    f"step {step}  valid loss {report['loss']:.4f}  BLEU {report['bleu']:.2f}  "
                    f"chrF {report['chrf']:.2f}"
                )
                return float(report[config["checkpoint"]["metric"]])

            finished = loop(
                state,
                make_train_step(task.loss, optimiser, accumulate=settings["accumulate"]),
                iterator(batches),
                steps=settings["steps"],
                put=lambda batch: shard_batch(batch, devices, accumulate=settings["accumulate"]),
                position=position,
                log_every=settings["log_every"],
                eval_every=settings["eval_every"],
                checkpoint_every=settings["checkpoint_every"],
                on_step=writer.step,
                on_log=writer.log,
                on_eval=on_eval,
                on_save=checkpoints.save,
                early_stop=EarlyStop(settings["patience"] or None, trained.metric_mode(config)),
                max_skipped=settings["max_skipped"],
            )
            if finished.reason == "patience":
                writer.say(f"stopped at step {finished.step}: the score no longer rises")


def print_report(report: Mapping[str, Any]) -> None:
    """The scores for people on stderr, and as the last line of stdout in JSON."""
    say(
        f"{report['split']}: {report['examples']} sentences at step {report['step']}: "
        f"BLEU {report['bleu']:.2f}  chrF++ {report['chrf']:.2f}  loss {report['loss']:.4f} "
        f"nats a token  ({report['signature']})"
    )
    print(json.dumps(dict(report)), flush=True)

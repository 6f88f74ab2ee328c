"""From a config to an Experiment: past this door nobody reads a config."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import optax

from attention.lab.build.data import Data, data_of
from attention.lab.build.imports import modules_of
from attention.lab.build.model import transformer
from attention.lab.build.tasks import minimum_risk, search, task
from attention.lab.build.training import Checkpointing, Loop, optimiser, schedule
from attention.lab.config import schema
from attention.lab.config.key import forbid
from attention.lab.data.tokenizer import Tokenizer
from attention.lab.tasks.minimum_risk import MinimumRisk
from attention.lab.tasks.rescoring import Task
from attention.lab.tasks.translation import Search

Config = Mapping[str, Any]
_FREE = ("dropout", "ff_dropout", "dropout_rate", "remat")  # shape no parameter
_VOCABULARY = ("source_lang", "target_lang", "vocab_size")


@dataclass(frozen=True, eq=False)
class Experiment:
    """All that a config says, as values.

    Attributes:
      config: opaque: to be written and compared, never read.
      parameter_keys: the part of it that parameters and vocabulary follow from, to be compared.
      imports: modules outside this package that its attentions were imported from.
      seed: of parameters, dropout, data order and sampling.
      data: where sentence pairs come from, and how they become batches.
      task: makes the task once the vocabulary is known.
      minimum_risk: makes the training of a task toward its score; None for cross-entropy alone.
      schedule: the learning rate by update.
      optimiser: with that schedule.
      devices: how many a training batch is split over; None for all.
      search: how translations are searched for.
      valid_search: the same in evaluations during training.
      decode_tokens: source tokens of a batch when decoding.
      loop: steps, and what happens every so many of them.
      checkpointing: what is kept, and by which score.
    """

    config: Config
    parameter_keys: Config
    imports: tuple[str, ...]
    seed: int
    data: Data
    task: Callable[[Tokenizer], Task]
    minimum_risk: Callable[[Task], MinimumRisk] | None
    schedule: optax.Schedule
    optimiser: optax.GradientTransformation
    devices: int | None
    search: Search
    valid_search: Search
    decode_tokens: int
    loop: Loop
    checkpointing: Checkpointing


def experiment(config: Config) -> Experiment:
    """Builds all values of a config, each once, and checks its keys on the way.

    Raises:
      ConfigError: a key is unknown or missing, or has a value that cannot be used.
      UnsupportedError: an attention lacks a capability that its slot needs.
    """
    half = dict(schema.flatten(config)).get("train.dtype") == "float16"
    forbid((half, "train.dtype: float16 needs loss scaling; use bfloat16 or float32"))
    schema.check(config)
    rate, decode, model = schedule(config), config["decode"], transformer(config)
    found = search(config, model)
    return Experiment(
        config=copy.deepcopy(config),
        parameter_keys=parameter_keys(config),
        imports=modules_of(config),
        seed=config["seed"],
        data=data_of(config),
        task=task(config, model),
        minimum_risk=minimum_risk(config, found.max_length),
        schedule=rate,
        optimiser=optimiser(config, rate),
        devices=config["mesh"]["data"] or None,
        search=found,
        valid_search=replace(found, beams=decode["valid_beam"]),
        decode_tokens=decode["batch_tokens"],
        loop=schema.settings(Loop, config["train"]),
        checkpointing=schema.settings(Checkpointing, config["checkpoint"]),
    )


def parameter_keys(config: Config) -> dict[str, Any]:
    """The part of a config that parameters and vocabulary follow from."""
    names, model, kind = [*_VOCABULARY], _without_free(config["model"]), config["task"]["kind"]
    if model["positions"] == "learned" or kind == "mask_predict":  # lengths are classified
        names.append("max_length")
    section = {name: config["data"][name] for name in names}
    return {"model": model, "data": section, "task": {"kind": kind}}


def _without_free(section: Config) -> dict[str, Any]:
    return {
        name: _without_free(value) if isinstance(value, Mapping) else value
        for name, value in section.items()
        if name not in _FREE and not (name == "kernel" and isinstance(value, str))  # an algorithm
    }

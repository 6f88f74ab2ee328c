"""From a plain config to values: the only table of names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import optax

from attention import schema, variants
from attention.data import grammar
from attention.data.pairs import Pairs
from attention.data.text import read_parallel
from attention.data.tokenizer import Tokenizer
from attention.models.transformer import Transformer
from attention.modules.embeddings import LearnedPositions, SinusoidalPositions
from attention.modules.feed_forward import FeedForward, GatedFeedForward
from attention.positions import Rotary
from attention.shapes import Attend
from attention.tasks.translation import Search, Translation
from attention.training import schedules
from attention.training.noise import (
    Argmax,
    Constant,
    Decay,
    Exponential,
    InverseSigmoid,
    Linear,
    Sample,
    ScheduledSampling,
    TeacherForcing,
    TokenNoise,
)
from attention.training.optimiser import adam

Config = Mapping[str, Any]

ATTENTIONS: dict[str, type] = {"softmax": variants.Softmax}
FEED_FORWARDS: dict[str, Callable[..., nn.Module]] = {
    "relu": FeedForward,
    "gelu": partial(FeedForward, activation=nn.gelu),
    "swiglu": GatedFeedForward,
}
NORMS: dict[str, Callable[..., nn.Module]] = {
    "layer": partial(nn.LayerNorm, epsilon=1e-6),
    "rms": partial(nn.RMSNorm, epsilon=1e-6),
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
MIXES: dict[str, Argmax | Sample] = {"argmax": Argmax(), "sample": Sample()}


def check(config: Config) -> None:
    """Checks a whole config: each key, each attention, and what keys demand of one another.

    Raises:
      ValueError, TypeError, NotImplementedError: with one line that says what to do.
    """
    schema.check(config)
    for place in schema.ATTENTIONS:
        attend(config["model"].get(place), place)
    model, train, data, decode = (config[part] for part in ("model", "train", "data", "decode"))
    if model["size"] % model["heads"]:
        raise ValueError(
            f"config.model.heads is {model['heads']}, which does not divide model.size "
            f"{model['size']}; choose a head count that divides it"
        )
    if model["positions"] == "sinusoidal" and model["size"] % 2:
        raise ValueError(
            f"config.model.size is {model['size']}; sinusoidal positions need an even size"
        )
    if model["positions"] == "rotary" and model["size"] // model["heads"] % 2:
        raise ValueError(
            f"config.model.size / heads is {model['size'] // model['heads']}; rotary positions "
            "need an even number of features a head"
        )
    if train["dtype"] == "float16":
        raise ValueError(
            "config.train.dtype is float16, which needs loss scaling and is not offered; "
            "use bfloat16 or float32"
        )
    if train["schedule"] in ("cosine", "linear") and train["warmup"] >= train["steps"]:
        raise ValueError(
            f"config.train.warmup is {train['warmup']}; it needs to be below train.steps, "
            f"{train['steps']}"
        )
    if train["schedule"] == "inverse_sqrt" and train["warmup"] < 1:
        raise ValueError("config.train.warmup is 0; inverse_sqrt needs at least 1")
    if data["kind"] == "text" and not data["dir"]:
        raise ValueError(
            "config.data.dir is not set; say --config.data.dir=DIR with files train.LANG, "
            "valid.LANG and test.LANG (plain or .gz)"
        )
    if data["source_lang"] == data["target_lang"]:
        raise ValueError(
            f"config.data.source_lang and target_lang are both {data['target_lang']!r}; "
            "translation needs two"
        )
    for name in ("beam", "valid_beam"):
        if decode[name] > data["vocab_size"]:
            raise ValueError(
                f"config.decode.{name} is {decode[name]}; it can be at most data.vocab_size, "
                f"{data['vocab_size']}"
            )
    noise(config, vocab_size=data["vocab_size"])


def attend(spec: Any, place: str) -> Attend:
    """The attention of one place from ``{"name": ..., parameter: value}``."""
    if not isinstance(spec, Mapping) or "name" not in spec:
        raise ValueError(
            f"config.model.{place} is {spec!r}; it needs a name, one of {', '.join(ATTENTIONS)}"
        )
    parameters = dict(spec)
    name = parameters.pop("name")
    fields = attention_defaults(name, place).keys() - {"name"}
    for parameter in parameters:
        if parameter not in fields:
            raise ValueError(
                f"config.model.{place}.{parameter} is unknown to {name}, which has "
                f"{', '.join(sorted(fields))}{schema.nearest(parameter, fields)}"
            )
    try:
        value = ATTENTIONS[name](**parameters)
    except (TypeError, ValueError) as error:
        raise type(error)(f"config.model.{place}: {error}") from None
    if place == "cross" and not value.abilities.cross:
        raise NotImplementedError(
            f"config.model.cross is {name}, which cannot attend across two sequences; "
            "choose softmax"
        )
    if place == "decoder" and value.abilities.causal == "no":
        raise NotImplementedError(
            f"config.model.decoder is {name}, which cannot be causal; choose softmax"
        )
    return value


def attention_defaults(name: Any, place: str) -> dict[str, Any]:
    """``{"name": name, parameter: default}`` of an attention."""
    if name not in ATTENTIONS:
        raise ValueError(
            f"config.model.{place}.name is {name!r}, which is no attention; choose one of "
            f"{', '.join(ATTENTIONS)}{schema.nearest(str(name), ATTENTIONS)}"
        )
    fields = dataclasses.fields(ATTENTIONS[name])
    return {"name": name} | {field.name: field.default for field in fields}


def transformer(config: Config, vocab_size: int) -> Transformer:
    """The model."""
    model = config["model"]
    longest = max(config["data"]["max_length"], config["decode"]["max_length"])
    added: dict[str, Callable[[], nn.Module]] = {
        "sinusoidal": SinusoidalPositions,
        "learned": partial(LearnedPositions, length=longest),
    }
    return Transformer(
        vocab_size=vocab_size,
        size=model["size"],
        heads=model["heads"],
        layers=model["layers"],
        encoder=attend(model["encoder"], "encoder"),
        decoder=attend(model["decoder"], "decoder"),
        cross=attend(model["cross"], "cross"),
        feed_forward=partial(
            FEED_FORWARDS[model["activation"]],
            hidden=model["ff_size"],
            dropout=model["ff_dropout"],
        ),
        norm=NORMS[model["norm"]],
        pre_norm=model["norm_place"] == "pre",
        positions=added.get(model["positions"]),
        rotary=Rotary() if model["positions"] == "rotary" else None,
        dropout=model["dropout"],
        tied=model["tied"],
        remat=model["remat"],
        dtype=DTYPES[config["train"]["dtype"]],
    )


def noise(config: Config, vocab_size: int) -> TeacherForcing | TokenNoise | ScheduledSampling:
    """What the decoder reads in training."""
    spec = config["noise"]
    tokens = TokenNoise(spec["token_rate"], vocab_size) if spec["token_rate"] else None
    if spec["kind"] == "none":
        return tokens or TeacherForcing()
    decays: dict[str, Callable[..., Decay]] = {
        "linear": lambda k=1.0: Linear(k, spec["c"], floor=1.0 - spec["rate"]),
        "exponential": lambda k=0.9999: Exponential(k),
        "inverse_sigmoid": lambda k=1_000.0: InverseSigmoid(k),
        "constant": lambda k=None: Constant(spec["rate"]),
    }
    k = {} if spec["k"] is None else {"k": spec["k"]}
    try:
        decay = decays[spec["schedule"]](**k)
    except ValueError as error:
        raise ValueError(f"config.noise with schedule {spec['schedule']}: {error}") from None
    return ScheduledSampling(decay, MIXES[spec["mix"]], spec["backprop"], before=tokens)


def translation(config: Config, tokenizer: Tokenizer) -> Translation:
    """The task."""
    size = tokenizer.vocab_size
    return Translation(
        model=transformer(config, size),
        tokenizer=tokenizer,
        noise=noise(config, size),
        label_smoothing=config["train"]["label_smoothing"],
    )


def learning_rate(config: Config) -> optax.Schedule:
    """The learning rate by update; ``train.learning_rate`` is its peak."""
    train = config["train"]
    peak, warmup, steps = train["learning_rate"], train["warmup"], train["steps"]
    if train["schedule"] == "inverse_sqrt":
        size = config["model"]["size"]
        return schedules.inverse_sqrt(
            model_size=size, warmup=warmup, scale=peak * math.sqrt(size * warmup)
        )
    if train["schedule"] == "constant":
        return schedules.constant(peak=peak, warmup=warmup)
    falls = {"cosine": schedules.cosine, "linear": schedules.linear}
    return falls[train["schedule"]](peak=peak, warmup=warmup, steps=steps)


def optimiser(config: Config) -> optax.GradientTransformation:
    """Adam with the paper's constants."""
    train = config["train"]
    return adam(
        learning_rate(config), clip=train["clip"] or None, weight_decay=train["weight_decay"]
    )


def search(config: Config, *, beams: int | None = None, nbest: int = 1) -> Search:
    """How translations are looked for; ``beams`` overrides ``decode.beam``."""
    decode = config["decode"]
    return Search(
        beams=beams or decode["beam"],
        nbest=nbest,
        length_penalty=decode["length_penalty"],
        max_length=decode["max_length"],
    )


def pairs(config: Config, split: str, directory: str | None = None) -> Pairs:
    """The sentence pairs of a split, from files or from the grammar."""
    data = config["data"]
    if directory is not None or data["kind"] == "text":
        return read_parallel(
            directory or data["dir"], split, data["source_lang"], data["target_lang"]
        )
    counts = {"train": data["train_pairs"], "valid": data["heldout_pairs"]}
    counts["test"] = data["heldout_pairs"]
    if split not in counts:
        raise ValueError(f"split is {split!r}; the grammar makes {', '.join(counts)}")
    return grammar.sample_pairs(split, counts[split], seed=config["seed"])

"""From a plain config to values: with ``attentions``, the only tables of names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from attention.errors import ConfigError, named
from attention.lab.build.attentions import attend
from attention.lab.data.sources import grammar
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.sources.text import read_parallel
from attention.lab.data.tokenizer import Tokenizer
from attention.lab.tasks.kinds import Task
from attention.lab.tasks.mask_predict import MaskPredict
from attention.lab.tasks.minimum_risk import MinimumRisk
from attention.lab.tasks.translation import Search, Translation
from attention.lab.training import schedules
from attention.lab.training.devices import mesh
from attention.lab.training.noise import (
    Argmax,
    Constant,
    Decay,
    Exponential,
    Gumbel,
    InverseSigmoid,
    Linear,
    Mix,
    Sample,
    ScheduledSampling,
    Soft,
    TeacherForcing,
    TokenNoise,
    TopK,
)
from attention.lab.training.optimiser import adam
from attention.models.mask_predict import ConditionalMaskedLM
from attention.models.transformer import Transformer
from attention.modules.copying import PointerGenerator
from attention.modules.embeddings import LearnedPositions, SinusoidalPositions
from attention.modules.encoder_memory import LastLayer, LayerMixture, SameLayer
from attention.modules.feed_forward import FeedForward, GatedFeedForward
from attention.modules.normalisation import BatchNorm
from attention.modules.position_biases import ALiBiPositions, RelativePositions
from attention.positions import Rotary

Config = Mapping[str, Any]

FEED_FORWARDS: dict[str, Callable[..., nn.Module]] = {
    "relu": FeedForward,
    "gelu": partial(FeedForward, activation=nn.gelu),
    "swiglu": GatedFeedForward,
}
POSITION_BIASES: dict[str, Callable[..., nn.Module]] = {
    "alibi": ALiBiPositions,
    "relative": RelativePositions,
}
NORMS: dict[str, Callable[..., nn.Module]] = {
    "layer": partial(nn.LayerNorm, epsilon=1e-6),
    "rms": partial(nn.RMSNorm, epsilon=1e-6),
    "batch": BatchNorm,
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def transformer(config: Config, vocab_size: int) -> Transformer:
    """The model."""
    model = config["model"]
    added: dict[str, Callable[[], nn.Module]] = {
        "sinusoidal": SinusoidalPositions,
        "learned": partial(LearnedPositions, length=config["data"]["max_length"]),
    }
    encoder_memories = {
        "last": LastLayer,
        "same": SameLayer,
        "mixture": partial(LayerMixture, levels=model["levels"]),
    }
    return Transformer(
        vocab_size=vocab_size,
        size=model["size"],
        heads=model["heads"],
        layers=model["layers"],
        encoder=placed(config, "encoder"),
        decoder=placed(config, "decoder"),
        cross=placed(config, "cross"),
        encoder_memory=encoder_memories[model["encoder_memory"]],
        copying=PointerGenerator if model["copy"] else None,
        feed_forward=partial(
            FEED_FORWARDS[model["activation"]],
            hidden=model["ff_size"],
            dropout=model["ff_dropout"],
        ),
        norm=NORMS[model["norm"]],
        source_norm=NORMS[model["encoder_norm"] or model["norm"]],
        pre_norm=model["norm_place"] == "pre",
        positions=added.get(model["positions"]),
        rotary=Rotary() if model["positions"] == "rotary" else None,
        position_bias=POSITION_BIASES.get(model["positions"]),
        kv_heads=model["kv_heads"] or None,
        dropout=model["dropout"],
        external_tokens=model["external_tokens"],
        tied=model["tied"],
        remat=model["remat"],
        causal=not fills(config),
        dtype=DTYPES[config["train"]["dtype"]],
    )


def fills(config: Config) -> bool:
    """Whether targets are filled in, rather than made from left to right."""
    return config["task"]["kind"] == "mask_predict"


def placed(config: Config, place: str) -> Any:
    """The Attention, or the Mix, of a place."""
    return attend(config["model"].get(place), place, stands_as(config, place))


def stands_as(config: Config, place: str) -> str:
    """As what an attention of a place is used: a decoder that sees both ways is as an encoder."""
    return "encoder" if place == "decoder" and fills(config) else place


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
    if spec["mix"] == "top_k" and spec["top_k"] > vocab_size:
        raise ConfigError(
            f"config.noise.top_k is {spec['top_k']}; the vocabulary has {vocab_size} tokens, "
            "choose at most as many"
        )
    warm = spec["temperature"]
    mixes: dict[str, Callable[[], Mix]] = {
        "argmax": Argmax,
        "sample": partial(Sample, warm),
        "top_k": partial(TopK, warm, spec["top_k"]),
        "softmax": partial(Soft, warm),
        "gumbel": partial(Gumbel, warm),
    }
    k = {} if spec["k"] is None else {"k": spec["k"]}
    with named(f"config.noise with schedule {spec['schedule']}"):
        decay = decays[spec["schedule"]](**k)
    return ScheduledSampling(decay, mixes[spec["mix"]](), spec["backprop"], before=tokens)


def task(config: Config, tokenizer: Tokenizer) -> Task:
    """The task."""
    size = tokenizer.vocab_size
    if fills(config):
        return MaskPredict(
            model=ConditionalMaskedLM(transformer(config, size), config["data"]["max_length"]),
            tokenizer=tokenizer,
            label_smoothing=config["train"]["label_smoothing"],
            canvas=config["task"]["canvas"],
        )
    return Translation(
        model=transformer(config, size),
        tokenizer=tokenizer,
        noise=noise(config, size),
        label_smoothing=config["train"]["label_smoothing"],
    )


def minimum_risk(config: Config, task: Task) -> MinimumRisk | None:
    """Training of the task toward its score; None where the config asks for cross-entropy alone."""
    spec = dict(config["risk"])
    if not spec["candidates"] or not isinstance(task, Translation):
        return None
    target_lang, longest = config["data"]["target_lang"], search(config).max_length
    return MinimumRisk(task, target_lang, max_length=longest, **spec)


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
    decode, longest = config["decode"], config["decode"]["max_length"]
    if config["model"]["positions"] == "learned":  # there are no vectors for further ones
        longest = min(longest, config["data"]["max_length"])
    decoder = placed(config, "decoder")
    if decoder.capabilities.fixed_length:
        longest = min(longest, decoder.length)
    return Search(
        beams=decode["beam"] if beams is None else beams,
        nbest=nbest,
        length_penalty=decode["length_penalty"],
        max_length=longest,
        iterations=decode["iterations"],
    )


def devices(config: Config) -> Mesh:
    """The devices that a training batch is split over."""
    count = config["mesh"]["data"]
    with named(f"config.mesh.data is {count}"):
        return mesh(count or None)


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
        raise ConfigError(f"split is {split!r}; the grammar makes {', '.join(counts)}")
    return grammar.sample_pairs(split, counts[split], seed=config["seed"])

"""The Transformer of a config, with its three attentions."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.errors import named
from attention.lab.build.attentions import attention_of, fills
from attention.lab.config import schema
from attention.lab.config.key import forbid
from attention.models.transformer import Transformer
from attention.modules.copying import PointerGenerator
from attention.modules.embeddings import LearnedPositions, SinusoidalPositions
from attention.modules.encoder_memory import LastLayer, LayerMixture, SameLayer
from attention.modules.feed_forward import FeedForward, GatedFeedForward
from attention.modules.normalisation import BatchNorm
from attention.modules.position_biases import ALiBiPositions, RelativePositions
from attention.positions import Rotary
from attention.protocols import Attention, Needs, TokenMixer
from attention.variants import Softmax

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


def transformer(config: Config) -> Transformer:
    """The model, for a vocabulary of ``data.vocab_size``.

    Raises:
      ConfigError, UnsupportedError: an attention or a key of ``model`` cannot be used.
    """
    model = config["model"]
    _check(config)
    slots = _attentions(config)
    added: dict[str, Callable[[], nn.Module]] = {
        "sinusoidal": SinusoidalPositions,
        "learned": partial(LearnedPositions, length=config["data"]["max_length"]),
    }
    encoder_memories = {
        "last": LastLayer,
        "same": SameLayer,
        "mixture": partial(LayerMixture, levels=model["levels"]),
    }
    made = Transformer(
        vocab_size=config["data"]["vocab_size"],
        size=model["size"],
        heads=model["heads"],
        layers=model["layers"],
        encoder=slots["encoder"],
        decoder=slots["decoder"],
        cross=slots["cross"],
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
    _try(made, slots, max(config["data"]["max_length"], config["task"]["canvas"]))
    return made


def _attentions(config: Config) -> dict[str, Attention | TokenMixer]:
    """The attention of each slot, built once."""
    model = config["model"]
    shared_heads = model["kv_heads"] not in (0, model["heads"])
    within = Needs(
        bias=model["positions"] in POSITION_BIASES,
        rotary=model["positions"] == "rotary",
        shared_heads=shared_heads,
    )
    causal = not fills(config)
    needs = {
        "encoder": replace(within, global_tokens=model["external_tokens"]),
        "decoder": replace(within, causal=causal, cached=causal, bidirectional=not causal),
        "cross": Needs(cross=True, shared_heads=shared_heads),
    }
    return {slot: attention_of(slot, model.get(slot), needs[slot]) for slot in schema.SLOTS}


def _try(model: Transformer, slots: Mapping[str, Any], longest: int) -> None:
    """Tries each attention in a layer, by its shapes alone: what depends on heads and length."""
    tokens_BT = jax.ShapeDtypeStruct((1, longest), "int32")
    plain = dict.fromkeys(slots, Softmax()) | {"layers": 1, "encoder_memory": LastLayer}
    for slot, attention in slots.items():
        if attention == Softmax():
            continue  # it can stand anywhere, and a trial takes time at every start
        layer = model.clone(**plain | {slot: attention})
        with named(f"config.model.{slot}"):
            jax.eval_shape(layer.init, jax.random.key(0), tokens_BT, tokens_BT)


def _check(config: Config) -> None:
    """Checks what the keys of ``model`` demand of one another."""
    model = config["model"]
    size, heads, kv_heads, layers = (model[k] for k in ("size", "heads", "kv_heads", "layers"))
    levels, memory = model["levels"], model["encoder_memory"]
    forbid(
        (
            size % heads,
            f"model.heads: {heads} does not divide model.size {size}; use {_divisors(size, heads)}",
        ),
        (
            kv_heads and heads % kv_heads,
            f"model.kv_heads: {kv_heads} does not divide model.heads {heads}; use "
            f"{_divisors(heads, kv_heads)}, or 0 for as many",
        ),
        (
            levels > layers + 1,
            f"model.levels: {levels} is more than the states of {layers} layers and embeddings; "
            f"use at most {layers + 1}",
        ),
        (
            levels and memory != "mixture",
            f"model.levels: {levels} needs model.encoder_memory mixture, which is {memory}; use "
            "mixture, or levels 0",
        ),
        (
            model["positions"] == "sinusoidal" and size % 2,
            f"model.size: {size} is odd, and sinusoidal positions are pairs; use {size + 1}",
        ),
        (
            model["positions"] == "rotary" and size // heads % 2,
            f"model.heads: {heads} leaves {size // heads} features of model.size {size} to each; "
            "rotary positions turn pairs; use another size",
        ),
        (
            model["norm"] == "batch",
            "model.norm: batch lets a causal decoder's tokens see later ones; use layer, and "
            "model.encoder_norm batch",
        ),
        (
            model["encoder_norm"] == "batch" and model["norm_place"] == "pre" and memory != "last",
            "model.encoder_norm: batch has one running mean, but model.encoder_memory is "
            f"{memory}, whose memories differ; use norm_place post, or encoder_memory last",
        ),
    )


def _divisors(number: int, near: int) -> str:
    """The divisors of a number that are next to another number, as "4 or 8"."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    divisors = sorted({*small, *(number // d for d in small)})
    below, above = [d for d in divisors if d < near], [d for d in divisors if d > near]
    return " or ".join(map(str, [*below[-1:], *above[:1]]))

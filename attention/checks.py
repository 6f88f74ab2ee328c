"""Checks of a config as a whole: what its keys demand of one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from attention import attentions, build, schema
from attention.shapes import Mix

Config = Mapping[str, Any]

# Encoders in which every token sees all others, and so those of model.external_tokens.
ALL_SEE_ALL = {
    *("softmax", "additive", "relu", "tempered", "cosine", "graph", "linformer", "compressed"),
    *("linear", "efficient", "performer", "rfa", "synthesizer", "fnet", "mixer", "lstm", "gru"),
}


def check(config: Config) -> None:
    """Checks each key, each attention, and what keys demand of one another.

    Raises:
      ValueError, TypeError, NotImplementedError: with one line that says what to do.
    """
    if dict(schema.flatten(config)).get("train.dtype") == "float16":
        raise ValueError(
            "config.train.dtype is float16, which needs loss scaling and is not offered; "
            "use bfloat16 or float32"
        )
    schema.check(config)
    for place in schema.ATTENTIONS:
        attentions.attend(config["model"].get(place), build.stands_as(config, place))
    for rule in (_model, _task, _places, _train, _risk, _data, _decode):
        rule(config)
    build.noise(config, vocab_size=config["data"]["vocab_size"])


def check_beam(name: str, beam: int, vocab_size: int) -> None:
    """Raises ValueError unless there are as many first tokens as beams."""
    if not 1 <= beam <= vocab_size:
        raise ValueError(
            f"{name} is {beam}; it needs to be from 1 to the vocabulary's size, {vocab_size}"
        )


def _model(config: Config) -> None:
    model = config["model"]
    size, heads, positions = model["size"], model["heads"], model["positions"]
    if size % heads:
        raise ValueError(
            f"config.model.heads is {heads}, which does not divide model.size {size}; "
            "choose a head count that divides it"
        )
    if model["kv_heads"] and heads % model["kv_heads"]:
        raise ValueError(
            f"config.model.kv_heads is {model['kv_heads']}, which does not divide model.heads "
            f"{heads}; choose a divisor, or 0 for as many"
        )
    for place in schema.ATTENTIONS:
        attend = attentions.attend(model[place], build.stands_as(config, place))
        apart = not isinstance(attend, Mix) and attend.abilities.projections == "apart"
        if not apart and model["kv_heads"] not in (0, heads):
            raise NotImplementedError(
                f"config.model.kv_heads is {model['kv_heads']}, and model.{place}, "
                f"{model[place]['name']}, has no keys of their own for its {heads} heads; choose 0"
            )
    for place in ("encoder", "decoder"):
        attend = attentions.attend(model[place], build.stands_as(config, place))
        if positions in build.POSITION_BIASES and not attend.abilities.bias:
            raise NotImplementedError(
                f"config.model.positions is {positions}, which is a bias on scores, and "
                f"model.{place} is {model[place]['name']}, which takes none; choose sinusoidal"
            )
        turned = not isinstance(attend, Mix) and not attend.abilities.needs_x
        if positions == "rotary" and not (turned and attend.abilities.projections != "values"):
            raise NotImplementedError(
                f"config.model.positions is rotary, which turns queries and keys, and model.{place}"
                f" is {model[place]['name']}, which does not work by them alone; choose sinusoidal"
            )
    if model["norm"] == "batch":
        raise NotImplementedError(
            "config.model.norm is batch, which cannot stand in a causal decoder, whose tokens "
            "would see later ones; choose layer, and model.encoder_norm batch"
        )
    if model["levels"] > model["layers"] + 1:
        raise ValueError(
            f"config.model.levels is {model['levels']}; an encoder of {model['layers']} layers has "
            f"{model['layers'] + 1} states to mix, its embeddings with them; choose at most as many"
        )
    if model["levels"] and model["wiring"] != "mixture":
        raise ValueError(
            f"config.model.levels is {model['levels']}, and model.wiring {model['wiring']}, which "
            "mixes none; choose mixture, or levels 0"
        )
    if positions == "sinusoidal" and size % 2:
        raise ValueError(f"config.model.size is {size}; sinusoidal positions need an even size")
    if positions == "rotary" and size // heads % 2:
        raise ValueError(
            f"config.model.heads is {heads}, which leaves {size // heads} features of model.size "
            f"{size} to each; rotary positions need an even number"
        )


def _task(config: Config) -> None:
    canvas, longest = config["task"]["canvas"], config["data"]["max_length"]
    if not build.fills(config):
        if canvas:
            raise ValueError(
                f"config.task.canvas is {canvas}, and task.kind left_to_right, which needs none; "
                "choose mask_predict, or canvas 0"
            )
        return
    if config["risk"]["candidates"]:
        raise NotImplementedError(
            f"config.risk.candidates is {config['risk']['candidates']}, and task.kind "
            "mask_predict, which draws none; choose left_to_right, or 0 candidates"
        )
    if config["model"]["copy"]:
        raise NotImplementedError(
            "config.model.copy is true, and task.kind mask_predict, whose tokens are told all at "
            "once; choose left_to_right, or copy false"
        )
    if canvas and canvas < longest:
        raise ValueError(
            f"config.task.canvas is {canvas}, and data.max_length {longest}: targets of so many "
            "tokens would not fit; choose a canvas of at least as many, or a smaller max_length"
        )
    if canvas > longest and config["model"]["positions"] == "learned":
        raise ValueError(
            f"config.task.canvas is {canvas}, and there are learned positions for data.max_length, "
            f"{longest}, tokens; choose a canvas of {longest}, or sinusoidal positions"
        )
    if config["noise"]["kind"] != "none" or config["noise"]["token_rate"]:
        raise ValueError(
            "config.noise is of decoders that read what comes before, and task.kind is "
            "mask_predict, which reads masks; choose noise.kind none and token_rate 0"
        )


def _places(config: Config) -> None:
    """Each attention by its shapes alone, at the greatest length that training meets."""
    model = config["model"]
    external = model["external_tokens"]
    encoder, name = attentions.attend(model["encoder"], "encoder"), model["encoder"]["name"]
    field = "block" if name == "bigbird" else "first"
    first = external if name in ALL_SEE_ALL else getattr(encoder, field, 0)
    if first < external and not hasattr(encoder, field):
        raise ValueError(
            f"config.model.external_tokens is {external}, and model.encoder is {name}, in which no "
            "token is global; choose global, longformer, bigbird or softmax"
        )
    if first < external:
        raise ValueError(
            f"config.model.external_tokens is {external}, and model.encoder.{field} {first}: only "
            f"the first {first} tokens are global; set model.encoder.{field} to {external} or more"
        )
    longest = max(config["data"]["max_length"], config["task"]["canvas"])
    tokens_BT = jax.ShapeDtypeStruct((1, longest), "int32")
    softmax = {place: {"name": "softmax"} for place in schema.ATTENTIONS}
    for place in schema.ATTENTIONS:
        used_as = build.stands_as(config, place)
        if attentions.attend(model[place], used_as) == attentions.attend(softmax[place], used_as):
            continue  # it stands anywhere, and a try takes time at every start
        alone = {**config, "model": model | softmax | {place: model[place]}}
        layer = build.transformer(alone, vocab_size=config["data"]["vocab_size"]).clone(layers=1)
        try:
            jax.eval_shape(layer.init, jax.random.key(0), tokens_BT, tokens_BT)
        except (ValueError, NotImplementedError) as error:
            raise type(error)(f"config.model.{place}: {error}") from None


def _train(config: Config) -> None:
    train = config["train"]
    schedule, warmup, steps = train["schedule"], train["warmup"], train["steps"]
    if schedule in ("cosine", "linear") and warmup >= steps:
        raise ValueError(
            f"config.train.warmup is {warmup}; it needs to be below train.steps, {steps}"
        )
    if schedule == "inverse_sqrt" and warmup < 1:
        raise ValueError("config.train.warmup is 0; inverse_sqrt needs at least 1")


def _risk(config: Config) -> None:
    risk, noise = config["risk"], config["noise"]
    if not risk["candidates"] and risk["cross_entropy"]:
        raise ValueError(
            f"config.risk.cross_entropy is {risk['cross_entropy']}, and risk.candidates 0, so that "
            "there is no risk to mix it with; choose candidates, or leave both at 0"
        )
    if risk["candidates"] == 1 and not risk["gold"]:
        raise ValueError(
            "config.risk.candidates is 1, and risk.gold false: one candidate alone has no gradient;"
            " choose 2 or more"
        )
    corrupted = noise["kind"] != "none" or noise["token_rate"]
    if risk["candidates"] and corrupted and not risk["cross_entropy"]:
        raise ValueError(
            f"config.noise.kind is {noise['kind']} and noise.token_rate {noise['token_rate']:g}, "
            "which concern cross-entropy, and risk.cross_entropy is 0; choose none and 0, or a "
            "share of cross-entropy"
        )


def _data(config: Config) -> None:
    data = config["data"]
    source, target = data["source_lang"], data["target_lang"]
    if data["kind"] == "text" and not data["dir"]:
        raise ValueError(
            "config.data.dir is not set; say --config.data.dir=DIR with files train.LANG, "
            "valid.LANG and test.LANG (plain or .gz)"
        )
    if source == target:
        raise ValueError(
            f"config.data.source_lang and target_lang are both {target!r}; translation needs two"
        )
    if data["kind"] == "grammar" and data["dir"]:
        raise ValueError(
            f"config.data.dir is {data['dir']!r}, but data.kind is grammar, which reads no files; "
            "say --config.data.kind=text, or start from experiments/text.py"
        )
    if data["kind"] == "grammar" and (source, target) != ("en", "zh"):
        raise ValueError(
            f"config.data.source_lang and target_lang are {source!r} and {target!r}; the grammar "
            "makes en and zh: start from experiments/text.py for text of your own"
        )


def _decode(config: Config) -> None:
    for name in ("beam", "valid_beam"):
        beam = config["decode"][name]
        check_beam(f"config.decode.{name}", beam, config["data"]["vocab_size"])

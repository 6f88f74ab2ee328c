"""Checks of a config as a whole: what its keys demand of one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attention.errors import ConfigError, UnsupportedError
from attention.lab.build import places, values
from attention.lab.config import schema
from attention.protocols import TokenMixer

Config = Mapping[str, Any]


def check(config: Config) -> None:
    """Checks each key, each attention, and what keys demand of one another.

    Raises:
      ValueError, TypeError, NotImplementedError: with one line that says what to do.
    """
    if dict(schema.flatten(config)).get("train.dtype") == "float16":
        raise ConfigError(
            "config.train.dtype is float16, which needs loss scaling and is not offered; "
            "use bfloat16 or float32"
        )
    schema.check(config)
    for place in schema.ATTENTIONS:
        values.placed(config, place)
    for rule in (_model, _norms, _task, places.check, _train, _risk, _data, _decode):
        rule(config)
    values.noise(config, vocab_size=config["data"]["vocab_size"])


def check_beam(name: str, beam: int, vocab_size: int) -> None:
    """Raises ValueError unless there are as many first tokens as beams."""
    if not 1 <= beam <= vocab_size:
        raise ConfigError(
            f"{name} is {beam}; it needs to be from 1 to the vocabulary's size, {vocab_size}"
        )


def _model(config: Config) -> None:
    model = config["model"]
    size, heads, positions = model["size"], model["heads"], model["positions"]
    if size % heads:
        raise ConfigError(
            f"config.model.heads is {heads}, which does not divide model.size {size}; "
            "choose a head count that divides it"
        )
    if model["kv_heads"] and heads % model["kv_heads"]:
        raise ConfigError(
            f"config.model.kv_heads is {model['kv_heads']}, which does not divide model.heads "
            f"{heads}; choose a divisor, or 0 for as many"
        )
    for place in schema.ATTENTIONS:
        attend = values.placed(config, place)
        apart = not isinstance(attend, TokenMixer) and attend.capabilities.projections == "apart"
        if not apart and model["kv_heads"] not in (0, heads):
            raise UnsupportedError(
                f"config.model.kv_heads is {model['kv_heads']}, and model.{place}, "
                f"{model[place]['name']}, has no keys of their own for its {heads} heads; choose 0"
            )
    for place in ("encoder", "decoder"):
        attend = values.placed(config, place)
        if positions in values.POSITION_BIASES and not attend.capabilities.bias:
            raise UnsupportedError(
                f"config.model.positions is {positions}, which is a bias on scores, and "
                f"model.{place} is {model[place]['name']}, which takes none; choose sinusoidal"
            )
        turned = not isinstance(attend, TokenMixer) and not attend.capabilities.needs_x
        if positions == "rotary" and not (turned and attend.capabilities.projections != "values"):
            raise UnsupportedError(
                f"config.model.positions is rotary, which turns queries and keys, and model.{place}"
                f" is {model[place]['name']}, which does not work by them alone; choose sinusoidal"
            )
    if model["levels"] > model["layers"] + 1:
        raise ConfigError(
            f"config.model.levels is {model['levels']}; an encoder of {model['layers']} layers has "
            f"{model['layers'] + 1} states to mix, its embeddings with them; choose at most as many"
        )
    if model["levels"] and model["encoder_memory"] != "mixture":
        raise ConfigError(
            f"config.model.levels is {model['levels']}, and model.encoder_memory "
            f"{model['encoder_memory']}, which mixes none; choose mixture, or levels 0"
        )
    if positions == "sinusoidal" and size % 2:
        raise ConfigError(f"config.model.size is {size}; sinusoidal positions need an even size")
    if positions == "rotary" and size // heads % 2:
        raise ConfigError(
            f"config.model.heads is {heads}, which leaves {size // heads} features of model.size "
            f"{size} to each; rotary positions need an even number"
        )


def _norms(config: Config) -> None:
    model = config["model"]
    if model["norm"] == "batch":
        raise UnsupportedError(
            "config.model.norm is batch, which cannot stand in a causal decoder, whose tokens "
            "would see later ones; choose layer, and model.encoder_norm batch"
        )
    batch = model["encoder_norm"] == "batch" and model["norm_place"] == "pre"
    if batch and model["encoder_memory"] != "last":
        raise UnsupportedError(
            "config.model.encoder_norm is batch, and model.encoder_memory "
            f"{model['encoder_memory']}: the last norm would have one running mean of what "
            "differs; choose norm_place post, or encoder_memory last"
        )


def _task(config: Config) -> None:
    canvas, longest = config["task"]["canvas"], config["data"]["max_length"]
    if not values.fills(config):
        if canvas:
            raise ConfigError(
                f"config.task.canvas is {canvas}, and task.kind left_to_right, which needs none; "
                "choose mask_predict, or canvas 0"
            )
        return
    decoder = values.placed(config, "decoder")
    field, value = decoder.capabilities.one_way or ("", None)
    if field and getattr(decoder, field) == value:
        raise ConfigError(
            f"config.model.decoder.{field} is {value}, with which {decoder.name} sees no later "
            "token, and task.kind mask_predict, which fills them in; choose as in the encoder"
        )
    if config["risk"]["candidates"]:
        raise UnsupportedError(
            f"config.risk.candidates is {config['risk']['candidates']}, and task.kind "
            "mask_predict, which draws none; choose left_to_right, or 0 candidates"
        )
    if config["model"]["copy"]:
        raise UnsupportedError(
            "config.model.copy is true, and task.kind mask_predict, whose tokens are told all at "
            "once; choose left_to_right, or copy false"
        )
    if canvas and canvas < longest:
        raise ConfigError(
            f"config.task.canvas is {canvas}, and data.max_length {longest}: targets of so many "
            "tokens would not fit; choose a canvas of at least as many, or a smaller max_length"
        )
    if canvas > longest and config["model"]["positions"] == "learned":
        raise ConfigError(
            f"config.task.canvas is {canvas}, and there are learned positions for data.max_length, "
            f"{longest}, tokens; choose a canvas of {longest}, or sinusoidal positions"
        )
    if config["noise"]["kind"] != "none" or config["noise"]["token_rate"]:
        raise ConfigError(
            "config.noise is of decoders that read what comes before, and task.kind is "
            "mask_predict, which reads masks; choose noise.kind none and token_rate 0"
        )


def _train(config: Config) -> None:
    train = config["train"]
    schedule, warmup, steps = train["schedule"], train["warmup"], train["steps"]
    if schedule in ("cosine", "linear") and warmup >= steps:
        raise ConfigError(
            f"config.train.warmup is {warmup}; it needs to be below train.steps, {steps}"
        )
    if train["init_from"] and config["data"]["vocabulary"]:
        raise ConfigError(
            f"config.data.vocabulary is {config['data']['vocabulary']!r}, and the vocabulary is "
            f"that of train.init_from, {train['init_from']}; leave one of them out"
        )
    if schedule == "inverse_sqrt" and warmup < 1:
        raise ConfigError("config.train.warmup is 0; inverse_sqrt needs at least 1")


def _risk(config: Config) -> None:
    risk, noise = config["risk"], config["noise"]
    if not risk["candidates"] and risk["cross_entropy"]:
        raise ConfigError(
            f"config.risk.cross_entropy is {risk['cross_entropy']}, and risk.candidates 0, so that "
            "there is no risk to mix it with; choose candidates, or leave both at 0"
        )
    if risk["candidates"] == 1 and not risk["gold"]:
        raise ConfigError(
            "config.risk.candidates is 1, and risk.gold false: one candidate alone has no gradient;"
            " choose 2 or more"
        )
    if risk["candidates"] and risk["cross_entropy"] == 1:
        raise ConfigError(
            "config.risk.cross_entropy is 1, which leaves the candidates no weight; choose less, "
            "or candidates 0"
        )
    if risk["candidates"] and not (risk["alpha"] or risk["cross_entropy"]):
        raise ConfigError(
            "config.risk.alpha is 0, which weighs all candidates alike, so that there is no "
            "gradient; choose more than 0"
        )
    corrupted = noise["kind"] != "none" or noise["token_rate"]
    if risk["candidates"] and corrupted and not risk["cross_entropy"]:
        raise ConfigError(
            f"config.noise.kind is {noise['kind']} and noise.token_rate {noise['token_rate']:g}, "
            "which concern cross-entropy, and risk.cross_entropy is 0; choose none and 0, or a "
            "share of cross-entropy"
        )


def _data(config: Config) -> None:
    data = config["data"]
    source, target = data["source_lang"], data["target_lang"]
    if data["kind"] == "text" and not data["dir"]:
        raise ConfigError(
            "config.data.dir is not set; say --config.data.dir=DIR with files train.LANG, "
            "valid.LANG and test.LANG (plain or .gz)"
        )
    if source == target:
        raise ConfigError(
            f"config.data.source_lang and target_lang are both {target!r}; translation needs two"
        )
    if data["kind"] == "grammar" and data["dir"]:
        raise ConfigError(
            f"config.data.dir is {data['dir']!r}, but data.kind is grammar, which reads no files; "
            "say --config.data.kind=text, or start from experiments/text.py"
        )
    if data["kind"] == "grammar" and (source, target) != ("en", "zh"):
        raise ConfigError(
            f"config.data.source_lang and target_lang are {source!r} and {target!r}; the grammar "
            "makes en and zh: start from experiments/text.py for text of your own"
        )


def _decode(config: Config) -> None:
    for name in ("beam", "valid_beam"):
        beam = config["decode"][name]
        check_beam(f"config.decode.{name}", beam, config["data"]["vocab_size"])

"""Each attention of a config in its place, tried by its shapes before a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from attention.errors import ConfigError, named
from attention.lab.build import values
from attention.lab.config import schema
from attention.variants import Softmax

Config = Mapping[str, Any]


def check(config: Config) -> None:
    """Tries each attention by its shapes alone, at the greatest length that training meets.

    Raises:
      ValueError, NotImplementedError: with one line that says what to do.
    """
    model = config["model"]
    external = model["external_tokens"]
    encoder, name = values.placed(config, "encoder"), model["encoder"]["name"]
    field = encoder.capabilities.attends_globally
    first = external if field == "all" else getattr(encoder, field) if field else 0
    if first < external and not field:
        raise ConfigError(
            f"config.model.external_tokens is {external}, and model.encoder is {name}, in which no "
            "token is global; choose global, longformer, bigbird or softmax"
        )
    if first < external:
        raise ConfigError(
            f"config.model.external_tokens is {external}, and model.encoder.{field} {first}: only "
            f"the first {first} tokens are global; set model.encoder.{field} to {external} or more"
        )
    longest = max(config["data"]["max_length"], config["task"]["canvas"])
    tokens_BT = jax.ShapeDtypeStruct((1, longest), "int32")
    plain: dict[str, Any] = {place: {"name": "softmax"} for place in schema.ATTENTIONS}
    plain |= {"encoder_memory": "last", "levels": 0}
    for place in schema.ATTENTIONS:
        if values.placed(config, place) == Softmax():
            continue  # it stands anywhere, and a try takes time at every start
        alone = {**config, "model": model | plain | {place: model[place]}}
        layer = values.transformer(alone, vocab_size=config["data"]["vocab_size"]).clone(layers=1)
        with named(f"config.model.{place}"):
            jax.eval_shape(layer.init, jax.random.key(0), tokens_BT, tokens_BT)

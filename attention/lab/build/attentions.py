"""The attentions of a config, by name or by the import path of one outside this package."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from attention import variants
from attention.errors import ConfigError, named
from attention.lab.build.imports import attention_at
from attention.lab.config import schema
from attention.lab.config.key import check_value
from attention.lab.config.suggest import suggest
from attention.protocols import Needs, StatefulCrossAttention, require

Config = Mapping[str, Any]

# Those whose fields are plain values, by their name in configs.
ATTENTIONS: dict[str, Any] = {
    variant.name: variant
    for variant in variants.ALL
    if all(field.default is not dataclasses.MISSING for field in dataclasses.fields(variant))
}
NEEDS = {
    "encoder": Needs(),
    "decoder": Needs(causal=True, cached=True),
    "cross": Needs(cross=True),
}


def attention_of(slot: str, spec: Any, needs: Needs | None = None) -> Any:
    """The Attention, or the TokenMixer, of one slot from ``{"name": ..., parameter: value}``.

    Args:
      slot: "encoder", "decoder" or "cross".
      spec: the name, or ``MODULE:CLASS``, and the parameters.
      needs: what the slot demands; by default ``NEEDS`` of it.

    Raises:
      ConfigError: the name, a parameter or a value cannot be used.
      UnsupportedError: the attention lacks a capability that its slot needs.
    """
    key = f"config.model.{slot}"
    if not isinstance(spec, Mapping) or "name" not in spec:
        raise ConfigError(f"{key}: {spec!r} has no name; use one of {', '.join(ATTENTIONS)}")
    name = spec["name"]
    fields = attention_defaults(name, slot)
    parameters = {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in spec.items()
        if field != "name"
    }
    for field, value in parameters.items():
        if field not in fields:
            raise ConfigError(
                f"{key}.{field}: unknown to {name}, which has "
                f"{', '.join(sorted({*fields} - {'name'}))}{suggest(field, fields)}"
            )
        check_value(f"model.{slot}.{field}", schema.parameter(field, fields[field]), value)
    with named(key):
        attention = attention_class(name, slot)(**parameters)
        require(attention, needs or NEEDS[slot])
    return attention


def attention_class(name: Any, slot: str) -> Any:
    """The class of an attention by its name in configs, or by its import path."""
    if isinstance(name, str) and ":" in name:
        return attention_at(name, f"config.model.{slot}.name")
    name = schema.current_attention(name) if isinstance(name, str) else name
    if not isinstance(name, str) or name not in ATTENTIONS:
        raise ConfigError(
            f"config.model.{slot}.name: {name!r} is no attention; use one of "
            f"{', '.join(ATTENTIONS)}, or MODULE:CLASS of your own"
            f"{suggest(str(name), ATTENTIONS)}"
        )
    return ATTENTIONS[name]


def attention_defaults(name: Any, slot: str) -> dict[str, Any]:
    """``{"name": name, parameter: default}`` of an attention in a slot."""
    made = attention_class(name, slot)
    causal = made.causal_defaults if slot == "decoder" else {}
    defaults = {field.name: field.default for field in dataclasses.fields(made)}
    return {"name": name} | defaults | dict(causal)


def usual_slot(name: str) -> str:
    """The encoder's, or the decoder's cross-attention for what has no other slot."""
    return "cross" if issubclass(ATTENTIONS[name], StatefulCrossAttention) else "encoder"


def role(config: Config, slot: str) -> str:
    """As what the attention of a slot is used: a decoder that sees both ways is as an encoder."""
    return "encoder" if slot == "decoder" and fills(config) else slot


def fills(config: Config) -> bool:
    """Whether targets are filled in, rather than made from left to right."""
    return bool(config["task"]["kind"] == "mask_predict")

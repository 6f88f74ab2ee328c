"""The attentions of a config by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from attention import variants
from attention.errors import ConfigError, UnsupportedError, named
from attention.lab.config import schema
from attention.lab.config.key import check_value
from attention.lab.config.suggest import suggest
from attention.protocols import StatefulCrossAttention

# Those whose fields are plain values, by their name in configs.
ATTENTIONS: dict[str, Any] = {
    variant.name: variant
    for variant in variants.ALL
    if all(field.default is not dataclasses.MISSING for field in dataclasses.fields(variant))
}


def attend(spec: Any, place: str, stands_as: str | None = None) -> Any:
    """The Attention, or the TokenMixer, of one place from ``{"name": ..., parameter: value}``.

    Args:
      spec: the name and the parameters.
      place: "encoder", "decoder" or "cross".
      stands_as: the place as which it is used, where that is another.
    """
    if not isinstance(spec, Mapping) or "name" not in spec:
        raise ConfigError(
            f"config.model.{place} is {spec!r}; it needs a name, one of {', '.join(ATTENTIONS)}"
        )
    name = spec["name"]
    listed = {key: value for key, value in spec.items() if key != "name"}
    parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in listed.items()}
    fields = attention_defaults(name, place)
    del fields["name"]
    for parameter, value in parameters.items():
        full = f"model.{place}.{parameter}"
        if parameter not in fields:
            raise ConfigError(
                f"config.{full} is unknown to {name}, which has "
                f"{', '.join(sorted(fields))}{suggest(parameter, fields)}"
            )
        check_value(full, schema.parameter(parameter, fields[parameter]), value)
    with named(f"config.model.{place}"):
        made = ATTENTIONS[name](**parameters)
    used_as = stands_as or place
    if used_as == "cross" and not made.capabilities.cross:
        raise UnsupportedError(
            f"config.model.cross is {name}, which cannot attend across two sequences; "
            f"choose softmax{made.capabilities.across and '; ' + made.capabilities.across}"
        )
    if used_as == "encoder" and made.capabilities.decoding == "stateful":
        raise UnsupportedError(
            f"config.model.{place} is {name}, which cannot attend within one sequence; choose "
            "softmax, and it for model.cross"
        )
    if used_as == "decoder" and made.capabilities.causal == "no":
        raise UnsupportedError(
            f"config.model.decoder is {name}, which cannot be causal; choose softmax"
            f"{made.capabilities.remedy}"
        )
    return made


def usual_place(name: str) -> str:
    """The encoder's, or the decoder's cross-attention for what has no other place."""
    return "cross" if issubclass(ATTENTIONS[name], StatefulCrossAttention) else "encoder"


def attention_defaults(name: Any, place: str) -> dict[str, Any]:
    """``{"name": name, parameter: default}`` of an attention in a place."""
    if name not in ATTENTIONS:
        raise ConfigError(
            f"config.model.{place}.name is {name!r}, which is no attention; choose one of "
            f"{', '.join(ATTENTIONS)}{suggest(str(name), ATTENTIONS)}"
        )
    fields = dataclasses.fields(ATTENTIONS[name])
    own = ATTENTIONS[name].causal_defaults if place == "decoder" else {}
    return {"name": name} | {field.name: field.default for field in fields} | dict(own)

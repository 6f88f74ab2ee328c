"""Every config key in a table: what ``launch.py options`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attention import attentions, schema
from attention.keys import Key, allowed
from attention.parsing import written


def keys(config: Mapping[str, Any]) -> Iterator[tuple[str, Key]]:
    """The keys of a config, in its order; an attention's parameters are those of its variant."""
    for name, value in schema.flatten(config):
        if not schema.is_attention(name):
            yield name, schema.SCHEMA[name]
        elif name.endswith(".name"):
            place = name.split(".")[1]
            for parameter, default in attentions.attention_defaults(value, place).items():
                key = schema.parameter(parameter, default)
                if parameter == "name":
                    key = Key(default, f"the {place} attention", choices=(*attentions.ATTENTIONS,))
                yield f"model.{place}.{parameter}", key


def table(config: Mapping[str, Any]) -> str:
    """A line a key: its flag with the config's value, what it means, and what is allowed."""
    values = dict(schema.flatten(config))
    rows = [
        (f"--config.{name}={written(values[name])}", f"{key.help} ({allowed(key)})")
        for name, key in keys(config)
        if name in values
    ]
    width = max(len(flag) for flag, _ in rows)
    return "\n".join(f"{flag:{width}}  {meaning}" for flag, meaning in rows)

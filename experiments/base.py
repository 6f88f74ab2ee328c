"""The default config as ml_collections has it; every experiment starts here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from attention.errors import ConfigError
from attention.lab.build import attentions
from attention.lab.config import schema
from attention.lab.config.suggest import suggest


def get_config(
    structure: str = "", *, attention: Mapping[str, Any] | None = None, **sections: dict[str, Any]
) -> ConfigDict:
    """The default config, with what an experiment says of each section.

    Args:
      structure: what stands behind the colon of ``--config=FILE.py:...``: attentions by slot, as
        in ``encoder=softmax,decoder=softmax``; one outside this package by its import path, as in
        ``encoder=my_package.my_module:TalkingHeads``. Their parameters then have flags.
      attention: values for every attention that has the parameter, as in ``dropout_rate=0.1``.
      **sections: values by section, as in ``model=dict(size=256)``.

    Raises:
      ConfigError: a section, a key, a slot or an attention is unknown.
    """
    plain = schema.defaults()
    for section, values in sections.items():
        for name, value in values.items() if isinstance(values, dict) else [("", values)]:
            full = schema.current_name(f"{section}.{name}" if name else section)
            if full not in schema.SCHEMA:
                near = suggest(full, schema.SCHEMA)
                raise ConfigError(f"config.{full}: unknown key{near}")
            (plain[section] if name else plain)[full.rpartition(".")[2]] = value
    chosen = dict(part.partition("=")[::2] for part in structure.split(",") if part)
    for slot, name in chosen.items():
        if slot not in schema.SLOTS:
            near = suggest(slot, schema.SLOTS)
            slots = ", ".join(schema.SLOTS)
            raise ConfigError(f"config argument {slot}={name}: slots are {slots}{near}")
    for slot in schema.SLOTS:
        fields = attentions.attention_defaults(chosen.get(slot, "softmax"), slot)
        shared = {name: value for name, value in (attention or {}).items() if name in fields}
        plain["model"][slot] = fields | shared
    config = ConfigDict(plain, type_safe=False)  # attention.lab.config.schema has the better words
    for full, key in schema.SCHEMA.items():
        section, _, leaf = full.rpartition(".")
        owner = config[section] if section else config
        if key.default is None and owner[leaf] is None:
            owner[leaf] = config_dict.placeholder(key.type)
    return config

"""From ``--config=FILE.py:argument --config.key=value ...`` to the plain config that it means."""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from attention.errors import ConfigError
from attention.lab.build import attentions
from attention.lab.config import schema
from attention.lab.config.flags import parse
from attention.lab.config.key import Key
from attention.lab.config.suggest import suggest
from attention.lab.storage.directory import inside

_FLAG = re.compile(r"--?(no)?config\.([^=]*)(=?)(.*)", re.DOTALL)


def resolve(spec: str, overrides: list[str]) -> dict[str, Any]:
    """The config of an experiment with single values changed.

    Args:
      spec: the path of the experiment's file, or the name of one that is shipped, and its argument
        after a colon if it has one.
      overrides: ``--config.KEY=VALUE`` each; one that names another attention brings its
        parameters, of which those that both have keep their values.

    Raises:
      ConfigError: there is no such file.
      ValueError, TypeError: the argument, a key or a value cannot be used; one line.
    """
    config = _load(spec)
    for override in overrides:
        _rename(override, config)
    keys = dict(keys_of(config))
    changes = dict(_change(override, keys) for override in overrides)
    changed = schema.unflatten(dict(schema.flatten(config)) | changes)
    for slot in schema.SLOTS:  # a run that goes on is compared by today's names
        changed["model"][slot]["name"] = schema.current_attention(changed["model"][slot]["name"])
    return json.loads(json.dumps(changed))  # as a run's config.json gives it back: tuples are lists


def default_workdir(spec: str) -> str:
    """Where the run of an experiment lives unless something else is said."""
    return str(inside("runs", Path(spec.partition(":")[0]).stem))


def keys_of(config: Mapping[str, Any]) -> Iterator[tuple[str, Key]]:
    """The keys of a config, in its order; an attention's parameters are those of its variant."""
    for name, value in schema.flatten(config):
        if not schema.is_attention(name):
            yield name, schema.SCHEMA[name]
        elif name.endswith(".name"):
            slot = name.split(".")[1]
            for parameter, default in attentions.attention_defaults(value, slot).items():
                key = schema.parameter(parameter, default)
                if parameter == "name":
                    about = f"the {slot} attention; of your own: MODULE:CLASS"
                    key = Key(default, about, choices=(*attentions.ATTENTIONS,))
                yield f"model.{slot}.{parameter}", key


def file_of(name: str) -> Path:
    """The file of an experiment: a path, or the name of one that is shipped."""
    found = importlib.util.find_spec(f"experiments.{name}") if name.isidentifier() else None
    return Path(found.origin) if found and found.origin else Path(name)


def load(spec: str) -> ModuleType:
    """The experiment's file as a module."""
    path = file_of(spec.partition(":")[0])
    if not path.is_file():
        raise ConfigError(f"--config={spec}: there is no file {path}")
    found = importlib.util.spec_from_file_location("config", path)
    if found is None or found.loader is None:
        raise ConfigError(f"--config={spec}: {path} is no Python file")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _load(spec: str) -> dict[str, Any]:
    """What ``get_config`` of the file returns, each key of which is known and in its range."""
    path, _, argument = spec.partition(":")
    module = load(spec)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"--config={spec}: {path} has no function get_config")
    config = module.get_config(argument) if argument else module.get_config()
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"get_config of {path} returned {type(config).__name__}; it needs a ConfigDict, as "
            "experiments/base.py makes"
        )
    plain: dict[str, Any] = json.loads(config.to_json_best_effort())
    schema.check(plain)
    return plain


def _rename(override: str, config: dict[str, Any]) -> None:
    """Where a flag names another attention, gives its slot that one's parameters."""
    parts = _FLAG.fullmatch(override)
    _, name, _, attention = parts.groups() if parts else ("",) * 4
    slot = name.removeprefix("model.").removesuffix(".name")
    if name != f"model.{slot}.name" or slot not in schema.SLOTS:
        return
    if attention != config["model"][slot]["name"]:
        fields = attentions.attention_defaults(attention, attentions.role(config, slot))
        shared = {key: value for key, value in config["model"][slot].items() if key in fields}
        config["model"][slot] = fields | shared | {"name": attention}


def _change(override: str, keys: Mapping[str, Key]) -> tuple[str, Any]:
    """The key and the value that one flag says."""
    parts = _FLAG.fullmatch(override)
    if parts is None:
        raise ConfigError(
            f"{override}: it is no flag of the config, as in --config.train.steps=100"
        )
    negated, name, equals, text = parts.groups()
    name = name if name in keys else schema.current_name(name)
    inside = [other for other in keys if other.startswith(f"{name}.")]
    if inside:
        raise ConfigError(
            f"{override}: {name} is a section; set its keys one by one, as in "
            f"--config.{inside[0]}=VALUE"
        )
    if name not in keys:
        raise ConfigError(f"{override}: the config has no {name}{suggest(name, keys)}")
    if keys[name].type is bool and not equals:
        return name, not negated
    if negated or not equals:
        raise ConfigError(f"{override}: no value; use --config.{name}=VALUE")
    return name, parse(name, keys[name], text)

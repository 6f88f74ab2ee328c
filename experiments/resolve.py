"""From ``--config=FILE.py:argument --config.key=value ...`` to the plain config that it means."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from attention import attentions, build, options, schema
from attention.keys import Key
from attention.parsing import parse
from attention.spelling import nearest
from attention.workdir import inside

_FLAG = re.compile(r"--?(no)?config\.([^=]*)(=?)(.*)", re.DOTALL)


def resolve(spec: str, overrides: list[str]) -> dict[str, Any]:
    """The config of an experiment with single values changed.

    Args:
      spec: the path of the experiment's file, and its argument after a colon if it has one.
      overrides: ``--config.KEY=VALUE`` each; one that names another attention brings its
        parameters, of which those that both have keep their values.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError, TypeError: the argument, a key or a value cannot be used; one line.
    """
    config = _load(spec)
    for override in overrides:
        _rename(override, config)
    keys = dict(options.keys(config))
    changes = dict(_change(override, keys) for override in overrides)
    changed = schema.unflatten(dict(schema.flatten(config)) | changes)
    return json.loads(json.dumps(changed))  # as a run's config.json gives it back: tuples are lists


def default_workdir(spec: str) -> str:
    """Where the run of an experiment lives unless something else is said."""
    return str(inside("runs", Path(spec.partition(":")[0]).stem))


def load(spec: str) -> ModuleType:
    """The experiment's file as a module."""
    path = spec.partition(":")[0]
    if not Path(path).is_file():
        raise FileNotFoundError(f"--config={spec}: there is no file {path}")
    found = importlib.util.spec_from_file_location("config", path)
    if found is None or found.loader is None:
        raise ValueError(f"--config={spec}: {path} is no Python file")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _load(spec: str) -> dict[str, Any]:
    """What ``get_config`` of the file returns, each key of which is known and in its range."""
    path, _, argument = spec.partition(":")
    module = load(spec)
    if not hasattr(module, "get_config"):
        raise ValueError(f"--config={spec}: {path} has no function get_config")
    config = module.get_config(argument) if argument else module.get_config()
    if not isinstance(config, ConfigDict):
        raise TypeError(
            f"get_config of {path} returned {type(config).__name__}; it needs a ConfigDict, as "
            "experiments/base.py makes"
        )
    plain: dict[str, Any] = json.loads(config.to_json_best_effort())
    schema.check(plain)
    return plain


def _rename(override: str, config: dict[str, Any]) -> None:
    """Where a flag names another attention, gives its place that one's parameters."""
    parts = _FLAG.fullmatch(override)
    _, name, _, attention = parts.groups() if parts else ("",) * 4
    place = name.removeprefix("model.").removesuffix(".name")
    if name != f"model.{place}.name" or place not in schema.ATTENTIONS:
        return
    if attention in attentions.ATTENTIONS and attention != config["model"][place]["name"]:
        fields = attentions.attention_defaults(attention, build.stands_as(config, place))
        shared = {key: value for key, value in config["model"][place].items() if key in fields}
        config["model"][place] = fields | shared | {"name": attention}


def _change(override: str, keys: Mapping[str, Key]) -> tuple[str, Any]:
    """The key and the value that one flag says."""
    parts = _FLAG.fullmatch(override)
    if parts is None:
        raise ValueError(f"{override}: it is no flag of the config, as in --config.train.steps=100")
    negated, name, equals, text = parts.groups()
    inside = [other for other in keys if other.startswith(f"{name}.")]
    if inside:
        raise ValueError(
            f"{override}: {name} is a section; set its keys one by one, as in "
            f"--config.{inside[0]}=VALUE"
        )
    if name not in keys:
        raise ValueError(f"{override}: the config has no {name}{nearest(name, keys)}")
    if keys[name].type is bool and not equals:
        return name, not negated
    if negated or not equals:
        raise ValueError(f"{override}: it needs a value, as in --config.{name}=VALUE")
    return name, parse(name, keys[name], text)

"""From ``--config=FILE.py:argument --config.key=value ...`` to the plain config that it means."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from attention import schema


def resolve(spec: str, overrides: list[str]) -> dict[str, Any]:
    """The config of an experiment with single values changed.

    Args:
      spec: the path of the experiment's file, and its argument after a colon if it has one.
      overrides: ``--config.KEY=VALUE`` each.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError, TypeError: the argument, a key or a value cannot be used; one line.
    """
    config = _load(spec)
    known = [name for name, _ in schema.flatten(config.to_dict())]
    for override in overrides:
        key, equals, _ = override.removeprefix("--config.").partition("=")
        if not any(f"{name}.".startswith(f"{key}.") for name in known):
            raise ValueError(f"{override}: the config has no {key}{schema.nearest(key, known)}")
        if not equals:
            raise ValueError(f"{override}: it needs a value, as in {override}=VALUE")
    values = flags.FlagValues()
    arguments = ["", *overrides]
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=arguments)
    try:
        values(arguments)
    except flags.IllegalFlagValueError as error:
        raise _needs(str(error)) from None
    return json.loads(values.config.to_json_best_effort())


def default_workdir(spec: str) -> str:
    """Where the run of an experiment lives unless something else is said."""
    return f"runs/{Path(spec.partition(':')[0]).stem}"


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


def _load(spec: str) -> ConfigDict:
    """What ``get_config`` of the file returns."""
    path, _, argument = spec.partition(":")
    module = load(spec)
    if not hasattr(module, "get_config"):
        raise ValueError(f"--config={spec}: {path} has no function get_config")
    return module.get_config(argument) if argument else module.get_config()


def _needs(error: str) -> ValueError:
    """absl's error, which knows no range, in words of the schema."""
    override = error.removeprefix("flag ").partition(": ")[0]
    key = override.removeprefix("--config.").partition("=")[0]
    if key not in schema.SCHEMA:
        return ValueError(error)
    return ValueError(f"{override}: it needs {schema.wanted(schema.SCHEMA[key])}")

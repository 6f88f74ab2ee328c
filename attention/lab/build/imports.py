"""Attentions outside this package, by import path: ``my_package.my_module:TalkingHeads``.

Importing one runs a program. A config that somebody typed chose it; the config of a workdir may be
a stranger's, so that its import paths must be allowed by name.
"""

import dataclasses
import importlib
import os
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attention.errors import ConfigError, RunError
from attention.lab.config import schema
from attention.lab.config.suggest import suggest
from attention.protocols import Attention, TokenMixer

VARIABLE = "ATTENTION_ALLOW_IMPORT"
_PATH = re.compile(r"((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*):([A-Za-z_]\w*)")
_PLAIN = (bool, int, float, str, tuple, type(None))


def attention_at(path: str, key: str) -> Any:
    """The class at an import path, which is imported.

    Args:
      path: ``MODULE:CLASS``.
      key: of the config, for errors.

    Raises:
      ConfigError: there is no such module or class, importing it raises, or it is no attention.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise ConfigError(f"{key}: {path!r} is no import path; write my_package.my_module:MyClass")
    module, name = found.groups()
    try:
        namespace = vars(importlib.import_module(module))
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{key}: there is no module {module}; mend the name, or put the directory of "
                f"{module.partition('.')[0]} on PYTHONPATH"
            ) from error
        raise ConfigError(
            f"{key}: importing {module} raised {type(error).__name__}: {error}{_place(error)}; "
            "mend it"
        ) from error
    if name not in namespace:
        raise ConfigError(
            f"{key}: the module {module} has no {name}; mend the name{suggest(name, namespace)}"
        )
    if reason := _unfit(namespace[name]):
        raise ConfigError(f"{key}: {path} {reason}")
    return namespace[name]


def modules_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules outside this package that a config's attentions are imported from."""
    values = dict(schema.flatten(config))
    names = [str(values.get(f"model.{slot}.name", "")) for slot in schema.SLOTS]
    modules = {name.partition(":")[0] for name in names if ":" in name}
    return tuple(sorted(name for name in modules if name.partition(".")[0] != "attention"))


def check_allowed(config: Mapping[str, Any], workdir: str | Path, allowed: Sequence[str]) -> None:
    """Checks that the modules a workdir's config would import were named by the user.

    Args:
      config: of the workdir.
      workdir: for errors.
      allowed: modules, or packages with all that is in them; several with commas between. Those of
        the environment variable ``ATTENTION_ALLOW_IMPORT`` are allowed too.

    Raises:
      RunError: one of them was not named.
    """
    names = ",".join([*allowed, os.environ.get(VARIABLE, "")]).split(",")
    for module in modules_of(config):
        if not any(name and f"{module}.".startswith(f"{name.strip()}.") for name in names):
            root = module.partition(".")[0]
            raise RunError(
                f"{workdir} has an attention of {module}, which is a program outside this package; "
                f"if you trust it, add --allow_import={root}, or set {VARIABLE}={root}"
            )


def _place(error: BaseException) -> str:
    """Where an import failed, as " (FILE, line N)"; of a SyntaxError the text says it already."""
    ours = (__file__, importlib.__file__)
    frames = [
        f" ({frame.filename}, line {frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<frozen ")
    ]
    return frames[-1] if frames else ""


def _unfit(made: Any) -> str:
    """Why an object is no attention that a config can choose, and the remedy; else nothing."""
    if not (isinstance(made, type) and issubclass(made, Attention | TokenMixer)):
        return "is no attention; derive it from attention.protocols.Attention or TokenMixer"
    settings = vars(made).get("__dataclass_params__")
    if settings is None or not settings.frozen:
        return "is no frozen dataclass; write @dataclass(frozen=True) above it"
    if missing := ", ".join(sorted(made.__abstractmethods__)):
        return f"does not define {missing}; define it"
    for field in dataclasses.fields(made):  # type: ignore[arg-type]
        if field.name == "name" or not isinstance(field.default, _PLAIN):
            return (
                f"has a field {field.name}, which cannot be a key of a config; give it a default "
                "that is a number, text, a truth value or a tuple, and another name than name"
            )
    return ""

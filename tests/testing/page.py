"""What docs/own_attention.md shows: files, and commands."""

from __future__ import annotations

import importlib.abc
import importlib.util
import pathlib
import re
import sys
from types import ModuleType

TEXT = (pathlib.Path(__file__).parents[2] / "docs" / "own_attention.md").read_text("utf-8")
FILES = dict(
    re.findall(r"^`([\w/]+\.py)`:\n\n```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
)
COMMANDS = re.findall(r"(?m)^python launch.py (.*)$", TEXT)


class Source(importlib.abc.InspectLoader):
    """Imports a module from its source."""

    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source


def load(name: str, source: str) -> ModuleType:
    """The module of a name and a source."""
    loader = Source(source)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    sys.modules[name] = module  # where dataclasses look for it
    loader.exec_module(module)
    return module

"""The toy model, for every test of training."""

import importlib.util
import pathlib
import types

import pytest

PATH = pathlib.Path(__file__).with_name("toy.py")


@pytest.fixture(scope="session")
def toy() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("toy", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

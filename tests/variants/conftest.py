"""Tests of single attentions are slow, but for softmax: each compiles programs of its own."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/variants/" in item.path.as_posix() and item.path.name != "test_softmax.py":
            item.add_marker(pytest.mark.slow)

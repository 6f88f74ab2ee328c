"""All of this takes minutes."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/fuzz/" in item.nodeid:
            item.add_marker(pytest.mark.long)

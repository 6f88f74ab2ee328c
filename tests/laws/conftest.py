"""One case, the kernel in many tiles, is a quick test; the others are slow."""

import pytest

QUICK = ("softmax-small-tiles",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/laws/" in item.path.as_posix() and hasattr(item, "callspec"):
            values = item.callspec.params
            case = values.get("case") or getattr(values.get("setting"), "case", None)
            if case is not None and case.name.removesuffix("-in-multi-head") not in QUICK:
                item.add_marker(pytest.mark.slow)

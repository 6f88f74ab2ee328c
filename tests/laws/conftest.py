"""Which settings of the laws run when.

Every law holds for every case in every slot, under every mask and in every dtype that the case
takes: that sweep is `long`. `make test` runs each law with each case in one setting, and those of
`EVERY_SLOT` in one of each slot. It is chosen by a hash, so that over the laws of a case all of
its slots, masks and dtypes have their turn. One case, the kernel in many tiles, is a quick test;
the others are slow.
"""

import zlib
from collections import defaultdict

import pytest

from tests.laws.cases import CASES

QUICK = ("softmax-small-tiles",)
NAMES = sorted((case.name for case in CASES), key=len, reverse=True)
EVERY_SETTING = ("test_what_is_not_declared_is_refused",)  # these compile nothing
EVERY_SLOT = ("test_equal_to_the_paper",)


def case_of(item: pytest.Item) -> str | None:
    """The name of the case that an item is about, if it is about one."""
    values = item.callspec.params if hasattr(item, "callspec") else {}
    case = values.get("case") or getattr(values.get("setting"), "case", None)
    return getattr(case, "name", None)


def group_of(item: pytest.Item) -> str:
    """Settings of one case that stand for each other in a law have the same group."""
    if item.originalname in EVERY_SETTING:
        return item.callspec.id
    if item.originalname in EVERY_SLOT:
        return item.callspec.params["setting"].slot
    return ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = defaultdict(list)
    for item in items:
        if "tests/laws/" in item.path.as_posix() and (case := case_of(item)) is not None:
            if case.removesuffix("-in-multi-head") not in QUICK:
                item.add_marker(pytest.mark.slow)
            groups[item.module.__name__, item.originalname, case, group_of(item)].append(item)
    for (module, _, case, _), group in groups.items():
        # By module and case, so that the laws of a module may share a compiled program.
        chosen = min(
            group, key=lambda item: zlib.crc32(f"{module} {case} {item.callspec.id}".encode())
        )
        for item in group:
            if item is not chosen:
                item.add_marker(pytest.mark.long)

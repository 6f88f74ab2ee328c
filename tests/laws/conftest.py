"""Which cases of the laws run when.

Every law holds for every case in every place, under every mask and in every dtype that the case
takes: that sweep is `long`. Of each law and case one setting of each place runs in `make test`,
chosen by a hash, so that over the laws of a case all of its masks and dtypes have their turn. One
case, the kernel in many tiles, is a quick test; the others are slow.
"""

import zlib
from collections import defaultdict

import pytest

from tests.laws.cases import CASES

QUICK = ("softmax-small-tiles",)
NAMES = sorted((case.name for case in CASES), key=len, reverse=True)
# Laws that cost much, or that ask the same everywhere: one setting of a case in any place.
ONE_PLACE = ("test_cost", "test_padding", "test_matrix", "test_refusals")


def case_of(item: pytest.Item) -> str | None:
    """The name of the case that an item is about, if it is about one."""
    values = item.callspec.params if hasattr(item, "callspec") else {}
    case = values.get("case") or getattr(values.get("setting"), "case", None)
    return getattr(case, "name", None)


def place_of(item: pytest.Item) -> str:
    """The place in which a case is tried; "" if the law has one for each case."""
    if item.module.__name__.rpartition(".")[2] in ONE_PLACE:
        return ""
    return getattr(item.callspec.params.get("setting"), "place", "")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = defaultdict(list)
    for item in items:
        if "tests/laws/" in item.path.as_posix() and (case := case_of(item)) is not None:
            if case.removesuffix("-in-multi-head") not in QUICK:
                item.add_marker(pytest.mark.slow)
            groups[item.module.__name__, item.originalname, case, place_of(item)].append(item)
    for (module, _, case, _), group in groups.items():
        # By module and case, so that the laws of a module may share a compiled program.
        chosen = min(
            group, key=lambda item: zlib.crc32(f"{module} {case} {item.callspec.id}".encode())
        )
        for item in group:
            if item is not chosen:
                item.add_marker(pytest.mark.long)

"""Which tests share a process, so that what one compiled, trained or read serves the others."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadScopeScheduling

_LAW = re.compile(r"tests/laws/test_\w+\.py::(?P<law>[^\[]+)\[(?P<id>.+)\]")


class Cases:
    """Finds the case that a test of a law is about, by the test's id.

    Args:
      names: the cases' names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        longest_first = sorted(names, key=len, reverse=True)
        alternatives = "|".join(re.escape(name) for name in longest_first)
        self._name = re.compile(rf"(?:^|-)({alternatives})(-in-multi-head)?(?:-|$)")

    def find(self, nodeid: str) -> tuple[str, str, str] | None:
        """Return the law, the case and "-in-multi-head" (or ""), or None if there is no case."""
        test = _LAW.fullmatch(nodeid)
        found = test and self._name.search(test["id"])
        return (test["law"], found[1], found[2] or "") if found else None


class ByFileAndCase(LoadScopeScheduling):
    """Hands out files as wholes; of the laws, all that are about one case."""

    def __init__(self, config: pytest.Config, log: object, cases: Cases) -> None:
        super().__init__(config, log)
        self._cases = cases

    def _split_scope(self, nodeid: str) -> str:
        found = self._cases.find(nodeid)
        if found is None or "_devices" in found[0]:  # one process serves these, of all cases
            return nodeid.split("::", 1)[0]
        return f"laws of {found[1]}"

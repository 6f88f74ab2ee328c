"""Which tests share a process, so that what one compiled, trained or read serves the others."""

from __future__ import annotations

import re

import pytest
from xdist.scheduler import LoadScopeScheduling

_LAW = re.compile(r"tests/laws/test_\w+\.py::[^\[]+\[(?P<id>.+)\]")


class ByFileAndCase(LoadScopeScheduling):
    """Hands out files as wholes; of the laws, all that are about one case."""

    def __init__(self, config: pytest.Config, log: object, cases: list[str]) -> None:
        super().__init__(config, log)
        names = "|".join(re.escape(name) for name in sorted(cases, key=len, reverse=True))
        self._case = re.compile(rf"(?:^|-)({names})(?:-|$)")

    def _split_scope(self, nodeid: str) -> str:
        law = _LAW.fullmatch(nodeid)
        case = law and "eight_devices" not in nodeid and self._case.search(law["id"])
        return f"laws of {case[1]}" if case else nodeid.split("::", 1)[0]

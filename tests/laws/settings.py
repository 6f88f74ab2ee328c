"""Settings of the laws, as parameters of tests."""

from __future__ import annotations

from typing import Any

import pytest

from attention import testing
from attention.testing.masks import MAKERS, Setting
from tests.laws.case import Case


def settings_of(cases: list[Case], kinds: tuple[str, ...] = tuple(MAKERS)) -> list[Any]:
    """Every case in each of its slots under each kind of mask that it takes."""
    return [
        pytest.param(setting, id=str(setting))
        for case in cases
        for setting in testing.settings_of(case, kinds)
    ]


def slots_of(cases: list[Case]) -> list[Any]:
    """Every case in each of its slots, under the freest mask that it takes."""
    return [
        pytest.param(Setting(case, slot, case.masks[-1]), id=f"{case}-{slot}")
        for case in cases
        for slot in case.slots
    ]

"""Settings of the laws, as parameters of tests."""

from __future__ import annotations

from typing import Any

import pytest

from attention import testing
from attention.testing.masks import MAKERS, Setting
from tests.laws.case import Case


def settings_of(cases: list[Case], kinds: tuple[str, ...] = tuple(MAKERS)) -> list[Any]:
    """Every case in each of its places under each kind of mask that it takes."""
    return [
        pytest.param(setting, id=str(setting))
        for case in cases
        for setting in testing.settings_of(case, kinds)
    ]


def places_of(cases: list[Case]) -> list[Any]:
    """Every case in each of its places, under the freest mask that it takes."""
    return [
        pytest.param(Setting(case, place, case.masks[-1]), id=f"{case}-{place}")
        for case in cases
        for place in case.places
    ]

"""Law 4: nothing after i reaches i; where only the values are causal, no value does."""

import pytest

from attention.testing import laws
from tests.laws.cases import ALONE, CASES, declaring
from tests.laws.settings import settings_of


def in_decoders(cases):
    """Without masks that hide the last token, which must be seen to matter."""
    settings = settings_of(cases, ("all", "window"))
    return [setting for setting in settings if setting.values[0].slot == "decoder"]


@pytest.mark.parametrize("setting", in_decoders(declaring(CASES, causal="exact")))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_comes_later_changes_nothing(setting, dtype):
    laws.what_comes_later_changes_nothing(setting, dtype)


@pytest.mark.parametrize("setting", in_decoders(declaring(ALONE, causal="values only")))
def test_values_that_come_later_change_nothing(setting):
    laws.what_comes_later_changes_nothing(setting)


EITHER = [c for c in declaring(CASES, causal="exact") if "encoder" in c.slots]


@pytest.mark.parametrize("case", EITHER, ids=str)
def test_without_a_causal_mask_the_future_is_seen(case):
    laws.without_a_causal_mask_the_future_is_seen(case)

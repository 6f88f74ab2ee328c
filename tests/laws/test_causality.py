"""Law 4: nothing after i reaches i; where only the values are causal, no value does."""

import numpy as np
import pytest

from attention.testing.draw import draw
from attention.testing.masks import Setting
from tests.laws.cases import ALONE, CASES, declaring
from tests.laws.settings import settings_of


def assert_the_past_stays(drawn, later, names):
    """Replaces inputs after each i by others, large ones too; outputs up to i are the same."""
    plain, changed = np.asarray(drawn.out()), False
    for i in range(drawn.shape.q_len - 1):
        inputs = dict(drawn.inputs)
        for name in names:
            x = inputs[name]
            changed_x = np.array(x)
            changed_x[:, i + 1 :] = 30 * np.asarray(later.inputs[name])[:, i + 1 :]
            inputs[name] = changed_x
        ours = np.asarray(drawn.out(inputs=inputs))
        np.testing.assert_array_equal(ours[:, : i + 1], plain[:, : i + 1])
        changed |= np.any(ours != plain)
        assert i + 2 < drawn.shape.q_len or np.any(ours != plain) or drawn.case.last_resort
    assert changed


def in_decoders(cases):
    """Without masks that hide the last token, which must be seen to matter."""
    settings = settings_of(cases, ("all", "window"))
    return [setting for setting in settings if setting.values[0].place == "decoder"]


@pytest.mark.parametrize("setting", in_decoders(declaring(CASES, causal="exact")))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_comes_later_changes_nothing(setting, dtype):
    drawn, later = (draw(setting, seed, dtype=dtype) for seed in (0, 1))
    assert_the_past_stays(drawn, later, drawn.inputs)


@pytest.mark.parametrize("setting", in_decoders(declaring(ALONE, causal="values only")))
def test_values_that_come_later_change_nothing(setting):
    drawn, later = draw(setting, 0), draw(setting, 1)
    assert_the_past_stays(drawn, later, ["v"])


EITHER = [c for c in declaring(CASES, causal="exact") if "encoder" in c.places]


@pytest.mark.parametrize("case", EITHER, ids=str)
def test_without_a_causal_mask_the_future_is_seen(case):
    """Else the law above would hold for an attention that is causal whatever it is told."""
    drawn = draw(Setting(case, "encoder", "all"))
    with pytest.raises(AssertionError):
        assert_the_past_stays(drawn, draw(Setting(case, "encoder", "all"), 1), drawn.inputs)

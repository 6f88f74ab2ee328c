"""Law 5: padding changes nothing, whatever stands there. Law 6: who sees nothing gets zero."""

from dataclasses import replace

import pytest

from attention.testing import padding
from attention.variants import Softmax
from tests.laws.cases import ALONE, CASES, IN_MULTI_HEAD
from tests.laws.settings import settings_of

# Within a MultiHead, which zeroes padding wherever it stands, gaps are tried with softmax alone.
WITHIN = [
    case if case.attention == Softmax() else replace(case, masks=(case.padded,))
    for case in IN_MULTI_HEAD
    if case not in CASES
]
EVERYWHERE = [*CASES, *WITHIN]


def padded(kinds, *narrow):
    """Settings of masks with padding, in float32; without gaps and alone also in narrow dtypes."""
    return [
        pytest.param(setting, dtype, id=f"{param.id}-{dtype}")
        for param in settings_of(EVERYWHERE, kinds)
        for setting in param.values
        for dtype in ("float32", *narrow)
        if dtype == "float32" or (setting.mask != "gaps" and setting.case not in WITHIN)
    ]


@pytest.mark.parametrize(("setting", "dtype"), padded(("lengths", "gaps", "edges"), "bfloat16"))
def test_what_stands_in_padding_changes_nothing(setting, dtype):
    padding.what_stands_in_padding_changes_nothing(setting, dtype)


@pytest.mark.parametrize(("setting", "dtype"), padded(("lengths", "gaps", "edges"), "bfloat16"))
def test_more_padding_changes_nothing(setting, dtype):
    padding.more_padding_changes_nothing(setting, dtype)


@pytest.mark.parametrize(("setting", "dtype"), padded(("lengths", "edges"), "bfloat16", "float16"))
def test_a_sentence_of_no_tokens_is_zero_and_so_are_its_gradients(setting, dtype):
    padding.a_sequence_of_no_tokens_is_zero(setting, dtype)


@pytest.mark.parametrize("setting", settings_of(ALONE, ("any",)))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_row_that_sees_nothing_is_zero_and_so_is_its_gradient(setting, dtype):
    padding.a_row_that_sees_nothing_is_zero(setting, dtype)


@pytest.mark.parametrize("setting", settings_of(ALONE, ("any",)))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_where_nobody_sees_anything_all_is_zero(setting, dtype):
    padding.all_is_zero_where_nobody_sees_anything(setting, dtype)


def test_every_case_is_held_to_padding():
    assert all(case.padded in case.masks for case in CASES)
    assert {case.padded for case in CASES} == {"lengths", "edges"}

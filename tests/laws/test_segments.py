"""Sequences that are packed into one row get what each gets alone."""

import pytest

from attention.testing import laws
from tests.laws.cases import ALONE, declaring

PACKED = [case for case in declaring(ALONE, segments=True) if case.bias is None]


@pytest.mark.parametrize("slot", ["encoder", "decoder"])
@pytest.mark.parametrize("case", PACKED, ids=str)
def test_packed_sequences_get_what_each_gets_alone(case, slot):
    laws.packed_sequences_get_what_each_gets_alone(case, slot)


def test_who_declares_packing():
    names = {type(case.attention).__name__ for case in PACKED}
    assert {"Softmax", "Additive", "ReLU", "Local", "Dilated"} <= names
    assert not names & {"Strided", "Fixed", "Synthesizer", "BigBird"}  # by absolute positions

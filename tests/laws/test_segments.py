"""Sequences that are packed into one row get what each gets alone."""

import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Causal, Segments
from attention.testing.draw import draw
from attention.testing.law import assert_close
from attention.testing.masks import Setting
from tests.laws.cases import ALONE, declaring

PACKED = [case for case in declaring(ALONE, segments=True) if case.bias is None]
FIRST, SECOND = 4, 3  # tokens of the two sequences of a row


@pytest.mark.parametrize("slot", ["encoder", "decoder"])
@pytest.mark.parametrize("case", PACKED, ids=str)
def test_packed_sequences_get_what_each_gets_alone(case, slot):
    drawn = draw(Setting(case, slot, "all"), q_len=FIRST + SECOND)
    segments = Segments(jnp.array([[1] * FIRST + [2] * SECOND] * drawn.shape.batch))
    packed = drawn.out(mask=Causal() & segments if slot == "decoder" else segments)
    for part in (slice(0, FIRST), slice(FIRST, None)):
        inputs = {name: jnp.asarray(np.asarray(x)[:, part]) for name, x in drawn.inputs.items()}
        assert_close(packed[:, part], drawn.out(inputs=inputs), 1e-5)


def test_who_declares_packing():
    names = {type(case.attention).__name__ for case in PACKED}
    assert {"Softmax", "Additive", "ReLU", "Local", "Dilated"} <= names
    assert not names & {"Strided", "Fixed", "Synthesizer", "BigBird"}  # by absolute positions

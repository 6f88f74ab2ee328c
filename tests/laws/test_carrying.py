"""Law 7 across two sequences: step by step is all at once, at unequal lengths, after a reorder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead
from attention.masks import Lengths
from attention.testing import decoding, laws
from attention.testing.law import assert_close
from attention.testing.masks import Setting
from attention.variants import Additive, Linear, Softmax
from tests.laws.cases import ALONE, CASES, declaring
from tests.laws.settings import settings_of, slots_of

TOLERANCE = 1e-5
CARRYING = declaring(CASES, decoding="stateful")


@pytest.mark.parametrize("setting", settings_of(CARRYING, ("all", "lengths")))
@pytest.mark.parametrize("ends", [(1, 2, 3, 4, 5, 6, 7), (3, 4, 7)], ids=["tokens", "chunks"])
def test_step_by_step_is_all_at_once(setting, ends):
    decoding.cached_decoding_is_the_full_pass(setting, ends)


@pytest.mark.parametrize("setting", slots_of(CARRYING))
def test_what_was_asked_before_matters(setting):
    decoding.a_query_depends_on_those_before(setting)


@pytest.mark.parametrize("setting", slots_of(CARRYING))
def test_a_carry_has_the_batch_first(setting):
    decoding.a_cache_has_the_batch_first(setting.case)


LAYERS = [
    MultiHead(heads=3, attention=attend)
    for attend in (*(case.attention for case in CARRYING), Softmax(), Additive())
]


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: repr(layer.attention))
@pytest.mark.parametrize("points", [False, True])
def test_beams_ask_one_memory_and_may_be_reordered(layer, points):
    """Three beams of each of two sentences, of unequal lengths; one is dropped for another."""
    random = np.random.default_rng(0)
    x_RTM, memory_BKM = (
        jnp.asarray(random.normal(size=shape), "float32") for shape in ((6, 4, 12), (2, 5, 12))
    )
    lengths_B = jnp.array([5, 3])
    variables = layer.init(jax.random.key(0), x_RTM[:2], memory_BKM)

    def told(memory_BKM, lengths_B):
        mask = Lengths(None, lengths_B)
        memory = layer.apply(variables, memory_BKM, mask, method="project_memory")
        return memory, mask

    def ask(*arguments, carry=None):
        method = "cross_with_weights" if points else "cross_with_state"
        return layer.apply(variables, *arguments, alignment_state=carry, method=method)

    memory, mask = told(memory_BKM, lengths_B)
    carry = layer.apply(variables, memory, 12, method="start_cross")
    carry = jax.tree.map(lambda leaf: jnp.repeat(leaf, 3, axis=0), carry)
    order, steps = jnp.array([2, 0, 0, 4, 5, 4]), []
    for t in range(4):
        if t == 2:
            carry = jax.tree.map(lambda leaf: leaf[order], carry)
        asked = ask(x_RTM[:, t].reshape(2, 3, 12), memory, mask, carry=carry)
        steps, carry = [*steps, asked], asked[-1]
    past_RTM = jnp.concatenate([x_RTM[order, :2], x_RTM[:, 2:]], axis=1)
    full = ask(past_RTM, *told(jnp.repeat(memory_BKM, 3, 0), jnp.repeat(lengths_B, 3)))
    for t in (2, 3):
        for ours, theirs in zip(steps[t][:-1], full[:-1], strict=True):  # without the state
            assert_close(ours.reshape(6, -1), theirs[:, t], TOLERANCE)
    if points:
        weights_RTS = np.asarray(full.weights_BQK)
        assert weights_RTS.shape == (6, 4, 5)
        assert not weights_RTS[3:, :, 3:].any()
        assert weights_RTS[:3].any()


SHARING = declaring(ALONE, cross=True, normalised=True)


across = [p for p in settings_of(SHARING, ("lengths",)) if p.values[0].slot == "cross"]


@pytest.mark.parametrize("setting", across)
def test_weights_that_are_shares_are_none_below_zero_and_together_at_most_one(setting):
    laws.weights_are_shares(setting)


def test_who_declares_shares():
    names = {type(case.attention).__name__ for case in SHARING}
    assert {"Softmax", "Additive", "Linear", "Location", "Monotonic"} <= names
    assert not names & {"ReLU", "RFA", "Linformer", "Compressed"}
    assert Linear().capabilities.normalised


@pytest.mark.parametrize("case", CARRYING, ids=str)
def test_within_one_sequence_it_is_refused(case):
    layer, x_BTM = MultiHead(heads=3, attention=case.attention), jnp.ones((1, 4, 12))
    variables = layer.init(jax.random.key(0), x_BTM, x_BTM)
    with pytest.raises(NotImplementedError, match="cannot attend within one sequence.*; use Soft"):
        layer.apply(variables, x_BTM)
    with pytest.raises(NotImplementedError, match="cannot attend within one sequence"):
        layer.apply(variables, 1, 4, 12, method="start")


def test_they_stand_across_alone():
    assert {case.slots for case in CARRYING} == {("cross",)}
    assert len({Setting(case, "cross", "all").case.name for case in CARRYING}) == len(CARRYING)

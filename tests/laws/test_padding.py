"""Law 5: padding changes nothing, whatever stands there. Law 6: who sees nothing gets zero."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from attention.masks import Array, Edges, Lengths, Valid
from attention.testing.draw import KEYS, SPOILT, assert_close, draw, numbers
from attention.variants import Softmax
from tests.laws.cases import ALONE, CASES, IN_MULTI_HEAD
from tests.laws.settings import settings_of

# Within a MultiHead, which zeroes padding wherever it stands, gaps are tried with softmax alone.
WITHIN = [
    case if case.attend == Softmax() else replace(case, masks=(case.padded,))
    for case in IN_MULTI_HEAD
    if case not in CASES
]
EVERYWHERE = [*CASES, *WITHIN]
MORE = 3  # further positions of padding


def padded(kinds, *narrow):
    """Settings of masks with padding, in float32; without gaps and alone also in narrow dtypes."""
    return [
        pytest.param(setting, dtype, id=f"{param.id}-{dtype}")
        for param in settings_of(EVERYWHERE, kinds)
        for setting in param.values
        for dtype in ("float32", *narrow)
        if dtype == "float32" or (setting.mask != "gaps" and setting.case not in WITHIN)
    ]


def part(mask, kind):
    """The mask of this class in a composition."""
    if isinstance(mask, kind):
        return mask
    return part(mask.left, kind) if hasattr(mask, "left") and part(mask.left, kind) else (
        part(mask.right, kind) if hasattr(mask, "right") else None
    )  # fmt: skip


def real_of(drawn):
    """Which queries and which keys are real, [B, Q] and [B, K]."""
    mask, shape = drawn.mask, drawn.shape
    if found := part(mask, Lengths):
        return tuple(
            np.arange(length)[None] < np.asarray(lengths_B)[:, None]
            for length, lengths_B in (
                (shape.q_len, found.q_lengths_B),
                (shape.k_len, found.k_lengths_B),
            )
        )
    found = part(mask, Valid)
    return np.asarray(found.q_valid_BQ), np.asarray(found.k_valid_BK)


def beside(real_BT, x):
    """[B, T] with the axes of x."""
    return real_BT.reshape(*real_BT.shape, *(1,) * (x.ndim - 2))


def where_real(drawn, name, x, other):
    real_BT = real_of(drawn)[name in KEYS]
    return jax.device_put(np.where(beside(real_BT, x), x, np.asarray(other, x.dtype)))


def spoilt(drawn):
    inputs = {name: where_real(drawn, name, x, SPOILT[name]) for name, x in drawn.inputs.items()}
    return replace(drawn, inputs=inputs)


def longer(drawn):
    """The same with more padding, spoilt."""

    def pad(x, value):
        widths = [(0, 0), (0, MORE), *[(0, 0)] * (x.ndim - 2)]
        return jax.device_put(np.pad(np.asarray(x), widths, constant_values=value))

    def lengthen(x):
        if isinstance(x, Edges):
            return replace(x, nodes=x.nodes + MORE)
        return x if x.ndim == 1 else pad(x, False)

    # All leaves of Lengths are by row; all of Valid are by row and position.
    mask = jax.tree.map(lengthen, drawn.mask, is_leaf=lambda x: isinstance(x, Edges))
    shape = drawn.shape._replace(q_len=drawn.shape.q_len + MORE, k_len=drawn.shape.k_len + MORE)
    inputs = {name: pad(x, SPOILT[name]) for name, x in drawn.inputs.items()}
    return replace(drawn, inputs=inputs, mask=mask, shape=shape)


@pytest.mark.parametrize(("setting", "dtype"), padded(("lengths", "gaps", "edges"), "bfloat16"))
def test_what_stands_in_padding_changes_nothing(setting, dtype):
    drawn = draw(setting, k_len=setting.case.lengths[-1], dtype=dtype)
    real_BQ, real_BK = real_of(drawn)
    assert not real_BQ.all()
    assert not real_BK.all()
    clean, clean_grads = drawn.out_and_grads()
    ours, grads = spoilt(drawn).out_and_grads()
    np.testing.assert_array_equal(numbers(ours), numbers(clean))
    assert not numbers(ours)[~real_BQ].any()
    assert numbers(ours)[real_BQ].any()
    for one, other in zip(
        *(jax.tree.leaves(d.grads_of_params()) for d in (drawn, spoilt(drawn))), strict=True
    ):
        np.testing.assert_array_equal(one, other)
        assert np.isfinite(one).all()
    for name, grad in grads.items():
        grad, real_BT = numbers(grad), (real_BQ, real_BK)[name in KEYS]
        np.testing.assert_array_equal(grad, numbers(clean_grads[name]))
        assert np.isfinite(grad).all(), name
        assert not grad[~real_BT].any(), name
        assert grad[real_BT].any(), name


@pytest.mark.parametrize(("setting", "dtype"), padded(("lengths", "gaps", "edges"), "bfloat16"))
def test_more_padding_changes_nothing(setting, dtype):
    tolerance = {"float32": 1e-6, "bfloat16": 1e-2}[dtype]
    drawn = draw(setting, k_len=setting.case.lengths[-1], dtype=dtype)
    clean, _ = drawn.out_and_grads()  # compiled for the law above
    ours = numbers(longer(spoilt(drawn)).out())
    length = drawn.shape.q_len
    assert_close(ours[:, :length], numbers(clean), tolerance)
    assert not ours[:, length:].any()


@pytest.mark.parametrize(("setting", "dtype"), padded(("lengths", "edges"), "bfloat16", "float16"))
def test_a_sentence_of_no_tokens_is_zero_and_so_are_its_gradients(setting, dtype):
    drawn = draw(setting, dtype=dtype)
    lengths_B = jax.device_put(np.array([0, drawn.shape.q_len]))
    mask = jax.tree.map(lambda x: lengths_B if x.ndim == 1 else x, drawn.mask)
    inputs = {name: jax.device_put(8 * np.asarray(x)) for name, x in drawn.inputs.items()}
    out, grads = drawn.out_and_grads(mask=mask, inputs=inputs)
    for x in map(numbers, (out, *grads.values())):
        assert not x[0].any()
        assert np.isfinite(x).all()
        assert x[1].any()


@pytest.mark.parametrize("setting", settings_of(ALONE, ("any",)))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_row_that_sees_nothing_is_zero_and_so_is_its_gradient(setting, dtype):
    drawn = draw(setting, k_len=setting.case.lengths[-1], dtype=dtype)
    dead_BQ = ~drawn.seen_BHQK.any(axis=(1, 3))
    unseen_BK = ~drawn.seen_BHQK.any(axis=(1, 2))
    assert dead_BQ.any()
    # Large scores: a finite stand-in for minus infinity would be met.
    inputs = {n: 60 * np.asarray(x) if n == "q" else x for n, x in drawn.inputs.items()}
    out, grads = drawn.out_and_grads(inputs=inputs)
    dead_BHQ = ~drawn.seen_BHQK.any(axis=3)
    assert not numbers(out)[dead_BHQ.swapaxes(1, 2)].any()
    if "k" in grads:  # else a query that sees nothing may yet be seen as a key
        assert not numbers(grads["q"])[dead_BHQ.swapaxes(1, 2)].any()
    for name in {"k", "v"} & set(grads):
        assert not numbers(grads[name])[unseen_BK].any()
    for x in (out, *grads.values()):
        assert np.isfinite(numbers(x)).all()
        assert numbers(x).any()


@pytest.mark.parametrize("setting", settings_of(ALONE, ("any",)))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_where_nobody_sees_anything_all_is_zero(setting, dtype):
    drawn = draw(setting, dtype=dtype)
    nothing = Array(np.zeros(drawn.shape[:4], bool))
    out, grads = drawn.out_and_grads(mask=nothing)
    for x in (out, *grads.values()):
        assert np.array_equal(numbers(x), np.zeros(x.shape))


def test_every_case_is_held_to_padding():
    assert all(case.padded in case.masks for case in CASES)
    assert {case.padded for case in CASES} == {"lengths", "edges"}

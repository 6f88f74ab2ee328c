"""Shape checks: what fits passes, what does not is told in one line."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from attention.protocols import Attention, Capabilities
from attention.shapes import Sizes, accumulator, check_qkv, check_scores
from attention.variants import Softmax


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("int8", "float32")],
)
def test_sums_are_kept_in_float32_or_better(dtype, expected):
    assert accumulator(dtype) == expected


def test_sums_of_float64_stay_float64():
    assert accumulator(np.float64) == np.float64


def qkv(q=(2, 3, 4, 5), k=(2, 7, 4, 5), v=(2, 7, 4, 6), dtypes=("float32",) * 3):
    return [jnp.zeros(shape, dtype) for shape, dtype in zip((q, k, v), dtypes, strict=True)]


def test_what_fits_passes():
    check_qkv(*qkv())
    check_qkv(*qkv(dtypes=("bfloat16", "float16", "float32")))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (dict(q=(3, 4, 5)), r"q_BQHD has shape \(3, 4, 5\); it needs four axes"),
        (dict(v=(2, 7, 4, 6, 1)), "v_BKHE has shape .* four axes"),
        (dict(k=(1, 7, 4, 5)), "batch sizes differ: q has 2, k 1, v 2"),
        (dict(v=(3, 7, 4, 6)), "batch sizes differ: q has 2, k 2, v 3"),
        (dict(v=(2, 8, 4, 6)), "k has 7 positions and v 8"),
        (dict(q=(2, 3, 4, 6)), "q has 6 features a head and k 5"),
        (dict(q=(2, 3, 2, 5)), "heads differ: q has 2, k 4, v 4"),
        (dict(v=(2, 7, 1, 6)), "heads differ: q has 4, k 4, v 1"),
    ],
)
def test_what_does_not_fit_is_told(arrays, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_qkv(*qkv(**arrays))
    assert "\n" not in str(caught.value)


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="k_BKHD has dtype int32; .*cast it"):
        check_qkv(*qkv(dtypes=("float32", "int32", "float32")))


@pytest.mark.parametrize("shape", [(), (7,), (3, 1), (4, 3, 7), (1, 1, 3, 7), (2, 4, 1, 1)])
def test_what_broadcasts_to_the_scores_passes(shape):
    check_scores("bias", shape, (2, 4, 3, 7))


@pytest.mark.parametrize("shape", [(3,), (7, 3), (2, 3, 7), (4, 1, 3, 7), (1, 2, 4, 3, 7)])
def test_what_does_not_broadcast_to_the_scores_is_told(shape):
    with pytest.raises(ValueError, match=r"bias has shape .* to the scores, .* = \[2, 4, 3, 7\]"):
        check_scores("bias", shape, (2, 4, 3, 7))


def test_an_attend_is_a_value_with_declared_abilities():
    assert isinstance(Softmax(), Attention)
    assert isinstance(Softmax.capabilities, Capabilities)
    for value in (Softmax(), Softmax.capabilities, Sizes(2, 4, 4, 8)):
        again = dataclasses.replace(value)
        assert again == value
        assert hash(again) == hash(value)
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.anything = 1

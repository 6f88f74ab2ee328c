"""FNet at lengths that the laws do not reach: phases of thousands of turns, rows of any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.masks import Lengths, Valid
from attention.variants.mixers.fnet import FNet, _chirp

mix = jax.jit(lambda x_BTM, mask=None: FNet().mix({}, {}, x_BTM, mask)[0])


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def assert_near(ours, theirs):
    """To seven digits of the usual size of a number."""
    error = np.abs(np.asarray(ours) - theirs).max()
    assert error < 3e-6 * np.sqrt((np.asarray(theirs) ** 2).mean())


def test_rows_of_unlike_lengths_are_transformed_over_their_own():
    lengths = [1, 2, 37, 500, 511, 512, 600]
    real_BT = np.arange(600)[None] < np.array(lengths)[:, None]
    x_BTM = np.where(real_BT[..., None], normal(len(lengths), 600, 16), 0)
    ours = mix(x_BTM, Lengths(jnp.array(lengths)))
    for row, length in enumerate(lengths):
        assert_near(ours[row, :length], np.fft.fft2(x_BTM[row, :length].astype(np.float64)).real)
        assert not np.any(ours[row, length:])


def test_tokens_with_gaps_between_are_transformed_as_if_there_were_none():
    valid_BT = np.random.default_rng(1).random((2, 100)) < 0.5
    x_BTM = np.where(valid_BT[..., None], normal(2, 100, 4), 0)
    ours = np.asarray(mix(x_BTM, Valid(jnp.asarray(valid_BT))))
    for row, valid_T in enumerate(valid_BT):
        assert_near(ours[row, valid_T], np.asarray(mix(x_BTM[row : row + 1, valid_T]))[0])


def test_the_phase_is_exact_at_the_greatest_length():
    lengths = [2**16, 2**16 - 1, 40_000, 3]
    ours = np.asarray(_chirp(jnp.array(lengths), 2**16, jnp.complex64))
    square = np.arange(2**16, dtype=np.int64) ** 2
    for row, n in enumerate(lengths):
        np.testing.assert_allclose(
            ours[row], np.exp(1j * np.pi * (square % (2 * n)) / n), atol=3e-7
        )


def test_a_longer_sequence_is_refused():
    with pytest.raises(ValueError, match=r"FNet: x_BTM has 65537 positions; .* at most 65536"):
        jax.eval_shape(mix, jax.ShapeDtypeStruct((1, 2**16 + 1, 2), jnp.float32))

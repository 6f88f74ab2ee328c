"""BigBird beside the laws: the last block is each sequence's own, random ones are drawn once."""

import jax.numpy as jnp
import numpy as np
import pytest

from attention import masks
from attention.analysis.matrices import effective_matrix
from attention.variants import BigBird

RANDOM = np.random.default_rng(0)
X_BTHD = jnp.asarray(RANDOM.normal(size=(3, 24, 2, 4)), "float32")
BIRD = BigBird(block=3, random=1, length=60, seed=2)


def seen_by(attend, mask):
    """Which pairs have a weight, [B, T, T]."""
    return np.asarray(effective_matrix(attend, {}, {}, X_BTHD, X_BTHD, mask)[:, 0] > 0)


def test_the_last_block_is_that_of_the_true_length():
    see = seen_by(BIRD, masks.Lengths(jnp.array([24, 19, 2])))
    np.testing.assert_array_equal(np.flatnonzero(see[0].all(1)), [0, 1, 2, 21, 22, 23])
    np.testing.assert_array_equal(np.flatnonzero(see[1].sum(0) == 19), [0, 1, 2, 18])
    np.testing.assert_array_equal(np.flatnonzero(see[1].sum(1) == 19), [0, 1, 2, 18])
    assert see[2, :2, :2].all()
    assert see[2].sum() == 4


def test_a_sequence_sees_the_same_in_any_batch():
    long = seen_by(BIRD, masks.Lengths(jnp.array([24, 13, 13])))[1, :13, :13]
    short = np.asarray(
        effective_matrix(BIRD, {}, {}, X_BTHD[1:2, :13], X_BTHD[1:2, :13], None)[0, 0] > 0
    )
    np.testing.assert_array_equal(long, short)


def test_blocks_see_neighbours_ends_and_random_ones():
    see_NN = seen_by(BigBird(3, 2, 24), None)[0].reshape(8, 3, 8, 3).all((1, 3))
    assert see_NN[0].all()
    assert see_NN[:, 0].all()
    assert see_NN[-1].all()
    assert see_NN[:, -1].all()
    for i in range(2, 6):
        assert see_NN[i, i - 1 : i + 2].all()
        assert see_NN[i].sum() == 3 + 2 + 2
    others = seen_by(BigBird(3, 2, 24, seed=1), None)[0].reshape(8, 3, 8, 3).all((1, 3))
    assert np.any(others != see_NN)


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (lambda: BigBird(block=0), ValueError, r"size=0\): needs a whole number, 1 or more"),
        (lambda: BigBird(random=0), ValueError, r"count=0\): needs a whole number, 1 or more"),
        (lambda: BigBird(length=0), ValueError, r"blocks_in_all=0\): needs a whole number, 1 or"),
        (
            lambda: BigBird(length=20).attend({}, {}, X_BTHD, X_BTHD, X_BTHD, None),
            ValueError,
            r"BigBird\(length=20\): got 24 positions; set length=24 or more",
        ),
        (
            lambda: BIRD.attend({}, {}, X_BTHD, X_BTHD, X_BTHD, masks.Causal()),
            NotImplementedError,
            "^BigBird cannot attend causally; use Softmax",
        ),
    ],
)
def test_what_cannot_be_is_told(made, error, message):
    with pytest.raises(error, match=message) as caught:
        made()
    assert "\n" not in str(caught.value)

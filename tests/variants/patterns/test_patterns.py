"""What patterns refuse, and how much they keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import masks
from attention.shapes import Sizes
from attention.variants import (
    Axial,
    Dilated,
    Fixed,
    Global,
    Grid,
    Local,
    Patterned,
    PerHead,
    Strided,
)

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 2, 4)), "float32")


def attended(attend, x=X, mask=None):
    return attend.attend({}, {}, x, x, x, mask)[0]


def extended(attend, x=X):
    sizes = Sizes(x.shape[2], 4, 4, 8)
    cache = attend.init_cache({}, {}, sizes, len(x), 9, "float32")
    return attend.extend({}, {}, cache, x[:, :1], x[:, :1], x[:, :1], None)


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (lambda: Local(left=-1), ValueError, r"left=-1\): needs a whole number, 0 or more"),
        (lambda: Dilated(step=0), ValueError, r"step=0\): needs a whole number, 1 or more"),
        (lambda: Strided(stride=0), ValueError, r"stride=0\): needs a whole number, 1 or more"),
        (lambda: Fixed(block=4, summary=5), ValueError, r"summary=5\): needs at most size, 4"),
        (lambda: Axial(width=0), ValueError, r"size=0\): needs a whole number, 1 or more"),
        (lambda: Grid(rows=-1), ValueError, r"rows=-1\): needs a whole number, 0 or more"),
        (lambda: Global(first=0), ValueError, "no token is global; give first, 1 or more, or pos"),
        (
            lambda: attended(Global(positions=(9,))),
            ValueError,
            "position 9 lies beyond the 9 queries; name positions below 9, or pad the sequences",
        ),
        (
            lambda: attended(Strided(3, split=True), X[:, :, :1]),
            ValueError,
            r"Strided\(split=True\): needs two heads or more, got 1; use split=False",
        ),
        (
            lambda: extended(Fixed(3, split=True), X[:, :, :1]),
            ValueError,
            r"Fixed\(split=True\): needs two heads or more, got 1",
        ),
        (
            lambda: PerHead(left=(1, 2), right=(1, 2, 3)),
            ValueError,
            r"PerHead\(left=\(1, 2\)\): needs one number, or 3, one for each head",
        ),
        (lambda: attended(PerHead(left=(2, 2, 2))), ValueError, "3 heads, and attention has 2"),
        (lambda: extended(PerHead(left=(2, 1, 2))), ValueError, "3 heads, and attention has 2"),
        (lambda: Patterned(masks.Lengths([3])), ValueError, "its mask holds arrays; give those"),
        (
            lambda: Patterned(masks.PerHead((masks.Valid([[True]]), masks.Causal()))),
            ValueError,
            "its mask holds arrays",
        ),
        (lambda: Global(positions=5), ValueError, r"positions=5\): needs positions of 0 or more"),
        (lambda: Global(positions=(1.5,)), ValueError, r"positions=\(1.5,\)\): needs positions"),
        (
            lambda: Patterned(jnp.ones((2, 2), bool)),
            TypeError,
            "needs a mask from attention.masks, got",
        ),
        (
            lambda: Local().attend({}, {}, X, X[:, :5], X[:, :5], None),
            NotImplementedError,
            "^Local cannot attend across two sequences; use Softmax",
        ),
    ],
)
def test_what_cannot_be_is_told(made, error, message):
    with pytest.raises(error, match=message) as caught:
        made()
    assert "\n" not in str(caught.value)


def test_a_mask_by_head_may_be_composed_and_a_mask_may_be_ones_own():
    class Odd(masks.Mask):
        pass

    @jax.tree_util.register_static
    class Even(masks.Mask):
        def at(self, q_pos, k_pos):
            return jnp.asarray((k_pos - q_pos) % 2 == 0)

    by_head = masks.PerHead((masks.Window(1, 1), masks.Window(2, 2)))
    ours = attended(Patterned(by_head & masks.Causal()))
    np.testing.assert_allclose(ours, attended(PerHead((1, 2), 0)), atol=1e-6)
    columns = Patterned(masks.Strided(2, local=False))
    np.testing.assert_allclose(attended(Patterned(Even())), attended(columns), atol=1e-6)
    with pytest.raises(TypeError, match="Odd is no pytree; register the class by jax.tree_util"):
        Patterned(Odd())
    assert hash(Global(positions=[3])) == hash(Global(positions=(3,)))


def test_one_number_is_for_all_heads():
    assert PerHead(left=3, right=0, step=2) == PerHead((3,), (0,), (2,))
    ours = attended(PerHead(left=(3, 3), right=0))
    np.testing.assert_allclose(ours, attended(Local(3, 0)), atol=1e-6)


@pytest.mark.parametrize(
    ("attend", "kept"),
    [
        (Local(4, 2), 4),
        (Local(0, 0), 1),
        (Dilated(2, 1, 3), 6),
        (Grid(4, 1, 1), 5),
        (Grid(3, 1, 7), 5),  # further columns than there are: the row's
        (PerHead((1, 2), 0, (1, 2)), 4),
        (Local(64, 0), 30),
        (Strided(4), 30),
        (Axial(4), 30),
    ],
)
def test_a_cache_keeps_what_can_be_seen_again(attend, kept):
    cache = attend.init_cache({}, {}, Sizes(2, 4, 4, 8), 1, 30, "float32")
    assert cache["k_BHKD"].shape == (1, 2, kept, 4)


def test_fixed_keeps_its_block_and_the_summaries():
    cache = Fixed(block=5, summary=2).init_cache({}, {}, Sizes(2, 4, 4, 8), 1, 30, "float32")
    assert cache["ring"]["k_BHKD"].shape[2] == 5
    assert cache["summaries"]["k_BHKD"].shape[2] == 12

"""Lists of pairs: their order, which the CPU does not need and accelerators are promised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.variants.graph import edges

LISTS = np.array(
    [
        [(2, 0), (0, 3), (2, 2), (0, 1), (2, 0), (-1, 1), (1, 4), (0, 3)],
        [(3, 3), (3, 2), (3, 1), (3, 0), (-1, -1), (7, 0), (0, 9), (3, 3)],
    ]
)


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("rows", [[0], [0, 1]], ids=["one list", "a list a row"])
def test_pairs_are_in_order_and_count_once(rows, loops):
    listed = jax.jit(edges.listed, static_argnums=1, static_argnames="loops")
    pairs = listed(jnp.asarray(LISTS[rows]), 4, loops=loops)
    for row, q_P, k_P, once_P in zip(rows, *pairs, strict=True):
        inside = {(i, j) for i, j in LISTS[row].tolist() if 0 <= i < 4 and 0 <= j < 4}
        expected = sorted(inside | ({(i, i) for i in range(4)} if loops else set()))
        found = list(zip(q_P.tolist(), k_P.tolist(), strict=True))
        assert found == sorted(found)
        assert [pair for pair, once in zip(found, once_P, strict=True) if once] == expected
        outside = {pair for pair in found if pair not in expected}
        assert outside == {(4, 4)}


def test_a_gather_is_zero_where_there_is_no_node():
    x_BTX = jnp.arange(1.0, 13.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(
        edges.gathered(x_BTX, jnp.array([[2, 3, 0]])),
        [[[5, 6], [0, 0], [1, 2]], [[11, 12], [0, 0], [7, 8]]],
    )


def test_a_query_without_a_pair_gets_zeros():
    see_BPH = jnp.array([True, True, False]).reshape(1, 3, 1)
    s_BPH, v_BPHE = jnp.zeros((1, 3, 1)), jnp.array([1.0, 3.0, 5.0]).reshape(1, 3, 1, 1)
    out = edges.attention(s_BPH, v_BPHE, jnp.array([[1, 1, 2]]), see_BPH, 4)
    np.testing.assert_array_equal(out[0, :, 0, 0], [0, 2, 0, 0])

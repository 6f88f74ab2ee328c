"""Every mask against a plain-Python predicate; composition, padding, pytrees, errors."""

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.masks import (
    EMPTY,
    FULL,
    Array,
    Causal,
    Completed,
    Dilated,
    Edges,
    Everything,
    Fixed,
    Global,
    GlobalKeys,
    GlobalQueries,
    Grid,
    LastBlock,
    Lengths,
    Mask,
    NearBlocks,
    PerHead,
    RandomBlocks,
    Segments,
    Strided,
    Tiling,
    Valid,
    Window,
    as_mask,
    dense_positions,
)

pytestmark = pytest.mark.usefixtures("empty_caches")

B, H, Q, K = 2, 3, 4, 5
random = np.random.default_rng(0)
Q_LENGTHS, K_LENGTHS = np.array([3, 0]), np.array([2, 5])
Q_VALID, K_VALID = random.random((B, Q)) < 0.6, random.random((B, K)) < 0.6
Q_SEGMENTS, K_SEGMENTS = random.integers(0, 3, (B, Q)), random.integers(0, 3, (B, K))
SEE_QK, SEE_BQK, SEE_BHQK = (random.random(s) < 0.5 for s in ((Q, K), (B, Q, K), (B, H, Q, K)))


class Case(NamedTuple):
    """A mask and what it should say: sees(b, h, i, j)."""

    mask: Mask
    sees: object

    def dense(self, q_len=Q, k_len=K):
        cells = np.ndindex(B, H, q_len, k_len)
        return np.array([bool(self.sees(*c)) for c in cells]).reshape(B, H, q_len, k_len)


CASES = {
    "everything": Case(Everything(), lambda b, h, i, j: True),
    "none": Case(as_mask(None), lambda b, h, i, j: True),
    "causal": Case(Causal(), lambda b, h, i, j: j <= i),
    "window": Case(Window(1, 2), lambda b, h, i, j: i - 1 <= j <= i + 2),
    "narrow window": Case(Window(left=0, right=0), lambda b, h, i, j: i == j),
    "window behind": Case(Window(np.int64(2), 0), lambda b, h, i, j: 0 <= i - j <= 2),
    "lengths": Case(
        Lengths(jnp.asarray(Q_LENGTHS), jnp.asarray(K_LENGTHS)),
        lambda b, h, i, j: i < Q_LENGTHS[b] and j < K_LENGTHS[b],
    ),
    "lengths of both": Case(Lengths([3, 1]), lambda b, h, i, j: i < (3, 1)[b] and j < (3, 1)[b]),
    "lengths of keys": Case(Lengths(None, K_LENGTHS), lambda b, h, i, j: j < K_LENGTHS[b]),
    "valid": Case(Valid(Q_VALID, K_VALID), lambda b, h, i, j: Q_VALID[b, i] and K_VALID[b, j]),
    "valid keys": Case(Valid(None, K_VALID.tolist()), lambda b, h, i, j: K_VALID[b, j]),
    "valid keys of all rows": Case(
        Valid(None, jnp.asarray(K_VALID[:1])), lambda b, h, i, j: K_VALID[0, j]
    ),
    "segments": Case(
        Segments(Q_SEGMENTS, jnp.asarray(K_SEGMENTS)),
        lambda b, h, i, j: Q_SEGMENTS[b, i] == K_SEGMENTS[b, j] != 0,
    ),
    "array of two axes": Case(Array(SEE_QK), lambda b, h, i, j: SEE_QK[i, j]),
    "array of three axes": Case(Array(jnp.asarray(SEE_BQK)), lambda b, h, i, j: SEE_BQK[b, i, j]),
    "array of four axes": Case(Array(SEE_BHQK), lambda b, h, i, j: SEE_BHQK[b, h, i, j]),
    "last block": Case(
        LastBlock(2, jnp.array([4, 1])), lambda b, h, i, j: 2 - 2 * b in (i // 2 * 2, j // 2 * 2)
    ),
    "array for all heads": Case(Array(SEE_BHQK[:, :1]), lambda b, h, i, j: SEE_BHQK[b, 0, i, j]),
}
STATIC = {
    "dilated": Case(Dilated(1, 2, 3), lambda b, h, i, j: j - i in (-3, 0, 3, 6)),
    "dilated by one": Case(Dilated(2, 0, 1), lambda b, h, i, j: 0 <= i - j <= 2),
    "strided": Case(Strided(3), lambda b, h, i, j: abs(i - j) < 3 or (i - j) % 3 == 0),
    "strided columns": Case(Strided(3, local=False), lambda b, h, i, j: (i - j) % 3 == 0),
    "strided locally": Case(Strided(2, columns=False), lambda b, h, i, j: abs(i - j) < 2),
    "fixed": Case(Fixed(3, 2), lambda b, h, i, j: i // 3 == j // 3 or j % 3 >= 1),
    "fixed columns": Case(Fixed(4, 1, local=False), lambda b, h, i, j: j % 4 == 3),
    "fixed locally": Case(Fixed(2, columns=False), lambda b, h, i, j: i // 2 == j // 2),
    "completed": Case(Completed(3, 2), lambda b, h, i, j: 2 * j + 2 <= i),
    "completed at once": Case(Completed(1, 1), lambda b, h, i, j: j <= i),
    "first are global": Case(Global(2), lambda b, h, i, j: i < 2 or j < 2),
    "named are global": Case(Global(positions=(3, 1)), lambda b, h, i, j: {i, j} & {1, 3}),
    "global keys": Case(GlobalKeys(2), lambda b, h, i, j: j < 2),
    "global queries": Case(GlobalQueries(1), lambda b, h, i, j: i < 1),
    "blocks nearby": Case(NearBlocks(2, 1), lambda b, h, i, j: abs(i // 2 - j // 2) <= 1),
    "grid": Case(
        Grid(3, 1, 1), lambda b, h, i, j: abs(i // 3 - j // 3) < 2 and abs(i % 3 - j % 3) < 2
    ),
    "row of a grid": Case(Grid(2, 0, 5), lambda b, h, i, j: i // 2 == j // 2),
    "random blocks": Case(
        RandomBlocks(2, 1, 3, seed=1), lambda b, h, i, j: max(i, j) < 6 and DRAWN[i // 2, j // 2]
    ),
}  # fmt: skip
DRAWN = RandomBlocks(2, 1, 3, seed=1).table()
CASES |= STATIC
CASES["per head"] = Case(
    PerHead((Window(1, 0), Global(1), ~Causal())),
    lambda b, h, i, j: (0 <= i - j <= 1, i < 1 or j < 1, j > i)[h],
)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def composed(cases):
    """Compositions of any depth, with the predicates composed alongside."""
    return st.recursive(
        st.sampled_from(list(cases)),
        lambda cases: st.one_of(
            st.builds(
                lambda a, b: Case(a.mask & b.mask, lambda *c: a.sees(*c) and b.sees(*c)),
                cases,
                cases,
            ),
            st.builds(
                lambda a, b: Case(a.mask | b.mask, lambda *c: a.sees(*c) or b.sees(*c)),
                cases,
                cases,
            ),
            st.builds(lambda a: Case(~a.mask, lambda *c: not a.sees(*c)), cases),
        ),
        max_leaves=4,
    )


compositions = composed(CASES.values())
static = composed([*STATIC.values(), CASES["causal"], CASES["window"], CASES["per head"]])


def whole(see):
    return np.broadcast_to(see, (B, H, *see.shape[2:]))


@each_case
def test_dense_is_the_predicate(case):
    see = case.mask.dense(Q, K)
    assert see.dtype == bool
    assert see.shape[0] in (1, B)
    assert see.shape[1] in (1, H)
    np.testing.assert_array_equal(whole(see), case.dense())


@pytest.mark.slow
def test_masks_without_arrays_have_any_length():
    for name in ("everything", "causal", "window", "lengths", *STATIC):
        if name == "named are global":
            continue  # it names positions that have to be there
        for q_len, k_len in ((1, 1), (7, 3), (1, 6)):
            see = CASES[name].mask.dense(q_len, k_len)
            np.testing.assert_array_equal(whole(see), CASES[name].dense(q_len, k_len))


@settings(max_examples=60, deadline=None)
@given(compositions)
def test_compositions_are_the_predicates(case):
    np.testing.assert_array_equal(whole(case.mask.dense(Q, K)), case.dense())


@settings(max_examples=60, deadline=None)
@given(compositions)
def test_padding_is_never_seen(case):
    see = case.dense()
    for q_len, k_len in ((Q, K), (Q, None), (None, K)):
        q_BQ, k_BK = case.mask.padding(q_len, k_len)
        if q_len and q_BQ is not None:
            assert not (see.any(axis=(1, 3)) & ~np.broadcast_to(q_BQ, (B, Q))).any()
        if k_len and k_BK is not None:
            assert not (see.any(axis=(1, 2)) & ~np.broadcast_to(k_BK, (B, K))).any()


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(static, st.tuples(*[st.integers(4, 11)] * 2), st.tuples(*[st.integers(1, 5)] * 2))
def test_tiles_called_empty_or_full_are(case, lengths, sides):
    kinds = case.mask.blocks(Tiling(*lengths, *sides))
    see = np.broadcast_to(case.mask.dense(*lengths), (1, H, *lengths))
    assert kinds.shape == Tiling(*lengths, *sides).shape
    for (i, j), kind in np.ndenumerate(kinds):
        tile = see[..., i * sides[0] : (i + 1) * sides[0], j * sides[1] : (j + 1) * sides[1]]
        assert kind != EMPTY or not tile.any()
        assert kind != FULL or tile.all()


@pytest.mark.parametrize("name", STATIC)
def test_tiles_of_one_pair_are_never_in_doubt(name):
    case = STATIC[name]
    kinds = case.mask.blocks(Tiling(9, 7, 1, 1))
    np.testing.assert_array_equal(kinds, np.where(case.mask.dense(9, 7)[0, 0], FULL, EMPTY))


@pytest.mark.parametrize("name", STATIC)
def test_most_hidden_tiles_are_known(name):
    case = STATIC[name]
    tiling, see = Tiling(12, 12, 2, 3), np.asarray(case.mask.dense(12, 12)[0, 0])
    hidden = ~see.reshape(6, 2, 4, 3).any(axis=(1, 3))
    found = case.mask.blocks(tiling) == EMPTY
    assert not (found & ~hidden).any()
    assert found.sum() >= 0.7 * hidden.sum()


def test_random_blocks_are_a_few_for_each_row_and_as_asked():
    table = RandomBlocks(64, 3, 20, seed=4, apart=2, ends=False).table()
    assert (table.sum(axis=1) == 3).all()
    i, j = np.nonzero(table)
    assert (abs(i - j) >= 2).all()
    assert ((j > 0) & (j < 19)).all()
    assert (table != RandomBlocks(64, 3, 20, seed=5, apart=2, ends=False).table()).any()
    assert RandomBlocks(64, 3, 2).table().all()  # fewer than are asked for: all


@pytest.mark.slow
def test_edges_are_those_of_the_list():
    edges = [[(0, 1), (2, 2)], [(3, 0), (-1, -1)]]
    see = Edges(np.array(edges), 4).dense(4, 4)
    expected = np.zeros((2, 1, 4, 4), bool)
    expected[0, 0, [0, 2], [1, 2]] = expected[1, 0, 3, 0] = True
    np.testing.assert_array_equal(see, expected)
    both = Edges(edges[0], 4) | Window(0, 0)
    np.testing.assert_array_equal(both.dense(4, 4)[0, 0], expected[0, 0] | np.eye(4, dtype=bool))
    assert not Edges([], 2).dense(2, 2).any()


def test_padding_is_known_through_compositions():
    both = CASES["lengths"].mask & Causal() & SEE_QK
    q_BQ, k_BK = both.padding(Q, K)
    rows, columns = SEE_QK.any(axis=1), SEE_QK.any(axis=0)
    np.testing.assert_array_equal(q_BQ, (np.arange(Q) < Q_LENGTHS[:, None]) & rows)
    np.testing.assert_array_equal(k_BK, (np.arange(K) < K_LENGTHS[:, None]) & columns)
    q_BQ, k_BK = (Valid(None, K_VALID) | Lengths(None, K_LENGTHS)).padding(Q, K)
    assert q_BQ is None
    np.testing.assert_array_equal(k_BK, K_VALID | (np.arange(K) < K_LENGTHS[:, None]))
    assert (Causal() | both).padding(Q, K) == (None, None)
    assert (~both).padding(Q, K) == (None, None)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(compositions, st.integers(0, Q - 1), st.integers(0, Q - 1))
def test_rows_that_stand_at_different_positions(case, first, second):
    # As in cached decoding, where each row asks from a position of its own.
    q_pos = jnp.array([first, second]).reshape(B, 1, 1, 1)
    k_pos = jnp.arange(K)[None, None, None]
    expected = case.dense()[np.arange(B), :, [first, second]][:, :, None]
    see = np.broadcast_to(case.mask.at(q_pos, k_pos), expected.shape)
    np.testing.assert_array_equal(see, expected)


@each_case
def test_a_block_of_positions_is_a_block_of_the_mask(case):
    q_pos, k_pos = dense_positions(Q, K)
    see = case.mask.at(q_pos[:, :, 2:4], k_pos[..., 1:4])
    see = np.broadcast_to(see, (B, H, 2, 3))
    np.testing.assert_array_equal(see, case.dense()[:, :, 2:4, 1:4])


@each_case
def test_positions_beyond_arrays_are_hidden(case):
    if jax.tree.leaves(case.mask) and not isinstance(case.mask, PerHead | LastBlock):
        far = jnp.full((B, 1, 1, 1), 100)
        assert not case.mask.at(jnp.zeros_like(far), far).any()


@pytest.mark.parametrize("array", [SEE_QK, jnp.asarray(SEE_QK)], ids=["numpy", "jax"])
def test_arrays_compose_with_masks_on_either_side(array):
    causal, see = CASES["causal"].dense()[0, 0], np.asarray(SEE_QK)
    for mask, expected in (
        (Causal() & array, causal & see),
        (array & Causal(), causal & see),
        (Causal() | array, causal | see),
        (array | Causal(), causal | see),
    ):
        assert isinstance(mask, Mask)
        np.testing.assert_array_equal(mask.dense(Q, K)[0, 0], expected)


@each_case
def test_pytree_round_trip(case):
    leaves, tree = jax.tree.flatten(case.mask & Causal())
    again = jax.tree.unflatten(tree, leaves)
    assert jax.tree.structure(again) == tree
    np.testing.assert_array_equal(again.dense(Q, K), (case.mask & Causal()).dense(Q, K))
    assert jax.tree.unflatten(tree, [None] * len(leaves)) is not None  # no check is run


def test_leaves_are_the_arrays_by_name():
    mask = (Lengths([1], [2]) & Window(1, 0)) | ~Array(np.ones((1, 1), bool))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(mask)]
    assert paths == [".left.left.q_lengths_B", ".left.left.k_lengths_B", ".right.mask.see"]


def test_masks_pass_through_jit_vmap_scan_and_remat():
    masks = [case.mask & Causal() for case in CASES.values()]
    expected = [np.asarray(mask.dense(Q, K)) for mask in masks]

    @jax.jit
    def dense(masks):
        return [mask.dense(Q, K) for mask in masks]

    @jax.jit
    def scanned(masks):
        carried, _ = jax.lax.scan(lambda masks, _: (masks, None), masks, length=2)
        return jax.checkpoint(dense)(carried)

    for transformed in (dense, scanned):
        for ours, theirs in zip(transformed(masks), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_vmap_over_the_arrays_of_a_mask():
    pair = [Lengths(jnp.array(lengths)) & Window(1, 0) for lengths in ([1, 2], [3, 4])]
    masks = jax.tree.map(lambda *arrays: jnp.stack(arrays), *pair)
    see = jax.vmap(lambda mask: mask.dense(Q, Q))(masks)
    mapped = jax.lax.map(lambda mask: mask.dense(Q, Q), masks)
    for n, mask in enumerate(pair):
        expected = mask.dense(Q, Q)
        np.testing.assert_array_equal(see[n], expected)
        np.testing.assert_array_equal(mapped[n], expected)


def test_static_masks_are_values():
    def build():
        return (Causal() & Window(2, 0)) | ~Everything()

    assert build() == build()
    assert hash(build()) == hash(build())
    assert Window(1, 0) != Window(0, 1)
    assert Causal() & Window(1, 0) != Causal() & Window(2, 0)
    assert Causal() & Window(1, 0) != Causal() | Window(1, 0)
    static = jax.jit(lambda mask: mask.dense(2, 2), static_argnums=0)
    static(build())
    static(build())
    assert static._cache_size() == 1


def test_masks_with_arrays_are_hashable():
    mask = Lengths([1]) & Array(np.ones((1, 1), bool))
    assert hash(mask) == hash(mask)
    assert mask == mask
    assert mask != Lengths([1]) & Array(np.ones((1, 1), bool))


def test_a_jitted_function_is_compiled_once_for_masks_of_one_shape():
    dense = jax.jit(lambda mask: mask.dense(2, 2))
    for length in (0, 1, 2):
        assert dense(Lengths(jnp.array([length])) & Window(1, 0)).sum() == (0, 1, 3)[length]
    assert dense._cache_size() == 1


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Window(-1, 0), ValueError, r"Window\(left=-1\): .*0 or more"),
        (lambda: Window(0, -2), ValueError, r"Window\(right=-2\): .*0 or more"),
        (lambda: Window(1.5, 0), ValueError, r"Window\(left=1.5\): .*whole number"),
        (lambda: Dilated(1, 0, 0), ValueError, r"Dilated\(step=0\): needs a whole number, 1 or"),
        (lambda: Dilated(-1, 0, 1), ValueError, r"Dilated\(left=-1\): .*0 or more"),
        (lambda: Strided(0), ValueError, r"Strided\(stride=0\): .*1 or more"),
        (lambda: Strided(2, local=False, columns=False), ValueError, "local or columns"),
        (lambda: Completed(0, 1), ValueError, r"Completed\(size=0\): .*1 or more"),
        (lambda: Fixed(2, 3), ValueError, r"Fixed\(summary=3\): needs at most size, 2"),
        (lambda: Fixed(2, True), ValueError, r"Fixed\(summary=True\): needs a whole"),
        (lambda: Global(-1), ValueError, r"Global\(first=-1\)"),
        (lambda: Global(positions=(0, -2)), ValueError, r"positions=\(0, -2\).* 0 or more"),
        (lambda: GlobalKeys(-1), ValueError, r"GlobalKeys\(first=-1\)"),
        (lambda: GlobalQueries(0, (-1,)), ValueError, r"GlobalQueries\(positions=\(-1,\)\)"),
        (lambda: NearBlocks(0), ValueError, r"NearBlocks\(size=0\)"),
        (lambda: NearBlocks(1, -1), ValueError, r"NearBlocks\(near=-1\)"),
        (lambda: LastBlock(0, [1]), ValueError, r"LastBlock\(size=0\)"),
        (lambda: LastBlock(1, [[1]]), ValueError, r"lengths_B.* \(1, 1\); it needs 1 axes"),
        (lambda: RandomBlocks(0, 1, 1), ValueError, r"RandomBlocks\(size=0\)"),
        (lambda: Grid(0, 1, 1), ValueError, r"Grid\(width=0\)"),
        (lambda: Edges(np.array([(0, 4)]), 4), ValueError, "node 4 is missing, there are 4"),
        (lambda: Edges(np.ones((2, 3), int), 4), ValueError, r"\(2, 3\); it needs \[E, 2\] or"),
        (lambda: Edges(np.ones((2, 2)), 4), TypeError, "float64; it needs an integer"),
        (lambda: PerHead(()), ValueError, "a mask for each head, got none"),
        (lambda: PerHead((PerHead((Causal(),)),)), ValueError, "cannot differ by head"),
        (lambda: Lengths(jnp.ones(2)), TypeError, "q_lengths_B.* float32; .*integer"),
        (lambda: Lengths(None), TypeError, "lengths_B.* object; .*integer"),
        (lambda: Lengths(None, [True]), TypeError, "k_lengths_B.* bool; .*integer"),
        (lambda: Lengths([[1]]), ValueError, r"q_lengths_B.* \(1, 1\); it needs 1 axes"),
        (lambda: Lengths([0.5], [1]), TypeError, "q_lengths_B.* float64; .*integer"),
        (lambda: Valid(np.ones((1, 2))), TypeError, "q_valid_BQ.* float64; it needs bool"),
        (lambda: Valid(None, np.ones(2, bool)), ValueError, r"k_valid_BK.* \(2,\); .*2 axes"),
        (lambda: Segments(np.ones((1, 2), bool)), TypeError, "q_segments_BQ.* bool; .*integer"),
        (lambda: Segments(None, [[1]]), TypeError, "q_segments_BQ.* object; .*integer"),
        (lambda: Segments([1, 2]), ValueError, r"q_segments_BQ.* \(2,\); .*2 axes"),
        (lambda: Segments(np.ones((1, 2), int), [[0.5]]), TypeError, "k_segments_BK"),
        (lambda: Array(np.ones((2, 2))), TypeError, "see.* float64; it needs bool, where True"),
        (lambda: Array(np.ones(2, bool)), ValueError, r"see.* \(2,\); it needs 2 or 3 or 4 axes"),
        (lambda: Causal() & np.ones((2, 2), int), TypeError, "see.* int64; it needs bool"),
        (lambda: as_mask("causal"), TypeError, "it needs bool"),
    ],
)
def test_what_makes_no_mask_is_told(build, error, message):
    with pytest.raises(error, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (Array(SEE_QK), r"Array\(see\) has shape \(4, 5\), made for 4 queries; attention has 6"),
        (Array(SEE_QK.T), r"made for 5 queries; attention has 6"),
        (Array(np.ones((B, 6, 9), bool)), "made for 9 keys; attention has 7"),
        (Valid(Q_VALID, np.ones((B, 7), bool)), "q_valid_BQ.* made for 4 queries"),
        (Causal() & ~Valid(None, K_VALID), "k_valid_BK.* made for 5 keys; attention has 7"),
        (Segments(Q_SEGMENTS, K_SEGMENTS) | Causal(), "q_segments_BQ.* made for 4 queries"),
        (Causal() & Global(positions=(6,)), "position 6 lies beyond the 6 queries; name"),
        (GlobalKeys(9, (7,)), "position 7 lies beyond the 7 keys; name positions below 7, or pad"),
        (Edges([(0, 1)], 5), "5 nodes; attention has 6 queries"),
        (PerHead((Array(SEE_QK), Causal())), "made for 4 queries"),
        (Lengths([1, 2]) & Lengths([1, 2, 3]), "masks of shapes .* do not broadcast"),
    ],
)
def test_masks_of_other_sizes_are_told(mask, message):
    with pytest.raises(ValueError, match=message):
        mask.dense(6, 7)


def test_a_mask_of_ones_own():
    class Even(Mask):
        def at(self, q_pos, k_pos):
            return jnp.asarray((k_pos - q_pos) % 2 == 0)

    see = functools.reduce(operator.and_, [Even(), Causal()]).dense(3, 3)[0, 0]
    np.testing.assert_array_equal(see, [[1, 0, 0], [0, 1, 0], [1, 0, 1]])
    with pytest.raises(NotImplementedError, match="Mask must define at"):
        Mask().dense(1, 1)


def test_edges_of_narrow_integers_name_many_nodes():
    edges, length = np.array([[0, 200], [7, 0]]), 300
    wide, narrow = (
        Edges(edges.astype(kind), length).dense(length, length) for kind in (int, "uint8")
    )
    np.testing.assert_array_equal(narrow, wide)
    assert narrow.sum() == 2

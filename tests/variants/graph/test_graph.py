"""Graph attention beyond the laws: how edges are given, what is refused, cost, a worked example."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead, masks
from attention.analysis.growth import exponent
from attention.analysis.matrices import effective_matrix
from attention.analysis.memory import temporary_bytes
from attention.analysis.multiply_adds import multiply_adds
from attention.masks import Array, Causal, Edges, Lengths, PerHead, Valid, Window
from attention.shapes import Sizes
from attention.variants import Graph
from tests.reference import graphs

NODES, HEADS = 8, 2
SIZES = Sizes(HEADS, 4, 4, 8)
EDGES = [(0, 1), (0, 5), (3, 2), (7, 0), (3, 3), (0, 6), (5, 4), (3, 7)]  # 1, 2, 4, 6 have none
OTHERS = [[(2, 1), (2, 2), (1, 0), (0, 7), (7, 7), (7, 6), (4, 2), (-1, -1)], EDGES]
BARE = Graph("dot", self_loops=False)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


Q, K, V = (jnp.asarray(random(2, NODES, HEADS, 4, seed=seed)) for seed in range(3))
PARAMS = {name: jnp.asarray(random(HEADS, 4, seed=3 + len(name))) for name in ("left", "right")}


@functools.partial(jax.jit, static_argnums=0)
def attend(graph, mask, q=Q, k=K, v=V, rng=None):
    out, state = graph.attend(PARAMS, {}, q, k, v, mask, rng=rng)
    assert state == {}
    return out


def reference(graph, q, k, v, see):
    if graph.score == "dot":
        return graphs.dot(q, k, v, see)
    return graphs.gat(q, k, v, see, params=PARAMS, slope=graph.slope)


def neighbours(edges_of_rows, loops):
    """[B, 1, n, n]."""
    return np.stack([graphs.adjacency(rows, NODES, loops) for rows in edges_of_rows])[:, None]


def test_three_nodes_by_hand():
    wh_BTHD = jnp.array([1.0, 2.0, -1.0]).reshape(1, 3, 1, 1)
    params = {"left": jnp.ones((1, 1)), "right": jnp.ones((1, 1))}
    edges = Edges([(0, 1), (1, 2), (2, 0)], nodes=3)
    out, _ = jax.jit(Graph().attend)(params, {}, wh_BTHD, wh_BTHD, wh_BTHD, edges)
    e = math.exp
    expected = [  # the scores of a node itself, and of its neighbour
        (1 * e(2) + 2 * e(3)) / (e(2) + e(3)),
        (2 * e(4) - 1 * e(1)) / (e(4) + e(1)),
        (-1 * e(-0.4) + 1 * e(0)) / (e(-0.4) + e(0)),
    ]
    np.testing.assert_allclose(out.reshape(3), expected, rtol=1e-6)


def test_what_is_trained():
    params, state = Graph().init(jax.random.key(0), Sizes(50, 20, 20, 1_000))
    assert state == {}
    assert {name: leaf.value.shape for name, leaf in params.items()} == {
        "left": (50, 20),
        "right": (50, 20),
    }
    assert {leaf.axes for leaf in params.values()} == {("heads", "head_size")}
    for leaf in params.values():  # Glorot's variance from 20 to one
        assert float(jnp.var(leaf.value)) == pytest.approx(2 / 21, rel=0.1)
    assert np.any(params["left"].value != params["right"].value)
    assert Graph("dot").init(jax.random.key(0), SIZES) == ({}, {})


GRAPHS = [Graph(slope=0.3), Graph(self_loops=False), Graph("dot"), BARE]
each = pytest.mark.parametrize("graph", GRAPHS, ids=lambda g: f"{g.score}-{g.self_loops}")


@each
def test_an_edge_counts_once_in_whatever_order_it_is_given(graph):
    see = neighbours([EDGES, EDGES], graph.self_loops)
    expected = reference(graph, Q, K, V, see)
    many = np.random.default_rng(0).permutation([*EDGES * 3, (-1, -1), (-1, 4), (2, -1)])
    for edges in (EDGES, many, many[None], np.stack([many, many[::-1]])):
        np.testing.assert_allclose(attend(graph, Edges(edges, NODES)), expected, atol=5e-6)


MASKS = {
    "lengths": Lengths(jnp.array([5, 8])),
    "valid": Valid(jnp.asarray(random(2, NODES) > -0.5)),
    "segments": masks.Segments(jnp.array([[1, 1, 2, 1, 2, 1, 2, 0], [1] * NODES])),
    "window": Window(3, 4),
    "array": Array(random(NODES, NODES) < 0.4),
    "array of each head": Array(random(2, HEADS, NODES, NODES) < 0.4),
    "heads": PerHead((Window(5, 0), ~Window(1, 1))),
    "strided": masks.Strided(2),
    "global": masks.Global(1, (3,)) | Window(0, 0),
    "random blocks": masks.RandomBlocks(2, 2, 4),
    "grid": masks.Grid(3, 1, 1),
    "several": Lengths(jnp.array([7, 8])) & Window(9, 4) & Array(random(2, 8, 8) < 0.7),
}


@pytest.mark.parametrize("graph", [Graph(), BARE], ids=["gat", "dot"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_other_masks_hide_edges_and_loops(graph, mask):
    see = neighbours(OTHERS, graph.self_loops) & np.asarray(mask.dense(NODES, NODES))
    assert see.any()
    expected = reference(graph, Q, K, V, see)
    ours = attend(graph, mask & Edges(np.array(OTHERS), NODES))
    np.testing.assert_allclose(ours, expected, atol=5e-6)


@each
def test_edges_to_nodes_that_are_not_there_change_nothing(graph):
    wrong = [(NODES, 0), (0, NODES), (0, 2**31 - 1), (-(2**31), 3), (NODES + 3, NODES + 3), (-2, 7)]

    @jax.jit
    def out_and_grads(edges_E2, q, k, v):
        def loss(q, k, v):
            out = graph.attend(PARAMS, {}, q, k, v, Edges(edges_E2, NODES))[0]
            return (out**2).sum(), out

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(q, k, v)

    ours = out_and_grads(jnp.array(EDGES + wrong, jnp.int32), Q, K, V)
    plain = out_and_grads(jnp.array(EDGES + [(-1, -1)] * len(wrong), jnp.int32), Q, K, V)
    jax.tree.map(np.testing.assert_array_equal, ours, plain)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32"])
def test_any_integers_name_nodes(dtype):
    edges = Edges(jnp.array(EDGES, dtype), NODES)
    np.testing.assert_array_equal(attend(Graph(), edges), attend(Graph(), Edges(EDGES, NODES)))
    # More nodes than the integers count.
    listed = jnp.array([(1, 3), (3, 1)], "int8")
    x = jnp.zeros((1, 300, 1, 1)).at[0, 3].set(5.0)
    out = jax.jit(BARE.attend)({}, {}, x, x, x, Edges(listed, 300))[0][0, :, 0, 0]
    np.testing.assert_array_equal(out, np.where(np.arange(300) == 1, 5.0, 0.0))


def test_a_missing_node_is_told_where_the_edges_are_at_hand():
    with pytest.raises(ValueError, match="node 8 is missing, there are 8 nodes"):
        Edges([(0, 8)], NODES)
    with pytest.raises(ValueError, match="9 nodes; attention has 8 queries"):
        attend(Graph(), Edges(EDGES, 9))


@pytest.mark.parametrize("score", ["gat", "dot"])
def test_without_any_edge(score):
    none = Edges([], NODES)
    np.testing.assert_allclose(attend(Graph(score), none), V, rtol=1e-6)
    assert not attend(Graph(score, self_loops=False), none).any()


@pytest.mark.parametrize("score", ["gat", "dot"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_an_isolated_node_gets_nothing_and_gives_nothing(score, dtype):
    graph = Graph(score, self_loops=False)
    arrays = [(30 * x).astype(dtype) for x in (Q, K, V)]

    def loss(q, k, v):
        out = graph.attend(PARAMS, {}, q, k, v, Edges(EDGES, NODES))[0]
        return out.astype("float32").sum(), out

    (_, out), grads = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(*arrays)
    see = neighbours([EDGES], loops=False)[0, 0]
    asks, asked = see.any(1), see.any(0)
    assert not out[:, ~asks].any()
    assert np.asarray(out[:, asks], "float32").all()
    for grad, part in zip(grads, (asks, asked, asked), strict=True):
        assert np.isfinite(np.asarray(grad, "float32")).all()
        assert not grad[:, ~part].any()
    assert grads[2][:, asked].any()


@each
def test_large_scores(graph):
    edges = Edges(np.array(OTHERS), NODES)
    expected = reference(graph, 300 * Q, K, V, neighbours(OTHERS, graph.self_loops))
    ours = attend(graph, edges, 300 * Q)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


ALL_PAIRS = [(i, j) for i in range(NODES) for j in range(NODES)]


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("score", ["gat", "dot"])
def test_without_edges_the_graph_is_complete(score, rate):
    padding, rng = Lengths(jnp.array([5, 8])), jax.random.key(0)
    for loops in (True, False):
        graph = Graph(score, self_loops=loops, dropout_rate=rate)
        pairs = Edges([(i, j) for i, j in ALL_PAIRS if loops or i != j], NODES)
        complete = attend(graph, padding, rng=rng)
        np.testing.assert_allclose(attend(graph, padding & pairs, rng=rng), complete, atol=2e-6)
        if rate:
            assert np.any(np.abs(attend(graph, padding & pairs) - complete) > 1e-2)


def test_dropout_of_edges():
    """Where all scores are equal: zero, or the weight over what is kept."""
    nodes, heads = 40, 3
    every = [(i, (i + step) % nodes) for i in range(nodes) for step in range(10)]
    graph = Graph("dot", self_loops=False, dropout_rate=0.25)
    x = jnp.zeros((2, nodes, heads, 1))
    v_BTHT = jnp.broadcast_to(jnp.eye(nodes)[None, :, None], (2, nodes, heads, nodes))
    rng = jax.random.key(1)
    out = np.asarray(jax.jit(graph.attend)({}, {}, x, x, v_BTHT, Edges(every, nodes), rng=rng)[0])
    w_PBH = np.stack([out[:, i, :, j] for i, j in every])
    assert np.all((w_PBH == 0) | (np.abs(w_PBH - 0.1 / 0.75) < 1e-6))
    share = (w_PBH == 0).mean()
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / w_PBH.size)
    rows = w_PBH.reshape(len(every), -1).T > 0  # of each batch and head
    assert len({row.tobytes() for row in rows}) == len(rows)
    agree = np.corrcoef(rows.astype(float))[np.triu_indices(len(rows), 1)]
    assert np.abs(agree).max() < 4 / math.sqrt(len(every))


def degree_four(nodes, *, array=False):
    """Shapes of q, k, v and of a mask with four edges a node."""
    x = jax.ShapeDtypeStruct((2, nodes, HEADS, 4), "float32")
    edges = jax.ShapeDtypeStruct((1, 4 * nodes, 2), "int32")
    mask = Edges(edges, nodes) & Lengths(jax.ShapeDtypeStruct((2,), "int32"))
    if array:
        mask = mask & Array(jax.ShapeDtypeStruct((2, 1, nodes, nodes), "bool"))
    return x, x, x, mask & Window(nodes, nodes) & masks.Strided(2)


def cost(measure, graph, nodes, gradient, **options):
    def out(q, k, v, mask):
        return graph.attend(PARAMS, {}, q, k, v, mask)[0]

    def grads(q, k, v, mask):
        return jax.grad(lambda *x: out(*x, mask).sum(), argnums=(0, 1, 2))(q, k, v)

    return measure(grads if gradient else out, *degree_four(nodes, **options))


@pytest.mark.parametrize("gradient", [False, True], ids=["forward", "gradient"])
@pytest.mark.parametrize("score", ["gat", "dot"])
def test_cost_is_in_edges(score, gradient):
    nodes = 1024, 4096, 16384
    counted = [cost(multiply_adds, Graph(score), n, gradient) for n in nodes]
    assert exponent(nodes, counted) <= 1.1
    needed = [cost(temporary_bytes, Graph(score), n, gradient) for n in nodes]
    assert exponent(nodes, needed) <= 1.1
    pairs, of_edge = 2 * HEADS * 5 * nodes[0], {"dot": 4 + 4, "gat": 4}[score]
    of_node = {"dot": 0, "gat": 2 * 2 * HEADS * 4 * nodes[0]}[score]
    if not gradient:
        assert counted[0] == pairs * of_edge + of_node


def test_an_array_is_looked_up_at_the_edges_alone():
    nodes = 512, 1024, 2048
    needed = [cost(temporary_bytes, Graph("dot"), n, True, array=True) for n in nodes]
    assert exponent(nodes, needed) <= 1.1


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (Edges(EDGES, NODES) & Causal(), "Graph cannot attend causally"),
        (Causal(), "Graph cannot attend causally"),
        (Edges(EDGES, NODES) | Window(1, 1), r"Graph cannot look for edges under \|, ~ or PerHead"),
        (~Edges(EDGES, NODES), "Graph cannot look for edges under"),
        (PerHead((Edges(EDGES, NODES), Window(1, 1))), "Graph cannot look for edges under"),
        (Edges(EDGES, NODES) & Edges(EDGES, NODES), "Graph cannot take 2 lists of edges"),
    ],
)
def test_masks_that_are_refused(mask, message):
    with pytest.raises(NotImplementedError, match=rf"^{message}.*; use \S+"):
        attend(Graph(), mask)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: g.attend(PARAMS, {}, Q[:, :5], K, V, None), "Graph cannot attend across two"),
        (lambda g: g.attend(PARAMS, {}, Q, K, V, None, bias=Q), "Graph cannot add a bias"),
        (lambda g: g.attend(PARAMS, {}, Q, K[:, :, :1], V[:, :, :1], None), "Graph cannot share 1"),
        (
            lambda g: g.init_cache({}, {}, SIZES, 1, 5, "float32"),
            "Graph cannot decode from a cache",
        ),
        (lambda g: g.extend({}, {}, {}, Q, K, V, None), "Graph cannot decode from a cache"),
    ],
    ids=["cross", "bias", "grouped", "start", "extend"],
)
def test_what_is_refused(call, message):
    with pytest.raises(NotImplementedError, match=rf"^{message}.*; use \S+"):
        call(Graph())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Graph("add"), r"Graph\(score='add'\): needs one of gat, dot"),
        (lambda: Graph(dropout_rate=1.0), r"Graph\(dropout_rate=1.0\): needs to be in \[0, 1\)"),
        (lambda: attend(Graph(), Edges(EDGES, NODES) & Lengths([1, 2, 3])), r"\(3, .*2"),
        (
            lambda: attend(Graph(), Edges(EDGES, NODES) & PerHead((Window(1, 1),) * 3)),
            "PerHead has masks for 3 heads, and attention has 2",
        ),
        (lambda: attend(Graph(), Edges(EDGES, NODES) & Valid(np.ones((2, 7), bool))), "for 7 quer"),
    ],
)
def test_what_does_not_fit_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_multi_head_sows_the_matrix_that_was_used():
    x_BTM = jnp.asarray(random(2, NODES, 8))
    layer, mask = MultiHead(heads=HEADS, attention=Graph()), Edges(np.array(OTHERS), NODES)
    variables = jax.jit(layer.init)(jax.random.key(0), x_BTM)
    apply = jax.jit(functools.partial(layer.apply, mutable=["intermediates"]))
    out, sown = apply(variables, x_BTM, None, mask)
    *inputs, _, _ = sown["intermediates"]["attended"][0]
    matrix_BHQK = jax.jit(functools.partial(effective_matrix, layer.attention))(*inputs)
    see = np.broadcast_to(neighbours(OTHERS, loops=True), matrix_BHQK.shape)
    np.testing.assert_array_equal(matrix_BHQK > 0, see)
    params = nn.meta.unbox(variables["params"])
    v_BTHE = jnp.einsum("BTM,MHE->BTHE", x_BTM, params["query"]["kernel"])
    again = jnp.einsum("BHQK,BKHE,HEM->BQM", matrix_BHQK, v_BTHE, params["out"]["kernel"])
    np.testing.assert_allclose(out, again, atol=1e-5)


def test_a_mask_or_edges_of_another_batch_are_told():
    four = jnp.asarray(random(4, NODES, HEADS, 3))
    two = Edges(np.zeros((2, 1, 2), int), NODES)
    for mask in (two, Edges(EDGES, NODES) & Lengths(jnp.array([3, 2]))):
        with pytest.raises(ValueError, match=r"mask has shape \(2, 1, .*; it needs to broadcast"):
            Graph(score="dot").attend({}, {}, four, four, four, mask)

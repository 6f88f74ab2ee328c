"""Attention over graphs in float64 NumPy, one node and one neighbour at a time."""

import math

import numpy as np

from tests.reference.attention import softmax_attention


def adjacency(edges, nodes, loops):
    """Who is whose neighbour, [nodes, nodes]: of (query, key) pairs, of which -1 is none."""
    see_TT = np.zeros((nodes, nodes), bool)
    for i, j in edges:
        if 0 <= i < nodes and 0 <= j < nodes:
            see_TT[i, j] = True
    for i in range(nodes if loops else 0):
        see_TT[i, i] = True
    return see_TT


def gat(q_BTHD, k_BTHD, v_BTHE, see=None, bias=None, params=None, slope=0.2):
    """Veličković et al. 2018, equations 1 to 4, for `see`, the neighbourhoods: Wh is q, k and v."""
    assert bias is None
    q_BTHD, k_BTHD, v_BTHE = (np.asarray(x, np.float64) for x in (q_BTHD, k_BTHD, v_BTHE))
    batch, nodes, heads, _ = q_BTHD.shape
    see_BHTT = np.broadcast_to(True if see is None else see, (batch, heads, nodes, nodes))
    left_HD, right_HD = (np.asarray(params[name], np.float64) for name in ("left", "right"))
    out_BTHE = np.zeros(v_BTHE.shape)
    for b, h, i in np.ndindex(batch, heads, nodes):
        a_2D = np.concatenate([left_HD[h], right_HD[h]])
        neighbours = [j for j in range(nodes) if see_BHTT[b, h, i, j]]
        e = {}
        for j in neighbours:
            x = float(a_2D @ np.concatenate([q_BTHD[b, i, h], k_BTHD[b, j, h]]))
            e[j] = x if x > 0 else slope * x
        top = max(e.values(), default=0.0)
        whole = sum(math.exp(e[j] - top) for j in neighbours)
        for j in neighbours:
            out_BTHE[b, i, h] += math.exp(e[j] - top) / whole * v_BTHE[b, j, h]
    return out_BTHE


def dot(q_BTHD, k_BTHD, v_BTHE, see=None, bias=None):
    """Softmax attention among neighbours."""
    return softmax_attention(q_BTHD, k_BTHD, v_BTHE, see, bias)


def without_loops(reference):
    """The same on a complete graph, in which no node is its own neighbour."""

    def apart(q_BTHD, k_BTHD, v_BTHE, see=None, **options):
        nodes = q_BTHD.shape[1]
        other_TT = np.array([[i != j for j in range(nodes)] for i in range(nodes)])
        return reference(q_BTHD, k_BTHD, v_BTHE, other_TT if see is None else see & other_TT,
                         **options)  # fmt: skip

    return apart


def multi_head_gat(params, x_BTM, memory_BTM, see=None):
    """One W for all that a head needs; the heads joined and projected."""
    w, b, out = (
        np.asarray(x, np.float64)
        for x in (
            params["query"]["kernel"],
            params["query"]["bias"],
            params["out"]["kernel"],
        )
    )
    assert memory_BTM is x_BTM
    wh_BTHD = np.stack(
        [np.asarray(x_BTM, np.float64) @ w[:, h] + b[h] for h in range(w.shape[1])], axis=2
    )
    head_BTHD = gat(wh_BTHD, wh_BTHD, wh_BTHD, see, params=params["own"]["learned"])
    joined_BTM = sum(head_BTHD[:, :, h] @ out[h] for h in range(w.shape[1]))
    return joined_BTM + np.asarray(params["out"]["bias"], np.float64)

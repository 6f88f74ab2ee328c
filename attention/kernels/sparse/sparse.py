"""Softmax attention of sparse patterns: only cells of the scores in which something is seen.

A mask is cut into disjoint parts, each in an order in which its pairs lie in blocks (see
``attention.masks.parts``), and a part into cells: some queries with all keys that they see in it.
So each cell is one plain softmax. Parts are joined by their log-sum-exps. The backward pass makes
the weights again from the joint log-sum-exp (Dao et al. 2022, "FlashAttention"), and adds to slices
where the forward pass read them; nothing is scattered.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attention.kernels.request import Request
from attention.kernels.rows import zero_padding
from attention.kernels.sparse.blocks import Cell
from attention.kernels.sparse.components import Piece, by_batch, over_cells, pieces_of
from attention.kernels.sparse.permute import ordered, restored
from attention.kernels.sparse.schedule import Cells, cut
from attention.kernels.tiled.plan import Limits, limits, plan
from attention.kernels.tiled.tiles import Extras, product
from attention.masks import as_mask
from attention.shapes import Tree, accumulator


def pays(request: Request) -> bool:
    """Whether cells leave out half of the scores at least, and cost less than tiles."""
    (batch, q_len, heads, _), k_len = request.q_shape, request.k_shape[1]
    mask, rows = as_mask(request.mask), batch * heads
    cells = [cut(part, rows, q_len, k_len) for part in mask.parts(q_len, k_len)]
    if 2 * sum(one.scores for one in cells) > q_len * k_len:  # too little is left out
        return False
    tiles = plan(rows, q_len, k_len, mask, limits())
    return sum(one.cost(rows) for one in cells) < tiles.cost(rows, limits())


@dataclass(frozen=True)
class _Static:
    scale: float
    limits: Limits


def sparse(
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    mask: Any,
    *,
    bias: Any,
    scale: float,
    dropped: Any,
) -> jax.Array:
    """softmax(scale q kᵀ + bias) v under the mask; time and memory go with what it shows.

    A key that is not finite and no padding reaches the queries that share a cell with it.
    """
    mask = as_mask(mask)
    q_BQHD, k_BKHD, v_BKHE = zero_padding(q_BQHD, k_BKHD, v_BKHE, mask)
    static, extras = _Static(scale, limits()), Extras(mask, bias, dropped)
    return _attention(static, q_BQHD, k_BKHD, v_BKHE, extras)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(
    static: _Static, q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array, extras: Extras
) -> jax.Array:
    return _forward(static, q_BQHD, k_BKHD, v_BKHE, extras)[0]


def _forward(
    static: _Static, q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array, extras: Extras
) -> tuple[jax.Array, Tree]:
    """The output, and what the backward pass needs: all inputs, output, and log-sum-exps."""
    q_len = q_BQHD.shape[1]
    outs, sums = [], []
    for piece in pieces_of(q_BQHD, k_BKHD, extras, static.limits.scores * 3 // 2):
        q = ordered(q_BQHD, piece.part.q_order, piece.cut.q_padded, 1)
        k, v = (ordered(x, piece.part.k_order, piece.cut.k_padded, 1) for x in (k_BKHD, v_BKHE))
        body = partial(_forward_part, static.scale)
        (out_BQHE, lse_BHQ), _ = by_batch(body, piece, q, k, v)
        outs.append(restored(out_BQHE, piece.part.q_order, q_len, 1))
        sums.append(restored(lse_BHQ, piece.part.q_order, q_len, 2, fill=-jnp.inf))
    out_BQHE, lse_BHQ = _joined(outs, sums)
    out_BQHE = out_BQHE.astype(v_BKHE.dtype)
    return out_BQHE, (q_BQHD, k_BKHD, v_BKHE, extras, out_BQHE, lse_BHQ)


def _forward_part(
    scale: float, piece: Piece, q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], Tree]:
    """Output and log-sum-exp, -inf where nothing is seen, in the part's order."""
    dtype = accumulator(jnp.result_type(q_BQHD, k_BKHD, v_BKHE))
    batch, q_len, heads, _ = q_BQHD.shape

    def visit(state: tuple, cells: Cells, cell: Cell) -> tuple:
        out_BQHE, lse_BHQ = state
        q_RCD = cell.q_rows(q_BQHD, cells) * jnp.asarray(scale, q_BQHD.dtype)
        k_RLD, v_RLE = (cell.k_rows(x, cells) for x in (k_BKHD, v_BKHE))
        s_RCL = piece.scores(cells, cell, q_RCD, k_RLD)
        # Of a query that sees nothing the maximum is -inf, and -inf - -inf is NaN.
        top_RC1 = jnp.maximum(s_RCL.max(axis=2, keepdims=True), jnp.finfo(dtype).min)
        w_RCL = jnp.exp(s_RCL - top_RC1)
        total_RC = w_RCL.sum(axis=2)
        factor_RCL = piece.factors(cells, cell, dtype)
        w_RCL = w_RCL if factor_RCL is None else w_RCL * factor_RCL
        new_RCE = product("RCL,RLE->RCE", w_RCL, v_RLE)
        # Of what is seen the greatest weight is 1; a select would cost a CPU a third of the time.
        new_RCE = new_RCE / jnp.maximum(total_RC, 1)[..., None]
        lse_RC = top_RC1[..., 0] + jnp.log(total_RC)
        return cell.q_set(out_BQHE, new_RCE), cell.q_set_numbers(lse_BHQ, lse_RC)

    out_BQHE = jnp.zeros((batch, q_len, heads, v_BKHE.shape[3]), dtype)
    lse_BHQ = jnp.full((batch, heads, q_len), -jnp.inf, dtype)
    state = over_cells(visit, (out_BQHE, lse_BHQ), piece, batch)
    return state, jax.tree.map(jnp.zeros_like, piece.own.extras.bias)


def _joined(outs: list[jax.Array], sums: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Outputs and log-sum-exps of disjoint parts as those of all; 0 where nothing is seen."""
    top_BHQ = jnp.stack(sums).max(axis=0) if len(sums) > 1 else sums[0]
    top_BHQ = jnp.where(top_BHQ == -jnp.inf, 0, top_BHQ)
    if len(sums) == 1:
        return outs[0], top_BHQ
    shares = [jnp.exp(lse_BHQ - top_BHQ) for lse_BHQ in sums]
    total_BHQ = functools.reduce(jnp.add, shares)
    total_BHQ = jnp.where(total_BHQ > 0, total_BHQ, 1)
    out_BQHE = functools.reduce(
        jnp.add,
        [
            out_BQHE * (share / total_BHQ).swapaxes(1, 2)[..., None]
            for out_BQHE, share in zip(outs, shares, strict=True)
        ],
    )
    return out_BQHE, top_BHQ + jnp.log(total_BHQ)


def _backward(static: _Static, saved: Tree, g_BQHE: jax.Array) -> tuple[Any, ...]:
    """Gradients of queries, keys, values and bias, from that of the output."""
    q_BQHD, k_BKHD, v_BKHE, extras, out_BQHE, lse_BHQ = saved
    q_len, k_len = q_BQHD.shape[1], k_BKHD.shape[1]
    delta_BHQ = jnp.einsum("bqhe,bqhe->bhq", g_BQHE, out_BQHE, preferred_element_type=lse_BHQ.dtype)
    grads: list[Any] = [0, 0, 0]
    d_bias = jax.tree.map(jnp.zeros_like, extras.bias)
    # Three arrays of scores stand beside one another here.
    for piece in pieces_of(q_BQHD, k_BKHD, extras, static.limits.scores * 3 // 4):
        q_order, k_order = piece.part.q_order, piece.part.k_order
        q, g = (ordered(x, q_order, piece.cut.q_padded, 1) for x in (q_BQHD, g_BQHE))
        # What fills up has no weights, whatever a bias says of it.
        lse = ordered(lse_BHQ, q_order, piece.cut.q_padded, 2, fill=jnp.inf)
        delta = ordered(delta_BHQ, q_order, piece.cut.q_padded, 2)
        k, v = (ordered(x, k_order, piece.cut.k_padded, 1) for x in (k_BKHD, v_BKHE))
        body = partial(_backward_part, static.scale)
        (dq, dk, dv), more = by_batch(body, piece, q, k, v, g, lse, delta)
        grads = [
            grads[0] + restored(dq, q_order, q_len, 1),
            grads[1] + restored(dk, k_order, k_len, 1),
            grads[2] + restored(dv, k_order, k_len, 1),
        ]
        d_bias = jax.tree.map(jnp.add, d_bias, more)
    inputs = q_BQHD, k_BKHD, v_BKHE
    cast = (d.astype(x.dtype) for d, x in zip(grads, inputs, strict=True))
    return *cast, Extras(None, d_bias, None)  # type: ignore[arg-type]


def _backward_part(
    scale: float,
    piece: Piece,
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    g_BQHE: jax.Array,
    lse_BHQ: jax.Array,
    delta_BHQ: jax.Array,
) -> tuple[tuple[jax.Array, ...], Tree]:
    """Gradients in the part's order, and that of the bias."""
    dtype, batch = lse_BHQ.dtype, len(q_BQHD)

    def visit(state: tuple, cells: Cells, cell: Cell) -> tuple:
        dq_BQHD, dk_BHDK, dv_BHEK, d_bias = state
        q_RCD = cell.q_rows(q_BQHD, cells) * jnp.asarray(scale, q_BQHD.dtype)
        g_RCE = cell.q_rows(g_BQHE, cells)
        k_RLD, v_RLE = (cell.k_rows(x, cells) for x in (k_BKHD, v_BKHE))
        s_RCL = piece.scores(cells, cell, q_RCD, k_RLD)
        w_RCL = jnp.exp(s_RCL - cell.q_numbers(lse_BHQ, cells)[..., None])
        dw_RCL = product("RCE,RLE->RCL", g_RCE, v_RLE, dtype)
        factor_RCL, kept_RCL = piece.factors(cells, cell, dtype), w_RCL
        if factor_RCL is not None:
            kept_RCL, dw_RCL = w_RCL * factor_RCL, dw_RCL * factor_RCL
        ds_RCL = w_RCL * (dw_RCL - cell.q_numbers(delta_BHQ, cells)[..., None])
        if piece.own.extras.bias is not None:
            ds_BHCL = ds_RCL.reshape(-1, piece.heads, *ds_RCL.shape[1:])
            d_bias = piece.own.extras.bias.pulled_at(d_bias, ds_BHCL, *piece.positions(cells, cell))
        dq_RCD = product("RCL,RLD->RCD", ds_RCL, k_RLD) * scale
        # A product whose left side is transposed takes a CPU twice as long.
        dk_RDL = product("RDC,RCL->RDL", q_RCD.mT, ds_RCL)
        dv_REL = product("REC,RCL->REL", g_RCE.mT, kept_RCL)
        return (
            cell.q_set(dq_BQHD, dq_RCD),
            cell.k_add(dk_BHDK, dk_RDL, cells),
            cell.k_add(dv_BHEK, dv_REL, cells),
            d_bias,
        )

    # Those of keys and values are summed with the keys last, and turned once.
    last = ([*x.shape[:1], *x.shape[2:], x.shape[1]] for x in (k_BKHD, v_BKHE))
    start = [jnp.zeros(shape, dtype) for shape in (q_BQHD.shape, *last)]
    d_bias = jax.tree.map(jnp.zeros_like, piece.own.extras.bias)
    dq_BQHD, *turned, d_bias = over_cells(visit, (*start, d_bias), piece, batch)
    return (dq_BQHD, *(x.transpose(0, 3, 1, 2) for x in turned)), d_bias


_attention.defvjp(_forward, _backward)

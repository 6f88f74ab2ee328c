"""Softmax attention of sparse patterns: only blocks of the scores with a visible pair.

A mask is decomposed into disjoint components, each in an order in which its pairs form blocks (see
``attention.masks.components``), and a component into blocks: some queries with all keys that they
see in it. So each block is one plain softmax. The outputs of components are combined by their
log-sum-exps. The backward pass recomputes the weights from the combined log-sum-exp (Dao et al.
2022, "FlashAttention"), and adds to the slices that the forward pass read; nothing is scattered.
"""

import functools
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attention.kernels.limits import Limits, limits
from attention.kernels.request import Request
from attention.kernels.rows import Extras
from attention.kernels.sparse.blocks import Block
from attention.kernels.sparse.components import (
    ComponentPlan,
    by_batch,
    over_blocks,
    plan_components,
    zero_bias,
)
from attention.kernels.sparse.permute import permute, unpermute
from attention.kernels.sparse.schedule import make_schedule
from attention.kernels.tiled.plan import make_plan
from attention.masks import as_mask
from attention.shapes import Tree, accumulator, product


def is_profitable(request: Request) -> bool:
    """Whether blocks leave out at least half of the scores, and cost less than tiles."""
    (batch, q_len, heads, _), k_len = request.q_shape, request.k_shape[1]
    mask, rows = as_mask(request.mask), batch * heads
    components = mask.decompose(q_len, k_len)
    schedules = [make_schedule(one, rows, q_len, k_len) for one in components]
    if 2 * sum(one.num_scores for one in schedules) > q_len * k_len:  # too little is left out
        return False
    tiles = make_plan(rows, q_len, k_len, mask, limits())
    return sum(one.cost(rows) for one in schedules) < tiles.cost(rows, limits())


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
    """softmax(scale q kᵀ + bias) v under the mask; time and memory grow with the visible pairs.

    A key that is not finite, and not padding, reaches all queries of its blocks.
    """
    mask = as_mask(mask)
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
    """The output, and the residuals: all inputs, the output, and log-sum-exps."""
    q_len = q_BQHD.shape[1]
    outs, sums = [], []
    for plan in plan_components(q_BQHD, k_BKHD, extras, static.limits.scores * 3 // 2):
        q_order, k_order = plan.component.q_order, plan.component.k_order
        q = permute(q_BQHD, q_order, plan.schedule.q_padded, 1)
        k, v = (permute(x, k_order, plan.schedule.k_padded, 1) for x in (k_BKHD, v_BKHE))
        compute = partial(_forward_component, static.scale)
        (out_BQHE, lse_BHQ), _ = by_batch(compute, plan, q, k, v)
        outs.append(unpermute(out_BQHE, q_order, q_len, 1))
        sums.append(unpermute(lse_BHQ, q_order, q_len, 2, fill=-jnp.inf))
    out_BQHE, lse_BHQ = _combine(outs, sums)
    out_BQHE = out_BQHE.astype(v_BKHE.dtype)
    return out_BQHE, (q_BQHD, k_BKHD, v_BKHE, extras, out_BQHE, lse_BHQ)


def _forward_component(
    scale: float, plan: ComponentPlan, q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array
) -> tuple[tuple[jax.Array, jax.Array], Tree]:
    """Output and log-sum-exp, -inf where nothing is visible, in the component's order."""
    dtype = accumulator(jnp.result_type(q_BQHD, k_BKHD, v_BKHE))
    batch, q_len, heads, _ = q_BQHD.shape

    def body(state: tuple, block: Block) -> tuple:
        out_BQHE, lse_BHQ = state
        q_RCD = block.query_rows(q_BQHD) * jnp.asarray(scale, q_BQHD.dtype)
        k_RLD, v_RLE = (block.key_rows(x) for x in (k_BKHD, v_BKHE))
        s_RCL = plan.scores(block, q_RCD, k_RLD)
        # Of a query that sees nothing the maximum is -inf, and -inf - -inf is NaN.
        top_RC1 = jnp.maximum(s_RCL.max(axis=2, keepdims=True), jnp.finfo(dtype).min)
        w_RCL = jnp.exp(s_RCL - top_RC1)
        total_RC = w_RCL.sum(axis=2)
        factor_RCL = plan.factors(block, dtype)
        w_RCL = w_RCL if factor_RCL is None else w_RCL * factor_RCL
        new_RCE = product("RCL,RLE->RCE", w_RCL, v_RLE)
        # The greatest visible weight is 1; a select would cost a CPU a third of the time.
        new_RCE = new_RCE / jnp.maximum(total_RC, 1)[..., None]
        lse_RC = top_RC1[..., 0] + jnp.log(total_RC)
        return block.set_queries(out_BQHE, new_RCE), block.set_query_numbers(lse_BHQ, lse_RC)

    out_BQHE = jnp.zeros((batch, q_len, heads, v_BKHE.shape[3]), dtype)
    lse_BHQ = jnp.full((batch, heads, q_len), -jnp.inf, dtype)
    return over_blocks(body, (out_BQHE, lse_BHQ), plan, batch), zero_bias(plan)


def _combine(outs: list[jax.Array], sums: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Output and log-sum-exp of all components; 0 where nothing is visible."""
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
    """Gradients of queries, keys, values and bias, from the gradient of the output."""
    q_BQHD, k_BKHD, v_BKHE, extras, out_BQHE, lse_BHQ = saved
    q_len, k_len = q_BQHD.shape[1], k_BKHD.shape[1]
    delta_BHQ = jnp.einsum("bqhe,bqhe->bhq", g_BQHE, out_BQHE, preferred_element_type=lse_BHQ.dtype)
    grads: list[Any] = [0, 0, 0]
    d_bias = jax.tree.map(jnp.zeros_like, extras.bias)
    # Three arrays of scores are in memory here.
    for plan in plan_components(q_BQHD, k_BKHD, extras, static.limits.scores * 3 // 4):
        q_order, k_order = plan.component.q_order, plan.component.k_order
        q_padded, k_padded = plan.schedule.q_padded, plan.schedule.k_padded
        q, g = (permute(x, q_order, q_padded, 1) for x in (q_BQHD, g_BQHE))
        # Padded queries have no weights, whatever their bias is.
        lse = permute(lse_BHQ, q_order, q_padded, 2, fill=jnp.inf)
        delta = permute(delta_BHQ, q_order, q_padded, 2)
        k, v = (permute(x, k_order, k_padded, 1) for x in (k_BKHD, v_BKHE))
        compute = partial(_backward_component, static.scale)
        (dq, dk, dv), more = by_batch(compute, plan, q, k, v, g, lse, delta)
        grads = [
            grads[0] + unpermute(dq, q_order, q_len, 1),
            grads[1] + unpermute(dk, k_order, k_len, 1),
            grads[2] + unpermute(dv, k_order, k_len, 1),
        ]
        d_bias = jax.tree.map(jnp.add, d_bias, more)
    inputs = q_BQHD, k_BKHD, v_BKHE
    cast = (d.astype(x.dtype) for d, x in zip(grads, inputs, strict=True))
    return *cast, Extras(None, d_bias, None)  # type: ignore[arg-type]


def _backward_component(
    scale: float,
    plan: ComponentPlan,
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    g_BQHE: jax.Array,
    lse_BHQ: jax.Array,
    delta_BHQ: jax.Array,
) -> tuple[tuple[jax.Array, ...], Tree]:
    """Gradients in the component's order, and the gradient of the bias."""
    dtype, batch = lse_BHQ.dtype, len(q_BQHD)

    def body(state: tuple, block: Block) -> tuple:
        dq_BQHD, dk_BHDK, dv_BHEK, d_bias = state
        q_RCD = block.query_rows(q_BQHD) * jnp.asarray(scale, q_BQHD.dtype)
        g_RCE = block.query_rows(g_BQHE)
        k_RLD, v_RLE = (block.key_rows(x) for x in (k_BKHD, v_BKHE))
        s_RCL = plan.scores(block, q_RCD, k_RLD)
        w_RCL = jnp.exp(s_RCL - block.query_numbers(lse_BHQ)[..., None])
        dw_RCL = product("RCE,RLE->RCL", g_RCE, v_RLE, dtype)
        factor_RCL, kept_RCL = plan.factors(block, dtype), w_RCL
        if factor_RCL is not None:
            kept_RCL, dw_RCL = w_RCL * factor_RCL, dw_RCL * factor_RCL
        ds_RCL = w_RCL * (dw_RCL - block.query_numbers(delta_BHQ)[..., None])
        if plan.extras.bias is not None:
            ds_BHCL = ds_RCL.reshape(-1, plan.heads, *ds_RCL.shape[1:])
            d_bias = plan.extras.bias.pulled_at(d_bias, ds_BHCL, *plan.positions(block))
        dq_RCD = product("RCL,RLD->RCD", ds_RCL, k_RLD) * scale
        # A product whose left side is transposed takes a CPU twice as long.
        dk_RDL = product("RDC,RCL->RDL", q_RCD.mT, ds_RCL)
        dv_REL = product("REC,RCL->REL", g_RCE.mT, kept_RCL)
        return (
            block.set_queries(dq_BQHD, dq_RCD),
            block.add_to_keys(dk_BHDK, dk_RDL),
            block.add_to_keys(dv_BHEK, dv_REL),
            d_bias,
        )

    # Gradients of keys and values are summed with the keys last, and transposed once.
    last = ([*x.shape[:1], *x.shape[2:], x.shape[1]] for x in (k_BKHD, v_BKHE))
    start = [jnp.zeros(shape, dtype) for shape in (q_BQHD.shape, *last)]
    dq_BQHD, *d_kv, d_bias = over_blocks(body, (*start, zero_bias(plan)), plan, batch)
    return (dq_BQHD, *(x.transpose(0, 3, 1, 2) for x in d_kv)), d_bias


_attention.defvjp(_forward, _backward)

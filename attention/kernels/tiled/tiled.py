"""Softmax attention tile by tile, with no more than a few tiles of scores in memory.

The forward pass is online softmax (Milakov & Gimelshein 2018, "Online normalizer calculation for
softmax"); the backward pass recomputes the weights from the saved log-sum-exp (Dao et al. 2022,
"FlashAttention", algorithms 1 and 4). Each is one scan over the tiles that the mask does not hide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels.dropped import Dropped
from attention.kernels.limits import Limits, limits
from attention.kernels.rows import Extras, flatten_heads, pad_extras, unflatten_heads
from attention.kernels.tiled.plan import Plan, make_plan
from attention.kernels.tiled.tiles import (
    Tile,
    over_groups,
    over_tiles,
    tile_factors,
    tile_scores,
)
from attention.masks import Mask, as_mask
from attention.shapes import Tree, accumulator, product

TakeRows = Callable[[Tree], Tree]  # masks, biases and dropout to those of a group of rows


@dataclass(frozen=True)
class Static:
    """Lengths, heads, the factor on scores, and the limits."""

    q_len: int
    k_len: int
    heads: int
    scale: float
    limits: Limits

    def plan(self, rows: int, mask: Mask) -> Plan:
        """The tiles to compute."""
        return make_plan(rows, self.q_len, self.k_len, mask, self.limits)


def tiled(
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    v_BKHE: jax.Array,
    mask: Mask | None,
    *,
    bias: Bias | None,
    scale: float,
    dropped: Dropped | None,
) -> jax.Array:
    """softmax(scale q kᵀ + bias) v under the mask; memory is linear in the lengths."""
    (batch, q_len, heads, _), k_len = q_BQHD.shape, k_BKHD.shape[1]
    mask = as_mask(mask)
    static = Static(q_len, k_len, heads, scale, limits())
    plan = static.plan(batch * heads, mask)
    q_RQD = flatten_heads(q_BQHD, plan.q_padded)
    k_RKD, v_RKE = (flatten_heads(x, plan.k_padded) for x in (k_BKHD, v_BKHE))
    extras = pad_extras(Extras(mask, bias, dropped), plan.q_padded, plan.k_padded)
    return unflatten_heads(_attention(static, q_RQD, k_RKD, v_RKE, extras), heads, q_len)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(
    static: Static, q_RQD: jax.Array, k_RKD: jax.Array, v_RKE: jax.Array, extras: Extras
) -> jax.Array:
    return _forward(static, q_RQD, k_RKD, v_RKE, extras)[0]


def _forward(
    static: Static, q_RQD: jax.Array, k_RKD: jax.Array, v_RKE: jax.Array, extras: Extras
) -> tuple[jax.Array, Tree]:
    """The output, and the residuals: all inputs, the output, and log-sum-exps."""
    dtype = accumulator(jnp.result_type(q_RQD, k_RKD, v_RKE))
    plan = static.plan(len(q_RQD), extras.mask)

    def group_body(
        _: None, take: TakeRows, q_GQD: jax.Array, k_GKD: jax.Array, v_GKE: jax.Array
    ) -> tuple[None, tuple[jax.Array, jax.Array]]:
        of_group: Extras = take(extras)
        q_GQD = q_GQD * jnp.asarray(static.scale, q_GQD.dtype)

        def tile_body(state: tuple, tile: Tile, masked: bool) -> tuple:
            acc_GQE, top_GQ, total_GQ = (tile.q_of(x) for x in state)
            k_tile, v_tile = tile.k_of(k_GKD), tile.k_of(v_GKE)
            q_tile, k_len = tile.q_of(q_GQD), static.k_len
            s_GQK = tile_scores(of_group, tile, q_tile, k_tile, k_len, masked=masked)
            new_GQ = jnp.maximum(top_GQ, s_GQK.max(axis=2))
            # The maximum of a query that has seen nothing yet is -inf, and -inf - -inf is NaN.
            base_GQ = jnp.where(new_GQ == -jnp.inf, 0, new_GQ)
            fade_GQ = jnp.exp(top_GQ - base_GQ)
            w_GQK = jnp.exp(s_GQK - base_GQ[:, :, None])
            total_GQ = total_GQ * fade_GQ + w_GQK.sum(axis=2)
            factor_GQK = tile_factors(of_group, tile, dtype)
            w_GQK = w_GQK if factor_GQK is None else w_GQK * factor_GQK
            acc_GQE = acc_GQE * fade_GQ[:, :, None] + product("GQK,GKE->GQE", w_GQK, v_tile)
            new = acc_GQE, new_GQ, total_GQ
            return tuple(tile.q_set(old, x) for old, x in zip(state, new, strict=True))

        shape = plan.group, plan.q_padded
        acc_GQE = jnp.zeros((*shape, v_GKE.shape[2]), dtype)
        start = acc_GQE, jnp.full(shape, -jnp.inf, dtype), jnp.zeros(shape, dtype)
        acc_GQE, top_GQ, total_GQ = over_tiles(tile_body, start, plan)
        total_GQ = jnp.where(total_GQ > 0, total_GQ, 1)
        lse_GQ = jnp.where(top_GQ == -jnp.inf, 0, top_GQ + jnp.log(total_GQ))
        return None, ((acc_GQE / total_GQ[:, :, None]).astype(v_GKE.dtype), lse_GQ)

    arrays = q_RQD, k_RKD, v_RKE
    _, (out_RQE, lse_RQ) = over_groups(group_body, None, arrays, plan, static.heads)
    return out_RQE, (q_RQD, k_RKD, v_RKE, extras, out_RQE, lse_RQ)


def _backward(static: Static, saved: Tree, g_RQE: jax.Array) -> tuple[Any, ...]:
    """Gradients of queries, keys, values and bias, from the gradient of the output.

    Gradients of keys and values are summed transposed, [D, K]: a product whose left side is
    transposed takes a CPU twice as long.
    """
    q_RQD, k_RKD, v_RKE, extras, out_RQE, lse_RQ = saved
    dtype = lse_RQ.dtype
    plan = static.plan(len(q_RQD), extras.mask)
    delta_RQ = jnp.einsum("RQE,RQE->RQ", g_RQE, out_RQE, preferred_element_type=dtype)

    def group_body(d_bias: Tree, take: TakeRows, *arrays: jax.Array) -> tuple[Tree, tuple]:
        q_GQD, k_GKD, v_GKE, g_GQE, lse_GQ, delta_GQ = arrays
        of_group: Extras = take(extras)
        q_GQD = q_GQD * jnp.asarray(static.scale, q_GQD.dtype)
        q_GDQ, g_GEQ = q_GQD.swapaxes(1, 2), g_GQE.swapaxes(1, 2)

        def tile_body(state: tuple, tile: Tile, masked: bool) -> tuple:
            dq_GQD, dk_GDK, dv_GEK, d_group = state
            k_tile, v_tile = tile.k_of(k_GKD), tile.k_of(v_GKE)
            q_tile, k_len = tile.q_of(q_GQD), static.k_len
            s_GQK = tile_scores(of_group, tile, q_tile, k_tile, k_len, masked=masked)
            w_GQK = jnp.exp(s_GQK - tile.q_of(lse_GQ)[:, :, None])
            dw_GQK = product("GQE,GKE->GQK", tile.q_of(g_GQE), v_tile, dtype)
            factor_GQK, kept_GQK = tile_factors(of_group, tile, dtype), w_GQK
            if factor_GQK is not None:
                kept_GQK, dw_GQK = w_GQK * factor_GQK, dw_GQK * factor_GQK
            ds_GQK = w_GQK * (dw_GQK - tile.q_of(delta_GQ)[:, :, None])
            if of_group.bias is not None:
                ds_G1QK, corner = ds_GQK[:, None], (tile.q_first, tile.k_first)
                d_group = of_group.bias.pulled(d_group, ds_G1QK, *corner)
            dq_tile = tile.q_of(dq_GQD) + product("GQK,GKD->GQD", ds_GQK, k_tile)
            dk_tile = tile.k_of(dk_GDK, 2) + product("GDQ,GQK->GDK", tile.q_of(q_GDQ, 2), ds_GQK)
            dv_tile = tile.k_of(dv_GEK, 2) + product("GEQ,GQK->GEK", tile.q_of(g_GEQ, 2), kept_GQK)
            return (
                tile.q_set(dq_GQD, dq_tile),
                tile.k_set(dk_GDK, dk_tile, 2),
                tile.k_set(dv_GEK, dv_tile, 2),
                d_group,
            )

        start = [jnp.zeros(x.shape, dtype) for x in (q_GQD, k_GKD.mT, v_GKE.mT)]
        d_group = jax.tree.map(jnp.zeros_like, of_group.bias)
        dq_GQD, dk_GDK, dv_GEK, d_group = over_tiles(tile_body, (*start, d_group), plan)
        if of_group.bias is not None:
            (more,) = jax.vjp(take, extras.bias)[1](d_group)
            d_bias = jax.tree.map(jnp.add, d_bias, more)
        return d_bias, (dq_GQD * static.scale, dk_GDK.mT, dv_GEK.mT)

    d_bias = jax.tree.map(jnp.zeros_like, extras.bias)
    arrays = q_RQD, k_RKD, v_RKE, g_RQE, lse_RQ, delta_RQ
    d_bias, grads = over_groups(group_body, d_bias, arrays, plan, static.heads)
    grads = (d.astype(x.dtype) for d, x in zip(grads, arrays[:3], strict=True))
    return *grads, Extras(None, d_bias, None)  # type: ignore[arg-type]


_attention.defvjp(_forward, _backward)

"""What cross-attention asks, its memory, and what it gives; beams of one sentence ask together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention.shapes import Tree

Memory = tuple[jax.Array, jax.Array]  # keys and values: k_BKHD, v_BKHE


class Asked(NamedTuple):
    """What cross-attention gives.

    Attributes:
      out_BQM: its output.
      beside_BQX: of X features that stand beside the memory's values, the mean of the heads.
      carry: what the next step finds.
    """

    out_BQM: jax.Array
    beside_BQX: jax.Array
    carry: Tree


def pointing(memory: Memory) -> Memory:
    """The memory with one feature for each of its keys beside its values.

    What is gathered of them is how much each key weighs, in the same sums as the values.
    """
    k_BKHD, v_BKHE = memory
    batch, length, heads, _ = v_BKHE.shape
    eye_1K1K = jnp.eye(length, dtype=v_BKHE.dtype)[None, :, None]
    eye_BKHK = jnp.broadcast_to(eye_1K1K, (batch, length, heads, length))
    return k_BKHD, jnp.concatenate([v_BKHE, eye_BKHK], axis=-1)


def by_beams(
    step: Callable[..., tuple[jax.Array, Tree]],
    carry: Tree,
    qkv: tuple[jax.Array, ...],
    mask: Any,
) -> tuple[jax.Array, Tree]:
    """A carrying attention's step, each beam's queries with what that beam carries.

    Args:
      step: ``extend_cross``, given its parameters and state.
      carry: what each of B·N rows carries, the N beams of a sentence standing together.
      qkv: their queries, q_BXHD, those of N beams after one another; and the keys and values of
        the memory, k_BKHD and v_BKHE, which are not copied.
      mask: who may look at whom, the same for all beams.

    Returns:
      out_BXHE, and what is carried after it.
    """
    q_BXHD, k_BKHD, v_BKHE = qkv
    rows = len(q_BXHD)

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(rows, -1, *x.shape[1:])

    def joined(x: jax.Array) -> jax.Array:
        return x.reshape(-1, *x.shape[2:])

    def of_beam(carry: Tree, q_BQHD: jax.Array) -> tuple[jax.Array, Tree]:
        return step(carry, q_BQHD, k_BKHD, v_BKHE, mask)

    carry = jax.tree.map(split, carry)
    beams = jax.tree.leaves(carry)[0].shape[1]
    q_BNQHD = q_BXHD.reshape(rows, beams, -1, *q_BXHD.shape[2:])
    out_BNQHE, carry = jax.vmap(of_beam, in_axes=1, out_axes=1)(carry, q_BNQHD)
    return out_BNQHE.reshape(rows, -1, *out_BNQHE.shape[3:]), jax.tree.map(joined, carry)

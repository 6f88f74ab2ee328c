"""The memory and the output of cross-attention, and its steps for several beams of a sentence."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from attention.shapes import Tree

Memory = tuple[jax.Array, jax.Array]  # keys and values: k_BKHD, v_BKHE


class CrossAttentionOutput(NamedTuple):
    """What cross-attention returns where weights are needed.

    Attributes:
      out_BQM: its output.
      weights_BQK: the weight of each key, the mean of the heads, at least float32.
      alignment_state: the state after these queries, of an attention that keeps an alignment.
    """

    out_BQM: jax.Array
    weights_BQK: jax.Array
    alignment_state: Tree


def by_beams(
    step: Callable[..., tuple[jax.Array, Tree]],
    alignment_state: Tree,
    qkv: tuple[jax.Array, ...],
    mask: Any,
) -> tuple[jax.Array, Tree]:
    """A step of an attention that keeps an alignment, for each beam with its own state.

    Args:
      step: ``extend_cross``, given its parameters and state.
      alignment_state: of each of B·N rows, the N beams of a sentence standing together.
      qkv: their queries, q_BXHD, those of N beams after one another; and the keys and values of
        the memory, k_BKHD and v_BKHE, which are not copied.
      mask: who may look at whom, the same for all beams.

    Returns:
      out_BXHE, and the state after it.
    """
    q_BXHD, k_BKHD, v_BKHE = qkv
    rows = len(q_BXHD)

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(rows, -1, *x.shape[1:])

    def joined(x: jax.Array) -> jax.Array:
        return x.reshape(-1, *x.shape[2:])

    def of_beam(state: Tree, q_BQHD: jax.Array) -> tuple[jax.Array, Tree]:
        return step(state, q_BQHD, k_BKHD, v_BKHE, mask)

    state = jax.tree.map(split, alignment_state)
    beams = jax.tree.leaves(state)[0].shape[1]
    q_BNQHD = q_BXHD.reshape(rows, beams, -1, *q_BXHD.shape[2:])
    out_BNQHE, state = jax.vmap(of_beam, in_axes=1, out_axes=1)(state, q_BNQHD)
    return out_BNQHE.reshape(rows, -1, *out_BNQHE.shape[3:]), jax.tree.map(joined, state)

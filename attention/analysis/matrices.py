"""Who weighs how much for whom, of any Attention or TokenMixer."""

from typing import Any

import jax
import jax.numpy as jnp

from attention.protocols import Attention, TokenMixer
from attention.shapes import Tree


def effective_matrix(
    attend: Attention,
    params: Tree,
    state: Tree,
    q_BQHD: jax.Array,
    k_BKHD: jax.Array,
    mask: Any,
    *,
    bias: Any = None,
    x_BTM: jax.Array | None = None,
) -> jax.Array:
    """A_BHQK with out = A v: what ``attend`` returns where the values are the identity.

    Where values take two ways, as in Longformer, it is what the attention's ``gather`` returns.

    Args:
      attend: an attention that does not mix channels; all are linear in the values.
      params: its parameters.
      state: its state.
      q_BQHD: queries.
      k_BKHD: keys.
      mask: who may look at whom.
      bias: added to the scores, where the attention takes one.
      x_BTM: the layer's input, where the attention needs it.

    Returns:
      The weight of key k in the output of query q, [B, H, Q, K].
    """
    batch, length, heads, _ = k_BKHD.shape
    eye_1K1K = jnp.eye(length, dtype=k_BKHD.dtype)[None, :, None, :]
    v_BKHK = jnp.broadcast_to(eye_1K1K, (batch, length, heads, length))
    out_BQHK, _ = attend.gather(params, state, q_BQHD, k_BKHD, v_BKHK, mask, bias=bias, x_BTM=x_BTM)
    return jnp.swapaxes(out_BQHK, 1, 2)


def influence_matrix(
    mixer: TokenMixer, params: Tree, state: Tree, x_BTM: jax.Array, mask: Any
) -> jax.Array:
    """How much each position's output moves with each position's input, where channels mix.

    Args:
      mixer: what mixes.
      params: its parameters.
      state: its state.
      x_BTM: the layer's input, at which the derivative is taken.
      mask: what is padding, and whether the future is hidden.

    Returns:
      The Frobenius norm of the derivative of output q by input k, [B, 1, Q, K]. It is worked out
      input by input, with T·M² numbers in memory.
    """

    def of_row(row: Tree) -> jax.Array:
        x_TM, mask = row
        mask = jax.tree.map(lambda leaf: leaf[None], mask)

        def of_input(k: jax.Array) -> jax.Array:
            def out(x_M: jax.Array) -> jax.Array:
                return mixer.mix(params, state, x_TM.at[k].set(x_M)[None], mask)[0][0]

            derivative_QMM = jax.jacfwd(out)(x_TM[k])
            return jnp.sqrt((derivative_QMM**2).sum(axis=(1, 2)))

        return jax.lax.map(of_input, jnp.arange(len(x_TM))).T

    mask = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(x_BTM), *leaf.shape[1:])), mask)
    return jax.lax.map(of_row, (x_BTM, mask))[:, None]

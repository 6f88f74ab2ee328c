"""The base of attentions that carry their alignment from each query to the next.

An alignment is how much of each key is gathered, α_BHK.
"""

import abc
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels import Inputs
from attention.protocols import Capabilities, StatefulCrossAttention
from attention.shapes import Sizes, Tree, accumulator

Step = Callable[[jax.Array, Tree], jax.Array]  # from an alignment, and what the next query brings


class AligningAttention(StatefulCrossAttention):
    """An attention that says what the first query finds, and how an alignment becomes the next."""

    @abc.abstractmethod
    def first(self, k_len: int) -> jax.Array:
        """What the first query finds, [K]."""

    @abc.abstractmethod
    def steps(
        self,
        params: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        real_BK: jax.Array,
        rng: jax.Array | None,
    ) -> tuple[Tree, Step]:
        """What each query brings, every leaf with [Q, B, H] first, and how an alignment goes on."""

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        dtype = accumulator(inputs.v_BKHE.dtype)
        batch, k_len, heads, _ = inputs.k_BKHD.shape
        alignment_BHK = jnp.broadcast_to(self.first(k_len), (batch, heads, k_len)).astype(dtype)
        out_BQHE, _ = self._gathered(params, alignment_BHK, inputs, rng)
        return out_BQHE, state

    def start_cross(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, k_len: int, dtype: Any
    ) -> Tree:
        """The alignment that the first query finds."""
        shape = (batch, sizes.heads, k_len)
        alignment_BHK = jnp.broadcast_to(self.first(k_len), shape).astype(accumulator(dtype))
        return {"alignment_BHK": alignment_BHK}

    def extend_cross(
        self,
        params: Tree,
        state: Tree,
        alignment: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any = None,
    ) -> tuple[jax.Array, Tree]:
        """Gathers values for the next Q queries."""
        inputs = self._read(q_BQHD, k_BKHD, v_BKHE, mask, None, None)
        out_BQHE, alignment_BHK = self._gathered(params, alignment["alignment_BHK"], inputs, None)
        return out_BQHE, {"alignment_BHK": alignment_BHK}

    def _gathered(
        self,
        params: Tree,
        alignment_BHK: jax.Array,
        inputs: Inputs,
        rng: jax.Array | None,
    ) -> tuple[jax.Array, jax.Array]:
        """The outputs, and the last alignment; a query that is padding is passed over."""
        q_BQHD, k_BKHD, v_BKHE = inputs[:3]
        of_queries, step = self.steps(params, q_BQHD, k_BKHD, inputs.k_real_BK, rng)

        @partial(jax.checkpoint, prevent_cse=False)
        def body(alignment_BHK: jax.Array, query: Tree) -> tuple[jax.Array, jax.Array]:
            of_query, real_B = query
            real_B11 = real_B[:, None, None]
            new_BHK = step(alignment_BHK, of_query)
            return jnp.where(real_B11, new_BHK, alignment_BHK), jnp.where(real_B11, new_BHK, 0)

        queries = of_queries, inputs.q_real_BQ.swapaxes(0, 1)
        alignment_BHK, w_QBHK = lax.scan(body, alignment_BHK, queries)
        out_BQHE = jnp.einsum(
            "QBHK,BKHE->BQHE",
            w_QBHK.astype(v_BKHE.dtype),
            v_BKHE,
            preferred_element_type=w_QBHK.dtype,
        )
        return out_BQHE.astype(v_BKHE.dtype), alignment_BHK


def capabilities(*, time: str) -> Capabilities:
    """What all of them declare."""
    return Capabilities(
        cross=True,
        decoding="stateful",
        normalised=True,
        masks="padding and causal",
        time=time,
        memory="h·n²",
    )

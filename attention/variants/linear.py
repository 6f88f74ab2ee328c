"""Linear attention (Katharopoulos et al. 2020).

"Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import reordered
from attention.shapes import Abilities, Sizes, Tree
from attention.variants.refusals import check_no_bias


@dataclass(frozen=True)
class Linear:
    """φ(q)ᵀ Σ φ(k) vᵀ / φ(q)ᵀ Σ φ(k), with φ(x) = elu(x) + 1 (equations 5 and 7).

    The sums are over all keys, or, causally, over those up to the query (equations 10 to 12).

    Cost: (Q + K)·D·E multiply-adds a head, causally also Q·64·(D + E); a cached step costs 2·D·E,
    whatever the prefix, of which it keeps D·(E + 1) numbers.

        >>> x_BTHD = jnp.ones((1, 3, 2, 4))
        >>> Linear().attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    abilities: ClassVar[Abilities] = Abilities(
        causal="exact",
        cross=True,
        bias=False,
        decoding="cached",
        masks="plain",
        time="n·d²/h",
        memory="n·d",
    )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """No parameters and no state."""
        return {}, {}

    def attend(
        self,
        params: Tree,
        state: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Gathers values; the mask is one that ``masks.plainly`` reads."""
        check_no_bias(self, bias)
        out_BQHE, _ = _gather(reordered.read(self, q_BQHD, k_BKHD, v_BKHE, mask))
        return out_BQHE.astype(v_BKHE.dtype), state

    def start(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A cache of constant size, whatever the ``length``."""
        return reordered.start_sums(sizes, batch, sizes.size, dtype)

    def extend(
        self,
        params: Tree,
        state: Tree,
        cache: Tree,
        q_BQHD: jax.Array,
        k_BQHD: jax.Array,
        v_BQHE: jax.Array,
        mask: Any,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Adds Q positions to the sums, and attends from them, causally."""
        check_no_bias(self, bias)
        out_BQHE, cache = _gather(reordered.read(self, q_BQHD, k_BQHD, v_BQHE, mask, cache))
        return out_BQHE.astype(v_BQHE.dtype), cache


def _gather(asked: reordered.Read) -> tuple[jax.Array, Tree]:
    return reordered.by_sums(asked, _features(asked.q_BQHD), _features(asked.k_BKHD))


def _features(x: jax.Array) -> jax.Array:
    """elu(x) + 1 = exp(x) for negative x, of which ``elu`` would round away the small ones."""
    return jnp.where(x > 0, x + 1, jnp.exp(jnp.minimum(x, 0)))

"""Local attention: a window around each query, as truncated self-attention has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from attention.kernels import cache as cache_of_heads
from attention.kernels import softmax_attention
from attention.masks import Window, as_mask
from attention.shapes import Abilities, Sizes, Tree, check_one_sequence


@dataclass(frozen=True)
class Local:
    """Softmax attention from i to the keys i - left .. i + right.

    Under a causal mask only the left half is left. A few keys of look-ahead (``right``) serve
    streaming; the path between two positions is their distance divided by the window.

    Attributes:
      left, right: how many keys before and after its own position a query sees.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(left + right + 1)·(D + E) multiply-adds a head; a cached step keeps ``left`` keys.

    Raises:
      ValueError: left or right is negative.

        >>> import jax.numpy as jnp
        >>> from attention.masks import Causal
        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> out_BTHE, _ = Local(left=2).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, Causal())
        >>> out_BTHE.shape
        (1, 9, 2, 4)
    """

    left: int = 64
    right: int = 64
    dropout_rate: float = 0.0
    kernel: str = "auto"

    abilities: ClassVar[Abilities] = Abilities(
        causal="exact", cross=False, bias=True, decoding="cached", grouped=True
    )

    def __post_init__(self) -> None:
        Window(self.left, self.right)

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
        """Gathers values; ``rng`` given means training (dropout)."""
        check_one_sequence(self, q_BQHD, k_BKHD)
        out_BQHE = softmax_attention(
            q_BQHD,
            k_BKHD,
            v_BKHE,
            as_mask(mask) & Window(self.left, self.right),
            bias=bias,
            dropout_rate=self.dropout_rate,
            rng=rng,
            kernel=self.kernel,
        )
        return out_BQHE, state

    def start(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A ring for the last ``left`` positions; every leaf has the batch axis first."""
        return cache_of_heads.empty(sizes, batch, max(1, min(self.left, length)), dtype)

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
    ) -> tuple[jax.Array, Tree]:
        """Attends causally from Q new positions to the ring and to themselves; then keeps them."""
        near = as_mask(mask) & Window(self.left, self.right)
        return cache_of_heads.extend_ring(cache, q_BQHD, k_BQHD, v_BQHE, near, bias=bias)

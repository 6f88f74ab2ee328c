"""Local attention: a window around each query, as truncated self-attention has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.biases import Bias
from attention.kernels import softmax_attention
from attention.kernels.step import step_attention
from attention.masks import Causal, Window, as_mask
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
        heads, width = sizes.kv_heads or sizes.heads, max(1, min(self.left, length))
        return {
            "k_BWHD": jnp.zeros((batch, width, heads, sizes.size), dtype),
            "v_BWHE": jnp.zeros((batch, width, heads, sizes.value_size), dtype),
            "index_B": jnp.zeros((batch,), jnp.int32),
        }

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
        """Attends causally from Q new positions to the ring and to themselves; then keeps them.

        ``mask``, and ``bias`` if it is a Bias, speak of absolute positions; each row stands at its
        own ``index_B``.
        """
        new, width = q_BQHD.shape[1], cache["k_BWHD"].shape[1]
        q_pos_BQ = cache["index_B"][:, None] + jnp.arange(new)[None]
        ring_pos_BW = _positions(cache["index_B"], width)
        pos_BK = jnp.concatenate([ring_pos_BW, q_pos_BQ], axis=1)
        k_BKHD, v_BKHE = (
            jnp.concatenate([cache[name], x.astype(cache[name].dtype)], axis=1)
            for name, x in (("k_BWHD", k_BQHD), ("v_BWHE", v_BQHE))
        )
        q_pos, k_pos = q_pos_BQ[:, None, :, None], pos_BK[:, None, None, :]
        seen_before = jnp.maximum(k_pos, 0)
        within = Causal() & Window(self.left, 0) & as_mask(mask)
        see_BHQK = within.at(q_pos, seen_before) & (k_pos >= 0)
        if isinstance(bias, Bias):
            bias = bias.at(q_pos, seen_before)
        elif bias is not None:
            bias = jnp.take_along_axis(bias, seen_before, axis=3, mode="clip")
        out_BQHE = step_attention(
            q_BQHD, k_BKHD.swapaxes(1, 2), _finite(v_BKHE, see_BHQK).swapaxes(1, 2), see_BHQK,
            bias=bias,
        )  # fmt: skip
        last = min(new, width)
        slots_BL, rows_B1 = q_pos_BQ[:, -last:] % width, jnp.arange(len(q_pos_BQ))[:, None]
        return out_BQHE, {
            "k_BWHD": cache["k_BWHD"].at[rows_B1, slots_BL].set(k_BKHD[:, -last:]),
            "v_BWHE": cache["v_BWHE"].at[rows_B1, slots_BL].set(v_BKHE[:, -last:]),
            "index_B": cache["index_B"] + new,
        }


def _positions(index_B: jax.Array, width: int) -> jax.Array:
    """The position that each slot of the ring holds, negative where it holds none yet."""
    slot_1W = jnp.arange(width)[None]
    last_B1 = index_B[:, None] - 1
    return last_B1 - (last_B1 - slot_1W) % width


def _finite(v_BKHE: jax.Array, see_BHQK: jax.Array) -> jax.Array:
    """Zeroes the values that no query sees: what stands in padding may not even be finite."""
    seen_BHK, heads = see_BHQK.any(axis=2), v_BKHE.shape[2]
    if seen_BHK.shape[1] > heads:  # by any of the heads that share a value
        seen_BHK = seen_BHK.reshape(len(seen_BHK), heads, -1, seen_BHK.shape[2]).any(axis=2)
    return jnp.where(seen_BHK.swapaxes(1, 2)[..., None], v_BKHE, 0)

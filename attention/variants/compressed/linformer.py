"""Linformer: Wang et al. 2020, "Linformer: Self-Attention with Linear Complexity"."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import Inputs, softmax_attention
from attention.masks.arrays import check_whole
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator

SHARING = ("none", "heads", "keys_values", "layers")


@dataclass(frozen=True)
class Linformer(Attention):
    """softmax(Q (E K)ᵀ / sqrt(D)) F V (equation 7): all keys are projected to R rows, and values.

    Row r of E K weighs the key at each position by a learned number, so that E and F hold for one
    length, to which keys and values are filled up with zeros; padding is zero too. Every query sees
    mixtures of all keys: it cannot be causal, and weights of a query's keys do not sum to one.

    Attributes:
      length: L, to which keys and values are filled up, in tokens; at most so many may come.
      rank: R, the rows to which they are projected.
      sharing: what has the same E and F (section 4): "none", each head its own; "heads", one E and
        one F for all heads; "keys_values", E = F for all heads; "layers", that of all layers too.
      dropout_rate: share of attention weights, of projected rows, dropped in training.

    Cost: Q·R·(D + E) multiply-adds a head, and K·R·(D + E) for the projections.

    Raises:
      ValueError: a number is out of range, sharing is unknown, or, in use, there are more keys than
        ``length``.

        >>> linformer, x_BTHD = Linformer(length=8, rank=2), jnp.ones((1, 5, 2, 4))
        >>> params, _ = linformer.init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> params["keys"].shape
        (2, 2, 8)
        >>> linformer.attend(params, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 5, 2, 4)
    """

    name: ClassVar[str] = "linformer"

    length: int = 512
    rank: int = 128
    sharing: str = "none"
    dropout_rate: float = 0.0

    capabilities: ClassVar[Capabilities] = Capabilities(
        cross=True,
        fixed_length=True,
        masks="padding and causal",
        time="n·r·d",
        memory="n·d",
        attends_globally="all",
    )

    def __post_init__(self) -> None:
        check_whole(self, 1, "length", "rank")
        if self.rank > self.length:
            raise ValueError(f"Linformer(rank={self.rank}): needs at most length, {self.length}")
        if self.sharing not in SHARING:
            raise ValueError(
                f"Linformer(sharing={self.sharing!r}): needs one of {', '.join(SHARING)}"
            )
        if not 0.0 <= self.dropout_rate < 1.0:
            raise ValueError(f"Linformer(dropout_rate={self.dropout_rate}): needs to be in [0, 1)")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """E as "keys" and F as "values", [H, R, L] or, shared, [R, L]; nothing for "layers"."""
        return ({} if self.sharing == "layers" else self._projections(rng, sizes)), {}

    def params_shared(self, rng: jax.Array, sizes: Sizes) -> Tree:
        """What all layers share, to be merged into the parameters of each: E for "layers"."""
        return self._projections(rng, sizes) if self.sharing == "layers" else {}

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        out_BQHE = softmax_attention(
            inputs.q_BQHD,
            _projected(params["keys"], inputs.k_BKHD),
            _projected(params.get("values", params["keys"]), inputs.v_BKHE),
            dropout_rate=self.dropout_rate,
            rng=rng,
        )
        return jnp.where(inputs.q_real_BQ[:, :, None, None], out_BQHE, 0), state

    def _projections(self, rng: jax.Array, sizes: Sizes) -> Tree:
        """Normal, of variance 1/R as in theorem 1: on average EᵀE = 1, so that products stay."""
        names = ("keys", "values") if self.sharing in ("none", "heads") else ("keys",)
        heads, axes = ((sizes.heads,), ("heads",)) if self.sharing == "none" else ((), ())
        shape = (*heads, self.rank, self.length)
        return {
            name: WithAxes(
                jax.random.normal(leaf_rng, shape) / math.sqrt(self.rank), (*axes, None, None)
            )
            for name, leaf_rng in zip(names, jax.random.split(rng, len(names)), strict=True)
        }


def _projected(w_HRL: jax.Array, x_BKHD: jax.Array) -> jax.Array:
    """E K or F V, [B, R, H, D]; w is of each head or of all, and positions beyond K are zero."""
    dtype, w_HRK = x_BKHD.dtype, w_HRL[..., : x_BKHD.shape[1]]
    of_head = "HRK" if w_HRL.ndim == 3 else "RK"
    return jnp.einsum(
        f"{of_head},BKHD->BRHD",
        w_HRK.astype(dtype),
        x_BKHD,
        preferred_element_type=accumulator(dtype),
    ).astype(dtype)

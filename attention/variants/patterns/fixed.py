"""Fixed attention: Child et al. 2019, "Generating Long Sequences with Sparse Transformers"."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention import masks
from attention.kernels import Inputs
from attention.kernels.decode import cache as cache_of_heads
from attention.protocols import Capabilities
from attention.shapes import Sizes, Tree
from attention.variants.patterns.base import CAUSAL, PatternAttention, halves


@dataclass(frozen=True)
class Fixed(PatternAttention):
    """The own block, and the last positions of every block (section 4.2, "fixed").

    Those summary positions pass on what their block holds.

    Attributes:
      block: l, the positions of a block.
      summary: c, how many keys at the end of a block all may see.
      split: half of the heads (one more of an odd number) see their block alone, the others the
        summaries; otherwise all see the union.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(l + K·c/l)·(D + E) multiply-adds a head, half of that under a causal mask. A cached
    step keeps l keys and the summaries of the blocks before.

    Raises:
      ValueError: block or summary is below 1, or summary exceeds block; in use, split is asked of
        one head.

        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> Fixed(block=3).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, masks.Causal())[0].shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "fixed"

    block: int = 16
    summary: int = 2
    split: bool = False
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = replace(CAUSAL, time="n·√n·d")

    def __post_init__(self) -> None:
        self.pattern(2)

    def pattern(self, heads: int) -> masks.Mask:
        """The union, or the two by head."""
        if not self.split:
            return masks.Fixed(self.block, self.summary)
        local = masks.Fixed(self.block, self.summary, columns=False)
        columns = masks.Fixed(self.block, self.summary, local=False)
        return halves(self, local, columns, heads)

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A ring for the last ``block`` positions, and room for the summaries of blocks before."""
        summaries = self.summary * (length // self.block)
        return {
            "ring": cache_of_heads.empty(sizes, batch, min(self.block, length), dtype),
            "summaries": cache_of_heads.empty(sizes, batch, max(1, summaries), dtype),
        }

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        q_BQHD, k_BQHD, v_BQHE, mask, bias, _ = inputs
        ring, summaries = cache["ring"], cache["summaries"]
        index_B, new = ring["index_B"], q_BQHD.shape[1]
        room, width = summaries["k_BHKD"].shape[2], ring["k_BHKD"].shape[2]
        # A summary counts where it has left the ring; until then it is seen there.
        nth_1S = jnp.arange(room)[None]
        pos_1S = nth_1S // self.summary * self.block + nth_1S % self.summary
        pos_1S = pos_1S + self.block - self.summary
        pos_BS = jnp.where(pos_1S < index_B[:, None] - width, pos_1S, -1)
        q_pos_BQ = index_B[:, None] + jnp.arange(new)[None]
        pos_BK = [pos_BS, cache_of_heads.ring_positions(index_B, width), q_pos_BQ]
        k_BHKD, v_BHKE = (
            jnp.concatenate(
                [summaries[name], ring[name], x.swapaxes(1, 2).astype(ring[name].dtype)], axis=2
            )
            for name, x in (("k_BHKD", k_BQHD), ("v_BHKE", v_BQHE))
        )
        near = mask & self.pattern(q_BQHD.shape[2])
        out_BQHE = cache_of_heads.attend_to_positions(
            q_BQHD, q_pos_BQ, k_BHKD, v_BHKE, jnp.concatenate(pos_BK, axis=1), near, bias
        )
        place_BQ = q_pos_BQ % self.block - (self.block - self.summary)
        slot_BQ = jnp.where(place_BQ >= 0, q_pos_BQ // self.block * self.summary + place_BQ, room)
        kept = {
            "k_BHKD": cache_of_heads.write(summaries["k_BHKD"], k_BQHD, slot_BQ),
            "v_BHKE": cache_of_heads.write(summaries["v_BHKE"], v_BQHE, slot_BQ),
            "index_B": index_B + new,
        }
        ring = cache_of_heads.write_ring(ring, k_BQHD, v_BQHE)
        return out_BQHE, {"ring": ring, "summaries": kept}

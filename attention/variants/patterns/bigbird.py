"""BigBird: Zaheer et al. 2020, "Big Bird: Transformers for Longer Sequences"."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention import masks
from attention.kernels import Inputs
from attention.protocols import Capabilities
from attention.variants.patterns.base import PatternAttention


@dataclass(frozen=True)
class BigBird(PatternAttention):
    """Near, random and global blocks of tokens (section 2 and appendix D, BigBird-ITC).

    A block sees itself and its two neighbours, a few blocks drawn at random, and the first and the
    last block of its sequence, which see all. The last block is that of each sequence's true
    length. The random blocks are drawn once, for sequences of ``length`` tokens and the same for
    all heads; a shorter sequence sees those of them that it has.

    Attributes:
      block: tokens of a block, b.
      random: random blocks that a block sees, r.
      length: the most tokens of a sequence.
      seed: of the draw; give layers seeds of their own where they are to see other blocks.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(5 + r)·b·(D + E) multiply-adds a head, and 2·K·b·(D + E) for the rows of global blocks.

    Raises:
      ValueError: block, random or length is below 1; in use, a sequence exceeds ``length``.

        >>> x_BTHD = jnp.ones((1, 12, 2, 4))
        >>> BigBird(block=2, random=1).attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 12, 2, 4)
    """

    name: ClassVar[str] = "bigbird"

    block: int = 64
    random: int = 3
    length: int = 4_096
    seed: int = 0
    dropout_rate: float = 0.0
    kernel: str = "auto"

    capabilities: ClassVar[Capabilities] = Capabilities(
        bias=True,
        grouped=True,
        time="n·b·d",
        memory="n·d",
        attends_globally="block",
    )

    def __post_init__(self) -> None:
        self._drawn()

    @property
    def longest(self) -> int:
        """For so many tokens the random blocks are drawn."""
        return self.length

    def pattern(self, heads: int, lengths_B: Any = None) -> masks.Mask:
        """Who may attend to whom in sequences of these lengths; of ``length`` by default."""
        lengths_B = jnp.array([self.length]) if lengths_B is None else lengths_B
        return (
            masks.NearBlocks(self.block)
            | self._drawn()
            | masks.Global(self.block)
            | masks.LastBlock(self.block, lengths_B)
        )

    def _drawn(self) -> masks.Mask:
        in_all = -(-self.length // self.block) if self.block > 0 else 1
        return masks.RandomBlocks(
            self.block, self.random, in_all, seed=self.seed, apart=2, ends=False
        )

    def _pattern(self, inputs: Inputs) -> masks.Mask:
        lengths_B = true_lengths(inputs.mask, inputs.k_BKHD.shape[1])
        return self.pattern(inputs.q_BQHD.shape[2], lengths_B)


def true_lengths(mask: masks.Mask, length: int) -> jax.Array:
    """Up to and with the last token that is not padding, int [B or 1]."""
    real_BT = mask.padding(None, length)[1]
    if real_BT is None:
        return jnp.array([length])
    return jnp.max(jnp.where(real_BT, jnp.arange(1, length + 1), 0), axis=1)

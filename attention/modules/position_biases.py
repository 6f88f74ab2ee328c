"""Positions told by a bias on the scores of self-attention: makers of ``attention.biases`` values.

Each is a module that, called, gives the bias; one serves all layers of a stack, as in T5.
"""

import flax.linen as nn
import jax

from attention.biases import ALiBi, Bias, Relative
from attention.modules.parameters import parameter


class ALiBiPositions(nn.Module):
    """Fixed slopes by head (Press et al. 2022); no parameters.

    Attributes:
      heads: H.
      bidirectional: whether keys after the query are looked at; makes no difference here.
    """

    heads: int
    bidirectional: bool

    @nn.compact
    def __call__(self) -> Bias:
        return ALiBi.of(self.heads)


class RelativePositions(nn.Module):
    """A trained scalar for each head and bucket of distances (Raffel et al. 2020, "T5").

    Attributes:
      heads: H.
      bidirectional: keys after the query have buckets of their own.
      buckets: R.
      max_distance: tokens from which on all share the last bucket.
    """

    heads: int
    bidirectional: bool
    buckets: int = 32
    max_distance: int = 128

    @nn.compact
    def __call__(self) -> Bias:
        table_RH: jax.Array = parameter(
            self,
            "embedding",
            nn.initializers.normal(stddev=0.02),
            ("position", "heads"),
            (self.buckets, self.heads),
        )
        return Relative(table_RH.T[None, :, :, None], self.max_distance, self.bidirectional)

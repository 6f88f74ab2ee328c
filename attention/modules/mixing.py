"""A layer around any TokenMixer, with the methods that ``MultiHead`` has for self-attention."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from attention.modules.attention.variables import AttentionVariables
from attention.modules.dropout import dropout_rng
from attention.protocols import Needs, TokenMixer, require
from attention.shapes import Sizes, Tree
from attention.variants.mixers.fnet import FNet


class TokenMixing(nn.Module):
    """Lets positions mix without queries, keys and values, and without a second sequence.

    Training (dropout) is on when an rng named "dropout" is given to ``apply``.

    Attributes:
      heads: number of heads, for mixers that have any.
      mixer: a value from ``attention.variants``.
      dtype: compute dtype; parameters are float32.

        >>> from attention.variants import FNet
        >>> layer = TokenMixing(heads=2, mixer=FNet())
        >>> x_BTM = jnp.ones((1, 5, 8))
        >>> layer.apply({}, x_BTM).shape
        (1, 5, 8)
    """

    heads: int = 1
    mixer: TokenMixer = FNet()
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.attention_variables = AttentionVariables(self.mixer, name="own")

    def __call__(
        self,
        x_BTM: jax.Array,
        memory_BKM: jax.Array | None = None,
        mask: Any = None,
        *,
        bias: Any = None,
        shared: Tree = None,
    ) -> jax.Array:
        """Mixes the positions of one sequence.

        Args:
          x_BTM: the sequence.
          memory_BKM: None; there is no second sequence.
          mask: ``Causal``, ``Lengths`` and ``Valid`` joined by &, or None.
          bias: None; there are no scores.
          shared: the mixer's parameters that a stack shares; the layer's own if None.

        Returns:
          out_BTM; zero at padding.

        Raises:
          NotImplementedError: the mixer cannot do what is asked.
          ValueError: shapes do not fit.
        """
        if x_BTM.ndim != 3:
            raise ValueError(
                f"x_BTM has shape {x_BTM.shape}; it needs three axes: batch, length, features"
            )
        require(self.mixer, Needs(cross=memory_BKM is not None, bias=bias is not None))
        x_BTM = x_BTM.astype(self.dtype)
        rng = dropout_rng(self)
        params, state = self.attention_variables(self._sizes(x_BTM.shape[-1]), shared)
        self.sow("intermediates", "mixed", (params, state, x_BTM, mask))
        out_BTM, state = self.mixer.mix(params, state, x_BTM, mask, rng=rng)
        self.attention_variables.keep(state)
        return out_BTM

    def start(self, batch: int, length: int, model_size: int) -> Tree:
        """An empty cache of ``length`` positions for ``extend``."""
        require(self.mixer, Needs(cached=True))
        sizes = self._sizes(model_size)
        params, state = self.attention_variables(sizes)
        return self.mixer.init_cache(params, state, sizes, batch, length, self.dtype)

    def extend(
        self,
        cache: Tree,
        x_BQM: jax.Array,
        pos_BQ: jax.Array,
        mask: Any = None,
        *,
        bias: Any = None,
    ) -> tuple[jax.Array, Tree]:
        """The next Q positions, after those cached, causally."""
        require(self.mixer, Needs(cached=True, bias=bias is not None))
        params, state = self.attention_variables(self._sizes(x_BQM.shape[-1]))
        return self.mixer.extend(params, state, cache, x_BQM.astype(self.dtype), mask)

    def _sizes(self, model_size: int) -> Sizes:
        size = model_size // self.heads
        return Sizes(self.heads, size, size, model_size)


TokenMixing.__name__ = "Mixing"  # for Linen's automatic names of parameters, as they were

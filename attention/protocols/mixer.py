"""The base of token mixers: ways for positions to mix without queries and keys."""

import abc
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp

from attention.kernels.inputs import is_causal, real_at, whole_padding
from attention.masks import as_mask
from attention.protocols.capabilities import Needs, require
from attention.protocols.variant import Variant
from attention.shapes import Tree


class MixerInputs(NamedTuple):
    """What a token mixer computes on.

    Attributes:
      x_BTM: the layer's input, zero at padding.
      real_BT: which positions are not padding, bool [B, T].
      causal: whether later positions are hidden.
    """

    x_BTM: jax.Array
    real_BT: jax.Array
    causal: bool


class TokenMixer(Variant):
    """A way for positions to mix without queries and keys: a frozen, hashable dataclass.

    A variant defines ``capabilities`` and ``_mix``; and ``init_cache`` and ``_extend`` where it
    declares cached decoding. They take and return features of the model's size.
    """

    @final
    def mix(
        self,
        params: Tree,
        state: Tree,
        x_BTM: jax.Array,
        mask: Any = None,
        *,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Mixes positions.

        Args:
          params, state: what ``init`` made, without the names of axes.
          x_BTM: the layer's input; padding in it may be anything.
          mask: ``Causal``, ``Lengths`` and ``Valid`` joined by &, or None.
          rng: a typed key; given means training.

        Returns:
          out_BTM, zero at padding; and the state.
        """
        mask, (batch, length, _) = as_mask(mask), x_BTM.shape
        require(self, Needs(causal=is_causal(mask)))
        self._check(mask, length)
        mask.check(length, length)
        real_BT = whole_padding(mask.padding(length, length)[0], batch, length)
        x_BTM = jnp.where(real_BT[..., None], x_BTM, 0)
        inputs = MixerInputs(x_BTM, real_BT, is_causal(mask))
        out_BTM, state = self._mix(params, state, inputs, rng)
        return jnp.where(real_BT[..., None], out_BTM, 0).astype(x_BTM.dtype), state

    @final
    def extend(
        self, params: Tree, state: Tree, cache: Tree, x_BQM: jax.Array, mask: Any = None
    ) -> tuple[jax.Array, Tree]:
        """Mixes Q new positions with those cached; returns out_BQM and the cache with them."""
        mask, new = as_mask(mask), x_BQM.shape[1]
        self._check(mask, new)
        real_BQ = real_at(mask, cache["index_B"][:, None] + jnp.arange(new)[None])
        inputs = MixerInputs(jnp.where(real_BQ[..., None], x_BQM, 0), real_BQ, causal=True)
        out_BQM, kept = self._extend(params, state, cache, inputs)
        out_BQM = jnp.where(real_BQ[..., None], out_BQM, 0).astype(x_BQM.dtype)
        return out_BQM, kept | {"index_B": cache["index_B"] + new}

    @abc.abstractmethod
    def _mix(
        self, params: Tree, state: Tree, inputs: MixerInputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        """``mix`` of checked inputs; the output may be anything at padding."""

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: MixerInputs
    ) -> tuple[jax.Array, Tree]:
        """``extend``, and the cache but for its ``index_B``."""
        raise self._no_cache()

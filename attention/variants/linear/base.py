"""The base of attentions by kernelised products: a variant is the features of queries and keys."""

import abc
from typing import Any

import jax

from attention.kernels import Inputs
from attention.protocols import Attention, Capabilities
from attention.shapes import Tree
from attention.variants.linear import kernelised
from attention.variants.linear.kernelised import Products

LINEAR = Capabilities(
    causal="exact",
    cross=True,
    decoding="cached",
    normalised=True,
    masks="padding and causal",
    time="n·d²/h",
    memory="n·d",
    attends_globally="all",
)


class LinearAttention(Attention):
    """Attention whose weights are products of features of queries and of keys."""

    @abc.abstractmethod
    def gathered(
        self, params: Tree, state: Tree, qkv: Products, x_BTM: Any
    ) -> tuple[jax.Array, Tree]:
        """The output in the products' dtype, and the cache, if there is one."""

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        out_BQHE, _ = self.gathered(params, state, kernelised.products(inputs), inputs.x_BTM)
        return out_BQHE.astype(inputs.v_BKHE.dtype), state

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        """Adds Q positions to the sums in the cache, and attends from them, causally."""
        qkv = kernelised.products_after(cache, inputs)
        out_BQHE, cache = self.gathered(params, state, qkv, inputs.x_BTM)
        return out_BQHE.astype(inputs.v_BKHE.dtype), cache

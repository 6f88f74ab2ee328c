"""Location-aware attention (Chorowski et al. 2015).

"Attention-Based Models for Speech Recognition".
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention.kernels.reference import masked_softmax
from attention.masks.arrays import check_whole
from attention.protocols import Capabilities, WithAxes
from attention.shapes import Sizes, Tree
from attention.variants.alignment import base as alignments
from attention.variants.alignment.base import AligningAttention
from attention.variants.dense.additive import GLOROT, to_hidden


@dataclass(frozen=True)
class Location(AligningAttention):
    """softmax(wᵀ tanh(W q + V k + U f + b)) v, f = F * α, α being the last query's weights.

    In each head, by its own weights. The first query finds α = 0, which the paper leaves open; a
    query that is padding is passed over. The convolution counts positions, of padding too.

    Attributes:
      hidden: R, features of the hidden layer; a head's D if 0.
      filters: C, how many filters F has (the paper's k).
      width: W, keys under a filter, an odd number (the paper's r).

    Cost: Q·K·(C·(W + R) + R + E) multiply-adds and Q·K·R tanh a head, in Q steps one after the
    other; a cached step keeps the last weights alone, and works out V k again.

        >>> from attention.shapes import Sizes
        >>> params, _ = Location().init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> q_BQHD, k_BKHD = jnp.ones((1, 3, 2, 4)), jnp.ones((1, 5, 2, 4))
        >>> Location().attend(params, {}, q_BQHD, k_BKHD, k_BKHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "location"

    hidden: int = 0
    filters: int = 10
    width: int = 7

    capabilities: ClassVar[Capabilities] = alignments.capabilities(time="n²·d + h·n²·c·(w + r)")

    def __post_init__(self) -> None:
        check_whole(self, 0, "hidden")
        check_whole(self, 1, "filters", "width")
        if self.width % 2 == 0:
            raise ValueError(
                f"Location(width={self.width}): needs an odd number, as far to either side"
            )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """W and V [H, D, R], F [H, W, C], U [H, C, R], b and w [H, R]."""
        heads, hidden = sizes.heads, self.hidden or sizes.size
        shapes = {
            "query": (sizes.size, hidden),
            "key": (sizes.size, hidden),
            "filters": (self.width, self.filters),
            "location": (self.filters, hidden),
            "score": (hidden, 1),
        }
        rngs = jax.random.split(rng, 5)
        made = {
            name: GLOROT(leaf_rng, (heads, *shape))
            for leaf_rng, (name, shape) in zip(rngs, shapes.items(), strict=True)
        }
        made |= {"score": made["score"][..., 0], "hidden_bias": jnp.zeros((heads, hidden))}
        axes = {"query": "head_size", "key": "head_size"}
        params = {
            name: WithAxes(leaf, ("heads", axes.get(name), None)[: leaf.ndim])
            for name, leaf in made.items()
        }
        return params, {}

    def first(self, k_len: int) -> jax.Array:
        """Nothing has been looked at."""
        return jnp.zeros(k_len)

    def steps(
        self,
        params: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        real_BK: jax.Array,
        rng: jax.Array | None,
    ) -> tuple[Tree, alignments.Step]:
        """A query brings W q + b; there is nothing random."""
        filters_HWC, location_HCR, w_HR = (params[n] for n in ("filters", "location", "score"))
        q_QBHR = to_hidden(q_BQHD, params["query"]).swapaxes(0, 1)
        k_BHKR = to_hidden(k_BKHD, params["key"]).swapaxes(1, 2)

        def step(alignment_BHK: jax.Array, q_BHR: jax.Array) -> jax.Array:
            dtype = alignment_BHK.dtype
            f_BHKC = _convolved(alignment_BHK, filters_HWC.astype(dtype))
            h_BHKR = jnp.einsum("BHKC,HCR->BHKR", f_BHKC, location_HCR.astype(dtype))
            h_BHKR += k_BHKR.astype(dtype) + q_BHR[:, :, None].astype(dtype)
            h_BHKR += params["hidden_bias"].astype(dtype)[None, :, None]
            e_BHK = jnp.einsum("BHKR,HR->BHK", jnp.tanh(h_BHKR), w_HR.astype(dtype))
            return masked_softmax(e_BHK, real_BK[:, None])

        return q_QBHR, step


def _convolved(x_BHK: jax.Array, filters_HWC: jax.Array) -> jax.Array:
    """(F * x)_k = Σ_o F_o x_(k - o) over the offsets o from -W/2 to W/2, [B, H, K, C]."""
    width, length = filters_HWC.shape[1], x_BHK.shape[-1]
    x_BHX = jnp.pad(x_BHK, ((0, 0), (0, 0), (width // 2, width // 2)))
    shifted = [x_BHX[..., width - 1 - n : width - 1 - n + length] for n in range(width)]
    return jnp.einsum("BHKW,HWC->BHKC", jnp.stack(shifted, axis=-1), filters_HWC)

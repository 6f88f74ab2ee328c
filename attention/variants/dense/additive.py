"""Additive attention (Bahdanau et al. 2015).

"Neural Machine Translation by Jointly Learning to Align and Translate".
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels import Inputs
from attention.kernels.decode import cache as cache_of_heads
from attention.kernels.reference import masked_softmax
from attention.masks.arrays import check_whole
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator
from attention.variants.dense import scored
from attention.variants.dense.base import DOT_PRODUCT

# Of each head by itself, [H, ins, outs].
GLOROT = jax.nn.initializers.variance_scaling(
    1.0, "fan_avg", "uniform", in_axis=1, out_axis=2, batch_axis=0
)
_TILE = 2**20  # numbers of [B, H, Q, K, R] in memory at a time


@dataclass(frozen=True)
class Additive(Attention):
    """softmax(wᵀ tanh(W_q q + W_k k)) v (appendix A.1.2), in each head.

    Attributes:
      hidden: R, features of the hidden layer; a head's D if 0.
      dropout_rate: share of attention weights dropped in training.

    Cost: Q·K·(R + E) multiply-adds and Q·K·R tanh a head; of the Q·K·R only tiles are in memory. A
    cached step is linear in the prefix, of which it keeps W_k k and the values.

        >>> x_BTHD = jnp.ones((1, 3, 2, 4))
        >>> params, _ = Additive().init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> Additive().attend(params, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "additive"

    hidden: int = 0
    dropout_rate: float = 0.0

    capabilities: ClassVar[Capabilities] = replace(DOT_PRODUCT, grouped=False)

    def __post_init__(self) -> None:
        check_whole(self, 0, "hidden")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """W_q and W_k [H, D, R], and w [H, R]."""
        hidden = self.hidden or sizes.size
        rngs, axes = jax.random.split(rng, 3), ("heads", "head_size", None)
        w_HR = GLOROT(rngs[2], (sizes.heads, hidden, 1))[..., 0]
        params: Tree = {"score": WithAxes(w_HR, ("heads", None))}
        for name, own in zip(("query", "key"), rngs, strict=False):
            params[name] = WithAxes(GLOROT(own, (sizes.heads, sizes.size, hidden)), axes)
        return params, {}

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        w_1H1R = params["score"][None, :, None]
        out_BQHE = scored.scored_attention(
            tanh_score,
            masked_softmax,
            _hidden(params, inputs),
            score_params=w_1H1R,
            dropout_rate=self.dropout_rate,
            rng=rng,
        )
        return out_BQHE, state

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """Room for ``length`` keys, as W_k k, and values."""
        hidden = replace(sizes, size=self.hidden or sizes.size)
        return cache_of_heads.empty(hidden, batch, length, dtype)

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        w_1H1R = params["score"][None, :, None]
        hidden = _hidden(params, inputs)
        return scored.extend(tanh_score, masked_softmax, cache, hidden, score_params=w_1H1R)


def _hidden(params: Tree, inputs: Inputs) -> Inputs:
    """The inputs with W_q q and W_k k."""
    q_BQHR = to_hidden(inputs.q_BQHD, params["query"])
    return inputs._replace(q_BQHD=q_BQHR, k_BKHD=to_hidden(inputs.k_BKHD, params["key"]))


def to_hidden(x_BTHD: jax.Array, w_HDR: jax.Array) -> jax.Array:
    """W x in each head, [B, T, H, R]."""
    return jnp.einsum("BTHD,HDR->BTHR", x_BTHD, w_HDR.astype(x_BTHD.dtype))


def tanh_score(q_BHQR: jax.Array, k_BHKR: jax.Array, w_1H1R: jax.Array) -> jax.Array:
    """wᵀ tanh(q + k), [B, H, Q, K], some keys at a time."""
    dtype = accumulator(q_BHQR.dtype)
    (batch, heads, q_len, hidden), k_len = q_BHQR.shape, k_BHKR.shape[2]
    q_BHQR, k_BHKR = (x.astype(dtype) for x in (q_BHQR, k_BHKR))
    # One w for each query, so that both gradients are sums over keys: five times as fast on a CPU.
    w_BHQR = jnp.broadcast_to(w_1H1R.astype(dtype), q_BHQR.shape)

    @jax.checkpoint
    def of_keys(k_BHCR: jax.Array) -> jax.Array:
        hidden_BHQCR = jnp.tanh(q_BHQR[:, :, :, None] + k_BHCR[:, :, None])
        return jnp.einsum("BHQCR,BHQR->BHQC", hidden_BHQCR, w_BHQR)

    block = max(1, min(k_len, _TILE // (batch * heads * q_len * hidden)))
    if block == k_len:
        return of_keys(k_BHKR)
    k_BHKR = jnp.pad(k_BHKR, ((0, 0), (0, 0), (0, -k_len % block), (0, 0)))
    k_NBHCR = jnp.moveaxis(k_BHKR.reshape(batch, heads, -1, block, hidden), 2, 0)
    s_NBHQC = lax.map(of_keys, k_NBHCR)
    return jnp.moveaxis(s_NBHQC, 0, 3).reshape(batch, heads, q_len, -1)[..., :k_len]

"""Sparse Sinkhorn attention: Tay et al. 2020, "Sparse Sinkhorn Attention"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import Inputs, softmax_attention
from attention.masks import Mask, Valid, Window
from attention.masks.arrays import check_whole
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator
from attention.variants.clustered.sinkhorn_balance import balanced


@dataclass(frozen=True)
class Sinkhorn(Attention):
    """Softmax attention to a query's own block and to one that a learned permutation sends there.

    A sorting network scores for each block (of the layer's inputs, summed) which blocks to fetch;
    its scores become a nearly doubly stochastic matrix S by Sinkhorn's iterations, columns last,
    and block i sees, slot by slot, S's mixture of all blocks beside its own (section 3). Blocks of
    padding alone are no part of it.

    Under a causal mask block i fetches earlier blocks alone, by the sum of all inputs up to its
    first token, and sums of columns run over the rows so far (the paper's Causal Sinkhorn
    Balancing): nothing later changes it. No earlier row may fetch block i - 1, which is therefore
    always fetched whole.

    The sorting network is linear, a form of it that the paper compares with deeper ones.

    Attributes:
      block: C, tokens of a block, best near the root of the length.
      length: the most tokens, for which the sorting network has outputs: one a block.
      iterations: how often rows and columns are normalised; the paper has 5 to 10.
      temperature: τ, by which scores are divided, after Gumbel noise in training.
      cut: SortCut: how many sorted blocks all queries see, instead of their own and
        one more; 0 is off.
      dropout_rate: share of attention weights dropped in training.

    Cost: Q·(2·C + K/C)·(D + E) multiply-adds a head; with a cut, cut·(Q·C + K)·(D + E).

    Raises:
      ValueError: a field is out of range, or, in use, there are more tokens than ``length``.

        >>> sinkhorn, x_BTHD = Sinkhorn(block=2, length=8), jnp.ones((1, 5, 2, 4))
        >>> params, _ = sinkhorn.init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> params["kernel"].shape
        (8, 2, 4)
        >>> x_BTM = jnp.ones((1, 5, 8))
        >>> sinkhorn.attend(params, {}, x_BTHD, x_BTHD, x_BTHD, None, x_BTM=x_BTM)[0].shape
        (1, 5, 2, 4)
    """

    name: ClassVar[str] = "sinkhorn"
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ({"cut": 2},)

    block: int = 32
    length: int = 1024
    iterations: int = 8
    temperature: float = 0.75
    cut: int = 0
    dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self, 1, "block", "length", "iterations")
        check_whole(self, 0, "cut")
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(
                f"Sinkhorn(temperature={self.temperature}): needs to be above 0, and finite"
            )
        if not 0.0 <= self.dropout_rate < 1.0:
            raise ValueError(f"Sinkhorn(dropout_rate={self.dropout_rate}): needs to be in [0, 1)")

    @property
    def capabilities(self) -> Capabilities:
        """Causal without a cut only."""
        return Capabilities(
            causal="no" if self.cut else "exact",
            decoding="no" if self.cut else "recompute",
            needs_x=True,
            fixed_length=True,
            masks="padding and causal",
            time="c·n·d" if self.cut else "n·c·d + n²·d/c",
            memory="n·d",
            otherwise="without a cut, cut=0, it is causal" if self.cut else "",
        )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """The sorting network of each head: "kernel" [M, H, N] and "bias" [H, N].

        Normal, such that scores of a block of C inputs have about unit variance.
        """
        shape = (sizes.model_size, sizes.heads, self._blocks(self.length))
        kernel_MHN = jax.random.normal(rng, shape) / math.sqrt(sizes.model_size * self.block)
        return {
            "kernel": WithAxes(kernel_MHN, ("model", "heads", None)),
            "bias": WithAxes(jnp.zeros(shape[1:]), ("heads", None)),
        }, {}

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        causal, length = inputs.causal, inputs.q_BQHD.shape[1]
        q_real_BT, k_real_BT = inputs.q_real_BQ, inputs.k_real_BK
        rngs = (None, None) if rng is None else jax.random.split(rng)
        real_BNC, x_BNCM = self._cut(k_real_BT), self._cut(inputs.x_BTM)
        sort_BHNJ = self._sorting(params, x_BNCM, real_BNC, causal, rngs[0])
        q, k_BNCHD, v_BNCHE = inputs.q_BQHD, self._cut(inputs.k_BKHD), self._cut(inputs.v_BKHE)
        seen_BNC = _slots(real_BNC, causal)
        attend = partial(softmax_attention, dropout_rate=self.dropout_rate, rng=rngs[1])
        if self.cut:
            sort_BHNJ, seen_BNC = _first(self.cut, sort_BHNJ, seen_BNC, real_BNC)
            k_BLHD, v_BLHE = (_merged(_moved(sort_BHNJ, x), 1) for x in (k_BNCHD, v_BNCHE))
            whole = Valid(q_real_BT, _merged(seen_BNC, 1))
            return attend(q, k_BLHD, v_BLHE, whole), state
        near: Mask = Valid(
            _merged(self._cut(q_real_BT), 0),
            _merged(jnp.concatenate([seen_BNC, real_BNC], axis=2), 0),
        )
        if causal:  # keys are the block that was sorted here, all of it, and then the own
            near &= Window(2 * self.block, self.block)
        k_ZLHD, v_ZLHE = (
            _merged(jnp.concatenate([_moved(sort_BHNJ, x), x], axis=2), 0)
            for x in (k_BNCHD, v_BNCHE)
        )
        out_ZCHE = attend(_merged(self._cut(q), 0), k_ZLHD, v_ZLHE, near)
        return out_ZCHE.reshape(len(q), -1, *out_ZCHE.shape[2:])[:, :length], state

    def _sorting(
        self,
        params: Tree,
        x_BNCM: jax.Array,
        real_BNC: jax.Array,
        causal: bool,
        rng: jax.Array | None,
    ) -> jax.Array:
        """S: how much of block j comes to block i, [B, H, N, J]."""
        dtype = accumulator(x_BNCM.dtype)
        x_BNCM = jnp.where(real_BNC[..., None], x_BNCM, 0).astype(dtype)
        pooled_BNM = x_BNCM.sum(axis=2)
        if causal:  # what comes before the block, and its first token
            before_BNM = jnp.cumsum(pooled_BNM, axis=1)[:, :-1]
            pooled_BNM = jnp.pad(before_BNM, ((0, 0), (1, 0), (0, 0))) + x_BNCM[:, :, 0]
        blocks = x_BNCM.shape[1]
        kernel_MHJ, bias_HJ = (params[n][..., :blocks].astype(dtype) for n in ("kernel", "bias"))
        s_BHNJ = jnp.einsum("BNM,MHJ->BHNJ", pooled_BNM, kernel_MHJ) + bias_HJ[None, :, None]
        if rng is not None:
            s_BHNJ += jax.random.gumbel(rng, s_BHNJ.shape, dtype)
        real_BN = real_BNC.any(axis=2)
        may_BNJ = real_BN[:, :, None] & real_BN[:, None]
        if causal:
            may_BNJ &= jnp.tri(blocks, k=-1, dtype=bool)[None]
        return balanced(s_BHNJ / self.temperature, may_BNJ[:, None], self.iterations, causal)

    def _blocks(self, length: int) -> int:
        return -(-length // self.block)

    def _cut(self, x_BTX: jax.Array) -> jax.Array:
        """Into blocks, [B, N, C, ...], the last one filled up with zeros."""
        batch, length, *rest = x_BTX.shape
        missing = self._blocks(length) * self.block - length
        x_BTX = jnp.pad(x_BTX, ((0, 0), (0, missing), *[(0, 0)] * len(rest)))
        return x_BTX.reshape(batch, -1, self.block, *rest)

    @property
    def longest(self) -> int:
        """As many as whole blocks hold."""
        return self._blocks(self.length) * self.block


def _slots(real_BNC: jax.Array, causal: bool) -> jax.Array:
    """Which slots of a sorted block a token can come to, [B, N, C]."""
    if causal:
        before_BNC = jnp.cumsum(real_BNC, axis=1)[:, :-1] > 0
        return jnp.pad(before_BNC, ((0, 0), (1, 0), (0, 0)))
    return jnp.broadcast_to(real_BNC.any(axis=1, keepdims=True), real_BNC.shape)


def _first(
    cut: int, sort_BHNJ: jax.Array, seen_BNC: jax.Array, real_BNC: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The rows of S, and the slots, of the first blocks in which there is a token."""
    real_BN = real_BNC.any(axis=2)
    place_BN = jnp.where(real_BN, jnp.cumsum(real_BN, axis=1) - 1, -1)
    is_at_BPN = place_BN[:, None] == jnp.arange(min(cut, real_BN.shape[1]))[None, :, None]
    sort_BHPJ = jnp.einsum("BPN,BHNJ->BHPJ", is_at_BPN.astype(sort_BHNJ.dtype), sort_BHNJ)
    return sort_BHPJ, seen_BNC[:, : is_at_BPN.shape[1]] & is_at_BPN.any(axis=2)[..., None]


def _moved(sort_BHNJ: jax.Array, x_BJCHD: jax.Array) -> jax.Array:
    """S's mixtures of blocks, [B, N, C, H, D]."""
    batch, blocks, size, heads, _ = x_BJCHD.shape
    x_BHJP = x_BJCHD.transpose(0, 3, 1, 2, 4).reshape(batch, heads, blocks, -1)
    y_BHNP = jnp.einsum(
        "BHNJ,BHJP->BHNP",
        sort_BHNJ.astype(x_BJCHD.dtype),
        x_BHJP,
        preferred_element_type=accumulator(x_BJCHD.dtype),
    ).astype(x_BJCHD.dtype)
    return y_BHNP.reshape(*y_BHNP.shape[:3], size, -1).transpose(0, 2, 3, 1, 4)


def _merged(x_BNCX: jax.Array, axis: int) -> jax.Array:
    """Two axes as one."""
    shape = x_BNCX.shape
    return x_BNCX.reshape(*shape[:axis], -1, *shape[axis + 2 :])

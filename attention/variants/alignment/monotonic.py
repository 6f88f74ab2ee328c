"""Monotonic attention (Raffel et al. 2017).

"Online and Linear-Time Attention by Enforcing Monotonic Alignments".
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.masks.arrays import check_whole
from attention.protocols import Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator
from attention.variants.alignment import base as alignments
from attention.variants.alignment.base import AligningAttention
from attention.variants.dense.additive import GLOROT, tanh_score, to_hidden

EXPECTED, HARD = "expected", "hard"


@dataclass(frozen=True)
class Monotonic(AligningAttention):
    """Σ_j α_j v_j: each query goes on from the key where the last one stopped, and stops at one.

    It stops at key j with the probability p_j = σ(e_j), e = g wᵀ tanh(W q + V k + b) / |w| + r
    (section 2.4), or goes on to the next; α_j is the probability that it stops there (equations 13
    and 14, where t is q):

        α_j = p_j t_j,   t_j = (1 - p_(j-1)) t_(j-1) + α'_j,   α' being the last query's α.

    The first query begins at the first key. Who has gone beyond the last key stays there, and gets
    zeros. In training e is noisy, so that it learns to be far from 0. The recurrence over keys is
    worked out in log K steps by products and sums of numbers from 0 to 1, where the paper divides
    by cumulative products, which vanish. Padding is passed over.

    Attributes:
      hidden: R, features of the hidden layer; a head's D if 0.
      noise: standard deviation of what is added to e in training.
      offset: what r begins from; the lower, the further a query goes.
      evaluation: how it aligns outside of training: "expected", as above, or "hard", stopping at
        the first key of e > 0 (section 2.2), through which there are no gradients to e.

    Cost: Q·K·(R + E) multiply-adds and Q·K·R tanh a head, in Q steps one after the other; a cached
    step keeps the last α alone, and works out V k again.

        >>> from attention.shapes import Sizes
        >>> params, _ = Monotonic().init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> params = {name: leaf.value for name, leaf in params.items()}
        >>> q_BQHD, k_BKHD = jnp.ones((1, 3, 2, 4)), jnp.ones((1, 5, 2, 4))
        >>> Monotonic().attend(params, {}, q_BQHD, k_BKHD, k_BKHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "monotonic"

    hidden: int = 0
    noise: float = 1.0
    offset: float = -1.0
    evaluation: str = EXPECTED

    capabilities: ClassVar[Capabilities] = alignments.capabilities(time="n²·d")

    def __post_init__(self) -> None:
        check_whole(self, 0, "hidden")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"Monotonic(noise={self.noise!r}): needs a number, 0 or more")
        if not math.isfinite(self.offset):
            raise ValueError(f"Monotonic(offset={self.offset!r}): needs a number, such as -1.0")
        if self.evaluation not in (EXPECTED, HARD):
            raise ValueError(
                f"Monotonic(evaluation={self.evaluation!r}): needs '{EXPECTED}' or '{HARD}'"
            )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """W and V [H, D, R], b and w [H, R], g and r [H]."""
        heads, hidden = sizes.heads, self.hidden or sizes.size
        rngs, axes = jax.random.split(rng, 3), ("heads", "head_size", None)
        params: Tree = {
            name: WithAxes(GLOROT(leaf_rng, (heads, sizes.size, hidden)), axes)
            for name, leaf_rng in zip(("query", "key"), rngs, strict=False)
        }
        w_HR = GLOROT(rngs[2], (heads, hidden, 1))[..., 0]
        return params | {
            "hidden_bias": WithAxes(jnp.zeros((heads, hidden)), ("heads", None)),
            "score": WithAxes(w_HR, ("heads", None)),
            "gain": WithAxes(jnp.full((heads,), hidden**-0.5), ("heads",)),
            "offset": WithAxes(jnp.full((heads,), self.offset), ("heads",)),
        }, {}

    def first(self, k_len: int) -> jax.Array:
        """It stands at the first key."""
        return jnp.arange(k_len) == 0

    def steps(
        self,
        params: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        real_BK: jax.Array,
        rng: jax.Array | None,
    ) -> tuple[Tree, alignments.Step]:
        """A query brings e; noisy where ``rng`` is given."""
        e_BHQK = _energies(params, q_BQHD, k_BKHD)
        if rng is not None:
            e_BHQK += self.noise * jax.random.normal(rng, e_BHQK.shape, e_BHQK.dtype)
        elif self.evaluation == HARD:
            e_BHQK = jnp.where(e_BHQK > 0, jnp.inf, -jnp.inf)
        e_BHQK = jnp.where(real_BK[:, None, None], e_BHQK, -jnp.inf)

        def step(alignment_BHK: jax.Array, e_BHK: jax.Array) -> jax.Array:
            stop_BHK, pass_BHK = jax.nn.sigmoid(e_BHK), jax.nn.sigmoid(-e_BHK)
            return stop_BHK * _arriving(alignment_BHK, pass_BHK)

        return jnp.moveaxis(e_BHQK, 2, 0), step


def _energies(params: Tree, q_BQHD: jax.Array, k_BKHD: jax.Array) -> jax.Array:
    """e, [B, H, Q, K]."""
    dtype = accumulator(q_BQHD.dtype)
    w_HR, b_HR = (params[n].astype(dtype) for n in ("score", "hidden_bias"))
    gain_H, offset_H = (params[n].astype(dtype) for n in ("gain", "offset"))
    w_HR = w_HR * (gain_H / jnp.linalg.norm(w_HR, axis=1))[:, None]
    q_BQHR = to_hidden(q_BQHD, params["query"]).astype(dtype) + b_HR[None, None]
    k_BKHR = to_hidden(k_BKHD, params["key"]).astype(dtype)
    q_BHQR, k_BHKR = (x.swapaxes(1, 2) for x in (q_BQHR, k_BKHR))
    return tanh_score(q_BHQR, k_BHKR, w_HR[None, :, None]) + offset_H[None, :, None, None]


def _arriving(alignment_BHK: jax.Array, pass_BHK: jax.Array) -> jax.Array:
    """t: how probably each key is come to, from where the last query stopped."""
    before_BHK = jnp.pad(pass_BHK, ((0, 0), (0, 0), (1, 0)))[..., :-1]

    def joined(
        left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        return left[0] * right[0], left[1] * right[0] + right[1]

    return lax.associative_scan(joined, (before_BHK, alignment_BHK), axis=2)[1]

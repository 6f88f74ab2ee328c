"""Performer: Choromanski et al. 2021, "Rethinking Attention with Performers"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels import Inputs
from attention.masks.arrays import check_whole
from attention.protocols import Capabilities, WithAxes
from attention.shapes import Sizes, Tree
from attention.variants.linear import kernelised
from attention.variants.linear.base import LINEAR, LinearAttention

KINDS = ("softmax", "relu")


@dataclass(frozen=True)
class Performer(LinearAttention):
    """FAVOR+: φ(q)ᵀ Σ φ(k) vᵀ / φ(q)ᵀ Σ φ(k) with positive orthogonal random features (section 2).

    φ(x) = exp(ωᵀx - |x|²/2) / sqrt(m) on x = q/D^¼ and k/D^¼, so that φ(q)·φ(k) is exp(qᵀk/sqrt(D))
    on average over ω (lemma 1); or φ(x) = max(ωᵀx, 0) / sqrt(m). Queries and keys of a head share
    its ω, which are orthogonal in blocks of D, and each as long as a normal one. Unlike the
    authors' code, we add no ε to features, and take out no maximum over keys or features: each
    feature's sum is kept as a logarithm, which no later key has a part in. With ReLU, a query that
    has no feature in common with any key gets zero.

    Attributes:
      random_features: m, of each head; the number nearest to D·ln D, and at least D, if 0.
      kind: "softmax", which approximates it, or "relu".
      redraw: after how many calls in training ω are drawn again, from its rng; never if 0.

    Cost: (Q + K)·m·(D + E) multiply-adds a head, causally also Q·16·E and Q·16·m exponentials (with
    ReLU Q·64·(m + E) multiply-adds); a cached step costs 2·m·(D + E), whatever the prefix, of which
    it keeps m·(E + 1) numbers.

        >>> x_BTHD = jnp.ones((1, 3, 2, 4))
        >>> _, state = Performer().init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> state = {name: leaf.value for name, leaf in state.items()}
        >>> state["draws_HRD"].shape
        (2, 6, 4)
        >>> Performer().attend({}, state, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 3, 2, 4)
    """

    name: ClassVar[str] = "performer"
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ({"kind": "relu"},)

    random_features: int = 0
    kind: str = "softmax"
    redraw: int = 1000

    capabilities: ClassVar[Capabilities] = replace(LINEAR, time="n·m·d", memory="n·(d + h·m)")

    def __post_init__(self) -> None:
        check_whole(self, 0, "random_features", "redraw")
        if self.kind not in KINDS:
            raise ValueError(f"Performer(kind={self.kind!r}): needs one of {', '.join(KINDS)}")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """No parameters; of state ω [H, m, D], and the calls in training that have used them."""
        draws_HRD = orthogonal(rng, sizes.heads, self._count(sizes.size), sizes.size)
        return {}, {
            "draws_HRD": WithAxes(draws_HRD, ("heads", None, "head_size")),
            "calls": WithAxes(jnp.zeros((), jnp.int32), ()),
        }

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        state = self._trained(state, rng)
        return super()._attend(params, state, inputs, rng)

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """A cache of constant size, whatever the ``length``."""
        begin = kernelised.start_sums if self.kind == "relu" else kernelised.start_logs
        return begin(sizes, batch, self._count(sizes.size), dtype)

    def _count(self, size: int) -> int:
        return self.random_features or max(size, round(size * math.log(size)))

    def _trained(self, state: Tree, rng: jax.Array | None) -> Tree:
        """The state after a call in training: counted, and with new draws where they are due."""
        draws_HRD, calls = state["draws_HRD"], state["calls"]
        if rng is None or not self.redraw:
            return state
        due = calls >= self.redraw
        draws_HRD = lax.cond(
            due,
            lambda: orthogonal(rng, *draws_HRD.shape).astype(draws_HRD.dtype),
            lambda: draws_HRD,
        )
        return {"draws_HRD": draws_HRD, "calls": jnp.where(due, 0, calls) + 1}

    def gathered(
        self, params: Tree, state: Tree, qkv: kernelised.Products, x_BTM: Any
    ) -> tuple[jax.Array, Tree]:
        """By features that are kept as logarithms, or by sums of ReLU's."""
        draws_HRD = lax.stop_gradient(state["draws_HRD"]).astype(qkv.q_BQHD.dtype)
        q_BQHD, k_BKHD = (x / x.shape[-1] ** 0.25 for x in (qkv.q_BQHD, qkv.k_BKHD))
        q_BQHR, k_BKHR = (
            jnp.einsum("BTHD,HRD->BTHR", x, draws_HRD) for x in (q_BQHD, k_BKHD)
        )  # fmt: skip
        if self.kind == "relu":
            return kernelised.by_sums(qkv, jax.nn.relu(q_BQHR), jax.nn.relu(k_BKHR))
        k_BKHR -= (k_BKHD**2).sum(axis=-1, keepdims=True) / 2
        # φ(q) Σφ(k), of which the sum over features is one: what q alone puts to all cancels.
        return kernelised.by_logs(
            qkv, lambda log_BKHR: jax.nn.softmax(q_BQHR + log_BKHR, axis=-1), k_BKHR
        )


def orthogonal(rng: jax.Array, heads: int, features: int, size: int) -> jax.Array:
    """Draws ω [H, R, D], each normal by itself, of which every D in a row are orthogonal.

    Args:
      rng: a typed key.
      heads, features, size: H, R, D.
    """
    of_turns, of_norms = jax.random.split(rng)
    blocks = -(-features // size)
    normal_HNDD = jax.random.normal(of_turns, (heads, blocks, size, size))
    turn_HRD = _gram_schmidt(normal_HNDD).reshape(heads, -1, size)[:, :features]
    normal_HRD = jax.random.normal(of_norms, (heads, features, size))
    return turn_HRD * jnp.linalg.norm(normal_HRD, axis=-1, keepdims=True)


def _gram_schmidt(x_HNDD: jax.Array) -> jax.Array:
    """Orthonormal rows, each the part of its own that no row before it has.

    Not ``jnp.linalg.qr``: on CPUs (jaxlib 0.10.2) a batch of matrices waits for threads of the pool
    that it runs in, and two such at once, of two layers, have all the threads of two cores wait.
    """

    def row(i: jax.Array, done_HNDD: jax.Array) -> jax.Array:
        x_HN1D = lax.dynamic_slice_in_dim(x_HNDD, i, 1, axis=2)
        for _ in range(2):  # once leaves rounding errors that grow with the rows
            x_HN1D -= (x_HN1D @ done_HNDD.swapaxes(2, 3)) @ done_HNDD
        x_HN1D /= jnp.linalg.norm(x_HN1D, axis=-1, keepdims=True)
        return lax.dynamic_update_slice_in_dim(done_HNDD, x_HN1D, i, axis=2)

    return lax.fori_loop(0, x_HNDD.shape[2], row, jnp.zeros_like(x_HNDD))

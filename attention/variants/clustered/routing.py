"""Roy et al. 2021, "Efficient Content-Based Sparse Attention with Routing Transformers"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from attention.kernels import Inputs, softmax_attention
from attention.kernels.rows import broadcast_rows, flatten_heads, unflatten_heads
from attention.kernels.sharded import over_mesh
from attention.masks import Causal, Everything, Valid, Window
from attention.masks.arrays import check_whole
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator, unit


@dataclass(frozen=True)
class Routing(Attention):
    """Softmax attention within clusters, each of the tokens that are nearest to its centroid.

    Algorithm 1: queries and keys are layer-normalised without scale and bias; every centroid takes
    the w queries and the w keys of the largest product with it, all centroids as many; these attend
    among themselves. A token gets the mean over the clusters that it is in, or zero in none. Some
    heads may attend locally instead, with queries and keys as they are.

    Centroids are state, moved in training: of the batch's tokens each goes to the centroid of the
    largest product, which moves by a share of 1 - ``decay`` to their mean. The equation has the sum
    in place of that mean, by which a centroid would grow with the batch; the authors' code too
    divides by how many they are. Padding is in no cluster and moves nothing.

    With ``shared``, queries are keys too, so that a cluster has one list of tokens, and it may be
    causal: no later value reaches a token, but with later tokens other ones may be in its cluster.

    Attributes:
      clusters: how many centroids a head has, k; the cost is least at about the root of the length.
      window: tokens of a cluster, w; 0 is the row's true length over k, rounded up.
      decay: share of a centroid that an update keeps.
      local_heads: how many heads, the first, attend locally; the paper has half of them.
      left, right: how many keys before and after its own position a query of these sees.
      shared: whether the queries are the keys.
      scale: factor on the scores of clusters; 0 is 1/sqrt(D), 1 what the algorithm has.

    Cost: T·k·D multiply-adds a head to choose, and k·w²·(D + E) to attend, T^1.5 in all where k is
    the root of T; memory is for T·k products.

    Raises:
      ValueError: a number is out of range, or there are no heads beside the local ones.

        >>> x_BTHD, attend = jax.random.normal(jax.random.key(1), (1, 9, 2, 4)), Routing(clusters=3)
        >>> _, state = attend.init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> state = {"centroids": state["centroids"].value}
        >>> out_BTHE, state = attend.attend({}, state, x_BTHD, x_BTHD, x_BTHD, Causal())
        >>> out_BTHE.shape, state["centroids"].shape
        ((1, 9, 2, 4), (2, 3, 4))
    """

    name: ClassVar[str] = "routing"
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ({"shared": False},)

    clusters: int = 8
    window: int = 0
    decay: float = 0.999
    local_heads: int = 0
    left: int = 64
    right: int = 64
    shared: bool = True
    scale: float = 0.0

    def __post_init__(self) -> None:
        check_whole(self, 1, "clusters")
        check_whole(self, 0, "window", "local_heads", "left", "right")
        if not 0.0 <= self.decay <= 1.0:
            raise ValueError(f"Routing(decay={self.decay}): needs a share, from 0 to 1")
        if not 0.0 <= self.scale < math.inf:
            raise ValueError(f"Routing(scale={self.scale}): needs a factor above 0, or 0")

    @property
    def capabilities(self) -> Capabilities:
        """Causal with shared queries and keys only."""
        return Capabilities(
            causal="values only" if self.shared else "no",
            decoding="recompute" if self.shared else "no",
            projections="shared" if self.shared else "apart",
            masks="padding and causal",
            time="n·k·d + n²·d/k",
            memory="n·(d + h·k)",
            otherwise="" if self.shared else "with shared=True it is causal",
        )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """No parameters; centroids as state, [H, N, D] of the heads that are not local."""
        if self.local_heads >= sizes.heads:
            raise ValueError(
                f"Routing(local_heads={self.local_heads}): needs fewer than all {sizes.heads} heads"
            )
        shape = sizes.heads - self.local_heads, self.clusters, sizes.size
        centroids_HND = _normalised(jax.random.normal(rng, shape, jnp.float32))
        return {}, {"centroids": WithAxes(centroids_HND, ("heads", None, "head_size"))}

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        q_BTHD, k_BTHD, v_BTHE = inputs[:3]
        first = self.local_heads
        q, k, v = (x[:, :, first:] for x in (q_BTHD, k_BTHD, v_BTHE))
        centroids_HND = lax.stop_gradient(state["centroids"])
        routed = inputs._replace(q_BQHD=q, k_BKHD=k, v_BKHE=v)
        out_BTHE = self._routed(centroids_HND, routed)
        if first:
            near = inputs.mask & Window(self.left, self.right)
            local_BTHE = softmax_attention(
                q_BTHD[:, :, :first], k_BTHD[:, :, :first], v_BTHE[:, :, :first], near
            )
            out_BTHE = jnp.concatenate([local_BTHE, out_BTHE], axis=2)
        if rng is not None:
            state = {"centroids": self._moved(centroids_HND, routed)}
        return out_BTHE, state

    def _routed(
        self,
        centroids_HND: jax.Array,
        inputs: Inputs,
    ) -> jax.Array:
        """Attention within clusters."""

        def compute(q: jax.Array, k: jax.Array, v: jax.Array, extras: Tree) -> jax.Array:
            batch, length, heads, size = q.shape
            q_real_RT, k_real_RT, centroids_R1ND = broadcast_rows(extras, batch, heads)
            centroids_RND = centroids_R1ND[:, 0]
            q_RTD, k_RTD, v_RTE = (flatten_heads(x, length) for x in (q, k, v))
            q_RTD, k_RTD = _normalised(q_RTD), _normalised(k_RTD)
            asking_RT = q_real_RT | k_real_RT if self.shared else q_real_RT
            q_at_RNW = k_at_RNW = self._members(centroids_RND, q_RTD, asking_RT)
            if not self.shared:
                k_at_RNW = self._members(centroids_RND, k_RTD, k_real_RT)
            q_XWD = _gathered(q_RTD, q_at_RNW).astype(q.dtype)
            k_XWD = _gathered(k_RTD, k_at_RNW).astype(k.dtype)
            q_valid_XW, k_valid_XW = (
                _gathered(real_RT[..., None], at_RNW)[..., 0] & (_flat(at_RNW) < length)
                for real_RT, at_RNW in ((q_real_RT, q_at_RNW), (k_real_RT, k_at_RNW))
            )
            out_XWE = softmax_attention(
                q_XWD[:, :, None],
                k_XWD[:, :, None],
                _gathered(v_RTE, k_at_RNW)[:, :, None],
                Valid(q_valid_XW, k_valid_XW) & (Causal() if inputs.causal else Everything()),
                scale=self.scale or 1.0 / math.sqrt(size),
            )[:, :, 0]
            return unflatten_heads(_mean(out_XWE, q_at_RNW, length), heads, length)

        extras = inputs.q_real_BQ, inputs.k_real_BK, centroids_HND[None]
        return over_mesh(compute, *inputs[:3], extras)

    def _members(self, centroids_RND: jax.Array, x_RTD: jax.Array, real_RT: jax.Array) -> jax.Array:
        """The positions of each cluster's tokens, ascending, int32 [R, N, W]; T is none."""
        length = x_RTD.shape[1]
        near_RNT = _products("RND,RTD->RNT", centroids_RND, x_RTD)
        near_RNT = jnp.where(real_RT[:, None], near_RNT, -jnp.inf)
        most = min(length, self.window or -(-length // self.clusters))
        _, at_RNW = lax.top_k(near_RNT, most)
        tokens_R = real_RT.sum(axis=1)
        here_R = self.window or -(-tokens_R // self.clusters)
        here_R11 = jnp.minimum(here_R, tokens_R)[:, None, None]
        return jnp.sort(jnp.where(jnp.arange(most)[None, None] < here_R11, at_RNW, length), axis=2)

    def _moved(self, centroids_HND: jax.Array, inputs: Inputs) -> jax.Array:
        """The centroids after a step; sums are over the whole batch."""
        sides = [(inputs.q_BQHD, inputs.q_real_BQ), (inputs.k_BKHD, inputs.k_real_BK)]
        total_HND, count_HN = jnp.zeros_like(centroids_HND), jnp.zeros(centroids_HND.shape[:2])
        for x_BTHD, real_BT in sides[: 1 if self.shared else 2]:
            x_BTHD = lax.stop_gradient(_normalised(x_BTHD)).astype(jnp.float32)
            nearest_BTH = jnp.argmax(_products("BTHD,HND->BTHN", x_BTHD, centroids_HND), axis=3)
            share_BTHN = jax.nn.one_hot(nearest_BTH, self.clusters) * real_BT[..., None, None]
            total_HND += jnp.einsum("BTHN,BTHD->HND", share_BTHN, x_BTHD)
            count_HN += share_BTHN.sum(axis=(0, 1))
        count_HN1 = count_HN[..., None]
        moved_HND = total_HND / jnp.maximum(count_HN1, 1) - centroids_HND
        return centroids_HND + (1 - self.decay) * jnp.where(count_HN1 > 0, moved_HND, 0)


def _normalised(x: jax.Array) -> jax.Array:
    """Layer normalisation of the last axis without scale and bias, at least float32."""
    x = x.astype(accumulator(x.dtype))
    return unit(x - x.mean(axis=-1, keepdims=True)) * math.sqrt(x.shape[-1])


def _products(subscripts: str, left: jax.Array, right: jax.Array) -> jax.Array:
    """By which clusters are chosen: float32, no gradient."""
    left, right = (lax.stop_gradient(x).astype(jnp.float32) for x in (left, right))
    return jnp.einsum(subscripts, left, right, precision=lax.Precision.HIGHEST)


def _flat(at_RNW: jax.Array) -> jax.Array:
    """[R·N, W]."""
    return at_RNW.reshape(-1, at_RNW.shape[2])


def _gathered(x_RTY: jax.Array, at_RNW: jax.Array) -> jax.Array:
    """What stands at these positions, [R·N, W, ...]; of none, that of the last one."""
    rows, length = x_RTY.shape[:2]
    at_RX1 = jnp.minimum(at_RNW, length - 1).reshape(rows, -1, 1)
    x_RXY = jnp.take_along_axis(x_RTY, at_RX1, axis=1, mode="promise_in_bounds")
    return x_RXY.reshape(-1, at_RNW.shape[2], x_RTY.shape[2])


def _mean(out_XWE: jax.Array, at_RNW: jax.Array, length: int) -> jax.Array:
    """Each token's mean over the clusters that it is in, [R, T, E], zero in none."""
    rows = len(at_RNW)
    at_RX, row_R1 = at_RNW.reshape(rows, -1), jnp.arange(rows)[:, None]
    out_RXE = out_XWE.reshape(*at_RX.shape, -1).astype(accumulator(out_XWE.dtype))
    zero_RTE = jnp.zeros((rows, length, out_RXE.shape[2]), out_RXE.dtype)
    total_RTE = zero_RTE.at[row_R1, at_RX].add(out_RXE, mode="drop")
    count_RT = jnp.zeros((rows, length), out_RXE.dtype).at[row_R1, at_RX].add(1, mode="drop")
    return (total_RTE / jnp.maximum(count_RT, 1)[..., None]).astype(out_XWE.dtype)

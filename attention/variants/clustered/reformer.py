"""LSH attention: Kitaev et al. 2020, "Reformer: The Efficient Transformer"."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from attention.kernels import Inputs
from attention.kernels.rows import broadcast_rows, flatten_heads, unflatten_heads
from attention.kernels.sharded import over_mesh
from attention.masks.arrays import check_whole
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, unit
from attention.variants.clustered.bucketed import bucketed_attention

_COLUMNS = 32  # of a rotation, where the number of buckets follows the length


@dataclass(frozen=True)
class Reformer(Attention):
    """Softmax attention among the tokens whose queries fall into one bucket, in any of N rounds.

    Queries are keys too, there scaled to unit length (section 2, "Shared-QK attention"). A round
    hashes them by a random rotation R, h(x) = argmax([xR; -xR]), sorts tokens by bucket and
    position, and cuts them into chunks; a token sees those of its bucket in its own chunk and the
    one before. What it sees in all rounds together counts once: scores are less log N_ij for pairs
    met in N_ij rounds (appendix A). It sees itself only where it sees no other.

    Without an rng the rotations are those of the state, drawn at ``init``; with one they are drawn
    afresh. Under a causal mask no later value reaches a token, but later tokens share its buckets
    and chunks, and so change which earlier ones it sees.

    With ``buckets=0`` a row of n real tokens has about 2·n / chunk buckets, the paper's choice, so
    the same in any batch, and one that is shorter than a chunk is attended as a whole. Beyond 64
    they are pairs of two hashes of about the root of that number, as in the authors' code, since a
    hash costs as much as it has buckets; there are 4,096 at most.

    Attributes:
      buckets: buckets of a round, an even number; 0 has it follow the length.
      chunk: tokens of a chunk.
      rounds: rounds of hashing, N.
      scale: factor on the scores; 0 is the paper's 1/sqrt(D), 1 what the authors' code has.

    Cost: N·T·(2·chunk·(D + E) + D·b/2) multiply-adds a head for hashes of b buckets, or of 64 at
    most from two with ``buckets=0``; N sorts of T numbers; memory is linear in T.

    Raises:
      ValueError: a number is out of range.

        >>> from attention.masks import Causal
        >>> x_BTHD, attend = jnp.ones((1, 9, 2, 4)), Reformer(chunk=4, rounds=2)
        >>> _, state = attend.init(jax.random.key(0), Sizes(2, 4, 4, 8))
        >>> state = {"rotations": state["rotations"].value}
        >>> attend.attend({}, state, x_BTHD, x_BTHD, x_BTHD, Causal())[0].shape
        (1, 9, 2, 4)
    """

    name: ClassVar[str] = "reformer"

    buckets: int = 0
    chunk: int = 64
    rounds: int = 4
    scale: float = 0.0

    capabilities: ClassVar[Capabilities] = Capabilities(
        causal="values only",
        decoding="recompute",
        projections="shared",
        masks="padding and causal",
        time="n·c·d",
        memory="n·d",
    )

    def __post_init__(self) -> None:
        check_whole(self, 0, "buckets")
        check_whole(self, 1, "chunk", "rounds")
        if self.buckets % 2:
            raise ValueError(f"Reformer(buckets={self.buckets}): needs an even number, or 0")
        if not 0.0 <= self.scale < math.inf:
            raise ValueError(f"Reformer(scale={self.scale}): needs a factor above 0, or 0")

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """No parameters; rotations as state, [H, N, D, R]."""
        rotations_HNDR = self._drawn(rng, sizes.heads, sizes.size)
        return {}, {"rotations": WithAxes(rotations_HNDR, ("heads", None, "head_size", None))}

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        q_BTHD, k_BTHD, v_BTHE = inputs[:3]
        q_real_BT, k_real_BT, causal = inputs.q_real_BQ, inputs.k_real_BK, inputs.causal
        heads, size = q_BTHD.shape[2:]
        rotations_HNDR = state["rotations"] if rng is None else self._drawn(rng, heads, size)

        def compute(q: jax.Array, k: jax.Array, v: jax.Array, extras: Any) -> jax.Array:
            batch, length, heads, _ = q.shape
            real_RT, key_RT, rotations_R1XR = broadcast_rows(extras, batch, heads)
            q_RTD, k_RTD, v_RTE = (flatten_heads(x, length) for x in (q, k, v))
            bucket_NRT, buckets = self._buckets(q_RTD, rotations_R1XR[:, 0], real_RT)
            out_RTE = bucketed_attention(
                q_RTD,
                unit(k_RTD),
                v_RTE,
                bucket_NRT,
                key_RT,
                buckets=buckets,
                chunk=self.chunk,
                scale=self.scale or 1.0 / math.sqrt(q.shape[-1]),
                causal=causal,
            )
            return unflatten_heads(out_RTE.astype(v.dtype), heads, length)

        flat_1HXR = rotations_HNDR.reshape(1, heads, -1, rotations_HNDR.shape[-1])
        extras = q_real_BT | k_real_BT, k_real_BT, flat_1HXR
        out_BTHE = over_mesh(compute, q_BTHD, k_BTHD, v_BTHE, extras)
        return jnp.where(q_real_BT[:, :, None, None], out_BTHE, 0), state

    def _drawn(self, rng: jax.Array, heads: int, size: int) -> jax.Array:
        """Rotations R of all rounds: columns for half the buckets, or for two hashes of them."""
        columns = self.buckets // 2 or 2 * _COLUMNS
        return jax.random.normal(rng, (heads, self.rounds, size, columns), jnp.float32)

    def _buckets(
        self, q_RTD: jax.Array, rotations_RXY: jax.Array, real_RT: jax.Array
    ) -> tuple[jax.Array, int]:
        """Each token's bucket in every round, int32 [N, R, T], and how many there are.

        Padding has the last to itself.
        """
        rows, length, size = q_RTD.shape
        q_RTD = lax.stop_gradient(q_RTD).astype(jnp.float32)
        rotations_RNDY = rotations_RXY.astype(jnp.float32).reshape(rows, self.rounds, size, -1)
        of_length_X2 = np.array([self._hashes(n) for n in range(length // self.chunk + 1)])
        counts_R2 = jnp.asarray(of_length_X2, jnp.int32)[real_RT.sum(axis=1) // self.chunk]
        first, second = of_length_X2.max(axis=0).tolist()

        def of_round(rotation_RDY: jax.Array) -> jax.Array:
            bucket_RT = _hash(q_RTD, rotation_RDY[..., : first // 2], counts_R2[:, 0])
            if second > 1:
                others_RDY = rotation_RDY[..., _COLUMNS : _COLUMNS + second // 2]
                hash_RT = _hash(q_RTD, others_RDY, counts_R2[:, 1])
                bucket_RT += counts_R2[:, :1] * hash_RT
            return jnp.where(real_RT, bucket_RT, first * second)

        return lax.map(of_round, jnp.moveaxis(rotations_RNDY, 1, 0)), first * second + 1

    def _hashes(self, chunks: int) -> tuple[int, int]:
        """How many buckets the two hashes of a row of so many whole chunks have; 1 is no hash."""
        if self.buckets:
            return self.buckets, 1
        if 2 * chunks <= 2 * _COLUMNS:
            return max(1, 2 * chunks), 1
        side = 2 * math.ceil(math.sqrt(2 * chunks) / 2)
        return (min(side, 2 * _COLUMNS),) * 2


def _hash(q_RTD: jax.Array, rotation_RDY: jax.Array, buckets_R: jax.Array) -> jax.Array:
    """argmax([qR; -qR]) over the first ``buckets`` / 2 columns: the largest, and its sign."""
    half_R1 = buckets_R[:, None] // 2
    if not rotation_RDY.shape[2]:
        return jnp.zeros(q_RTD.shape[:2], jnp.int32)
    y_RTY = jnp.einsum("RTD,RDY->RTY", q_RTD, rotation_RDY, precision=lax.Precision.HIGHEST)
    among_R1Y = jnp.arange(y_RTY.shape[2])[None, None] < half_R1[..., None]
    best_RT = jnp.argmax(jnp.where(among_R1Y, jnp.abs(y_RTY), -1), axis=2).astype(jnp.int32)
    sign_RT = jnp.take_along_axis(y_RTY, best_RT[..., None], axis=2)[..., 0]
    return best_RT + jnp.where(sign_RT < 0, half_R1, 0)

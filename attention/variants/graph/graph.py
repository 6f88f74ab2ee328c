"""Graph attention: Veličković et al. 2018, "Graph Attention Networks"."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention.kernels import Inputs, softmax_attention
from attention.kernels.dropped import draw
from attention.kernels.rows import pad_extras
from attention.kernels.sharded import over_mesh
from attention.masks import And, Edges, Everything, Mask, Window, conjuncts
from attention.protocols import Attention, Capabilities, WithAxes
from attention.shapes import Sizes, Tree, accumulator
from attention.variants.graph import edges as over_edges

SCORES = ("gat", "dot")


@dataclass(frozen=True)
class Graph(Attention):
    """Every node gathers values from its neighbours, by a softmax over them.

    The edges (query, key) are a ``masks.Edges`` in the mask, as in ``Edges(...) & Lengths(...)``.
    An edge counts once, however often it is given. Without ``Edges`` the graph is complete: every
    token is every other's neighbour.

    Two scores of an edge from i to j:

    - "gat", LeakyReLU(aᵀ[Wh_i ‖ Wh_j]) (equations 1 to 4): one projection W, of which q, k and v
      are all made, and a vector a a head, here its halves ``left`` and ``right``, [H, D] each.
      Queries and keys that differ are taken as they are.
    - "dot", q_i · k_j / sqrt(D): three projections, as in softmax attention.

    The paper's nonlinearity after the sum is left to the layers around.

    Attributes:
      score: "gat" or "dot".
      slope: of LeakyReLU below zero; for "gat" alone.
      self_loops: every node is its own neighbour too, unless another part of the mask hides it.
      dropout_rate: share of attention weights dropped in training.

    Cost: P·(D + E) multiply-adds a head for P edges ("gat": P·E), n·D more for "gat", a sort of the
    edges, and memory for P·(2D + E) numbers a head ("gat": P·E). On a complete graph of n nodes P
    is n², as in softmax attention, whose kernels do it; with "gat" n² scores a head are in memory.

    Raises:
      ValueError: the score is another, or the rate is out of range.

        >>> import jax.numpy as jnp
        >>> from attention.masks import Edges
        >>> x_BTHD = jnp.arange(3.0).reshape(1, 3, 1, 1)
        >>> path = Edges([(0, 1), (1, 2)], nodes=3)
        >>> attend = Graph(score="dot", self_loops=False)
        >>> attend.attend({}, {}, x_BTHD, x_BTHD, x_BTHD, path)[0].reshape(3)
        Array([1., 2., 0.], dtype=float32)
    """

    name: ClassVar[str] = "graph"
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ({"score": "dot"},)

    score: str = "gat"
    slope: float = 0.2
    self_loops: bool = True
    dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"Graph(score={self.score!r}): needs one of {', '.join(SCORES)}")
        if not 0.0 <= self.dropout_rate < 1.0:
            raise ValueError(f"Graph(dropout_rate={self.dropout_rate}): needs to be in [0, 1)")

    @property
    def capabilities(self) -> Capabilities:
        """Neither causal nor across sequences; "gat" has one projection for all."""
        return Capabilities(
            projections="one" if self.score == "gat" else "apart",
            time="p·d over p edges; n²·d without",
            memory="p·d; n²",
            attends_globally="all",
        )

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """The two halves of a, uniform as by Glorot for one output; for "dot" nothing."""
        if self.score == "dot":
            return {}, {}
        most = math.sqrt(6.0 / (sizes.size + 1))
        left_HD, right_HD = jax.random.uniform(
            rng, (2, sizes.heads, sizes.size), minval=-most, maxval=most
        )
        axes = ("heads", "head_size")
        return {"left": WithAxes(left_HD, axes), "right": WithAxes(right_HD, axes)}, {}

    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        q_BTHD, k_BTHD, v_BTHE = inputs[:3]
        edges, others = self._parts(inputs.mask)
        if self.score == "gat":
            q_BTHD, k_BTHD = (
                _projected(x_BTHD, params[name])
                for x_BTHD, name in ((q_BTHD, "left"), (k_BTHD, "right"))
            )
        attend = self._complete if edges is None else functools.partial(self._listed, edges)
        return attend(q_BTHD, k_BTHD, v_BTHE, others, rng).astype(v_BTHE.dtype), state

    def _listed(
        self,
        edges: Edges,
        q_BTHD: jax.Array,
        k_BTHD: jax.Array,
        v_BTHE: jax.Array,
        mask: Mask,
        rng: jax.Array | None,
    ) -> jax.Array:
        """Over the edges; of "gat", q and k are the two terms of a score, [B, T, H, 1]."""
        batch, nodes, heads, _ = v_BTHE.shape
        dropped = None
        if rng is not None and self.dropout_rate > 0.0:
            dropped = draw(rng, self.dropout_rate, (batch, heads, nodes, nodes))

        def compute(q: jax.Array, k: jax.Array, v: jax.Array, extras: Any) -> jax.Array:
            edges_BP2, mask, dropped = extras
            pairs = over_edges.listed(edges_BP2, nodes, loops=self.self_loops)
            see_BPH = over_edges.visible(mask, pairs)
            at_query = functools.partial(over_edges.gathered, at_BP=pairs.q_BP, in_order=True)
            at_key = functools.partial(over_edges.gathered, at_BP=pairs.k_BP)
            s_BPH = self._scores(at_query(q), at_key(k))
            factors_BPH = None
            if dropped is not None:
                q_bits_BTH = dropped.q_bits_BHQ1[..., 0].swapaxes(1, 2)
                k_bits_BTH = dropped.k_bits_BH1K[:, :, 0].swapaxes(1, 2)
                factors_BPH = dropped.factors(at_query(q_bits_BTH), at_key(k_bits_BTH))
            return over_edges.attention(
                s_BPH, at_key(v), pairs.q_BP, see_BPH, nodes, factors_BPH=factors_BPH
            )

        extras = (edges.pairs(), pad_extras(mask, nodes, nodes), dropped)
        return over_mesh(compute, q_BTHD, k_BTHD, v_BTHE, extras)

    def _scores(self, q_BPHD: jax.Array, k_BPHD: jax.Array) -> jax.Array:
        """The score of each edge, at least float32."""
        if self.score == "gat":
            return jax.nn.leaky_relu(q_BPHD + k_BPHD, self.slope)[..., 0]
        dtype = accumulator(q_BPHD.dtype)
        s_BPH = jnp.einsum("BPHD,BPHD->BPH", q_BPHD, k_BPHD, preferred_element_type=dtype)
        return s_BPH / math.sqrt(q_BPHD.shape[-1])

    def _complete(
        self,
        q_BTHD: jax.Array,
        k_BTHD: jax.Array,
        v_BTHE: jax.Array,
        mask: Mask,
        rng: jax.Array | None,
    ) -> jax.Array:
        """Over all pairs: softmax attention, where the scores of "gat" are a bias on zeros."""
        bias_BHQK = None
        if self.score == "gat":
            s_BQKH1 = q_BTHD[:, :, None] + k_BTHD[:, None]
            bias_BHQK = jnp.moveaxis(jax.nn.leaky_relu(s_BQKH1, self.slope)[..., 0], 3, 1)
            q_BTHD = k_BTHD = jnp.zeros(q_BTHD.shape, v_BTHE.dtype)
        return softmax_attention(
            q_BTHD,
            k_BTHD,
            v_BTHE,
            mask if self.self_loops else mask & ~Window(0, 0),
            bias=bias_BHQK,
            dropout_rate=self.dropout_rate,
            rng=rng,
        )

    def _parts(self, mask: Mask) -> tuple[Edges | None, Mask]:
        """The edges, if there are any, and the rest of the mask."""
        parts = list(conjuncts(mask))
        edges = [part for part in parts if isinstance(part, Edges)]
        others = [part for part in parts if not isinstance(part, Edges)]
        if len(edges) > 1:
            raise NotImplementedError(
                f"Graph cannot take {len(edges)} lists of edges; use one Edges of those in all"
            )
        leaves = jax.tree.leaves(others, is_leaf=lambda leaf: isinstance(leaf, Edges))
        if any(isinstance(leaf, Edges) for leaf in leaves):
            raise NotImplementedError(
                "Graph cannot look for edges under |, ~ or PerHead; use Edges(...) & the rest of "
                "the mask, or Softmax, which takes any mask"
            )
        rest: Mask = functools.reduce(And, others) if others else Everything()
        return edges[0] if edges else None, rest


def _projected(x_BTHD: jax.Array, a_HD: jax.Array) -> jax.Array:
    """a · x of each head, [B, T, H, 1], at least float32."""
    dtype = accumulator(x_BTHD.dtype)
    return jnp.einsum("BTHD,HD->BTH", x_BTHD.astype(dtype), a_HD.astype(dtype))[..., None]

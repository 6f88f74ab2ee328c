"""The letters that name array axes, the Attend protocol, and shape checks with helpful errors.

Arrays carry their axes in their name, as in ``q_BQHD``:

    B batch           Q query length      K key length        T length where both are one
    H heads           G key/value heads   D query, key size   E value size of a head
    M model size      F feed-forward size V vocabulary        S source length
    R features, rank  W window            N blocks, beams     C block size
    P pairs of a query and a key, as the edges of a graph
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

Tree = Any  # a pytree of arrays


@dataclass(frozen=True)
class Sizes:
    """The static sizes an Attend may need to make its parameters.

    Attributes:
      heads: number of heads, H.
      size: features of a query or key in one head, D.
      value_size: features of a value in one head, E.
      model_size: features of the layer's input, M.
      kv_heads: heads of keys and values, G; H where None.
    """

    heads: int
    size: int
    value_size: int
    model_size: int
    kv_heads: int | None = None


@dataclass(frozen=True)
class Abilities:
    """What an Attend can do; whatever it does not declare, it refuses.

    Attributes:
      causal: "exact" when outputs at i never change with anything after i; "values only" when no
        later value reaches i but what is selected may depend on later tokens; "no" otherwise.
      cross: queries and keys may come from two sequences.
      bias: an additive bias on the scores is understood.
      decoding: "cached" one step at a time, "recompute" the prefix at each step, or "no"; "carried"
        where a query needs what the one before has left, across two sequences: see ``Carrying``.
      projections: queries, keys and values projected "apart"; "shared" queries and keys; "one"
        projection for all three; or "values" alone, which then stand for queries and keys too.
      grouped: fewer key and value heads than queries' are taken as they are, k_BKGD and v_BKGE; for
        others ``MultiHead`` repeats them.
      needs_x: the layer's input x_BTM is wanted beside q, k and v.
      fixed_length: the definition holds for one declared length, to which inputs are padded.
      shares: the weights of a query are shares, none below zero and together at most one.
      masks: "any" mask is followed, or "plain" ones alone: causal and padding, see
        ``masks.plainly``.
      time: how multiply-adds grow beside those of the projections, in n tokens, d features of the
        layer, and the letters of the variant's fields.
      memory: the same of temporary memory.
      otherwise: with which other parameters it is causal, as "with first=0 it is causal".
      across: with which others it attends across two sequences.
    """

    causal: Literal["exact", "values only", "no"]
    cross: bool
    bias: bool
    decoding: Literal["cached", "carried", "recompute", "no"]
    projections: Literal["apart", "shared", "one", "values"] = "apart"
    grouped: bool = False
    needs_x: bool = False
    fixed_length: bool = False
    shares: bool = False
    masks: Literal["any", "plain"] = "any"
    time: str = ""
    memory: str = ""
    otherwise: str = ""
    across: str = ""

    @property
    def remedy(self) -> str:
        """What to do where it is to be causal and is not, to end an error's text with."""
        return f"; {self.otherwise}" if self.otherwise else ""


@dataclass(frozen=True)
class Named:
    """A parameter or a piece of state with the logical names of its axes, for sharding."""

    value: jax.Array
    axes: tuple[str | None, ...]


@runtime_checkable
class Attend(Protocol):
    """A way for queries to gather values: a frozen, hashable value holding hyperparameters.

    ``init`` makes trained parameters and untrained state, trees of ``Named`` leaves of which either
    may be an empty dict; the other methods take them as plain arrays.
    ``attend`` is pure, and an ``rng`` given to it means training. Cached decoding, where declared,
    is ``start`` (an empty cache) and ``extend`` (one or more new positions, for which ``x_BTM`` has
    the layer's input). Where values take two ways, so that ``attend`` is not linear in them, a
    method ``gather`` of ``attend``'s arguments gives all of them those values. Parameters that all
    layers of a stack share come from a method ``init_shared``, as ``init``, and stand in ``params``
    beside the others.
    """

    @property
    def abilities(self) -> Abilities: ...

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]: ...

    def attend(
        self,
        params: Tree,
        state: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]: ...

    def start(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree: ...

    def extend(
        self,
        params: Tree,
        state: Tree,
        cache: Tree,
        q_BQHD: jax.Array,
        k_BQHD: jax.Array,
        v_BQHE: jax.Array,
        mask: Any,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]: ...


@runtime_checkable
class Carrying(Attend, Protocol):
    """An attention whose queries go in order, each with what the one before has left; no others.

    ``start_cross`` is what the first of them finds, every leaf with the batch first; of the next Q
    queries ``extend_cross`` gives the outputs, and what they leave. ``attend`` is both, of all.
    """

    def start_cross(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, k_len: int, dtype: Any
    ) -> Tree: ...

    def extend_cross(
        self,
        params: Tree,
        state: Tree,
        carry: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any,
    ) -> tuple[jax.Array, Tree]: ...


@runtime_checkable
class Mix(Protocol):
    """A way for positions to mix without queries and keys: a frozen, hashable value.

    As ``Attend``, but that ``mix`` takes and returns features of the model's size. Padding in its
    input is zero, and is to be in its output; the mask says no more than ``masks.plainly`` reads.
    """

    @property
    def abilities(self) -> Abilities: ...

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]: ...

    def mix(
        self,
        params: Tree,
        state: Tree,
        x_BTM: jax.Array,
        mask: Any,
        *,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]: ...

    def start(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree: ...

    def extend(
        self, params: Tree, state: Tree, cache: Tree, x_BQM: jax.Array, mask: Any
    ) -> tuple[jax.Array, Tree]: ...


def accumulator(dtype: Any) -> Any:
    """The dtype in which scores and sums are kept: at least float32, float64 for float64 tests."""
    return jnp.promote_types(dtype, jnp.float32)


def check_qkv(q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array) -> None:
    """Raises ValueError or TypeError where queries, keys and values do not fit together."""
    for name, x in (("q_BQHD", q_BQHD), ("k_BKHD", k_BKHD), ("v_BKHE", v_BKHE)):
        if x.ndim != 4:
            raise ValueError(
                f"{name} has shape {x.shape}; it needs four axes: batch, length, heads, features"
            )
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"{name} has dtype {x.dtype}; it needs a floating dtype: cast it first")
    q_rows, k_rows, v_rows = (len(x) for x in (q_BQHD, k_BKHD, v_BKHE))
    if not q_rows == k_rows == v_rows:
        raise ValueError(
            f"batch sizes differ: q has {q_rows}, k {k_rows}, v {v_rows}; they must be equal"
        )
    if k_BKHD.shape[1] != v_BKHE.shape[1]:
        raise ValueError(
            f"k has {k_BKHD.shape[1]} positions and v {v_BKHE.shape[1]}; each key needs one value"
        )
    if q_BQHD.shape[3] != k_BKHD.shape[3]:
        raise ValueError(
            f"q has {q_BQHD.shape[3]} features a head and k {k_BKHD.shape[3]}; they must be equal"
        )
    heads, kv_heads = q_BQHD.shape[2], k_BKHD.shape[2]
    if kv_heads != v_BKHE.shape[2] or heads % kv_heads:
        raise ValueError(
            f"heads differ: q has {heads}, k {kv_heads}, v {v_BKHE.shape[2]}; those of k and v "
            "must be equal, and divide q's"
        )


def check_scores(name: str, shape: tuple[int, ...], scores: tuple[int, ...]) -> None:
    """Raises ValueError where ``shape`` does not broadcast to the scores' [B, H, Q, K]."""
    fits = all(a in (1, b) for a, b in zip(reversed(shape), reversed(scores), strict=False))
    if len(shape) > len(scores) or not fits:
        raise ValueError(
            f"{name} has shape {shape}; it needs to broadcast to the scores, [B, H, Q, K] = "
            f"{list(scores)}"
        )


def check_one_sequence(attend: Any, q_BQHD: jax.Array, k_BKHD: jax.Array) -> None:
    """Raises NotImplementedError where queries and keys are not of one sequence."""
    q_len, k_len = q_BQHD.shape[1], k_BKHD.shape[1]
    if q_len != k_len:
        raise NotImplementedError(
            f"{type(attend).__name__} cannot attend across two sequences, {q_len} queries to "
            f"{k_len} keys; use Softmax"
        )

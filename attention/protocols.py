"""What a variant is: base classes of attentions and token mixers, and what they declare."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax

from attention.errors import UnsupportedError
from attention.shapes import Sizes, Tree


@dataclass(frozen=True)
class Capabilities:
    """What an attention or a token mixer can do; what it does not declare is refused.

    Attributes:
      causal: "exact" when outputs at i never change with anything after i; "values only" when no
        later value reaches i but what is selected may depend on later tokens; "no" otherwise.
      cross: queries and keys may come from two sequences.
      bias: an additive bias on the scores is understood.
      decoding: "cached" one step at a time, "recompute" the prefix at each step, or "no";
        "stateful" where a query needs the state that the one before has left, across two
        sequences: see ``StatefulCrossAttention``.
      projections: queries, keys and values projected "apart"; "shared" queries and keys; "one"
        projection for all three; "values" alone, which then stand for queries and keys too; or
        "none", as in token mixers.
      grouped: fewer key and value heads than queries' are taken as they are, k_BKGD and v_BKGE; for
        others ``MultiHead`` repeats them.
      needs_x: the layer's input x_BTM is wanted beside q, k and v.
      fixed_length: the definition holds for one declared length, to which inputs are padded.
      normalised: the weights of a query are shares, none below zero and together at most one.
      masks: "any" mask is followed, or "plain" ones alone: causal and padding, see
        ``masks.plainly``.
      attends_globally: of the first tokens of a sequence, how many see all and are seen by all:
        "all", or the name of the field that says so; none where empty.
      one_way: the name of a field and a value of it with which no later token is seen, whatever the
        mask shows; None where there is no such field.
      time: how multiply-adds grow beside those of the projections, in n tokens, d features of the
        layer, and the letters of the variant's fields.
      memory: the same of temporary memory.
      otherwise: with which other parameters it is causal, as "with first=0 it is causal".
      across: with which others it attends across two sequences.
    """

    causal: Literal["exact", "values only", "no"] = "no"
    cross: bool = False
    bias: bool = False
    decoding: Literal["cached", "stateful", "recompute", "no"] = "no"
    projections: Literal["apart", "shared", "one", "values", "none"] = "apart"
    grouped: bool = False
    needs_x: bool = False
    fixed_length: bool = False
    normalised: bool = False
    masks: Literal["any", "plain"] = "any"
    attends_globally: str = ""
    one_way: tuple[str, Any] | None = None
    time: str = ""
    memory: str = ""
    otherwise: str = ""
    across: str = ""

    @property
    def remedy(self) -> str:
        """What to do where it must be causal and is not, as the end of an error's text."""
        return f"; {self.otherwise}" if self.otherwise else ""


@dataclass(frozen=True)
class Needs:
    """What a slot, or a call, demands of its attention.

    Attributes:
      causal: no value of a later token may reach a query.
      bidirectional: later tokens are seen.
      cross: keys are of another sequence; otherwise they are of the queries' own.
      bias: an additive bias on the scores.
      cached: decoding step by step, from a cache or from the prefix.
      shared_heads: several heads of queries share one head of keys and values.
      rotary: rotary positions, which turn queries and keys.
      global_tokens: how many of the first tokens see all others and are seen by them.
    """

    causal: bool = False
    bidirectional: bool = False
    cross: bool = False
    bias: bool = False
    cached: bool = False
    shared_heads: bool = False
    rotary: bool = False
    global_tokens: int = 0


def require(attention: _Variant, needs: Needs) -> None:
    """Raises UnsupportedError, with a remedy, where the attention lacks what is needed."""
    can, name = attention.capabilities, type(attention).__name__
    own = can.projections not in ("values", "none")
    one_way = can.one_way is not None and getattr(attention, can.one_way[0]) == can.one_way[1]
    for needed, able, request, remedy in (
        (needs.cross, can.cross, "attend across two sequences", can.across),
        (
            not needs.cross,
            can.decoding != "stateful",
            "attend within one sequence, since it carries an alignment with another",
            "or choose it for cross-attention",
        ),
        (needs.causal, can.causal != "no", "be causal", can.otherwise),
        (
            needs.bidirectional,
            not one_way,
            f"see later tokens with {can.one_way and '{}={!r}'.format(*can.one_way)}",
            "",
        ),
        (needs.bias, can.bias, "add a bias to its scores", ""),
        (
            needs.cached,
            can.decoding in ("cached", "recompute"),
            "decode from a cache",
            can.otherwise,
        ),
        (
            needs.shared_heads,
            can.projections == "apart",
            "share heads of keys among heads of queries (kv_heads)",
            "",
        ),
        (needs.rotary, own and not can.needs_x, "take rotary positions", ""),
        (
            needs.global_tokens > 0,
            needs.global_tokens <= _global_tokens(attention),
            f"let {needs.global_tokens} tokens see all others",
            f"or set {can.attends_globally} to {needs.global_tokens} or more"
            if can.attends_globally
            else "",
        ),
    ):
        if needed and not able:
            raise UnsupportedError(
                f"{name} cannot {request}; use Softmax{remedy and '; ' + remedy}"
            )


def _global_tokens(attention: _Variant) -> float:
    """How many of the first tokens see all others and are seen by them."""
    field = attention.capabilities.attends_globally
    return math.inf if field == "all" else getattr(attention, field) if field else 0


@dataclass(frozen=True)
class WithAxes:
    """A parameter or a piece of state with the logical names of its axes, for sharding."""

    value: jax.Array
    axes: tuple[str | None, ...]


class _Variant(abc.ABC):
    """What attentions and token mixers share.

    Attributes:
      name: as in configs, reports and tables.
      causal_defaults: fields with other defaults in a causal decoder.
      forms: sets of fields that deserve a row of their own in tables and tests.
    """

    name: ClassVar[str] = ""
    causal_defaults: ClassVar[Mapping[str, Any]] = {}
    forms: ClassVar[tuple[Mapping[str, Any], ...]] = ()

    @property
    @abc.abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """Trained parameters and untrained state: trees of ``WithAxes`` leaves, or empty dicts."""
        return {}, {}

    def init_shared(self, rng: jax.Array, sizes: Sizes) -> Tree:
        """Parameters that all layers of a stack share, merged into those of each layer."""
        return {}

    def start(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """An empty cache for ``length`` positions; every leaf has the batch first."""
        raise refusal_of_cache(self)


class Attention(_Variant):
    """A way for queries to gather values: a frozen, hashable dataclass of hyperparameters.

    ``attend`` is pure, linear in the values, and an ``rng`` given to it means training. Where
    decoding is cached, ``start`` makes an empty cache, and ``extend`` takes one or more new
    positions, for which ``x_BTM`` is the layer's input.
    """

    @abc.abstractmethod
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
    ) -> tuple[jax.Array, Tree]:
        """Gathers values; returns out_BQHE and the state."""

    def gather(self, *arguments: Any, **options: Any) -> tuple[jax.Array, Tree]:
        """As ``attend``; where values take two ways, both take these."""
        return self.attend(*arguments, **options)

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
    ) -> tuple[jax.Array, Tree]:
        """Attends causally from Q new positions to those cached and to themselves."""
        raise refusal_of_cache(self)


class StatefulCrossAttention(Attention):
    """A cross attention whose queries go in order, each with the state that the last one left.

    ``start_cross`` is the state before the first query, every leaf with the batch first;
    ``extend_cross`` gives the outputs of the next Q queries, and the state after them. ``attend``
    is both, of all queries.
    """

    @abc.abstractmethod
    def start_cross(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, k_len: int, dtype: Any
    ) -> Tree:
        """The state before the first query."""

    @abc.abstractmethod
    def extend_cross(
        self,
        params: Tree,
        state: Tree,
        carry: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any,
    ) -> tuple[jax.Array, Tree]:
        """The outputs of the next Q queries, and the state after them."""


class TokenMixer(_Variant):
    """A way for positions to mix without queries and keys: a frozen, hashable dataclass.

    ``mix`` takes and returns features of the model's size. Padding in its input is zero, and must
    be zero in its output; the mask says no more than ``masks.plainly`` reads.
    """

    @abc.abstractmethod
    def mix(
        self,
        params: Tree,
        state: Tree,
        x_BTM: jax.Array,
        mask: Any,
        *,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Mixes positions; returns out_BTM and the state."""

    def extend(
        self, params: Tree, state: Tree, cache: Tree, x_BQM: jax.Array, mask: Any
    ) -> tuple[jax.Array, Tree]:
        """Mixes Q further positions with those cached."""
        raise refusal_of_cache(self)


def refusal_of_cache(variant: Any) -> UnsupportedError:
    """The error of a variant that has no cache of its own sequence to decode from."""
    name, can = type(variant).__name__, variant.capabilities
    if can.decoding == "stateful":
        return UnsupportedError(
            f"{name} cannot decode from a cache of its own sequence, since its keys are another's; "
            "use Softmax there, and it as cross-attention"
        )
    return UnsupportedError(f"{name} cannot decode from a cache; use Local or Softmax{can.remedy}")

"""What a variant is: base classes of attentions and token mixers, and what they declare."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, final

import jax
import jax.numpy as jnp

from attention.biases import as_bias
from attention.errors import UnsupportedError
from attention.kernels.inputs import (
    Inputs,
    check_padding_and_causal,
    is_causal,
    read_inputs,
    real_at,
)
from attention.masks import as_mask
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
      masks: "any" mask is followed, or "padding and causal" alone: ``Causal``, ``Lengths`` and
        ``Valid``, joined by &.
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
    masks: Literal["any", "padding and causal"] = "any"
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
        (needs.causal, can.causal != "no", "attend causally", can.otherwise),
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
            "share heads of keys among heads of queries",
            "or kv_heads=None",
        ),
        (
            needs.rotary,
            own and not can.needs_x,
            "take rotary positions, since not all it does is by queries and keys",
            "or rotary=None with other positions",
        ),
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

    @property
    def longest(self) -> int | None:
        """The most positions of a sequence; None where there is no such limit."""
        return getattr(self, "length", None) if self.capabilities.fixed_length else None

    def init(self, rng: jax.Array, sizes: Sizes) -> tuple[Tree, Tree]:
        """Trained parameters and untrained state: trees of ``WithAxes`` leaves, or empty dicts."""
        return {}, {}

    def params_shared(self, rng: jax.Array, sizes: Sizes) -> Tree:
        """Parameters that all layers of a stack share, merged into those of each layer."""
        return {}

    def init_cache(
        self, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
    ) -> Tree:
        """An empty cache for ``length`` positions; every leaf has the batch first."""
        raise _no_cache(self)

    def _check(self, mask: Any, length: int) -> None:
        """Raises an error where it cannot follow the mask, or the sequence is too long."""
        if self.longest is not None and length > self.longest:
            raise ValueError(
                f"{type(self).__name__}(length={getattr(self, 'length', None)}): got {length} "
                f"positions; set length={length} or more"
            )
        if self.capabilities.masks != "any":
            check_padding_and_causal(type(self).__name__, mask)


class Attention(_Variant):
    """A way for queries to gather values: a frozen, hashable dataclass of hyperparameters.

    A variant defines ``capabilities`` and ``_attend``, which is pure, and linear in the values; and
    ``init_cache`` and ``_extend`` where it declares cached decoding.
    """

    @final
    def attend(
        self,
        params: Tree,
        state: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any = None,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Gathers values.

        Args:
          params, state: what ``init`` made, without the names of axes.
          q_BQHD, k_BKHD, v_BKHE: queries, keys and values, floating; padding in them may be
            anything. Where ``capabilities.grouped``, H may be a multiple of the others' heads.
          mask: a Mask, a boolean array (True means "may attend"), or None for all.
          bias: added to the scores: a Bias, or an array broadcastable to [B, H, Q, K].
          x_BTM: the layer's input, where ``capabilities.needs_x``.
          rng: a typed key; given means training.

        Returns:
          out_BQHE in v's dtype, zero where a query sees nothing; and the state.

        Raises:
          ValueError, TypeError: shapes or dtypes do not fit.
          NotImplementedError: the attention does not declare what is needed.
        """
        inputs = self._read(q_BQHD, k_BKHD, v_BKHE, mask, bias, x_BTM)
        return self._attend(params, state, inputs, rng)

    @final
    def gather(
        self,
        params: Tree,
        state: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any = None,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """As ``attend``, without training; where values take two ways, both take these."""
        inputs = self._read(q_BQHD, k_BKHD, v_BKHE, mask, bias, x_BTM)
        return self._gather(params, state, inputs)

    @final
    def extend(
        self,
        params: Tree,
        state: Tree,
        cache: Tree,
        q_BQHD: jax.Array,
        k_BQHD: jax.Array,
        v_BQHE: jax.Array,
        mask: Any = None,
        *,
        bias: Any = None,
        x_BTM: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Attends causally from Q new positions to those cached and to themselves.

        Args:
          params, state, mask, bias, x_BTM: as for ``attend``; masks and biases speak of positions
            from the first one cached on.
          cache: from ``init_cache``, or from the last call.
          q_BQHD, k_BQHD, v_BQHE: queries, keys and values of the new positions.

        Returns:
          out_BQHE, and the cache with the new positions.
        """
        if bias is not None:
            require(self, Needs(bias=True))
        inputs = Inputs(q_BQHD, k_BQHD, v_BQHE, as_mask(mask), as_bias(bias), x_BTM)
        self._check(inputs.mask, q_BQHD.shape[1])
        return self._extend(params, state, cache, inputs)

    @abc.abstractmethod
    def _attend(
        self, params: Tree, state: Tree, inputs: Inputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        """``attend`` of inputs that are checked and zero at padding."""

    def _gather(self, params: Tree, state: Tree, inputs: Inputs) -> tuple[jax.Array, Tree]:
        return self._attend(params, state, inputs, None)

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: Inputs
    ) -> tuple[jax.Array, Tree]:
        """``extend``; padding in the inputs may be anything."""
        raise _no_cache(self)

    def _read(self, q: Any, k: Any, v: Any, mask: Any, bias: Any, x: Any) -> Inputs:
        """The inputs, if the attention can serve them."""
        can, name, mask = self.capabilities, type(self).__name__, as_mask(mask)
        cross = can.cross or q.shape[1:2] != k.shape[1:2]
        require(self, Needs(causal=is_causal(mask), cross=cross, bias=bias is not None))
        self._check(mask, k.shape[1])
        inputs = read_inputs(q, k, v, mask, bias, x)
        (_, q_len, heads, _), (_, k_len, kv_heads, _) = q.shape, k.shape
        if inputs.causal and can.masks != "any" and q_len != k_len:
            raise UnsupportedError(
                f"{name} cannot attend causally across two sequences, {q_len} queries to {k_len} "
                "keys; use Softmax"
            )
        if heads != kv_heads and not can.grouped:
            raise UnsupportedError(
                f"{name} cannot share {kv_heads} heads of keys among {heads} of queries; use "
                "Softmax, or repeat them as MultiHead does"
            )
        if can.needs_x and x is None:
            raise ValueError(f"{name}: x_BTM is missing; give it the layer's input")
        return inputs


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
        alignment: Tree,
        q_BQHD: jax.Array,
        k_BKHD: jax.Array,
        v_BKHE: jax.Array,
        mask: Any = None,
    ) -> tuple[jax.Array, Tree]:
        """The outputs of the next Q queries to all keys, and the state after them."""


class MixerInputs(NamedTuple):
    """What a token mixer computes on.

    Attributes:
      x_BTM: the layer's input, zero at padding.
      real_BT: which positions are not padding, bool [B, T].
      causal: whether later positions are hidden.
    """

    x_BTM: jax.Array
    real_BT: jax.Array
    causal: bool


class TokenMixer(_Variant):
    """A way for positions to mix without queries and keys: a frozen, hashable dataclass.

    A variant defines ``capabilities`` and ``_mix``; and ``init_cache`` and ``_extend`` where it
    declares cached decoding. They take and return features of the model's size.
    """

    @final
    def mix(
        self,
        params: Tree,
        state: Tree,
        x_BTM: jax.Array,
        mask: Any = None,
        *,
        rng: jax.Array | None = None,
    ) -> tuple[jax.Array, Tree]:
        """Mixes positions.

        Args:
          params, state: what ``init`` made, without the names of axes.
          x_BTM: the layer's input; padding in it may be anything.
          mask: ``Causal``, ``Lengths`` and ``Valid`` joined by &, or None.
          rng: a typed key; given means training.

        Returns:
          out_BTM, zero at padding; and the state.
        """
        mask, (batch, length, _) = as_mask(mask), x_BTM.shape
        require(self, Needs(causal=is_causal(mask)))
        self._check(mask, length)
        mask.check(length, length)
        real_BT = mask.padding(length, length)[0]
        real_BT = jnp.broadcast_to(True if real_BT is None else real_BT, (batch, length))
        x_BTM = jnp.where(real_BT[..., None], x_BTM, 0)
        inputs = MixerInputs(x_BTM, real_BT, is_causal(mask))
        out_BTM, state = self._mix(params, state, inputs, rng)
        return jnp.where(real_BT[..., None], out_BTM, 0).astype(x_BTM.dtype), state

    @final
    def extend(
        self, params: Tree, state: Tree, cache: Tree, x_BQM: jax.Array, mask: Any = None
    ) -> tuple[jax.Array, Tree]:
        """Mixes Q new positions with those cached; returns out_BQM and the cache with them."""
        mask, new = as_mask(mask), x_BQM.shape[1]
        self._check(mask, new)
        real_BQ = real_at(mask, cache["index_B"][:, None] + jnp.arange(new)[None])
        inputs = MixerInputs(jnp.where(real_BQ[..., None], x_BQM, 0), real_BQ, causal=True)
        out_BQM, kept = self._extend(params, state, cache, inputs)
        out_BQM = jnp.where(real_BQ[..., None], out_BQM, 0).astype(x_BQM.dtype)
        return out_BQM, kept | {"index_B": cache["index_B"] + new}

    @abc.abstractmethod
    def _mix(
        self, params: Tree, state: Tree, inputs: MixerInputs, rng: jax.Array | None
    ) -> tuple[jax.Array, Tree]:
        """``mix`` of checked inputs; the output may be anything at padding."""

    def _extend(
        self, params: Tree, state: Tree, cache: Tree, inputs: MixerInputs
    ) -> tuple[jax.Array, Tree]:
        """``extend``, and the cache but for its ``index_B``."""
        raise _no_cache(self)


def _no_cache(variant: _Variant) -> UnsupportedError:
    """The error of a variant that has no cache of its own sequence to decode from."""
    remedy = variant.capabilities.otherwise
    return UnsupportedError(
        f"{type(variant).__name__} cannot decode from a cache; use Softmax"
        f"{remedy and '; ' + remedy}"
    )

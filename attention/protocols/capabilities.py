"""What a variant can do, what a slot demands of it, and the one place where they are compared."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from attention.errors import UnsupportedError


@dataclass(frozen=True)
class Capabilities:
    """What an attention or a token mixer can do; what is not declared raises an error.

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
      segments: sequences packed into one row under ``masks.Segments`` get what each gets alone.
      sequence_sharding: one sequence may be split over devices.
      forward_mode: derivatives by ``jax.jvp`` too, not by ``jax.grad`` alone.
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
    segments: bool = False
    sequence_sharding: bool = False
    forward_mode: bool = False
    attends_globally: str = ""
    one_way: tuple[str, Any] | None = None
    time: str = ""
    memory: str = ""
    otherwise: str = ""
    across: str = ""


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
      segments: several sequences packed into one row.
      global_tokens: how many of the first tokens see all others and are seen by them.
    """

    causal: bool = False
    bidirectional: bool = False
    cross: bool = False
    bias: bool = False
    cached: bool = False
    shared_heads: bool = False
    rotary: bool = False
    segments: bool = False
    global_tokens: int = 0


def require(attention: Any, needs: Needs) -> None:
    """Raises UnsupportedError, with a remedy, where the attention lacks what is needed."""
    can = attention.capabilities
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
        (needs.segments, can.segments, "take sequences packed into one row", ""),
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
            raise unsupported(attention, request, remedy)


def unsupported(variant: Any, request: str, remedy: str = "") -> UnsupportedError:
    """The error of a variant that cannot do what was asked for."""
    remedy = f"; {remedy}" if remedy else ""
    return UnsupportedError(f"{type(variant).__name__} cannot {request}; use Softmax{remedy}")


def _global_tokens(attention: Any) -> float:
    """How many of the first tokens see all others and are seen by them."""
    field = attention.capabilities.attends_globally
    return math.inf if field == "all" else getattr(attention, field) if field else 0

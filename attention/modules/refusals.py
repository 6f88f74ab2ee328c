"""What a layer refuses for its attention, which has not declared it: each with a remedy."""

from __future__ import annotations

from typing import Any

from attention.positions import Rotary
from attention.protocols import Attention


def check_cross(attend: Attention) -> None:
    """Raises NotImplementedError where keys may not be of another sequence."""
    if not attend.capabilities.cross:
        raise NotImplementedError(
            f"{type(attend).__name__} cannot attend across two sequences; "
            "use Softmax, or another attention that declares cross"
        )


def check_within(attend: Attention) -> None:
    """Raises NotImplementedError where keys may not be of the queries' own sequence."""
    if attend.capabilities.decoding == "stateful":
        raise NotImplementedError(
            f"{type(attend).__name__} cannot attend within one sequence, since it carries an "
            "alignment with another; use Softmax, or give it a memory"
        )


def check_cached(attend: Attention) -> None:
    """Raises NotImplementedError where there is no cache of the own sequence."""
    if attend.capabilities.decoding != "cached":
        raise NotImplementedError(
            f"{type(attend).__name__} cannot decode from a cache; "
            "use an attention that declares cached decoding"
        )


def check_bias(attend: Attention, bias: Any) -> None:
    """Raises NotImplementedError where there is a bias and no scores to add it to."""
    if bias is not None and not attend.capabilities.bias:
        raise NotImplementedError(
            f"{type(attend).__name__} cannot add a bias to its scores; "
            "use Softmax, or another attention that declares bias"
        )


def check_projections(
    attend: Attention, heads: int, kv_heads: int | None, rotary: Rotary | None
) -> None:
    """Raises NotImplementedError where it has no keys to be fewer, or to be turned."""
    projections = attend.capabilities.projections
    if projections != "apart" and kv_heads not in (None, heads):
        raise NotImplementedError(
            f"{type(attend).__name__} cannot have {kv_heads} kv_heads for {heads} heads, since it "
            "has no keys of their own; use kv_heads=None"
        )
    if rotary is not None and (attend.capabilities.needs_x or projections == "values"):
        raise NotImplementedError(
            f"{type(attend).__name__} cannot take rotary positions, since not all it does is by "
            "queries and keys; use rotary=None, with sinusoidal or learned positions"
        )

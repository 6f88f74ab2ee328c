"""What attentions refuse that have no scores to add a bias to, or no heads that share keys."""

from __future__ import annotations

from typing import Any

import jax

from attention.shapes import check_qkv


def check_no_bias(attend: Any, bias: Any) -> None:
    """Raises NotImplementedError where there is a bias."""
    if bias is not None:
        raise NotImplementedError(
            f"{type(attend).__name__} cannot add a bias to its scores; use Softmax"
        )


def check_own_heads(attend: Any, q_BQHD: jax.Array, k_BKHD: jax.Array, v_BKHE: jax.Array) -> None:
    """As ``check_qkv``, and raises NotImplementedError where heads of queries share keys."""
    check_qkv(q_BQHD, k_BKHD, v_BKHE)
    heads, kv_heads = q_BQHD.shape[2], k_BKHD.shape[2]
    if heads != kv_heads:
        raise NotImplementedError(
            f"{type(attend).__name__} cannot share {kv_heads} heads of keys among {heads} of "
            "queries; use Softmax, or repeat them as MultiHead does"
        )

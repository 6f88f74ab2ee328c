"""What attentions refuse that have no cache, or no scores to which a bias could be added.

``start`` and ``extend`` are the methods of one without a cache:

    class Linformer:
        start, extend = refusals.start, refusals.extend
"""

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


def check_cached(asker: Any) -> None:
    """Raises NotImplementedError where there is no cache to decode from."""
    if asker.abilities.decoding == "carried":
        raise NotImplementedError(
            f"{type(asker).__name__} cannot decode from a cache of its own sequence, since its "
            "keys are another's; use Softmax there, and it as cross-attention"
        )
    if asker.abilities.decoding != "cached":
        raise NotImplementedError(
            f"{type(asker).__name__} cannot decode from a cache; use Local or Softmax"
            f"{asker.abilities.remedy}"
        )


def start(self: Any, *_: Any) -> Any:
    """There is no cache."""
    check_cached(self)


def extend(self: Any, *_: Any, **__: Any) -> Any:
    """There is no cache."""
    check_cached(self)

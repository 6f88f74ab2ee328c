"""What attentions refuse that have no cache, or no scores to which a bias could be added.

``start`` and ``extend`` are the methods of one without a cache:

    class Linformer:
        start, extend = refusals.start, refusals.extend
"""

from __future__ import annotations

from typing import Any, NoReturn

import jax

from attention.shapes import Attend, Sizes, Tree


def check_no_bias(attend: Attend, bias: Any) -> None:
    """Raises NotImplementedError where there is a bias."""
    if bias is not None:
        raise NotImplementedError(
            f"{type(attend).__name__} cannot add a bias to its scores; use Softmax"
        )


def start(
    self: Attend, params: Tree, state: Tree, sizes: Sizes, batch: int, length: int, dtype: Any
) -> NoReturn:
    """There is no cache."""
    raise NotImplementedError(
        f"{type(self).__name__} cannot decode from a cache; use Local or Softmax"
        f"{self.abilities.remedy}"
    )


def extend(
    self: Attend,
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
) -> NoReturn:
    """There is no cache."""
    start(self, params, state, None, 0, 0, None)  # type: ignore[arg-type]

"""Trained parameters of modules, with the logical names of their axes."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax


def parameter(
    module: nn.Module,
    name: str,
    init: Callable[..., jax.Array],
    axes: tuple[str | None, ...],
    shape: tuple[int, ...],
) -> Any:
    """A parameter of a module, an array of this shape; ``axes`` are its logical names."""
    return module.param(name, nn.with_logical_partitioning(init, axes), shape)

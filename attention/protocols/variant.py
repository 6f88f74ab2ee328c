"""The base of all variants, attentions and token mixers alike."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax

from attention.errors import UnsupportedError
from attention.kernels.inputs import check_padding_and_causal
from attention.protocols.capabilities import Capabilities, unsupported
from attention.shapes import Sizes, Tree


@dataclass(frozen=True)
class WithAxes:
    """A parameter or a piece of state with the logical names of its axes, for sharding."""

    value: jax.Array
    axes: tuple[str | None, ...]


class Variant(abc.ABC):
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
        raise self._no_cache()

    def _check(self, mask: Any, length: int) -> None:
        """Raises an error where it cannot follow the mask, or the sequence is too long."""
        if self.longest is not None and length > self.longest:
            raise ValueError(
                f"{type(self).__name__}(length={getattr(self, 'length', None)}): got {length} "
                f"positions; set length={length} or more"
            )
        if self.capabilities.masks != "any":
            check_padding_and_causal(type(self).__name__, mask)

    def _no_cache(self) -> UnsupportedError:
        """The error where there is no cache of its own sequence to decode from."""
        return unsupported(self, "decode from a cache", self.capabilities.otherwise)

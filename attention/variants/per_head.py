"""A pattern of its own for each head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attention import masks
from attention.shapes import Abilities
from attention.variants import pattern


@dataclass(frozen=True)
class PerHead:
    """Each head has a window of its own, perhaps with gaps.

    So some heads look near and others far (Beltagy et al. 2020, "Longformer", section 3.1).

    Attributes:
      left, right: how many keys before and after its own position a query sees, a number for each
        head, or one in a tuple for all.
      step: positions from one of them to the next, likewise.
      dropout_rate: share of attention weights dropped in training.
      kernel: how it is computed, see ``attention.kernels.softmax_attention``.

    Cost: Q·(left + right + 1)·(D + E) multiply-adds for each head; a cached step keeps as many keys
    as the head that looks farthest needs.

    Raises:
      ValueError: a number is out of range, or there are several for unlike numbers of heads; in
        use, for another number of heads than the attention has.

        >>> import jax.numpy as jnp
        >>> x_BTHD = jnp.ones((1, 9, 2, 4))
        >>> attend = PerHead(left=(2, 2), right=(2, 2), step=(1, 3))
        >>> attend.attend({}, {}, x_BTHD, x_BTHD, x_BTHD, None)[0].shape
        (1, 9, 2, 4)
    """

    left: tuple[int, ...] = (64,)
    right: tuple[int, ...] = (64,)
    step: tuple[int, ...] = (1,)
    dropout_rate: float = 0.0
    kernel: str = "auto"

    abilities: ClassVar[Abilities] = Abilities(
        causal="exact", cross=False, bias=True, decoding="cached", grouped=True
    )
    init, attend, start, extend = pattern.init, pattern.attend, pattern.start, pattern.extend

    def __post_init__(self) -> None:
        heads = max(len(self.left), len(self.right), len(self.step))
        for name in ("left", "right", "step"):
            if len(getattr(self, name)) not in (1, heads):
                raise ValueError(
                    f"PerHead({name}={getattr(self, name)}): needs one number, or {heads}"
                )
        self.pattern(heads)

    def pattern(self, heads: int) -> masks.Mask:
        """The windows of all heads."""
        numbers = _broadcast(self.left, self.right, self.step)
        windows = tuple(masks.Dilated(*of_head) for of_head in numbers)
        return windows[0] if len(set(windows)) == 1 else masks.PerHead(windows)

    def reach(self) -> int:
        """As far as the farthest key of any head."""
        return max(left * step for left, step in _broadcast(self.left, self.step))


def _broadcast(*given: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The numbers of each head, one number being for all."""
    heads = max(map(len, given))
    whole = (numbers * heads if len(numbers) == 1 else numbers for numbers in given)
    return list(zip(*whole, strict=True))

"""Windows that may differ by head, with gaps that may too, for attentions that have such fields."""

from collections.abc import Sequence
from typing import Any, Protocol

from attention import masks

Numbers = int | tuple[int, ...]


class Windows(Protocol):
    """Fields of a number for each head, or of one for all."""

    @property
    def left(self) -> Numbers: ...

    @property
    def right(self) -> Numbers: ...

    @property
    def step(self) -> Numbers: ...


def check(attention: Any) -> None:
    """Makes tuples of the fields.

    Raises:
      ValueError: a number is out of range, or there are several for unlike numbers of heads.
    """
    for name in ("left", "right", "step"):
        numbers = getattr(attention, name)
        object.__setattr__(
            attention, name, tuple(numbers) if isinstance(numbers, Sequence) else (numbers,)
        )
    heads = max(len(attention.left), len(attention.right), len(attention.step))
    for name in ("left", "right", "step"):
        if len(getattr(attention, name)) not in (1, heads):
            raise ValueError(
                f"{type(attention).__name__}({name}={getattr(attention, name)}): needs one number, "
                f"or {heads}, one for each head"
            )
    pattern(attention)


def pattern(attention: Windows, *, also: masks.Mask | None = None) -> masks.Mask:
    """The windows, and what every head sees beside them: one mask, or one for each head."""
    of_heads = [window if also is None else window | also for window in _windows(attention)]
    return of_heads[0] if len(of_heads) == 1 else masks.PerHead(tuple(of_heads))


def reach(attention: Windows) -> int:
    """How far back the farthest key of any head lies."""
    return max(window.left * window.step for window in _windows(attention))


def _windows(attention: Windows) -> list[masks.Dilated]:
    """One for all heads, or one for each."""
    fields: Any = (attention.left, attention.right, attention.step)
    heads = max(map(len, fields))
    whole = (numbers * heads if len(numbers) == 1 else numbers for numbers in fields)
    return [masks.Dilated(*of_head) for of_head in zip(*whole, strict=True)]

"""What the laws are run over: one line a case.

    Case("softmax-tiled", Softmax(kernel="tiled"), softmax_attention, temporary_bytes=1.0)

is held to all that its ``abilities`` declare, in every place that they allow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import jax.numpy as jnp

from attention import MultiHead
from attention.biases import ALiBi, Bias, Relative
from attention.kernels.plan import Limits
from attention.masks import Mask, Window
from attention.positions import Rotary
from attention.shapes import Attend, Sizes
from attention.variants import Local, Softmax
from tests.reference.attention import local_attention, multi_head, softmax_attention
from tests.reference.positions import rotate


@dataclass(frozen=True)
class Case:
    """An attention, and what is expected of it.

    Attributes:
      name: stands in the tests' names.
      attend: what is tested.
      reference: float64 NumPy, called as ``reference(q, k, v, see=see, bias=bias)``, with key and
        value heads repeated to the queries'; and with ``params=``, ``state=`` and ``x_BTM=`` where
        the attention has any. Of a case with a ``module``: ``reference(params, x, memory, see)``.
      module: makes the MultiHead in which it is tested, given heads, attend, features and dtype;
        None tests the attention alone (law 5 puts it into a MultiHead all the same).
      sizes: to draw from; odd numbers of heads among them. Heads are of keys and values.
      lengths: to draw from, in tokens; no multiples of a block.
      groups: heads of queries for one head of keys and values.
      only: the places to test, of encoder, decoder and cross; by default all that are declared.
      masks: the kinds of mask it takes, see ``masks.MAKERS``; padding is never optional.
      bias: makes a bias from (random, heads, q_len, k_len); None lets the laws draw arrays.
      pattern: the attention's own mask, of which no query sees more than it shows.
      sums_to_one: whether the weights of a row do.
      multiply_adds: the greatest exponent, in the length, that its multiply-adds may have.
      temporary_bytes: the same of temporary memory.
    """

    name: str
    attend: Attend
    reference: Callable
    module: Callable[..., MultiHead] | None = None
    sizes: tuple[Sizes, ...] = (Sizes(3, 4, 5, 12), Sizes(1, 2, 3, 2), Sizes(5, 2, 1, 10))
    lengths: tuple[int, ...] = (7, 1, 10)
    groups: int = 1
    only: tuple[str, ...] = ("encoder", "decoder", "cross")
    masks: tuple[str, ...] = ("all", "lengths", "gaps", "segments", "window", "any")
    bias: Callable[..., Any] | None = None
    pattern: Mask | None = None
    sums_to_one: bool = True
    multiply_adds: float = 2.0
    temporary_bytes: float = 2.0

    def __str__(self) -> str:
        return self.name

    @property
    def places(self) -> tuple[str, ...]:
        """Where it may stand, by what it declares."""
        declared = {
            "encoder": True,
            "decoder": self.attend.abilities.causal != "no",
            "cross": self.attend.abilities.cross,
        }
        return tuple(place for place in self.only if declared[place])

    def in_multi_head(self) -> Case:
        """The same within a MultiHead."""
        if self.module is not None:
            return self
        return replace(self, name=f"{self.name}-in-multi-head", module=MultiHead)


@dataclass(frozen=True)
class SmallTiles(Softmax):
    """The tiled kernel with many tiles and groups of rows on short sequences."""

    kernel: str = "tiled"

    def attend(self, *arguments: Any, **options: Any) -> Any:
        small = Limits(side=16, scores=512, unit=4)
        with mock.patch("attention.kernels.tiled.limits", return_value=small):
            return super().attend(*arguments, **options)


def alibi(random: Any, heads: int, q_len: int, k_len: int) -> Bias:
    return ALiBi.of(heads)


def relative(random: Any, heads: int, q_len: int, k_len: int) -> Bias:
    table = random.normal(size=(1, heads, 8, 1))
    return Relative(jnp.asarray(table, "float32"), max_distance=6)


CASES = [
    Case("softmax", Softmax(kernel="reference"), softmax_attention),
    Case("softmax-tiled", Softmax(kernel="tiled"), softmax_attention, temporary_bytes=1.0),
    Case(
        "softmax-small-tiles",
        SmallTiles(),
        softmax_attention,
        lengths=(37, 1, 50),
        temporary_bytes=1.0,
    ),
    Case("softmax-grouped", Softmax(), softmax_attention, groups=2, temporary_bytes=1.0),
    Case("softmax-alibi", Softmax(), softmax_attention, bias=alibi, temporary_bytes=1.0),
    Case("softmax-relative", Softmax(), softmax_attention, bias=relative, temporary_bytes=1.0),
    Case("softmax-dropout", Softmax(dropout_rate=0.3), softmax_attention, temporary_bytes=1.0),
    Case(
        "softmax-rotary",
        Softmax(),
        functools.partial(multi_head, rotate=rotate),
        module=functools.partial(MultiHead, rotary=Rotary()),
        sizes=(Sizes(3, 4, 4, 12), Sizes(1, 2, 2, 6)),
        only=("encoder", "decoder"),
    ),
    Case(
        "local",
        Local(left=2, right=1),
        functools.partial(local_attention, left=2, right=1),
        pattern=Window(2, 1),
        multiply_adds=1.0,
        temporary_bytes=1.0,
    ),
    Case(
        "local-sparse-grouped",
        Local(left=3, right=2, kernel="sparse"),
        functools.partial(local_attention, left=3, right=2),
        pattern=Window(3, 2),
        groups=3,
        bias=alibi,
        multiply_adds=1.0,
        temporary_bytes=1.0,
    ),
]

ALONE = [case for case in CASES if case.module is None]
IN_MULTI_HEAD = [case.in_multi_head() for case in CASES]
DROPPING = [case for case in CASES if getattr(case.attend, "dropout_rate", 0.0) > 0.0]


def declaring(cases: list[Case] = CASES, **abilities: Any) -> list[Case]:
    """The cases that declare these abilities, as in ``declaring(causal="exact")``."""
    return [
        case
        for case in cases
        if all(getattr(case.attend.abilities, name) == value for name, value in abilities.items())
    ]

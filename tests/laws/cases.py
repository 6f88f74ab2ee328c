"""What the laws are run over: one line a case.

    Case("softmax-tiled", Softmax(kernel="tiled"), softmax_attention, temporary_bytes=1.0)

is held to all that its ``capabilities`` declare, in every slot that they allow.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax

from attention import MultiHead
from attention.biases import ALiBi, Bias, Relative
from attention.kernels.limits import Limits
from attention.masks import Window
from attention.positions import Rotary
from attention.shapes import Sizes
from attention.variants import Local, Softmax
from tests.laws.alignments import ALIGNMENTS
from tests.laws.case import Case
from tests.laws.clustered import CLUSTERED
from tests.laws.fewer import FEWER
from tests.laws.graphs import GRAPHS
from tests.laws.linear import LINEAR
from tests.laws.mixers import MIXERS
from tests.laws.patterns import PATTERNS
from tests.laws.scores import SCORES
from tests.laws.sparse import SPARSE
from tests.laws.synthetic import SYNTHETIC
from tests.reference.attention import local_attention, multi_head, softmax_attention
from tests.reference.positions import rotate


@dataclass(frozen=True)
class SmallTiles(Softmax):
    """The tiled kernel with many tiles and groups of rows on short sequences."""

    kernel: str = "tiled"

    def _attend(self, *arguments: Any) -> Any:
        small = Limits(side=16, scores=512, unit=4)
        with mock.patch("attention.kernels.tiled.tiled.limits", return_value=small):
            return super()._attend(*arguments)


def alibi(random: Any, heads: int, q_len: int, k_len: int) -> Bias:
    return ALiBi.of(heads)


def relative(random: Any, heads: int, q_len: int, k_len: int) -> Bias:
    table = random.normal(size=(1, heads, 8, 1))
    return Relative(jax.device_put(table.astype("float32")), max_distance=6)


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
    *PATTERNS,
    *SPARSE,
    *SCORES,
    *GRAPHS,
    *CLUSTERED,
    *FEWER,
    *LINEAR,
    *SYNTHETIC,
    *ALIGNMENTS,
    *MIXERS,
]

ALONE = [case for case in CASES if case.module is None]
IN_MULTI_HEAD = [case.in_multi_head() for case in CASES]
DROPPING = [case for case in CASES if getattr(case.attention, "dropout_rate", 0.0) > 0.0]


def declaring(cases: list[Case] = CASES, **capabilities: Any) -> list[Case]:
    """The cases that declare these capabilities, as in ``declaring(causal="exact")``."""
    return [
        case
        for case in cases
        if all(
            getattr(case.attention.capabilities, name) == value
            for name, value in capabilities.items()
        )
    ]

"""The cases of attentions that are softmax attention under a pattern."""

from functools import partial

from attention import masks
from attention.shapes import Sizes
from attention.variants import (
    Axial,
    Dilated,
    Fixed,
    Global,
    Grid,
    Patterned,
    PerHead,
    Strided,
)
from tests.laws.case import Case
from tests.reference import patterns
from tests.reference.patterns import patterned

TWO_HEADS = (Sizes(2, 4, 5, 8), Sizes(2, 2, 3, 2))


def case(name, attend, sees, multiply_adds, **options):
    """Its own mask is its pattern's, where heads do not differ."""
    options = {
        "multiply_adds": multiply_adds,
        "temporary_bytes": multiply_adds,
        "masks": ("all", "lengths", "gaps", "any"),  # windows and segments: with local attention
    } | options
    if "pattern" not in options:
        options["pattern"] = attend.pattern(1)
    return Case(name, attend, partial(patterned, sees), **options)


PATTERNS = [
    case("dilated", Dilated(2, 1, step=2), patterns.dilated(2, 1, 2), 1.0),
    case("strided", Strided(3, kernel="sparse"), patterns.strided(3), 2.0),
    case("strided-apart", Strided(3, split=True), patterns.strided_apart(3), 2.0,
         sizes=TWO_HEADS, pattern=Strided(3, split=True).pattern(2)),
    case("fixed", Fixed(4, 1, kernel="sparse"), patterns.fixed(4, 1), 2.0),
    case("fixed-apart", Fixed(4, 2, split=True), patterns.fixed_apart(4, 2), 2.0,
         sizes=TWO_HEADS, pattern=Fixed(4, 2, split=True).pattern(2)),
    case("global", Global(2), patterns.global_tokens((0, 1)), 1.0),
    case("grid", Grid(2, 1, 1, kernel="sparse"), patterns.grid(2, 1, 1), 1.0),
    case("axial", Axial(3), patterns.axial(3), 2.0),
    case(
        "per-head",
        PerHead(left=(1, 2), right=(0, 1), step=(1, 2)),
        patterns.per_head([(1, 0, 1), (2, 1, 2)]),
        1.0,
        sizes=TWO_HEADS,
        pattern=masks.PerHead((masks.Window(1, 0), masks.Dilated(2, 1, 2))),
    ),
    case(
        "patterned",
        Patterned(masks.PerHead((masks.Strided(2), masks.Window(1, 1)))),
        lambda i, j, h, heads: abs(i - j) <= 1 if h else abs(i - j) < 2 or (i - j) % 2 == 0,
        2.0,
        sizes=TWO_HEADS,
        pattern=masks.PerHead((masks.Strided(2), masks.Window(1, 1))),
    ),
]  # fmt: skip

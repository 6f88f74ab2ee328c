"""The cases of attentions that carry their alignment from query to query."""

from functools import partial

from attention.variants.alignment.location import Location
from attention.variants.alignment.monotonic import Monotonic
from tests.laws.case import Case
from tests.reference import alignments

Carried = partial(Case, only=("cross",), masks=("all", "lengths", "gaps"))

ALIGNMENTS = [
    Carried("location", Location(width=5, filters=3), alignments.location),
    Carried("location-wide", Location(hidden=3, width=11, filters=2), alignments.location),
    Carried("monotonic", Monotonic(), alignments.monotonic, sums_to_one=False),
    Carried("monotonic-slow", Monotonic(hidden=3, offset=2.0), alignments.monotonic,
            sums_to_one=False),
]  # fmt: skip

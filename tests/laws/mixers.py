"""The cases of token mixers without attention, each in its layer."""

from functools import partial

from attention.shapes import Sizes
from attention.variants.fnet import FNet
from tests.laws.case import Case, mixing
from tests.reference import mixers

Mixing = partial(Case, module=mixing, masks=("all", "lengths", "gaps"))

# A sum of T·M numbers, not normalised, of which float32 keeps seven digits: laws ask for six.
FEW = Sizes(3, 1, 1, 3), Sizes(1, 2, 3, 2), Sizes(5, 1, 1, 5)

MIXERS = [
    Mixing("fnet", FNet(), mixers.fnet, sizes=FEW, multiply_adds=1.1, temporary_bytes=1.0),
]  # fmt: skip

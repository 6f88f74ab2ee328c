"""The cases of token mixers without attention, each in its layer."""

from functools import partial

from attention.shapes import Sizes
from attention.variants.mixers.conv import Conv
from attention.variants.mixers.fnet import FNet
from attention.variants.mixers.gru import GRU
from attention.variants.mixers.lstm import LSTM
from attention.variants.mixers.mlp_mixer import Mixer
from tests.laws.case import Case, mixing
from tests.reference import mixers

Mixing = partial(Case, module=mixing, masks=("all", "lengths", "gaps"))
Linear = partial(Mixing, multiply_adds=1.0, temporary_bytes=1.0)

# A sum of T·M numbers, not normalised, of which float32 keeps seven digits: laws ask for six.
FEW = Sizes(3, 1, 1, 3), Sizes(1, 2, 3, 2), Sizes(5, 1, 1, 5)


def convolution(name: str, kind: str, left: int, right: int) -> Case:
    only = ("encoder", "decoder") if right else ("decoder",)
    reference = partial(mixers.conv, kind=kind, left=left)
    return Linear(name, Conv(kind, left, right), reference, only=only)


MIXERS = [
    Mixing("fnet", FNet(), mixers.fnet, sizes=FEW, multiply_adds=1.1, temporary_bytes=1.0),
    Linear("lstm", LSTM(), mixers.lstm),
    Linear("lstm-forward", LSTM(bidirectional=False), mixers.lstm, only=("decoder",)),
    Linear("gru", GRU(hidden=5), mixers.gru),
    Linear("gru-forward", GRU(hidden=5, bidirectional=False), mixers.gru, only=("decoder",)),
    convolution("conv-separable", "separable", 3, 2),
    convolution("conv-light", "light", 2, 1),
    convolution("conv-dynamic", "dynamic", 2, 2),
    convolution("conv-dynamic-backwards", "dynamic", 4, 0),
    Linear("mixer", Mixer(length=16, hidden=6), mixers.mlp_mixer, grown=Mixer),
]  # fmt: skip

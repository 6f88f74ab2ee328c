"""The cases of token mixers without attention, each in its layer."""

from functools import partial

from attention.shapes import Sizes
from attention.variants.fnet import FNet
from attention.variants.gru import GRU
from attention.variants.lstm import LSTM
from tests.laws.case import Case, mixing
from tests.reference import mixers

Mixing = partial(Case, module=mixing, masks=("all", "lengths", "gaps"))
Recurrent = partial(Mixing, multiply_adds=1.0, temporary_bytes=1.0)

# A sum of T·M numbers, not normalised, of which float32 keeps seven digits: laws ask for six.
FEW = Sizes(3, 1, 1, 3), Sizes(1, 2, 3, 2), Sizes(5, 1, 1, 5)

MIXERS = [
    Mixing("fnet", FNet(), mixers.fnet, sizes=FEW, multiply_adds=1.1, temporary_bytes=1.0),
    Recurrent("lstm", LSTM(), mixers.lstm),
    Recurrent("lstm-forward", LSTM(both_ways=False), mixers.lstm, only=("decoder",)),
    Recurrent("gru", GRU(hidden=5), mixers.gru),
    Recurrent("gru-forward", GRU(hidden=5, both_ways=False), mixers.gru, only=("decoder",)),
]  # fmt: skip

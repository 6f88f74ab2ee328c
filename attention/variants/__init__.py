"""The attentions, one paper a file: pure JAX, no Flax."""

from attention.variants.additive import Additive
from attention.variants.bigbird import BigBird
from attention.variants.compressed import Compressed
from attention.variants.conv import Conv
from attention.variants.cosine import Cosine
from attention.variants.dilated import Dilated
from attention.variants.efficient import Efficient
from attention.variants.fixed import Fixed
from attention.variants.fnet import FNet
from attention.variants.global_tokens import Global
from attention.variants.graph import Graph
from attention.variants.grid import Axial, Grid
from attention.variants.gru import GRU
from attention.variants.linear import Linear
from attention.variants.linformer import Linformer
from attention.variants.local import Local
from attention.variants.location import Location
from attention.variants.longformer import Longformer
from attention.variants.lstm import LSTM
from attention.variants.mlp_mixer import Mixer
from attention.variants.monotonic import Monotonic
from attention.variants.patterned import Patterned
from attention.variants.per_head import PerHead
from attention.variants.performer import Performer
from attention.variants.reformer import Reformer
from attention.variants.relu import ReLU
from attention.variants.rfa import RFA
from attention.variants.routing import Routing
from attention.variants.sinkhorn import Sinkhorn
from attention.variants.softmax import Softmax
from attention.variants.strided import Strided
from attention.variants.synthesizer import Synthesizer
from attention.variants.tempered import Tempered

# The one list: names in configs, modules by name and the tables of the docs derive from it.
ALL = (
    Softmax,
    Additive,
    ReLU,
    Tempered,
    Cosine,
    Local,
    Dilated,
    Strided,
    Fixed,
    Global,
    Longformer,
    BigBird,
    PerHead,
    Grid,
    Axial,
    Patterned,
    Graph,
    Reformer,
    Routing,
    Sinkhorn,
    Linformer,
    Compressed,
    Linear,
    Efficient,
    Performer,
    RFA,
    Synthesizer,
    Location,
    Monotonic,
    FNet,
    Mixer,
    Conv,
    LSTM,
    GRU,
)

__all__ = [
    "GRU",
    "LSTM",
    "RFA",
    "Additive",
    "Axial",
    "BigBird",
    "Compressed",
    "Conv",
    "Cosine",
    "Dilated",
    "Efficient",
    "FNet",
    "Fixed",
    "Global",
    "Graph",
    "Grid",
    "Linear",
    "Linformer",
    "Local",
    "Location",
    "Longformer",
    "Mixer",
    "Monotonic",
    "Patterned",
    "PerHead",
    "Performer",
    "ReLU",
    "Reformer",
    "Routing",
    "Sinkhorn",
    "Softmax",
    "Strided",
    "Synthesizer",
    "Tempered",
]

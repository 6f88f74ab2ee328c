"""The attentions, one paper a file: pure JAX, no Flax."""

from attention.variants.alignment.location import Location
from attention.variants.alignment.monotonic import Monotonic
from attention.variants.clustered.reformer import Reformer
from attention.variants.clustered.routing import Routing
from attention.variants.clustered.sinkhorn import Sinkhorn
from attention.variants.compressed.compressed import Compressed
from attention.variants.compressed.linformer import Linformer
from attention.variants.dense.additive import Additive
from attention.variants.dense.cosine import Cosine
from attention.variants.dense.learned_temperature import LearnedTemperature
from attention.variants.dense.relu import ReLU
from attention.variants.dense.softmax import Softmax
from attention.variants.graph.graph import Graph
from attention.variants.linear.efficient import Efficient
from attention.variants.linear.linear import Linear
from attention.variants.linear.performer import Performer
from attention.variants.linear.rfa import RFA
from attention.variants.mixers.conv import Conv
from attention.variants.mixers.fnet import FNet
from attention.variants.mixers.gru import GRU
from attention.variants.mixers.lstm import LSTM
from attention.variants.mixers.mlp_mixer import Mixer
from attention.variants.patterns.bigbird import BigBird
from attention.variants.patterns.dilated import Dilated
from attention.variants.patterns.fixed import Fixed
from attention.variants.patterns.global_tokens import Global
from attention.variants.patterns.grid import Axial, Grid
from attention.variants.patterns.local import Local
from attention.variants.patterns.longformer import Longformer
from attention.variants.patterns.patterned import Patterned
from attention.variants.patterns.per_head import PerHead
from attention.variants.patterns.strided import Strided
from attention.variants.synthetic.synthesizer import Synthesizer

# The one list: names in configs, modules by name and the tables of the docs derive from it.
ALL = (
    Softmax,
    Additive,
    ReLU,
    LearnedTemperature,
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
    "LearnedTemperature",
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
]

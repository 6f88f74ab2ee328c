"""The cases of attention over graphs: complete ones, and such as are drawn."""

from dataclasses import replace
from functools import partial

from attention import MultiHead
from attention.masks import Window
from attention.shapes import Sizes
from attention.variants import Graph
from tests.laws.case import Case
from tests.reference import graphs

# With one projection, values are as wide as keys.
SIZES = Sizes(3, 4, 4, 12), Sizes(1, 2, 2, 2), Sizes(5, 2, 2, 10)


def drawn(case):
    """The same on graphs that are drawn."""
    return replace(
        case,
        name=f"{case.name}-edges",
        masks=("edges",),
        padded="edges",
        loops=case.attention.self_loops,
        multiply_adds=1.0,
        temporary_bytes=1.0,
    )


GAT = Case("graph-gat", Graph(), graphs.gat, sizes=SIZES)
DOT = Case("graph-dot", Graph("dot"), graphs.dot, temporary_bytes=1.0)
WITHOUT_LOOPS = Case(
    "graph-gat-without-loops",
    Graph(slope=0.1, self_loops=False),
    graphs.without_loops(partial(graphs.gat, slope=0.1)),
    sizes=SIZES,
    pattern=~Window(0, 0),
)
MULTI_HEAD = Case(
    "graph-multi-head",
    Graph(),
    graphs.multi_head_gat,
    module=MultiHead,
    sizes=(Sizes(3, 4, 4, 12), Sizes(1, 2, 2, 6)),
)
GRAPHS = [
    GAT,
    DOT,
    WITHOUT_LOOPS,
    Case("graph-dropout", Graph("dot", dropout_rate=0.3), graphs.dot, temporary_bytes=1.0),
    MULTI_HEAD,
    drawn(GAT),
    drawn(DOT),
    drawn(Case("graph-dot-without-loops", Graph("dot", self_loops=False), graphs.dot)),
    drawn(MULTI_HEAD),
]

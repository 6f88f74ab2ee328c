"""The drawing behind `plots.ranking`: scores of a sweep, the best on top."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

_BLUE, _GREY = "#2f6db3", "#9a9a9a"


def draw(labels: Sequence[str], scores: Sequence[Sequence[float]], metric: str) -> Figure:
    """One line for each label: a dot for each score and a bar at their mean."""
    longest = max(len(label) for label in labels)
    size = (5.5 + 0.075 * longest, 1.2 + 0.32 * len(labels))
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    for place, several in enumerate(scores):
        mean = sum(several) / len(several)
        axis.plot([mean], [place], "|", color=_GREY, markersize=14, markeredgewidth=2)
        axis.plot(several, [place] * len(several), "o", color=_BLUE, markersize=5, alpha=0.8)
    axis.set_yticks(range(len(labels)), labels)
    axis.invert_yaxis()
    axis.set_xlabel(f"validation {metric}")
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    return figure

"""Draws loss and accuracy over positions: two panels of lines above bars of counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_COLOURS = ("#2f6db3", "#c8452d", "#3d8b4f", "#8a5fb0")


def draw(
    ways: Mapping[str, tuple[np.ndarray, np.ndarray]], tokens_T: np.ndarray, title: str
) -> Figure:
    """The figure: of each way loss_T and accuracy_T."""
    figure = Figure(figsize=(7.5, 6.2), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1])
    position_T = np.arange(1, 1 + len(tokens_T))
    for (way, panels), colour in zip(ways.items(), _COLOURS, strict=False):
        for axis, x_T in zip(axes[:2], panels, strict=True):
            axis.plot(position_T, x_T, "o-", color=colour, markersize=3, linewidth=1.5, label=way)
    axes[2].bar(position_T, tokens_T, color="#9a9a9a")
    for axis, label in zip(axes, ("loss (nats per token)", "accuracy", "tokens"), strict=True):
        axis.set_ylabel(label)
        axis.grid(color="#e6e6e6", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylim(bottom=0)
    axes[0].legend(frameon=False)
    axes[0].set_title(title, loc="left", parse_math=False)
    axes[2].set_xlabel("position in the target")
    axes[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure

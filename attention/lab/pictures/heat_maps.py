"""The drawing behind `plots.attention_map`: panels of weights with tokens along their edges."""

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

_GREY = "#6b6b6b"


def draw(
    weights_HQK: np.ndarray, queries: Sequence[str], keys: Sequence[str], title: str
) -> Figure:
    """A grid of panels, labelled along its left and upper edge, and one colour bar."""
    heads, tall, wide = weights_HQK.shape
    columns = _columns(heads, wide / tall)
    rows = math.ceil(heads / columns)
    cell = min(0.34, max(0.09, 24 / max(columns * wide, rows * tall)))  # inches
    size = min(10.0, max(4.0, 72 * cell * 0.62))  # points
    em = size / 72
    width = cell * wide * columns + em * max(map(_em, queries)) + 0.3 * columns + 1.2
    height = cell * tall * rows + em * max(map(_em, keys)) + 0.4 * rows + 0.5
    figure = Figure(figsize=(width, height), layout="compressed")
    axes = figure.subplots(rows, columns, squeeze=False)
    scale, colours = _scale(weights_HQK)
    step = max(1, math.ceil(1.2 * em / cell))
    room = step * cell / em - 0.2  # ems for a label of a column
    above = [_stacked(token, room) for token in keys[::step]]
    for head, axis in enumerate(axes.flat):
        if head >= heads:
            axis.set_visible(False)
            continue
        image = axis.imshow(weights_HQK[head], norm=scale, cmap=colours, interpolation="nearest")
        axis.set_xticks(range(0, wide, step), above if head < columns else [])
        axis.set_yticks(range(0, tall, step), queries[::step] if head % columns == 0 else [])
        _dress(axis, size, room)
        if heads > 1:
            axis.set_xlabel(f"head {head + 1}", fontsize=9, color=_GREY)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=max(5, 5 * height), pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def _columns(heads: int, aspect: float) -> int:
    """How many panels of this width over height stand side by side: few gaps, a wide rectangle."""

    def cost(columns: int) -> float:
        rows = math.ceil(heads / columns)
        return abs(math.log(columns * aspect / rows / 1.5)) + 3 * (rows * columns / heads - 1)

    return min(range(1, heads + 1), key=cost)


def _dress(axis: Axes, size: float, room: float) -> None:
    """Turns labels that are too wide, and draws white lines between cells where there is room."""
    axis.tick_params(length=0, labelsize=size, pad=2, labeltop=True, labelbottom=False)
    above = axis.get_xticklabels()
    for text in above + axis.get_yticklabels():
        text.set_parse_math(False)
    turned = any(max(map(_em, text.get_text().split("\n"))) > room for text in above)
    for text in above if turned else ():
        if not _is_wide(text.get_text()):
            text.set(rotation=90, verticalalignment="bottom", horizontalalignment="center")
    tall, wide = axis.images[0].get_size()
    if max(tall, wide) <= 64:
        axis.set_xticks(np.arange(wide + 1) - 0.5, minor=True)
        axis.set_yticks(np.arange(tall + 1) - 0.5, minor=True)
        axis.grid(which="minor", color="white", linewidth=0.8)
        axis.tick_params(which="minor", length=0)
    axis.spines[:].set_visible(False)


def _stacked(label: str, room: float) -> str:
    """A Chinese label too wide for its column, written from top to bottom."""
    return "\n".join(label) if _em(label) > room and _is_wide(label) else label


def _is_wide(label: str) -> bool:
    return all(_em(c) == 1 for c in label.replace("\n", ""))


def _scale(weights_HQK: np.ndarray) -> tuple[Normalize, str]:
    """White at zero, the darkest at the largest magnitude."""
    finite = weights_HQK[np.isfinite(weights_HQK)]
    largest = float(np.abs(finite).max(initial=0.0)) or 1.0
    if finite.min(initial=0.0) < 0:
        return Normalize(-largest, largest), "RdBu_r"
    return Normalize(0, largest), "Blues"


def _em(text: str) -> float:
    """Roughly how wide a text is, in ems: Chinese characters one, others little over a half."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.58 for c in text)

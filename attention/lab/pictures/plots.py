"""Pictures of a run: its loss curve, and who attended to whom.

Figures are made without pyplot, so that nothing global is left behind and no display is needed.
The path's suffix picks the format: .png, .svg or .pdf.
"""

import contextlib
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attention.lab.pictures import fonts, heat_maps

_BLUE, _RED, _GREY = "#2f6db3", "#c8452d", "#9a9a9a"
_WAYS = (_BLUE, _RED, "#3d8b4f", "#8a5fb0")
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _GREY,
    "axes.labelcolor": "#333333",
    "axes.titlesize": 11,
    "axes.titlecolor": "#222222",
    "font.size": 10,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "svg.hashsalt": "attention",
}


def loss_curve(
    metrics: Sequence[Mapping[str, Any]], path: str | pathlib.Path, title: str = ""
) -> pathlib.Path:
    """Draws training and validation loss over steps, and BLEU below where it was measured.

    Args:
      metrics: rows of metrics.jsonl. 'step' is needed; 'train/loss', 'eval/loss' (nats a token) and
        'eval/bleu' (0 to 100) are drawn where present and finite.
      path: the picture to write; its directory is made.
      title: stands above the picture; may have several lines.

    Returns:
      The path.

    Raises:
      ValueError: no row has a loss or a BLEU to draw.
    """
    train, valid, bleu = (_series(metrics, key) for key in ("train/loss", "eval/loss", "eval/bleu"))
    if not train and not valid and not bleu:
        raise ValueError(
            f"metrics has {len(metrics)} rows, none with 'step' and a finite 'train/loss', "
            "'eval/loss' or 'eval/bleu': let the run log at least once first"
        )
    title = "\n".join(fonts.legible(title.split("\n")))
    with _style(title):
        figure = Figure(figsize=(7.5, 5.4 if bleu else 4.0), layout="constrained")
        ratios = [2, 1] if bleu else [1]
        axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)
        upper, lower = axes[0, 0], axes[-1, 0]
        _draw_loss(upper, train, valid)
        if bleu:
            lower.plot(*zip(*bleu, strict=True), "o-", color=_RED, markersize=4, linewidth=1.5)
            lower.set_ylabel("BLEU, validation")
            lower.set_ylim(0, min(100, 1.15 * max(score for _, score in bleu)) or 1)
            _annotate_best(lower, bleu)
        for axis in axes.flat:
            axis.grid(color="#e6e6e6", linewidth=0.8)
            axis.spines[["top", "right"]].set_visible(False)
        lower.set_xlabel("step")
        upper.set_title(title, loc="left", parse_math=False)
        return _save(figure, path)


def attention_map(
    weights: np.ndarray,
    queries: Sequence[str],
    keys: Sequence[str],
    path: str | pathlib.Path,
    title: str = "",
) -> pathlib.Path:
    """Draws attention weights as a heat map: a row for each query, a column for each key.

    Of several heads each gets a panel; all share one scale of colours. Weights below zero, as an
    effective matrix may have, bring a scale that is white at zero.

    Args:
      weights: `weights_QK` or `weights_HQK`, real numbers; what is not finite stays blank.
      queries: Q tokens, top to bottom, in any script; sentencepiece's mark of a word's start
        becomes an underscore.
      keys: K tokens, left to right.
      path: the picture to write; its directory is made.
      title: stands above the picture; may have several lines.

    Returns:
      The path.

    Raises:
      ValueError: the sizes of weights, queries and keys differ, or one of them is zero.
    """
    weights_HQK = np.asarray(weights, np.float64)
    if weights_HQK.ndim == 2:
        weights_HQK = weights_HQK[None]
    expected = (len(queries), len(keys))
    if weights_HQK.ndim != 3 or weights_HQK.shape[1:] != expected or not weights_HQK.size:
        raise ValueError(
            f"weights has shape {np.shape(weights)}, needs [Q, K] or [heads, Q, K] with "
            f"Q = {expected[0]} queries and K = {expected[1]} keys, none of them 0"
        )
    queries = fonts.legible(token.replace("\u2581", "_") for token in queries)
    keys = fonts.legible(token.replace("\u2581", "_") for token in keys)
    title = "\n".join(fonts.legible(title.split("\n")))
    with _style("".join([title, *queries, *keys])):
        return _save(heat_maps.draw(weights_HQK, queries, keys, title), path)


def ranking(
    labels: Sequence[str], scores: Sequence[Sequence[float]], metric: str, path: str | pathlib.Path
) -> pathlib.Path:
    """Draws the validation scores of a sweep: a line for each label, the first on top.

    Args:
      labels: what was tried.
      scores: of each label at least one, and several for several seeds.
      metric: what the scores are.
      path: the picture to write; its directory is made.

    Returns:
      The path.
    """
    with _style("".join(labels)):
        return _save(draw_ranking(labels, scores, metric), path)


def by_position(
    ways: Mapping[str, tuple[np.ndarray, np.ndarray]],
    tokens: np.ndarray,
    path: str | pathlib.Path,
    title: str = "",
) -> pathlib.Path:
    """Draws loss and accuracy over positions of a sentence, a line for each way of reading.

    Args:
      ways: by its name, loss_T (nats a token) and accuracy_T (0 to 1).
      tokens: tokens_T behind each position's figures, drawn as bars below.
      path: the picture to write; its directory is made.
      title: stands above the picture.

    Returns:
      The path.
    """
    title = fonts.legible([title])[0]
    with _style(title):
        return _save(draw_positions(ways, tokens, title), path)


def draw_ranking(labels: Sequence[str], scores: Sequence[Sequence[float]], metric: str) -> Figure:
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


def draw_positions(
    ways: Mapping[str, tuple[np.ndarray, np.ndarray]], tokens_T: np.ndarray, title: str
) -> Figure:
    """Two panels of lines, loss_T and accuracy_T of each way, above bars of counts."""
    figure = Figure(figsize=(7.5, 6.2), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1])
    position_T = np.arange(1, 1 + len(tokens_T))
    for (way, panels), colour in zip(ways.items(), _WAYS, strict=False):
        for axis, x_T in zip(axes[:2], panels, strict=True):
            axis.plot(position_T, x_T, "o-", color=colour, markersize=3, linewidth=1.5, label=way)
    axes[2].bar(position_T, tokens_T, color=_GREY)
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


def _draw_loss(
    axis: Axes, train: Sequence[tuple[int, float]], valid: Sequence[tuple[int, float]]
) -> None:
    if train:
        marker = "o" if len(train) == 1 else ""
        axis.plot(
            *zip(*train, strict=True), marker=marker, color=_BLUE, linewidth=1.2, label="training"
        )
    if valid:
        axis.plot(
            *zip(*valid, strict=True),
            "o-",
            color=_RED,
            markersize=4,
            linewidth=1.5,
            label="validation",
        )
    if train or valid:
        axis.legend(frameon=False)
    axis.set_ylabel("loss (nats per token)")


def _annotate_best(axis: Axes, scores: Sequence[tuple[int, float]]) -> None:
    step, best = max(scores, key=lambda row: row[1])
    axis.annotate(
        f"{best:.1f}",
        (step, best),
        xytext=(0, -14),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=_RED,
    )


def _series(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    rows = [(row["step"], row[key]) for row in metrics if "step" in row and key in row]
    return sorted(
        (int(step), float(value))
        for step, value in rows
        if value is not None and math.isfinite(value)
    )


def _style(text: str) -> contextlib.AbstractContextManager[None]:
    """Settings of matplotlib for one picture, with fonts that can draw `text`."""
    return matplotlib.rc_context({**_STYLE, "font.family": fonts.families(text)})


def _save(figure: Figure, path: str | pathlib.Path) -> pathlib.Path:
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15, facecolor="white")
    return path

"""Fonts for the labels of pictures: Chinese on a bare machine, elsewhere any script that it has."""

import functools
import importlib.util
import pathlib
import sys
from collections.abc import Iterable

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

_HINT = (
    "attention: no font has {characters}, shown as code points: "
    "apt-get install fonts-noto-core fonts-noto-cjk"
)


def families(text: str) -> list[str]:
    """Names of fonts that between them can draw `text`, best first.

    The packaged Noto Sans SC (Latin, Greek, Cyrillic, Chinese, kana) and matplotlib's own DejaVu
    Sans come first. The fonts of the system are searched only for what these two lack.

    Args:
      text: all that is to be drawn.

    Returns:
      Family names for matplotlib's `font.family`, which falls back from one to the next.
    """
    chosen = list(_packaged())
    lacking = set(text) - _covered(chosen)
    for path in sorted(font_manager.findSystemFonts()) if lacking else ():
        if found := lacking & _characters(path):
            chosen.append(path)
            lacking -= found
    return [_register(path) for path in chosen]


def legible(labels: Iterable[str]) -> list[str]:
    """The labels with whatever no font can draw written as code points, as in `[0E01]`.

    Control characters are always written so. Says once on stderr which package of fonts would help.

    Args:
      labels: any text.

    Returns:
      As many labels, of characters that `families` can draw.
    """
    labels = list(labels)
    text = "".join(labels)
    families(text)  # registers the fonts of the system that are needed
    drawable = {c for c in set(text) & _covered(_registered) if c.isprintable()}
    if unknown := sorted(c for c in set(text) - drawable if c.isprintable()):
        _hint(" ".join(unknown[:8]) + (" ..." if len(unknown) > 8 else ""))
    return ["".join(c if c in drawable else f"[{ord(c):04X}]" for c in label) for label in labels]


_registered: dict[str, str] = {}  # path of a font file: its family's name


def _packaged() -> tuple[str, ...]:
    """Paths of Noto Sans SC, where its package is installed, and of DejaVu Sans."""
    paths = [str(font_manager.findfont("DejaVu Sans"))]
    spec = importlib.util.find_spec("pylopdf_fonts_zh_cn")
    if spec is not None and spec.origin is not None:
        noto = pathlib.Path(spec.origin).parent / "NotoSansSC-Regular.otf"
        paths[:0] = [str(noto)] if noto.exists() else []
    return tuple(paths)


def _register(path: str) -> str:
    if path not in _registered:
        font_manager.fontManager.addfont(path)
        _registered[path] = FT2Font(path).family_name
    return _registered[path]


def _covered(paths: Iterable[str]) -> set[str]:
    return set().union(*(_characters(path) for path in paths))


@functools.cache
def _characters(path: str) -> frozenset[str]:
    """What a font file can draw; nothing where it cannot be read."""
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


@functools.cache
def _hint(characters: str) -> None:
    print(_HINT.format(characters=characters), file=sys.stderr)

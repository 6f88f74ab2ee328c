"""Parallel text from files: one sentence a line, UTF-8, plain or gzip."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from attention.errors import DataError, reading, writing
from attention.lab.data.sources.pairs import Pairs

_LISTED = 12
_EXPANSION, _ALWAYS = 200, 1 << 20  # text shrinks three to tenfold; gzip could a thousandfold


def decode_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    r"""Yield the sentences of a byte stream as they arrive, one a line.

    Lines end at `\n` and nowhere else (not at U+2028 or U+0085). One `\r` before the end and a
    byte-order mark at the start are removed, a NUL becomes a space; empty lines are kept.

    Args:
        stream: lines with their ends, such as an open binary file or `sys.stdin.buffer`.
        name: what to call the stream in an error.

    Raises:
        DataError: a line is not valid UTF-8; the text names `name` and the line.
    """
    for number, raw in enumerate(stream, start=1):
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
            if not raw:
                return
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name}, line {number}: byte 0x{raw[error.start]:02x} at position "
                f"{error.start + 1} is not valid UTF-8: convert the text to UTF-8"
            ) from None
        yield line.replace("\0", " ")


def read_lines(path: str | Path) -> list[str]:
    r"""Read all sentences of a file, one a line, by the rules of `decode_lines`.

    Args:
        path: a UTF-8 text; a name that ends in `.gz` is read through gzip.

    Raises:
        DataError: the file cannot be read, is empty, not UTF-8 (the line is named), its gzip is
            damaged, or expands more than 200-fold (and beyond 1 MiB), as no text does.
    """
    path = Path(path)
    opened = gzip.open if path.suffix == ".gz" else open
    with reading(path), opened(path, "rb") as stream:
        try:
            lines = list(decode_lines(_capped(stream, path), str(path)))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path}: damaged gzip ({error}): compress the text again") from None
    if not lines:
        raise DataError(f"{path}: the file is empty: it needs one sentence a line")
    return lines


def _capped(stream: io.BufferedIOBase, path: Path) -> Iterator[bytes]:
    """The lines of a file, as long as they are no more than its size can honestly hold."""
    left = max(_EXPANSION * path.stat().st_size, _ALWAYS)
    while line := stream.readline(left + 1):
        left -= len(line)
        if left < 0:
            raise DataError(
                f"{path}: expands more than {_EXPANSION}-fold, as no text does: decompress it first"
            )
        yield line


def read_parallel(directory: str | Path, split: str, source_lang: str, target_lang: str) -> Pairs:
    """Read one split of a parallel corpus, `DIRECTORY/SPLIT.LANG` or `DIRECTORY/SPLIT.LANG.gz`.

    Line i of one side translates line i of the other; pairs with an empty side are kept.

    Args:
        directory: where the files lie.
        split: such as `train`, `valid` or `test`.
        source_lang: ending of the source side, such as `en`.
        target_lang: ending of the target side, such as `de`.

    Raises:
        DataError: a file or the directory is absent (the text lists what is there), the sides
            differ in their number of lines, a file breaks `read_lines`' rules, or a name is no part
            of a file's name.
    """
    for what, name in (("split", split), ("language", source_lang), ("language", target_lang)):
        if not name or "/" in name or "\0" in name:
            raise DataError(f"{what} is {name!r}; it needs to be part of a file's name")
    directory = Path(directory)
    source_path = _find(directory, f"{split}.{source_lang}")
    target_path = _find(directory, f"{split}.{target_lang}")
    source, target = read_lines(source_path), read_lines(target_path)
    if len(source) != len(target):
        raise DataError(
            f"{source_path} has {len(source)} lines and {target_path} has {len(target)}: "
            "line i of one must translate line i of the other, so the counts must be equal"
        )
    return Pairs(tuple(source), tuple(target))


def new_directory(path: str | Path) -> Path:
    """Make a directory for a corpus.

    Raises:
        DataError: it has files already, or is one.
        StorageError: it cannot be made.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path} has files already: name a new directory")
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_parallel(
    directory: Path, split: str, source_lang: str, target_lang: str, pairs: Pairs
) -> None:
    """Write one split as `read_parallel` reads it; what would break a line is a space.

    Raises:
        StorageError: a file cannot be written.
    """
    for language, side in ((source_lang, pairs.source), (target_lang, pairs.target)):
        path = directory / f"{split}.{language}"
        with writing(path), path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line.replace(chr(10), ' ')}\n" for line in side)


def _find(directory: Path, name: str) -> Path:
    for path in (directory / name, directory / f"{name}.gz"):
        if path.is_file():
            return path
    if not directory.is_dir():
        raise DataError(f"data directory {directory} does not exist: cannot read {name}")
    there = sorted(p.name for p in directory.iterdir() if p.is_file() and "." in p.name)
    listed = ", ".join(there[:_LISTED]) or "no file named SPLIT.LANG"
    more = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
    raise DataError(f"{directory} has no {name} or {name}.gz: it has {listed}{more}")

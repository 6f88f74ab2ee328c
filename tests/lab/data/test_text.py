"""Reading text: what ends a line, what is removed, and what a mistake says."""

import gzip
import io

import pytest

from attention.errors import DataError
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.sources.text import decode_lines, read_lines, read_parallel


def write(path, data):
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["train.en", "train.en.gz"])
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\r\nb\rc\r", ["a\r", "b\rc"]),
        (b"\n\n a \n\n", ["", "", " a ", ""]),
        (b"\n", [""]),
        (b"\xef\xbb\xbfa\nb\n", ["a", "b"]),
        (b"\xef\xbb\xbf\n", [""]),
        (b"a\0b\n\0", ["a b", " "]),
        (
            "a\u2028b\u0085c\x0bd\x0ce\x1cf\n你好\n".encode(),
            ["a\u2028b\u0085c\x0bd\x0ce\x1cf", "你好"],
        ),
    ],
)
def test_lines_end_at_newlines_only(tmp_path, name, data, lines):
    assert read_lines(write(tmp_path / name, data)) == lines


def test_byte_order_mark_goes_at_the_start_only():
    stream = io.BytesIO(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")
    assert list(decode_lines(stream, "stdin")) == ["a", "\ufeffb"]


@pytest.mark.parametrize("name", ["train.en", "train.en.gz"])
@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_empty_file(tmp_path, name, data):
    with pytest.raises(ValueError, match=rf"{name}: the file is empty"):
        read_lines(write(tmp_path / name, data))


@pytest.mark.parametrize("name", ["train.en", "train.en.gz"])
def test_invalid_utf8_names_file_line_and_byte(tmp_path, name):
    path = write(tmp_path / name, "ok\nschön\n".encode("latin-1") + b"later \xff\n")
    with pytest.raises(ValueError, match=rf"{name}, line 2: byte 0xf6 at position 4") as error:
        read_lines(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "flipped", "plain"])
def test_damaged_gzip(tmp_path, damage):
    data = gzip.compress(b"".join(b"line %d\n" % i for i in range(1000)))
    data = {
        "cut": data[:-20],
        "flipped": data[:50] + bytes([data[50] ^ 0xFF]) + data[51:],
        "plain": b"not gzip\n",
    }[damage]
    path = tmp_path / "train.en.gz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"train\.en\.gz(: damaged gzip|, line \d+: byte)"):
        read_lines(path)


def test_stream_is_read_lazily():
    def stream():
        yield b"one\n"
        yield b"\xff\n"

    lines = decode_lines(stream(), "stdin")
    assert next(lines) == "one"
    with pytest.raises(ValueError, match="stdin, line 2"):
        next(lines)


def test_parallel_keeps_blank_lines_paired(tmp_path):
    write(tmp_path / "train.en", b"one\n\nthree\n  \n")
    write(tmp_path / "train.de.gz", b"eins\nzwei\n\nvier\n")
    pairs = read_parallel(tmp_path, "train", "en", "de")
    assert pairs == Pairs(("one", "", "three", "  "), ("eins", "zwei", "", "vier"))
    assert len(pairs) == 4


def test_plain_file_comes_before_gzip(tmp_path):
    write(tmp_path / "train.en", b"plain\n")
    write(tmp_path / "train.en.gz", b"zipped\n")
    assert read_parallel(tmp_path, "train", "en", "en").source == ("plain",)


def test_unequal_counts_are_both_named(tmp_path):
    write(tmp_path / "train.en", b"1\n2\n3\n")
    write(tmp_path / "train.de", b"1\n2\n")
    with pytest.raises(ValueError, match=r"train\.en has 3 lines and .*train\.de has 2"):
        read_parallel(tmp_path, "train", "en", "de")


def test_missing_split_or_language_lists_what_is_there(tmp_path):
    for name in ("train.en", "train.de.gz", "valid.en"):
        write(tmp_path / name, b"a\n")
    with pytest.raises(DataError, match=r"no test\.en or test\.en\.gz: it has train\.de\.gz"):
        read_parallel(tmp_path, "test", "en", "de")
    with pytest.raises(DataError, match=r"no train\.fr or .*train\.en, valid\.en"):
        read_parallel(tmp_path, "train", "en", "fr")


def test_long_listings_are_cut(tmp_path):
    for number in range(15):
        write(tmp_path / f"part{number:02}.en", b"a\n")
    with pytest.raises(DataError, match=r"part11\.en and 3 more$"):
        read_parallel(tmp_path, "train", "en", "de")


def test_missing_or_bare_directory(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        read_parallel(tmp_path / "nowhere", "train", "en", "de")
    with pytest.raises(DataError, match=r"it has no file named SPLIT\.LANG"):
        read_parallel(tmp_path, "train", "en", "de")


@pytest.mark.parametrize(("split", "count"), [("train", 29_000), ("valid", 1_014), ("test", 1_000)])
def test_multi30k_counts(multi30k, split, count):
    assert len(read_parallel(multi30k, split, "en", "de")) == count


@pytest.mark.parametrize("content", [b"a" * 3_000_000, b"a\n" * 1_500_000, b"\n" * 3_000_000])
def test_a_gzip_that_expands_as_no_text_does_is_refused(tmp_path, content):
    path = tmp_path / "train.en.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=r"train.en.gz: expands more than 200-fold"):
        read_lines(path)


def test_a_small_gzip_may_expand_as_it_likes(tmp_path):
    path = tmp_path / "train.en.gz"
    path.write_bytes(gzip.compress(b"a\n" * 500_000))
    assert read_lines(path) == ["a"] * 500_000

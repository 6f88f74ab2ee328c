"""Files of text, whatever bytes they hold."""

import gzip
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from attention.lab.data.batching.examples import encode_pairs
from attention.lab.data.sources.text import read_parallel
from attention.lab.data.tokenizer import Tokenizer, train_tokenizer
from tests.fuzz.attempts import THOUSANDS, attempt

PIECES = st.sampled_from(
    [
        *(b"a", b"the dog", b" ", b"\t", b"\n", b"\n\n", b"\r", b"\r\n", b"\0", b"\xef\xbb\xbf"),
        *(b"\xff", b"\xc3", b"\xc3\xa4", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"),
        *("\u2028".encode(), "\u0085".encode(), "狗。".encode(), b"\x0b\x0c\x1c\x1d\x1e"),
        *("\U0001f600\u200d".encode(), b"x" * 70_000, b"\x1f\x8b\x08\x00", b"<s></s>"),
    ]
)
CONTENTS = st.one_of(
    st.lists(PIECES, max_size=12).map(b"".join),
    st.lists(st.sampled_from([b"a\n", b"b c\n", b"\n"]), max_size=5).map(b"".join),
    st.binary(max_size=60),
)


def lines_of(data):
    """The sentences of a file, or None if it has none or is no text: from the bytes, by hand."""
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    if not data:
        return None
    parts = data.split(b"\n")
    if parts[-1] == b"":
        del parts[-1]
    try:
        texts = [(p[:-1] if p[-1:] == b"\r" else p).decode("utf-8", "strict") for p in parts]
    except UnicodeDecodeError:
        return None
    return [text.replace("\0", " ") for text in texts]


TOKENIZER = Tokenizer(train_tokenizer(["the dog a b c", "der hund"] * 20, 290))


@given(CONTENTS, CONTENTS, st.booleans(), st.booleans())
@THOUSANDS
def test_two_files_are_read_as_they_are_or_refused_with_words(source, target, zipped, same):
    target = source if same else target
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "train.en.gz" if zipped else "train.en")
        path.write_bytes(gzip.compress(source) if zipped else source)
        Path(name, "train.de").write_bytes(target)
        found = attempt(read_parallel, name, "train", "en", "de")
        assert {p.name for p in Path(name).iterdir()} == {path.name, "train.de"}
    sides = lines_of(source), lines_of(target)
    if None in sides or len(sides[0]) != len(sides[1]):
        assert isinstance(found, ValueError), found
        assert "train." in str(found)
        assert "\n" not in str(found)
        return
    assert (list(found.source), list(found.target)) == sides
    encoded = attempt(encode_pairs, found, TOKENIZER, 8)
    if not isinstance(encoded, Exception):
        assert len(encoded.source_lengths) <= len(found.source)
        assert max(encoded.source_lengths) <= 8
        assert min(encoded.target_lengths) >= 2


@given(CONTENTS)
@THOUSANDS
def test_any_bytes_named_gz(data):
    with tempfile.TemporaryDirectory() as name:
        Path(name, "train.en.gz").write_bytes(data)
        Path(name, "train.de").write_bytes(b"a\n")
        found = attempt(read_parallel, name, "train", "en", "de")
    assert isinstance(found, ValueError)
    assert "train.en.gz" in str(found)

"""The tokenizer: lossless on any text, the same for the same text, clear about mistakes."""

import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention.errors import DataError
from attention.lab.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer, train_tokenizer

ENGLISH = "the a man woman dog runs walks sees big small red on in street park".split()
CHINESE = "一 个 男人 女人 狗 跑 走 看见 大 小 红色 的 在 街上 公园".split()


def sentences():
    draw = random.Random(0)
    english = [" ".join(draw.choices(ENGLISH, k=8)) for _ in range(200)]
    return english + ["".join(draw.choices(CHINESE, k=8)) for _ in range(200)]


MODEL = train_tokenizer(sentences(), 380)
TOKENIZER = Tokenizer(MODEL)


def test_special_ids_and_size():
    assert (PAD, EOS, UNK, BOS) == (0, 1, 2, 3)
    assert TOKENIZER.vocab_size == 380


def test_both_languages_get_pieces():
    assert len(TOKENIZER.encode("the woman")) == 2
    assert len(TOKENIZER.encode("女人看见狗")) < 5


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \u2581")))
def test_any_text_survives(text):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert not {PAD, EOS, UNK, BOS} & set(ids)


@pytest.mark.parametrize(
    "text", ["<s></s><pad><unk>", "<0x41>", "a\0b", "a\nb", "a b 狗", "é e\u0301"]
)
def test_odd_text_survives(text):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert not {PAD, EOS, UNK, BOS} & set(ids)


def test_spaces_are_tidied():
    assert TOKENIZER.decode(TOKENIZER.encode("  a   man ")) == "a man"
    assert TOKENIZER.encode("") == TOKENIZER.encode("   ") == []


def test_batch_equals_one_by_one():
    texts = [*sentences()[::40], "", "new ñ"]
    assert TOKENIZER.encode_batch(texts) == [TOKENIZER.encode(text) for text in texts]
    assert TOKENIZER.encode_batch([]) == []


def test_decode_leaves_out_special_ids():
    ids = TOKENIZER.encode("a big dog")
    framed = np.array([BOS, *ids[:2], PAD, *ids[2:], EOS, PAD, PAD], np.int32)
    assert TOKENIZER.decode(framed) == "a big dog"
    assert TOKENIZER.decode([]) == ""


@pytest.mark.parametrize("wrong", [380, -1, 10**6])
def test_decode_refuses_ids_outside_the_vocabulary(wrong):
    with pytest.raises(IndexError, match="out of range"):
        TOKENIZER.decode([10, wrong])


def test_training_gives_the_same_bytes_again():
    assert train_tokenizer(iter(sentences()), 380) == MODEL


@pytest.mark.slow
def test_training_gives_the_same_bytes_in_another_process(tmp_path):
    (tmp_path / "text").write_text("\n".join(sentences()), encoding="utf-8")
    source = (
        "import sys, pathlib; from attention.lab.data.tokenizer import train_tokenizer\n"
        "lines = pathlib.Path(sys.argv[1]).read_text(encoding='utf-8').split('\\n')\n"
        "pathlib.Path(sys.argv[2]).write_bytes(train_tokenizer(lines, 380))"
    )
    subprocess.run([sys.executable, "-c", source, tmp_path / "text", tmp_path / "m"], check=True)
    assert (tmp_path / "m").read_bytes() == MODEL


def test_load(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(MODEL)
    loaded = Tokenizer.load(tmp_path / "tokenizer.model")
    assert loaded.model == MODEL
    assert loaded.encode("a man sees a dog") == TOKENIZER.encode("a man sees a dog")


def test_load_refuses_other_files(tmp_path):
    path = tmp_path / "tokenizer.model"
    with pytest.raises(DataError):
        Tokenizer.load(path)
    for content in (b"", b"text", MODEL[:100]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"tokenizer\.model: model: ") as error:
            Tokenizer.load(path)
        assert "\n" not in str(error.value)


def test_vocabulary_beyond_the_text_is_lowered_with_a_warning():
    with pytest.warns(UserWarning, match=r"vocab_size is lowered from 5000 to \d+"):
        model = train_tokenizer(sentences(), 5000)
    size = Tokenizer(model).vocab_size
    assert 380 < size < 5000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Tokenizer(train_tokenizer(sentences(), size)).vocab_size == size


def test_vocabulary_too_small_says_what_is_needed():
    with pytest.raises(ValueError, match="vocab_size is 260: it needs more than 260"):
        train_tokenizer(sentences(), 260)
    with pytest.raises(ValueError, match=r"vocab_size is 270: .* need at least \d+") as error:
        train_tokenizer(sentences(), 270)
    needed = int(str(error.value).split()[-1])
    assert Tokenizer(train_tokenizer(sentences(), needed)).vocab_size == needed


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_no_text(texts):
    with pytest.raises(ValueError, match="no sentence has text"):
        train_tokenizer(texts, 300)


def test_blank_sentences_are_ignored():
    assert train_tokenizer(["", *sentences(), "  "], 380) == MODEL

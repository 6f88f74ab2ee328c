"""Encoding: what is kept, skipped, cut and counted."""

import numpy as np
import pytest

from attention.lab.data.batching.examples import encode_all, encode_pairs, encode_sources
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.tokenizer import EOS, Tokenizer, train_tokenizer

TOKENIZER = Tokenizer(train_tokenizer(["a man sees the big dog", "the dog runs"] * 9, 290))
PAIRS = Pairs(
    ("a man", "", "the dog", "\u3000 ", "a man sees the big dog" * 9, "the dog runs"),
    ("the dog", "a man", "\t", " ", "a", "a man sees"),
)


def test_training_skips_long_and_blank_pairs_and_counts_them():
    examples = encode_pairs(PAIRS, TOKENIZER, 24)
    assert (examples.skipped_long, examples.skipped_empty) == (1, 3)
    assert len(examples) == 2
    for tokens, text in zip(examples.source, ["a man", "the dog runs"], strict=True):
        assert tokens.dtype == np.int32
        assert tokens.tolist() == [*TOKENIZER.encode(text), EOS]
    assert examples.target_lengths.tolist() == [len(tokens) for tokens in examples.target]
    assert str(examples) == (
        "6 pairs read, 2 kept, 1 too long (over 24 tokens), 3 with a blank side; "
        f"{examples.source_lengths.sum()} source and {examples.target_lengths.sum()} target tokens"
    )


def test_max_length_counts_eos():
    tokens = len(TOKENIZER.encode("a man sees"))
    pairs = Pairs(("a", "a man sees"), ("a man sees", "a"))
    assert len(encode_pairs(pairs, TOKENIZER, tokens + 1)) == 2
    with pytest.raises(ValueError, match="no pair is left to train on: 2 pairs read, 0 kept"):
        encode_pairs(pairs, TOKENIZER, tokens)


def test_evaluation_keeps_every_pair():
    examples = encode_all(PAIRS, TOKENIZER)
    assert len(examples) == len(PAIRS)
    assert examples.source[1].tolist() == [EOS]
    assert [TOKENIZER.decode(tokens) for tokens in examples.target[:2]] == ["the dog", "a man"]


def test_sources_are_cut_and_keep_their_eos():
    sentences = ["a man", "a man sees the big dog " * 9, ""]
    tokens, cut = encode_sources(sentences, TOKENIZER, 12)
    assert cut == [1]
    assert [len(t) for t in tokens] == [len(TOKENIZER.encode("a man")) + 1, 12, 1]
    assert tokens[1].tolist() == [*TOKENIZER.encode(sentences[1])[:11], EOS]
    assert {t.dtype for t in tokens} == {np.dtype(np.int32)}

"""Pairs as token ids, with a count of what was read, kept and skipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from attention.errors import DataError
from attention.lab.data.sources.pairs import Pairs
from attention.lab.data.tokenizer import EOS, Tokenizer


@dataclass(frozen=True, eq=False)
class Examples:
    """Tokenized pairs, eos included on both sides; `str` says in one line what was read and kept.

    Args:
        source: int32 token ids of each source sentence.
        target: int32 token ids of each target sentence.
        skipped_long: pairs left out because a side exceeds `max_length` tokens.
        skipped_empty: pairs left out because a side is blank.
        max_length: the limit in tokens, eos included; None where there is none.
    """

    source: list[np.ndarray]
    target: list[np.ndarray]
    skipped_long: int = 0
    skipped_empty: int = 0
    max_length: int | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __str__(self) -> str:
        read = len(self) + self.skipped_long + self.skipped_empty
        limit = "" if self.max_length is None else f" (over {self.max_length} tokens)"
        return (
            f"{read:,} pairs read, {len(self):,} kept, {self.skipped_long:,} too long{limit}, "
            f"{self.skipped_empty:,} with a blank side; {self.source_lengths.sum():,} source and "
            f"{self.target_lengths.sum():,} target tokens"
        )

    @cached_property
    def source_lengths(self) -> np.ndarray:
        """Number of tokens of each source sentence, eos included."""
        return np.fromiter(map(len, self.source), np.int64, len(self.source))

    @cached_property
    def target_lengths(self) -> np.ndarray:
        """Number of tokens of each target sentence, eos included."""
        return np.fromiter(map(len, self.target), np.int64, len(self.target))


def encode_pairs(pairs: Pairs, tokenizer: Tokenizer, max_length: int) -> Examples:
    """Tokenize pairs to train on; those that are too long or blank on either side are skipped.

    Args:
        pairs: the sentences.
        tokenizer: the vocabulary of both sides.
        max_length: most tokens a side may have, eos included.

    Raises:
        DataError: no pair is left.
    """
    source, target = _encode(pairs.source, tokenizer), _encode(pairs.target, tokenizer)
    kept, long, empty = [], 0, 0
    for index in range(len(pairs)):
        if not pairs.source[index].strip() or not pairs.target[index].strip():
            empty += 1
        elif max(len(source[index]), len(target[index])) > max_length:
            long += 1
        else:
            kept.append(index)
    examples = Examples(
        [source[i] for i in kept], [target[i] for i in kept], long, empty, max_length
    )
    if not kept:
        raise DataError(f"no pair is left to train on: {examples}")
    return examples


def encode_all(pairs: Pairs, tokenizer: Tokenizer) -> Examples:
    """Tokenize pairs to evaluate on: example i is pair i, however long; a blank side is one eos."""
    return Examples(_encode(pairs.source, tokenizer), _encode(pairs.target, tokenizer))


def encode_sources(
    sentences: Sequence[str], tokenizer: Tokenizer, max_length: int
) -> tuple[list[np.ndarray], list[int]]:
    """Tokenize sentences to translate, cutting each to `max_length` tokens, eos included.

    Returns:
        The token ids, eos included, and the indices of the sentences that were cut.
    """
    return cut(_encode(sentences, tokenizer), max_length)


def cut(sentences: Sequence[np.ndarray], max_length: int) -> tuple[list[np.ndarray], list[int]]:
    """Cut token ids to `max_length`, eos included; also return the indices of those that were."""
    long = [index for index, tokens in enumerate(sentences) if len(tokens) > max_length]
    kept = [*sentences]
    for index in long:
        kept[index] = np.append(kept[index][: max_length - 1], np.int32(EOS))
    return kept, long


def _encode(texts: Sequence[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    return [np.array([*ids, EOS], np.int32) for ids in tokenizer.encode_batch(texts)]

"""Sampling from the grammar, with combinations of words kept back for validation and test."""

import hashlib
import random
import re
from functools import cache

from attention.errors import DataError
from attention.lab.data.sources.grammar.english_chinese import rules
from attention.lab.data.sources.grammar.synchronous import Combination, Grammar
from attention.lab.data.sources.pairs import Pairs

SPLITS = ("train", "valid", "test")
MOST_PAIRS = 10_000_000  # far below the number there are, so that drawing distinct ones is quick
_TEST, _VALID = 10, 5  # per cent of all combinations
_SPACE = re.compile(r" +(?=[ .,?])|^ +")
_A = re.compile(r"\ba (?=(?!use)[aeiou]|hon|hour)")


@cache
def split_of(combination: Combination) -> str:
    """Return the split that a combination of words, such as ("buy", "object", "book"), is kept for.

    The combination decides alone, wherever it occurs (as statement, passive, relative clause), by
    a hash that is the same in every process.
    """
    digest = hashlib.blake2b("|".join(combination).encode(), digest_size=8).digest()
    point = int.from_bytes(digest, "big") % 100
    return "test" if point < _TEST else "valid" if point < _TEST + _VALID else "train"


@cache
def grammar(split: str) -> Grammar:
    """Return the grammar over the combinations that a split may hold.

    Raises:
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise DataError(f"split is {split!r}: it needs to be one of {', '.join(SPLITS)}")
    return Grammar(rules(), lambda combination: split_of(combination) in ("train", split))


@cache
def count_pairs(split: str) -> int:
    """Return how many derivations a split has, each a sentence with its translation.

    The few that hold a combination twice are counted, though `sample_pairs` leaves them out.

    Raises:
        ValueError: there is no such split.
    """
    every = grammar(split).count("sentence")
    return every if split == "train" else every - count_pairs("train")


def sample_pairs(split: str, count: int, seed: int = 0) -> Pairs:
    """Draw distinct English sentences with their Chinese translations.

    Every sentence of "valid" and "test" holds a combination of two words (a verb and its object, a
    noun and its adjective, ...) that is kept for that split: training never sees the two words in
    that relation, though it sees each of them in others. Splits share no sentence.

    Args:
        split: "train", "valid" or "test".
        count: number of pairs, at most `MOST_PAIRS`.
        seed: a larger sample with the same seed begins with the smaller one.

    Raises:
        ValueError: there is no such split, or `count` is out of range.

    >>> print(*sample_pairs("train", 1).target)
    如果明天下雨，一位农民就会拜访这个女孩。
    """
    derive = grammar(split).derive
    if not 0 <= count <= MOST_PAIRS:
        raise DataError(f"count is {count}: it needs to lie between 0 and {MOST_PAIRS}")
    draw = random.Random(f"{split} {seed}").random
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        phrase = derive("sentence", draw)
        held = phrase.combinations
        repeats = len(set(held)) < len(held)  # "draw the cat that the boy drew"
        if not repeats and (split == "train" or split in map(split_of, held)):
            pairs.setdefault(_spell(phrase.english), phrase.chinese)
    return Pairs(tuple(pairs), tuple(pairs.values()))


def _spell(english: str) -> str:
    """Set spaces, "an" and the first capital."""
    english = _A.sub("an ", _SPACE.sub("", english))
    return english[0].upper() + english[1:]

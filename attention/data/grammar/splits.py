"""Sampling from the grammar, with combinations of words kept back for validation and test."""

import hashlib
import random
import re
from collections.abc import Callable
from functools import cache

from attention.data.grammar.adverbials import adverbial_rules
from attention.data.grammar.clauses import clause_rules
from attention.data.grammar.noun_phrases import noun_phrase_rules
from attention.data.grammar.partners import partner_rules
from attention.data.grammar.sentences import sentence_rules
from attention.data.grammar.synchronous import Combination, Grammar
from attention.data.pairs import Pairs

SPLITS = ("train", "valid", "test")
_SHARES = {"test": 10, "valid": 5}  # per cent of all combinations
_SPACE = re.compile(r" +(?=[ .,?])|^ +")
_A = re.compile(r"\b([Aa]) (?=(?!use)[aeiou]|hon|hour)")


@cache
def split_of(combination: Combination) -> str:
    """Return the split that a combination of words, such as ("buy", "object", "book"), is kept for.

    The combination decides alone, wherever it occurs (as statement, passive, relative clause), by
    a hash that is the same in every process.
    """
    digest = hashlib.blake2b("|".join(combination).encode(), digest_size=8).digest()
    point = int.from_bytes(digest, "big") % 100
    for split, share in _SHARES.items():
        if point < share:
            return split
        point -= share
    return "train"


@cache
def grammar() -> Grammar:
    """Return the English-Chinese grammar; its start is the symbol "sentence"."""
    parts = adverbial_rules, noun_phrase_rules, clause_rules, partner_rules, sentence_rules
    return Grammar(rule for part in parts for rule in part())


def _allowed(split: str) -> Callable[[Combination], bool]:
    splits = {"train", split}
    return lambda combination: split_of(combination) in splits


def count_pairs(split: str) -> int:
    """Return how many derivations a split has, each a sentence with its translation.

    Raises:
        ValueError: there is no such split.
    """
    _check(split)
    every = grammar().count("sentence", _allowed(split))
    return every if split == "train" else every - count_pairs("train")


def sample_pairs(split: str, count: int, seed: int = 0) -> Pairs:
    """Draw distinct English sentences with their Chinese translations.

    Every sentence of "valid" and "test" holds a combination of two words (a verb and its object, a
    noun and its adjective, ...) that is kept for that split: training never sees the two words in
    that relation, though it sees each of them in others. Splits share no sentence.

    Args:
        split: "train", "valid" or "test".
        count: number of pairs.
        seed: a larger sample with the same seed begins with the smaller one.

    Raises:
        ValueError: there is no such split, or it does not hold so many pairs.
    """
    _check(split)
    if not 0 <= count <= count_pairs(split) // 1000:
        raise ValueError(
            f"count is {count}: it needs to lie between 0 and {count_pairs(split) // 1000}"
        )
    draw = random.Random(f"{split} {seed}").random
    allowed = _allowed(split)
    derive = grammar().derive
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        phrase = derive("sentence", draw, allowed, lambda bond: split_of(bond) == split)
        if phrase.marked or split == "train":
            pairs.setdefault(_spell(phrase.english), phrase.chinese)
    return Pairs(tuple(pairs), tuple(pairs.values()))


def _spell(english: str) -> str:
    english = _A.sub(r"\1n ", _SPACE.sub("", english))
    return english[0].upper() + english[1:]


def _check(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}: it needs to be one of {', '.join(SPLITS)}")

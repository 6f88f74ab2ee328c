"""Drawing and counting the derivations of a synchronous grammar."""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from attention.lab.data.sources.grammar.rules import SLOT, Combination, Rule, Slot


class Phrase(NamedTuple):
    """A finished subtree: both sides, its head word, and the combinations of words it holds."""

    english: str
    chinese: str
    word: str = ""
    combinations: tuple[Combination, ...] = ()


class _Compiled(NamedTuple):
    """A rule ready for drawing; `order` says which filler stands where on the Chinese side."""

    english: str
    chinese: str
    order: tuple[int, ...]
    word: str
    weight: int
    slots: tuple[tuple["_Options", Slot], ...]
    leaf: Phrase


@dataclass(frozen=True, eq=False)
class _Options:
    """The rules of a symbol: once each, and as often as their weight says."""

    rules: tuple[_Compiled, ...]
    weighted: tuple[_Compiled, ...]


_NOTHING = _Compiled("", "", (), "", 1, (), Phrase("", ""))


class Grammar:
    """Rules over the allowed combinations of words, made ready for drawing derivations.

    Args:
        rules: all rules; they may not lead from a symbol back to itself.
        allowed: says which combinations of words may occur. A rule that no allowed filler could
            complete is left out.
    """

    def __init__(self, rules: Iterable[Rule], allowed: Callable[[Combination], bool]) -> None:
        self._rules: defaultdict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            self._rules[rule.symbol].append(rule)
        self._allowed = allowed
        self._compile = functools.cache(self._compile_rule)
        self._options = functools.cache(self._options_of)

    def derive(self, symbol: str, draw: Callable[[], float]) -> Phrase:
        """Draw one derivation.

        Args:
            symbol: where it starts.
            draw: uniform random numbers in [0, 1).

        Raises:
            ValueError: a symbol on the way has no rules.
        """
        allowed = self._allowed

        def expand(options: _Options) -> Phrase:
            weighted = options.weighted
            rule = weighted[int(draw() * len(weighted))]
            if not rule.slots:
                return rule.leaf
            english, chinese = [], []
            combinations: tuple[Combination, ...] = ()
            for filler_options, slot in rule.slots:
                while True:
                    filler = expand(filler_options)
                    combination = slot.combination(rule.word, filler.word)
                    if combination is None:
                        break
                    if allowed(combination):
                        combinations += (combination,)
                        break
                combinations += filler.combinations
                english.append(filler.english)
                chinese.append(filler.chinese)
            return Phrase(
                rule.english % tuple(english),
                rule.chinese % tuple([chinese[i] for i in rule.order]),
                rule.word,
                combinations,
            )

        return expand(self._options((symbol,)))

    def count(self, symbol: str) -> int:
        """Return how many derivations there are from `symbol`."""

        @functools.cache
        def by_word(options: _Options) -> Counter[str]:
            totals: Counter[str] = Counter()
            for rule in options.rules:
                totals[rule.word] += math.prod(
                    sum(by_word(fillers)[word] for word in self._words(rule.word, fillers, slot))
                    for fillers, slot in rule.slots
                )
            return totals

        return by_word(self._options((symbol,))).total()

    def _words(self, word: str, fillers: _Options, slot: Slot) -> set[str]:
        """Return the words of those fillers that may stand in a slot."""
        words = {rule.word for rule in fillers.rules}
        pairs = ((other, slot.combination(word, other)) for other in words)
        return {other for other, pair in pairs if pair is None or self._allowed(pair)}

    def _options_of(self, symbols: tuple[str, ...], optional: bool = False) -> _Options:
        if optional:
            full = self._options(symbols)
            twice_in_three = full.weighted * 2 + (_NOTHING,) * len(full.weighted)
            return _Options((*full.rules, _NOTHING), twice_in_three)
        # A kind of phrase may be missing for some sorts (single things have no plural).
        known = [rule for symbol in symbols for rule in self._rules.get(symbol, ())]
        if not known:
            raise ValueError(f"no rule rewrites {' or '.join(map(repr, symbols))}")
        rules = tuple(filter(self._complete, map(self._compile, known)))
        return _Options(rules, tuple(rule for rule in rules for _ in range(rule.weight)))

    def _complete(self, rule: _Compiled) -> bool:
        return all(self._words(rule.word, fillers, slot) for fillers, slot in rule.slots)

    def _compile_rule(self, rule: Rule) -> _Compiled:
        names = SLOT.findall(rule.english)
        slots = []
        for name in names:
            plain = name.split(":")[0].removesuffix("?")
            slot = rule.slots.get(plain, Slot((plain,)))
            slots.append((self._options(slot.symbols, name.endswith("?")), slot))
        return _Compiled(
            english=SLOT.sub("%s", rule.english),
            chinese=SLOT.sub("%s", rule.chinese),
            order=tuple(names.index(name) for name in SLOT.findall(rule.chinese)),
            word=rule.word,
            weight=rule.weight,
            slots=tuple(slots),
            leaf=Phrase(rule.english, rule.chinese, rule.word),
        )

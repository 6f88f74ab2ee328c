"""Synchronous grammars: one derivation, two sentences; rules, drawing and counting.

A rule rewrites a symbol into a pair of strings whose slots are linked, so that translating is
reading the other side of the same tree, however far the slots have moved (Aho and Ullman, 1969;
Wu, 1997; Chiang, 2005):

    clause -> < {agent} bought {object} {time} , {agent}{time}买了{object} >
"""

import functools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

SLOT = re.compile(r"\{([^}]*)\}")

# A governing word, its relation, the word that depends on it: ("buy", "object", "book").
Combination = tuple[str, str, str]


class Slot(NamedTuple):
    """What may fill a slot: any of `symbols`, or nothing where it is optional.

    `relation` names the bond between the words of rule and filler; with `-of` at its end the filler
    governs (in "the book that she bought" the noun's slot is `object-of` the verb).
    """

    symbols: tuple[str, ...]
    relation: str = ""

    def combination(self, word: str, filler: str) -> Combination | None:
        """Return how the rule's word and the filler's word combine, None where they do not."""
        if not (self.relation and word and filler):
            return None
        if self.relation.endswith("-of"):
            return filler, self.relation.removesuffix("-of"), word
        return word, self.relation, filler


@dataclass(frozen=True, eq=False)
class Rule:
    """`symbol -> < english , chinese >`.

    Args:
        symbol: what the rule rewrites.
        english, chinese: the two sides; `{name}` is a slot, `{name:1}` and `{name:2}` two slots of
            one name, `{name?}` an optional one. Both sides hold the same slots, in any order.
        word: the rule's head word, if it has one.
        weight: how often it is drawn, against the other rules of the symbol.
        slots: what fills a slot, by name; a name that is not in it is itself the symbol.

    Raises:
        ValueError: the two sides do not hold the same slots.
    """

    symbol: str
    english: str
    chinese: str
    word: str = ""
    weight: int = 1
    slots: Mapping[str, Slot] = field(default_factory=dict)

    def __post_init__(self) -> None:
        left, right = SLOT.findall(self.english), SLOT.findall(self.chinese)
        if sorted(left) != sorted(right) or len(set(left)) != len(left):
            raise ValueError(
                f"rule for {self.symbol!r}: {self.english!r} and {self.chinese!r} need the same "
                "slots, each once a side"
            )


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

"""Synchronous grammars: one derivation, two sentences.

A rule rewrites a symbol into a pair of strings whose slots are linked, so that translating is
reading the other side of the same tree, however far the slots have moved (Aho and Ullman, 1969;
Wu, 1997; Chiang, 2005):

    clause -> < {agent} bought {object} {time} , {agent}{time}买了{object} >
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_SLOT = re.compile(r"\{([^}]*)\}")
_REDRAWS = 1000

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


class Phrase(NamedTuple):
    """A finished subtree: both sides, its head word, and whether it holds a looked-for bond."""

    english: str
    chinese: str
    word: str = ""
    marked: bool = False


@dataclass(frozen=True)
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
        left, right = _SLOT.findall(self.english), _SLOT.findall(self.chinese)
        if sorted(left) != sorted(right) or len(set(left)) != len(left):
            raise ValueError(
                f"rule for {self.symbol!r}: {self.english!r} and {self.chinese!r} need the same "
                "slots, each once a side"
            )


class _Compiled(NamedTuple):
    english: str
    chinese: str
    reorder: tuple[int, ...]
    word: str
    slots: tuple[tuple["_Options", Slot], ...]
    leaf: Phrase


_Options = list[_Compiled]
_NOTHING = _Compiled("", "", (), "", (), Phrase("", ""))


class Grammar:
    """Rules made ready for drawing derivations.

    Args:
        rules: all rules; they may not lead from a symbol back to itself.

    Raises:
        ValueError: a slot has no rule that could fill it.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.symbol, []).append(rule)
        self._options: dict[tuple[tuple[str, ...], bool], _Options] = {}

    def derive(
        self,
        symbol: str,
        draw: Callable[[], float],
        allowed: Callable[[Combination], bool],
        wanted: Callable[[Combination], bool],
    ) -> Phrase:
        """Draw one derivation.

        Args:
            symbol: where it starts.
            draw: uniform random numbers in [0, 1).
            allowed: says which combinations of words may occur; others are drawn again.
            wanted: says which of them mark the phrase.
        """

        def expand(options: _Options) -> Phrase:
            rule = options[int(draw() * len(options))]
            if not rule.slots:
                return rule.leaf
            marked = False
            english, chinese = [], []
            for filler_options, slot in rule.slots:
                for _ in range(_REDRAWS):
                    filler = expand(filler_options)
                    combination = slot.combination(rule.word, filler.word)
                    if combination is None:
                        break
                    if allowed(combination):
                        marked = marked or wanted(combination)
                        break
                else:
                    raise RuntimeError(f"no allowed filler for {slot} of {rule.word!r}")
                marked = marked or filler.marked
                english.append(filler.english)
                chinese.append(filler.chinese)
            return Phrase(
                rule.english % tuple(english),
                rule.chinese % tuple([chinese[i] for i in rule.reorder]),
                rule.word,
                marked,
            )

        return expand(self._compile((symbol,), False))

    def count(self, symbol: str, allowed: Callable[[Combination], bool]) -> int:
        """Return how many derivations from `symbol` hold allowed combinations only."""
        known: dict[int, Counter[str]] = {}

        def by_word(options: _Options) -> Counter[str]:
            if id(options) in known:
                return known[id(options)]
            totals: Counter[str] = Counter()
            # A rule stands in `options` once for each unit of its weight.
            for rule in {id(rule): rule for rule in options}.values():
                ways = 1
                for filler_options, slot in rule.slots:
                    ways *= sum(
                        number
                        for word, number in by_word(filler_options).items()
                        if (bond := slot.combination(rule.word, word)) is None or allowed(bond)
                    )
                totals[rule.word] += ways
            known[id(options)] = totals
            return totals

        return sum(by_word(self._compile((symbol,), False)).values())

    def _compile(self, symbols: tuple[str, ...], optional: bool) -> _Options:
        key = symbols, optional
        if key not in self._options:
            if optional:
                options = self._compile(symbols, False)
                options = options + [_NOTHING] * (len(options) // 2)
            elif len(symbols) > 1:
                # A kind of phrase may be missing for some sorts (single things have no plural).
                known = [one for one in symbols if one in self._rules]
                options = [rule for one in known for rule in self._compile((one,), False)]
            else:
                rules = self._rules.get(symbols[0], ())
                options = [r for rule in rules for r in [self._compile_rule(rule)] * rule.weight]
            if not options:
                raise ValueError(f"no rule rewrites any of {symbols}")
            self._options[key] = options
        return self._options[key]

    def _compile_rule(self, rule: Rule) -> _Compiled:
        names = _SLOT.findall(rule.english)
        slots = []
        for name in names:
            plain = name.split(":")[0].removesuffix("?")
            slot = rule.slots.get(plain, Slot((plain,)))
            slots.append((self._compile(slot.symbols, name.endswith("?")), slot))
        return _Compiled(
            english=_SLOT.sub("%s", rule.english),
            chinese=_SLOT.sub("%s", rule.chinese),
            reorder=tuple(names.index(name) for name in _SLOT.findall(rule.chinese)),
            word=rule.word,
            slots=tuple(slots),
            leaf=Phrase(rule.english, rule.chinese, rule.word),
        )

"""Patterns: one paired line that makes a synchronous rule for every word of a kind.

In a pattern `{object}` is a slot that both sides share and `<past>` a form of the pattern's word.
With the verb "buy" the pattern

    past 6: {plain agent} <past> {any object} {past time?}
            {plain agent}{past time?}<zh>了{any object}

is the rule, drawn 6 times as often as one of weight 1,

    past -> < {plain agent} bought {any object} {past time?} ,
              {plain agent}{past time?}买了{any object} >

`[is|are]` agrees in number with the first noun phrase.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from attention.lab.data.sources.grammar.rules import Rule, Slot

_AGREEMENT = re.compile(r"\[([^]|]*)\|([^]]*)\]")
_FORM = re.compile(r"<(\w+)>")
_NAME = re.compile(r"\{([^}:?]*)")

NUMBERS = ("one", "many")


def read_rows(table: str) -> list[list[str]]:
    """Read a table of words: "_" is a space inside a word, "-" stands for none."""
    rows = [line.split() for line in table.strip().splitlines()]
    return [["" if cell == "-" else cell.replace("_", " ") for cell in row] for row in rows]


class Pattern(NamedTuple):
    """A pair of lines: the symbol they rewrite, their weight, English, Chinese."""

    symbol: str
    weight: int
    english: str
    chinese: str


def read_patterns(table: str) -> list[Pattern]:
    """Read patterns of two lines each, `SYMBOL WEIGHT: ENGLISH` and `CHINESE`.

    Several symbols that share a pair stand side by side with "/", as in "plain/any person one"; a
    hyphen is an empty side.
    """
    lines = [line.strip() for line in table.strip().splitlines() if line.strip()]
    patterns = []
    for english, chinese in zip(lines[::2], lines[1::2], strict=True):
        head, english = english.split(":", 1)
        symbols, weight = head.rsplit(maxsplit=1)
        kinds, _, rest = symbols.partition(" ")
        chinese = "" if chinese == "-" else chinese
        for kind in kinds.split("/"):
            symbol = f"{kind} {rest}".strip()
            patterns.append(Pattern(symbol, int(weight), english.strip(), chinese))
    return patterns


def read_terminals(symbol: str, pairs: str) -> list[Rule]:
    """Read rules without slots, as in "two 两, three 三"."""
    rules = []
    for pair in pairs.split(","):
        english, _, chinese = pair.strip().rpartition(" ")
        rules.append(Rule(symbol, english, chinese))
    return rules


def make_rules(
    pattern: Pattern,
    *,
    word: str = "",
    forms: Mapping[str, str] = MappingProxyType({}),
    frame: Mapping[str, Slot] = MappingProxyType({}),
) -> Iterator[Rule]:
    """Write a pattern out for one word: one rule, or one for each number where words agree.

    Args:
        pattern: the pair of lines.
        word: the word's name in combinations.
        forms: what stands for `<form>`.
        frame: what may fill a slot, by the last word of the slot's name; words before it are put
            before the frame's symbols, so that `{any object}` with object = ("text one",) asks for
            "any text one".
    """
    agreeing = _AGREEMENT.search(pattern.english) is not None
    for index, number in enumerate(NUMBERS if agreeing else ("",)):
        english = _AGREEMENT.sub(lambda found: found[index + 1], pattern.english)  # noqa: B023
        chinese = _AGREEMENT.sub(lambda found: found[index + 1], pattern.chinese)  # noqa: B023
        slots: dict[str, Slot] = {}
        subject = number
        for name in _NAME.findall(english):
            kind, _, role = name.rpartition(" ")
            if role in frame:
                slot = frame[role]
                symbols = [s for s in slot.symbols if s.endswith(subject)]
                subject = ""
                slots[name] = Slot(tuple(f"{kind} {s}".strip() for s in symbols), slot.relation)
        if all(slot.symbols for slot in slots.values()):
            yield Rule(
                pattern.symbol,
                _FORM.sub(lambda found: forms[found[1]], english),
                _FORM.sub(lambda found: forms[found[1]], chinese),
                word,
                pattern.weight,
                slots,
            )

"""Patterns: one paired line that makes a synchronous rule for every word of a kind.

In a pattern `{object}` is a slot that both sides share and `<past>` a form of the pattern's word.
With the verb "buy" the pattern

    past 6: {plain agent} <past> {any object} {past time?}
            {plain agent}{past time?}<zh>了{any object}

is the rule, drawn 6 times as often as one of weight 1,

    past -> < {plain agent} bought {any object} {past time?} ,
              {plain agent}{past time?}买了{any object} >

`[is|are]` agrees in number with the first noun phrase. A symbol may hold a form too, as in
`adjective <sort> 1: ...`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from attention.lab.data.sources.grammar.synchronous import Rule, Slot

_AGREEMENT = re.compile(r"\[([^]|]*)\|([^]]*)\]")
_FORM = re.compile(r"<(\w+)>")
_NAME = re.compile(r"\{([^}:?]*)")

NUMBERS = ("one", "many")


def read_words(table: str) -> list[dict[str, str]]:
    """Read a table of words, one a line, as dicts by the names in its first line.

    "_" is a space inside a word, "-" stands for none.
    """
    names, *rows = (line.split() for line in table.strip().splitlines())
    cells = ([cell.removeprefix("-").replace("_", " ") for cell in row] for row in rows)
    return [dict(zip(names, row, strict=True)) for row in cells]


@cache
def read_patterns(table: str) -> tuple[tuple[str, Rule], ...]:
    """Read patterns of two lines each, `SYMBOL WEIGHT: ENGLISH` and `CHINESE`.

    Several symbols that share a pair stand side by side with "/", as in "plain/any person one"; a
    hyphen is an empty side. Where words agree there is a pattern for each number of the subject.

    Returns:
        Of each pattern the number of its subject, "" where no word agrees with it, and a rule in
        which the forms of a word are to be filled in.
    """
    lines = [line.strip() for line in table.splitlines() if line.strip()]
    found = []
    for first, chinese in zip(lines[::2], lines[1::2], strict=True):
        head, english = first.split(":", 1)
        symbols, weight = head.rsplit(maxsplit=1)
        kinds, _, rest = symbols.partition(" ")
        for kind in kinds.split("/"):
            for group, number in enumerate(NUMBERS if "[" in english else ("",), start=1):
                sides = (english.strip(), "" if chinese == "-" else chinese)
                left, right = (_AGREEMENT.sub(rf"\{group}", side) for side in sides)
                rule = Rule(f"{kind} {rest}".strip(), left, right, weight=int(weight))
                found.append((number, rule))
    return tuple(found)


def read_terminals(terminals: Mapping[str, str]) -> Iterator[Rule]:
    """Read rules without slots by their symbol, as in {"count": "two 两, three 三"}."""
    for symbol, pairs in terminals.items():
        for pair in pairs.split(","):
            english, _, chinese = pair.strip().rpartition(" ")
            yield Rule(symbol, english, chinese, english)


def make_rules(
    table: str,
    *,
    word: str = "",
    forms: Mapping[str, str] = MappingProxyType({}),
    frame: Mapping[str, Slot] = MappingProxyType({}),
) -> Iterator[Rule]:
    """Write patterns out for one word: each as one rule, or for each number where words agree.

    Args:
        table: see `read_patterns`.
        word: the word's name in combinations.
        forms: what stands for `<form>`.
        frame: what may fill a slot, by the last word of the slot's name; words before it are put
            before the frame's symbols, so that `{any object}` with object = ("text one",) asks for
            "any text one".
    """
    for subject, pattern in read_patterns(table):
        slots: dict[str, Slot] = {}
        for name in _NAME.findall(pattern.english):
            kind, _, role = name.rpartition(" ")
            if role in frame:
                known = (s for s in frame[role].symbols if s.endswith(subject))
                symbols = tuple(f"{kind} {s}".strip() for s in known)
                slots[name] = Slot(symbols, frame[role].relation)
                subject = ""
        if all(slot.symbols for slot in slots.values()):
            templates = (pattern.symbol, pattern.english, pattern.chinese)
            symbol, left, right = (
                _FORM.sub(lambda found: forms[found[1]], text) for text in templates
            )
            yield Rule(symbol, left, right, word, pattern.weight, slots)

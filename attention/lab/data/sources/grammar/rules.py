"""Synchronous grammars: one derivation, two sentences.

A rule rewrites a symbol into a pair of strings whose slots are linked, so that translating is
reading the other side of the same tree, however far the slots have moved (Aho and Ullman, 1969;
Wu, 1997; Chiang, 2005):

    clause -> < {agent} bought {object} {time} , {agent}{time}买了{object} >
"""

import re
from collections.abc import Mapping
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

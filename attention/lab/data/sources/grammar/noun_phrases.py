"""Noun phrases, in English and Chinese.

Noun phrases come in kinds. `any` may carry adjectives and a relative clause ("the old book that
she read"), `told` carries a longer one ("... that she read yesterday"), `simple` has no relative
clause, `plain` has no adjective either, and `known` is the plainest ("the doctor", "my aunt").
`single` is one thing, `definite` and `indefinite` say which, `sure` is definite and plain, `bare`
has no article, and `which` and `how many` ask. A symbol is a kind, the noun's sort and its number,
as in "simple animal many".
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from attention.lab.data.sources.grammar.nouns import ADJECTIVES, NOUNS, Adjective, Noun
from attention.lab.data.sources.grammar.patterns import (
    NUMBERS,
    make_rules,
    read_patterns,
    read_terminals,
)
from attention.lab.data.sources.grammar.rules import Rule, Slot

_ONE = read_patterns("""
known/plain/single/simple/any/definite/sure 5: the <one>
                                               <the><zh>
plain/single/simple/any/definite/sure 2:       this <one>
                                               这<measure><zh>
plain/single/simple/any/definite/sure 2:       that <one>
                                               那<measure><zh>
plain/single/simple/any/indefinite 3:          a <one>
                                               一<measure><zh>
single/simple/any/definite 5:                  the {adjective} <one>
                                               那<measure>{adjective}<zh>
single/simple/any/definite 2:                  this {adjective} <one>
                                               这<measure>{adjective}<zh>
single/simple/any/indefinite 6:                a {adjective} <one>
                                               一<measure>{adjective}<zh>
any 8:                                         the {adjective?} <one> that {gap}
                                               {gap}的那<measure>{adjective?}<zh>
any 4:                                         a {adjective?} <one> that {gap}
                                               {gap}的一<measure>{adjective?}<zh>
told 8:                                        the <one> that {story}
                                               {story}的那<measure><zh>
which 1:                                       which {adjective?} <one>
                                               哪<measure>{adjective?}<zh>
compared 1:                                    this <one> is {comparison} than that one
                                               这<measure><zh>比那<measure>{comparison}
""")

_MANY = read_patterns("""
known/plain/simple/any/definite/sure 2: the <many>
                                        <the_many>
plain/simple/any/definite/sure 1:       these <many>
                                        这些<zh>
plain/simple/any/definite/sure 1:       those {count} <many>
                                        那{count}<measure><zh>
simple/any/definite 1:                  these {count} {adjective} <many>
                                        这{count}<measure>{adjective}<zh>
plain/simple/any/indefinite 2:          {count} <many>
                                        {count}<measure><zh>
simple/any/indefinite 3:                {count} {adjective} <many>
                                        {count}<measure>{adjective}<zh>
simple/any/indefinite 1:                many {adjective?} <many>
                                        很多{adjective?}<zh>
simple/any/indefinite 1:                some {adjective?} <many>
                                        一些{adjective?}<zh>
any 4:                                  the {count} <many> that {gap}
                                        {gap}的那{count}<measure><zh>
told 4:                                 the {count} <many> that {story}
                                        {story}的那{count}<measure><zh>
bare 1:                                 {adjective?} <many>
                                        {adjective?}<zh>
how many 1:                             how many {adjective?} <many>
                                        多少<measure>{adjective?}<zh>
""")

# People are not owned.
_OWNED_ONE = read_patterns("""
single/simple/any/definite/sure 2: {whose} <one>
                                   {whose}<zh>
""")
_OWNED_MANY = read_patterns("""
simple/any/definite/sure 1: {whose} {count} <many>
                            {whose}{count}<measure><zh>
""")

_PERSON_ONE = read_patterns("""
any 6:  the {adjective?} <one> who {deed}
        {deed}的那<measure>{adjective?}<zh>
told 8: the <one> who {deed}
        {deed}的那<measure><zh>
""")

_PRONOUNS = read_patterns("""
known/plain/definite pronoun one 30:  {he}
                                      {he}
known/plain/definite pronoun many 25: {they}
                                      {they}
""")

# Kin and names take no article or measure word; a Chinese title follows the name.
_FAMILY = read_patterns("""
known/plain/single/simple/any/definite/sure kin one 40: {possessor} {relative}
                                                        {possessor}{relative}
""")

_NAMES = read_patterns("""
known/plain/single/simple/any/definite/sure name one 10: <title> {surname}
                                                         {surname}<zh>
""")

_TERMINALS = {
    "whose": "my 我的, your 你的, his 他的, her 她的, our 我们的, their 他们的",
    "possessor": "my 我, your 你, his 他, her 她",
    "relative": "mother 妈妈, father 爸爸, grandmother 奶奶, older brother 哥哥, "
    "younger sister 妹妹, aunt 阿姨, uncle 叔叔",
    "he": "he 他, she 她",
    "they": "they 他们, we 我们",
}
_TITLES = read_terminals("title", "Mr. 先生, Mrs. 太太, Miss 小姐, Professor 教授, Dr. 博士")
_SURNAMES = read_terminals("surname", "Wang 王, Li 李, Zhang 张, Chen 陈, Liu 刘, Zhao 赵, Wu 吴")


def noun_slot(sorts: Iterable[str], relation: str = "", numbers: Sequence[str] = NUMBERS) -> Slot:
    """Return the slot of a noun phrase of one of the sorts."""
    return Slot(tuple(f"{sort} {number}" for sort in sorts for number in numbers), relation)


PEOPLE = ("person", "kin", "name")
AGENT = noun_slot((*PEOPLE, "pronoun"), "agent")


def noun_phrase_rules() -> Iterator[Rule]:
    """Yield the rules of noun phrases and of what stands in them."""
    for symbol, pairs in _TERMINALS.items():
        yield from read_terminals(symbol, pairs)
    for pattern in _FAMILY + _PRONOUNS:
        yield from make_rules(pattern)
    for title in _TITLES:
        forms = {"title": title.english, "zh": title.chinese}
        frame = {"surname": Slot(("surname",), "surname")}
        for pattern in _NAMES:
            yield from make_rules(pattern, word=title.english, forms=forms, frame=frame)
    yield from (replace(surname, word=surname.english) for surname in _SURNAMES)
    for noun in NOUNS:
        yield from _noun_rules(noun)
    for adjective in ADJECTIVES:
        yield from _adjective_rules(adjective)


def _noun_rules(noun: Noun) -> Iterator[Rule]:
    person = noun.sort == "person"
    forms = noun._asdict() | {
        "the": "" if person else f"那{noun.measure}",
        "the_many": f"{noun.zh}们" if person else f"那些{noun.zh}",
    }
    frame = {
        "adjective": Slot((f"adjective {noun.sort}",), "adjective"),
        "comparison": Slot((f"comparison {noun.sort}",), "adjective"),
        "gap": Slot((f"gap {noun.sort}",), "object-of"),
        "story": Slot((f"story {noun.sort}",), "object-of"),
        "deed": Slot(("deed",), "agent-of"),
    }
    one, many = (_PERSON_ONE, []) if person else (_OWNED_ONE, _OWNED_MANY)
    for number, patterns in (("one", _ONE + one), ("many", _MANY + many)):
        for pattern in patterns:
            pattern = pattern._replace(symbol=f"{pattern.symbol} {noun.sort} {number}")
            yield from make_rules(pattern, word=noun.one, forms=forms, frame=frame)


def _adjective_rules(adjective: Adjective) -> Iterator[Rule]:
    plain, comparative, zh, zh_attribute, sorts = adjective
    for sort in sorts.split(","):
        yield Rule(f"adjective {sort}", plain, zh_attribute, plain)
        if comparative:
            yield Rule(f"comparison {sort}", comparative, zh, plain)
            yield Rule(f"comparison {sort}", f"much {comparative}", f"{zh}得多", plain)

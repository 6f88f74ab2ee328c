"""All rules of the grammar: every table of patterns, written out for each word of its kind."""

from collections.abc import Iterable, Iterator
from functools import cache

from attention.lab.data.sources.grammar import (
    adverbials,
    clauses,
    noun_phrases,
    partners,
    sentences,
)
from attention.lab.data.sources.grammar.patterns import NUMBERS, make_rules, read_terminals
from attention.lab.data.sources.grammar.synchronous import Rule, Slot
from attention.lab.data.sources.grammar.words import (
    ACTIVITIES,
    ADJECTIVES,
    NOUNS,
    PLACES,
    TITLES,
    VERBS,
)


def _nouns(sorts: Iterable[str], relation: str = "") -> Slot:
    """The slot of a noun phrase of one of the sorts."""
    return Slot(tuple(f"{sort} {number}" for sort in sorts for number in NUMBERS), relation)


def _places(kind: str, sorts: Iterable[str]) -> Slot:
    """The slot of a place ("place", "destination") of one of the sorts."""
    return Slot(tuple(f"{kind} {sort}" for sort in sorts), "place")


_PEOPLE = ("person", "kin", "name")
_AGENT = _nouns((*_PEOPLE, "pronoun"), "agent")


@cache
def rules() -> tuple[Rule, ...]:
    """Return all rules of the grammar; its start is the symbol "sentence"."""
    return (*_adverbials(), *_noun_phrases(), *_clauses(), *_partners(), *_sentences())


def _adverbials() -> Iterator[Rule]:
    yield from read_terminals(adverbials.TERMINALS)
    yield from make_rules(adverbials.NUMBERS + adverbials.TIMES)
    for place in PLACES:
        table = adverbials.PLACES + (adverbials.DESTINATIONS if place["name"] else "")
        forms = place | {"spot": place["zh_where"].removeprefix("在")}
        yield from make_rules(table, word=place["where"], forms=forms)


def _noun_phrases() -> Iterator[Rule]:
    yield from read_terminals(noun_phrases.TERMINALS)
    yield from make_rules(noun_phrases.KIN)
    surname = {"surname": Slot(("surname",), "surname")}
    for title in TITLES:
        yield from make_rules(noun_phrases.NAMES, word=title["title"], forms=title, frame=surname)
    for noun in NOUNS:
        sort, zh, measure = noun["sort"], noun["zh"], noun["measure"]
        frame = {
            "adjective": Slot((f"adjective {sort}",), "adjective"),
            "comparison": Slot((f"comparison {sort}",), "adjective"),
            "gap": Slot((f"gap {sort}",), "object-of"),
            "story": Slot((f"story {sort}",), "object-of"),
            "deed": Slot(("deed",), "agent-of"),
        }
        if sort == "person":
            forms = noun | {"the": "", "the_many": f"{zh}们"}
            table = noun_phrases.NOUNS + noun_phrases.PEOPLE
        else:
            forms = noun | {"the": f"那{measure}", "the_many": f"那些{zh}"}
            table = noun_phrases.NOUNS + noun_phrases.THINGS
        yield from make_rules(table, word=noun["one"], forms=forms, frame=frame)
        if measure == "位":  # a profession: he or she
            yield from make_rules(noun_phrases.PROFESSIONS, word=noun["one"], forms=noun)
    for adjective in ADJECTIVES:
        table = noun_phrases.ADJECTIVES
        if adjective["comparative"]:
            table += noun_phrases.COMPARISONS
        for sort in adjective["sorts"].split(","):
            forms = adjective | {"sort": sort}
            yield from make_rules(table, word=adjective["plain"], forms=forms)


def _clauses() -> Iterator[Rule]:
    yield from read_terminals(clauses.TERMINALS)
    for verb in VERBS:
        sorts = verb["objects"].split(",")
        frame = {
            "agent": _AGENT,
            "object": _nouns(sorts, "object"),
            "place": _places("place", verb["places"].split(",")),
        }
        table = "".join(clauses.TRANSITIVE.get(use, "") for use in verb["uses"])
        yield from make_rules(table, word=verb["base"], forms=verb, frame=frame)
        table = "".join(clauses.RELATIVE.get(use, "") for use in verb["uses"])
        for sort in sorts:
            forms = verb | {"sort": sort}
            yield from make_rules(table, word=verb["base"], forms=forms, frame=frame)
    for verb in ACTIVITIES:
        frame = {"agent": _AGENT, "place": _places("place", verb["places"].split(","))}
        table = clauses.INTRANSITIVE
        yield from make_rules(table, word=verb["base"], forms=verb, frame=frame)


def _partners() -> Iterator[Rule]:
    destinations = dict.fromkeys(place["sort"] for place in PLACES if place["name"])
    frame = {
        "agent": _AGENT,
        "partner": _nouns(_PEOPLE, "partner"),
        "relation": _nouns(("kin", "name"), "agent"),
        "destination": _places("destination", destinations),
    }
    for (verb, objects), table in partners.DEALS.items():
        thing = {"object": _nouns(objects.split(","), "object")}
        yield from make_rules(table, word=verb, frame=frame | thing)
    for verb, table in partners.LIFE.items():
        yield from make_rules(table, word=verb, frame=frame)


def _sentences() -> Iterator[Rule]:
    yield from read_terminals(sentences.TERMINALS)
    for adjective in ADJECTIVES:
        table = sentences.PREDICATES if adjective["comparative"] else sentences.COLOURS
        for sort in adjective["sorts"].split(","):
            nouns = _nouns(_PEOPLE if sort == "person" else (sort,), "adjective-of")
            frame = {"thing": nouns, "other": nouns}
            yield from make_rules(table, word=adjective["plain"], forms=adjective, frame=frame)
    sorts = dict.fromkeys(noun["sort"] for noun in NOUNS if noun["sort"] != "person")
    frame = {"agent": _AGENT, "partner": _nouns(_PEOPLE), "thing": _nouns(sorts)}
    yield from make_rules(sentences.COMPLEX + sentences.SENTENCES, frame=frame)

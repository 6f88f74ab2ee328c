"""Clauses and sentences, in English and Chinese.

What to watch for: Chinese puts time, place and company before the verb, a relative clause before
its noun, "from" and "for" somebody before the verb; a question keeps the order of a statement.
"""

from collections.abc import Iterator

from attention.data.grammar import words
from attention.data.grammar.patterns import make_rules, read_patterns, read_terminals
from attention.data.grammar.phrases import noun_slot
from attention.data.grammar.synchronous import Rule, Slot

_PEOPLE = ("person", "kin", "name")
_SOMEBODY = (*_PEOPLE, "pronoun")

# By the use of the verb that a pattern needs (see VERBS in words.py).
_TRANSITIVE = {
    "c": read_patterns("""
past 6:       {plain agent} <past> {any object} {past time}
              {plain agent}{past time}<zh>了{any object}
past 4:       {plain agent} <past> {told object}
              {plain agent}<zh>了{told object}
past 8:       {plain agent} <past> {simple object} {place} {past time}
              {plain agent}{past time}{place}<zh>了{simple object}
past 1:       {past time}, {definite agent} <past> {any object}
              {past time}，{definite agent}<zh>了{any object}
past 1:       {past time}, {definite agent} <past> {simple object} {place}
              {past time}，{definite agent}{place}<zh>了{simple object}
past 4:       {definite agent} did not <base> {definite object} {place} {past time?}
              {definite agent}{past time?}没有{place}<zh>{definite object}
event 2:      {plain agent} <past> {simple object} {place?}
              {plain agent}{place?}<zh>了{simple object}
non-event 1:  {plain agent} did not <base> {definite object}
              {plain agent}没有<zh>{definite object}
anyway 1:     {he} still <past> {simple object} {place?}
              {he}还是{place?}<zh>了{simple object}
question 3:   did {plain agent} <base> {definite object} {place?} {past time?}
              {plain agent}{past time?}{place?}<zh>了{definite object}吗
question 1:   who <past> {definite object} {place?} {past time?}
              {past time?}谁{place?}<zh>了{definite object}
question 1:   when did {plain agent} <base> {definite object}
              {plain agent}是什么时候<zh>{definite object}的
question 1:   where did {plain agent} <base> {definite object} {past time?}
              {plain agent}{past time?}是在哪里<zh>{definite object}的
question 1:   {which object} did {plain agent} <base> {place?} {past time?}
              {plain agent}{past time?}{place?}<zh>了{which object}
question 1:   {how many object} did {plain agent} <base> {place?} {past time?}
              {plain agent}{past time?}{place?}<zh>了{how many object}
gap 3:        {known agent} <past>
              {known agent}<zh>
story 1:      {known agent} <past> {past time}
              {known agent}{past time}<zh>
story 1:      {known agent} <past> {place}
              {known agent}{place}<zh>
deed 1:       <past> {definite object}
              <zh>了{definite object}
"""),
    "g": read_patterns("""
present 4:    {definite agent} [is|are] <ing> {single object} {place}
              {definite agent}正{place}<zh>{single object}
present 1:    {definite agent} [is|are] <ing> {single object}
              {definite agent}正在<zh>{single object}
background 1: {plain agent} [was|were] <ing> {single object} {place}
              {plain agent}正{place}<zh>{single object}
question 1:   [is|are] {definite agent} <ing> {definite object}
              {definite agent}正在<zh>{definite object}吗
"""),
    "m": read_patterns("""
future 3:     {definite agent} will <base> {simple object} {place} {future time?}
              {definite agent}{future time?}会{place}<zh>{simple object}
future 1:     {definite agent} will not <base> {definite object} {future time?}
              {definite agent}{future time?}不会<zh>{definite object}
future 5:     {definite agent} {modal [one|many]} <base> {simple object} {place?} {future time}
              {definite agent}{future time}{modal [one|many]}{place?}<zh>{simple object}
report 2:     {plain agent} will <base> {simple object}
              {plain agent}会<zh>{simple object}
then 1:       {plain agent} will <base> {simple object} {place?}
              {plain agent}就会{place?}<zh>{simple object}
question 1:   will {plain agent} <base> {definite object} {place?} {future time?}
              {plain agent}{future time?}会{place?}<zh>{definite object}吗
question 1:   should {plain agent} <base> {definite object} {future time?}
              {plain agent}{future time?}应该<zh>{definite object}吗
request 1:    please <base> {definite object} {place?}
              请{place?}<zh>{definite object}
request 1:    please do not <base> {definite object} {place?}
              请不要{place?}<zh>{definite object}
"""),
    "h": read_patterns("""
present 4:    {definite agent} {often} [<s>|<base>] {bare object} {place}
              {definite agent}{often}{place}<zh>{bare object}
present 2:    {definite agent} [<s>|<base>] {bare object} {place} {habit time}
              {definite agent}{habit time}{place}<zh>{bare object}
"""),
    "e": read_patterns("""
present 2:    {definite agent} [has|have] never <participle> {definite object}
              {definite agent}从来没有<zh>过{definite object}
present 2:    {definite agent} [has|have] already <participle> {definite object}
              {definite agent}已经<zh>过{definite object}了
question 2:   [has|have] {definite agent} ever <participle> {definite object}
              {definite agent}<zh>过{definite object}吗
"""),
    "p": read_patterns("""
past 4:       {definite object} [was|were] <participle> by {definite agent} {past time?}
              {definite object}{past time?}被{definite agent}<done>了
past 1:       {definite object} [was|were] not <participle> by {definite agent}
              {definite object}没有被{definite agent}<done>
question 1:   [was|were] {definite object} <participle> by {plain agent} {past time?}
              {definite object}{past time?}被{plain agent}<done>了吗
"""),
    "s": read_patterns("""
present 24:   {plain agent} [<s>|<base>] {told object}
              {plain agent}<zh>{told object}
present 8:    {plain agent} [<s>|<base>] {any object}
              {plain agent}<zh>{any object}
present 4:    {definite agent} [does|do] not <base> {definite object}
              {definite agent}不<zh>{definite object}
question 4:   [does|do] {definite agent} <base> {definite object}
              {definite agent}<zh>{definite object}吗
gap 1:        {known agent} [<s>|<base>]
              {known agent}<zh>
"""),
}

_INTRANSITIVE = read_patterns("""
activity 4:   {definite agent} <past> {place?} for {duration} {past time?}
              {definite agent}{past time?}{place?}<lasting>了{duration}
activity 2:   {definite agent} [is|are] <ing> {place}
              {definite agent}正{place}<zh>
activity 2:   {definite agent} {often} [<s>|<base>] {place}
              {definite agent}{often}{place}<zh>
activity 3:   {definite agent} {modal [one|many]} <base> {place} {future time?}
              {definite agent}{future time?}{modal [one|many]}{place}<zh>
background 3: {plain agent} [was|were] <ing> {place}
              {plain agent}正{place}<zh>
question 2:   how long did {plain agent} <base> {place?} {past time?}
              {plain agent}{past time?}{place?}<lasting>了多久
""")

# Verbs with a third partner; each pattern names its verb and the sorts of its object.
_THREE = {
    ("buy", "print,clothes,device,instrument,furniture,portable"): read_patterns("""
deal 3:       {plain agent} bought {indefinite object} for {plain partner} {past time?}
              {plain agent}{past time?}给{plain partner}买了{indefinite object}
deal 2:       {plain agent} will buy {indefinite object} for {plain partner} {future time?}
              {plain agent}{future time?}会给{plain partner}买{indefinite object}
"""),
    ("buy", "print,clothes,dish"): read_patterns("""
deal 2:       {plain agent} bought {definite object} for {low price} yuan {past time?}
              {plain agent}{past time?}花{low price}元买了{definite object}
deal 2:       {definite object} [costs|cost] {low price} yuan
              {definite object}要{low price}元
question 20:  how much [does|do] {definite object} cost
              {definite object}要多少钱
"""),
    ("buy", "device,instrument,vehicle,furniture"): read_patterns("""
deal 3:       {plain agent} bought {definite object} for {high price} yuan {past time?}
              {plain agent}{past time?}花{high price}元买了{definite object}
deal 2:       {plain agent} bought {definite object} {year}
              {plain agent}{year}买了{definite object}
deal 2:       {definite object} [costs|cost] {high price} yuan
              {definite object}要{high price}元
"""),
    ("borrow", "print,instrument,device,vehicle"): read_patterns("""
deal 3:       {plain agent} borrowed {indefinite object} from {plain partner} {past time?}
              {plain agent}{past time?}从{plain partner}那里借了{indefinite object}
"""),
    ("give", "print,clothes,device,instrument,portable,dish,plant"): read_patterns("""
deal 3:       {plain agent} gave {definite object} to {plain partner} {past time?}
              {plain agent}{past time?}把{definite object}送给了{plain partner}
deal 3:       {plain agent} gave {plain partner} {indefinite object} {past time?}
              {plain agent}{past time?}送给了{plain partner}{indefinite object}
"""),
    ("put", "print,portable,trifle,dish"): read_patterns("""
deal 4:       {plain agent} put {definite object} {spot} {past time?}
              {plain agent}{past time?}把{definite object}放在了{spot}
request 20:   please put {definite object} {spot}
              请把{definite object}放在{spot}
"""),
    ("there be", "print,portable,trifle,dish"): read_patterns("""
deal 3:       there [is|are] {indefinite object} {spot}
              {spot}有{indefinite object}
question 10:  {how many object} are there {spot}
              {spot}有{how many object}
"""),
    ("there be", "animal,vehicle"): read_patterns("""
deal 3:       there [is|are] {indefinite object} {location}
              {location}有{indefinite object}
"""),
}

# Verbs of going, talking and living.
_PERSONAL = {
    "go": read_patterns("""
life 4:       {plain agent} went to {destination} {past time?}
              {plain agent}{past time?}去了{destination}
life 6:       {plain agent} went to {destination} {by vehicle} {past time?}
              {plain agent}{past time?}{by vehicle}去了{destination}
life 6:       {plain agent} went to {destination} with {plain partner} {past time?}
              {plain agent}{past time?}和{plain partner}一起去了{destination}
life 6:       {plain agent} will go to {destination} {by vehicle?} {future time?}
              {plain agent}{future time?}会{by vehicle?}去{destination}
non-event 4:  {plain agent} did not go to {destination} with {plain partner}
              {plain agent}没有和{plain partner}一起去{destination}
"""),
    "talk": read_patterns("""
life 6:       {plain agent} talked with {plain partner} for {duration} {past time?}
              {plain agent}{past time?}和{plain partner}聊了{duration}
"""),
    "call": read_patterns("""
life 3:       {plain agent} called {plain partner} {past time?}
              {plain agent}{past time?}给{plain partner}打了电话
life 4:       {plain agent} will call {plain partner} {future time?}
              {plain agent}{future time?}会给{plain partner}打电话
"""),
    "live": read_patterns("""
life 4:       {plain relation} was born in {city} {year}
              {plain relation}{year}出生在{city}
life 4:       {plain relation} lived in {city} for {count} years
              {plain relation}在{city}住了{count}年
life 3:       {plain relation} is {age} years old
              {plain relation}{age}岁
"""),
}

# What an adjective says of its noun; comparisons stay within a sort.
_PREDICATES = read_patterns("""
quality 4:    {told thing} [is|are] very <plain>
              {told thing}非常<zh>
quality 3:    {told thing} [is|are] <comparative> than {definite other}
              {told thing}比{definite other}<zh>
quality 2:    {definite thing} [is|are] very <plain>
              {definite thing}非常<zh>
quality 1:    {definite thing} [is|are] too <plain>
              {definite thing}太<zh>了
quality 1:    {definite thing} [is|are] not <plain>
              {definite thing}不<zh>
question 1:   [is|are] {definite thing} <plain>
              {definite thing}<zh>吗
quality 3:    {definite thing} [is|are] <comparative> than {definite other}
              {definite thing}比{definite other}<zh>
quality 1:    {definite thing} [is|are] much <comparative> than {definite other}
              {definite thing}比{definite other}<zh>得多
quality 2:    {definite thing} [is|are] not as <plain> as {definite other}
              {definite thing}没有{definite other}<zh>
""")

_COLOURS = read_patterns("""
quality 4:    {told thing} [is|are] <plain>
              {told thing}是<zh_attribute>
quality 2:    {definite thing} [is|are] <plain>
              {definite thing}是<zh_attribute>
question 1:   [is|are] {definite thing} <plain>
              {definite thing}是<zh_attribute>吗
""")

_COMPLEX = read_patterns("""
brief 2:      {event}
              {event}
brief 1:      {non-event}
              {non-event}
report 60:    {brief}
              {brief}
quality 30:   {compared thing}
              {compared thing}
circumstance 1: {plain partner} [has|have] time {future time?}
              {plain partner}{future time?}有时间
circumstance 1: {weather tomorrow}
              {weather tomorrow}
complex 4:    {brief} because {weather}
              因为{weather}，所以{brief}
complex 1:    because {weather}, {brief}
              因为{weather}，所以{brief}
complex 1:    although {profession} {condition}, {anyway}
              虽然{profession}{condition}，但是{anyway}
complex 3:    {background} when {plain agent} {arrived}
              {plain agent}{arrived}的时候，{background}
complex 1:    when {plain agent} {arrived}, {background}
              {plain agent}{arrived}的时候，{background}
complex 3:    {event} after {plain agent} {left}
              {plain agent}{left}以后，{event}
complex 1:    after {plain agent} {left}, {event}
              {plain agent}{left}以后，{event}
complex 3:    {event} before {plain agent} {left}
              {plain agent}{left}以前，{event}
complex 4:    {then} if {circumstance}
              如果{circumstance}，{then}
complex 1:    if {circumstance}, {then}
              如果{circumstance}，{then}
complex 1:    {plain agent} [says|say] that {report}
              {plain agent}说{report}
complex 1:    {plain agent} [thinks|think] that {report}
              {plain agent}觉得{report}
complex 1:    {event}, but {non-event}
              {event}，但是{non-event}
""")

_SENTENCES = read_patterns("""
sentence 9: {past}.
            {past}。
sentence 3: {present}.
            {present}。
sentence 4: {future}.
            {future}。
sentence 5: {deal}.
            {deal}。
sentence 4: {life}.
            {life}。
sentence 4: {quality}.
            {quality}。
sentence 2: {activity}.
            {activity}。
sentence 4: {question}?
            {question}？
sentence 1: {request}.
            {request}。
sentence 6: {complex}.
            {complex}。
""")

_TERMINALS = {
    "weather": "it was raining 下雨, it was snowing 下雪, it was very cold 天气很冷, "
    "it was very hot 天气很热, it was late 时间不早了",
    "weather tomorrow": "it rains tomorrow 明天下雨, it snows tomorrow 明天下雪, "
    "the weather is good tomorrow 明天天气好, it is too cold tomorrow 明天太冷",
    "condition": "was tired 很累, was sick 生病了, was busy 很忙, was hungry 很饿, "
    "had no time 没有时间",
    "arrived": "arrived 到, came back 回来, came in 进来, called 打电话来",
    "left": "left 离开, came back 回来, went home 回家, fell asleep 睡着",
}

_AGENT = noun_slot(_SOMEBODY, "agent")


def clause_rules() -> Iterator[Rule]:
    """Yield the rules of clauses and sentences; "sentence" is where derivations start."""
    for symbol, pairs in _TERMINALS.items():
        yield from read_terminals(symbol, pairs)
    for noun in words.NOUNS:
        if noun.measure == "位":  # a profession: he or she
            yield Rule("profession", f"the {noun.one}", noun.zh, noun.one)
    for verb in words.VERBS + words.STATES:
        yield from _transitive_rules(verb)
    for activity in words.ACTIVITIES:
        frame = {"agent": _AGENT, "place": _places("place", activity.places)}
        for pattern in _INTRANSITIVE:
            yield from make_rules(
                pattern, word=activity.base, forms=activity._asdict(), frame=frame
            )
    for (verb, objects), patterns in _THREE.items():
        frame = {
            "agent": _AGENT,
            "partner": noun_slot(_PEOPLE, "partner"),
            "object": noun_slot(objects.split(","), "object"),
        }
        for pattern in patterns:
            yield from make_rules(pattern, word=verb, frame=frame)
    for adjective in words.ADJECTIVES:
        yield from _predicate_rules(adjective)
    sorts = dict.fromkeys(noun.sort for noun in words.NOUNS if noun.sort != "person")
    places = dict.fromkeys(place.sort for place in words.PLACES)
    frame = {
        "agent": _AGENT,
        "partner": noun_slot(_PEOPLE, "partner"),
        "relation": noun_slot(("kin", "name"), "agent"),
        "thing": noun_slot(sorts),
        "destination": _places("destination", ",".join(places)),
    }
    for word, patterns in {**_PERSONAL, "": _COMPLEX + _SENTENCES}.items():
        for pattern in patterns:
            yield from make_rules(pattern, word=word, frame=frame)


def _transitive_rules(verb: words.Verb) -> Iterator[Rule]:
    sorts = verb.objects.split(",")
    frame = {
        "agent": _AGENT,
        "object": noun_slot(sorts, "object"),
        "place": _places("place", verb.places),
    }
    for use in verb.uses:
        for pattern in _TRANSITIVE[use]:
            # A gap in a relative clause is of the sort of the object that is missing.
            symbols = (
                [f"{pattern.symbol} {s}" for s in sorts]
                if pattern.symbol in ("gap", "story")
                else [pattern.symbol]
            )
            for symbol in symbols:
                yield from make_rules(
                    pattern._replace(symbol=symbol),
                    word=verb.base,
                    forms=verb._asdict(),
                    frame=frame,
                )


def _predicate_rules(adjective: words.Adjective) -> Iterator[Rule]:
    patterns = _PREDICATES if adjective.comparative else _COLOURS
    for sort in adjective.sorts.split(","):
        nouns = noun_slot(_PEOPLE if sort == "person" else (sort,), "adjective-of")
        for pattern in patterns:
            yield from make_rules(
                pattern,
                word=adjective.plain,
                forms=adjective._asdict(),
                frame={"thing": nouns, "other": nouns},
            )


def _places(kind: str, sorts: str) -> Slot:
    return Slot(tuple(f"{kind} {sort}" for sort in sorts.split(",")), "place")

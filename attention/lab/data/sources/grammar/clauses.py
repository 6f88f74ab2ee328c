"""Clauses with one verb, in English and Chinese.

What to watch for: Chinese puts time and place before the verb and a relative clause before its
noun, and a question keeps the order of a statement.
"""

from collections.abc import Iterator

from attention.lab.data.sources.grammar.adverbials import place_slot
from attention.lab.data.sources.grammar.noun_phrases import AGENT, noun_slot
from attention.lab.data.sources.grammar.patterns import make_rules, read_patterns, read_terminals
from attention.lab.data.sources.grammar.rules import Rule
from attention.lab.data.sources.grammar.verbs import ACTIVITIES, STATES, VERBS, Activity, Verb

# By the use of the verb that a pattern needs (see VERBS in words.py).
_TRANSITIVE = {
    "c": read_patterns("""
past 2:      {plain agent} <past> {any object}
             {plain agent}<zh>了{any object}
past 8:      {plain agent} <past> {told object}
             {plain agent}<zh>了{told object}
past 8:      {plain agent} <past> {simple object} {place} {past time}
             {plain agent}{past time}{place}<zh>了{simple object}
past 1:      {past time}, {definite agent} <past> {any object}
             {past time}，{definite agent}<zh>了{any object}
past 1:      {past time}, {definite agent} <past> {simple object} {place}
             {past time}，{definite agent}{place}<zh>了{simple object}
past 4:      {definite agent} did not <base> {definite object} {place} {past time?}
             {definite agent}{past time?}没有{place}<zh>{definite object}
event 2:     {plain agent} <past> {simple object} {place?}
             {plain agent}{place?}<zh>了{simple object}
non-event 1: {plain agent} did not <base> {definite object}
             {plain agent}没有<zh>{definite object}
anyway 1:    {he} still <past> {simple object} {place?}
             {he}还是{place?}<zh>了{simple object}
question 3:  did {plain agent} <base> {definite object} {place?} {past time?}
             {plain agent}{past time?}{place?}<zh>了{definite object}吗
question 1:  who <past> {definite object} {place?} {past time?}
             {past time?}谁{place?}<zh>了{definite object}
question 1:  when did {plain agent} <base> {definite object}
             {plain agent}是什么时候<zh>{definite object}的
question 1:  where did {plain agent} <base> {definite object} {past time?}
             {plain agent}{past time?}是在哪里<zh>{definite object}的
question 1:  {which object} did {plain agent} <base> {place?} {past time?}
             {plain agent}{past time?}{place?}<zh>了{which object}
question 1:  {how many object} did {plain agent} <base> {place?} {past time?}
             {plain agent}{past time?}{place?}<zh>了{how many object}
deed 1:      <past> {definite object}
             <zh>了{definite object}
"""),
    "r": read_patterns("""
gap 3:   {known agent} <past>
         {known agent}<zh>
story 1: {known agent} <past> {past time}
         {known agent}{past time}<zh>
story 1: {known agent} <past> {place}
         {known agent}{place}<zh>
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
future 3:   {definite agent} will <base> {simple object} {place} {future time?}
            {definite agent}{future time?}会{place}<zh>{simple object}
future 1:   {definite agent} will not <base> {definite object} {future time?}
            {definite agent}{future time?}不会<zh>{definite object}
future 5:   {definite agent} {modal [one|many]} <base> {simple object} {place?} {future time}
            {definite agent}{future time}{modal [one|many]}{place?}<zh>{simple object}
future 4:   {plain agent} {modal [one|many]} <base> {told object}
            {plain agent}{modal [one|many]}<zh>{told object}
report 2:   {plain agent} will <base> {simple object}
            {plain agent}会<zh>{simple object}
then 1:     {plain agent} will <base> {simple object} {place?}
            {plain agent}就会{place?}<zh>{simple object}
question 1: will {plain agent} <base> {definite object} {place?} {future time?}
            {plain agent}{future time?}会{place?}<zh>{definite object}吗
question 1: should {plain agent} <base> {definite object} {future time?}
            {plain agent}{future time?}应该<zh>{definite object}吗
request 1:  please <base> {definite object} {place?}
            请{place?}<zh>{definite object}
request 1:  please do not <base> {definite object} {place?}
            请不要{place?}<zh>{definite object}
"""),
    "h": read_patterns("""
present 4: {definite agent} {often} [<s>|<base>] {bare object} {place}
           {definite agent}{often}{place}<zh>{bare object}
present 2: {definite agent} [<s>|<base>] {bare object} {place} {habit time}
           {definite agent}{habit time}{place}<zh>{bare object}
"""),
    "e": read_patterns("""
present 2:  {definite agent} [has|have] never <participle> {definite object}
            {definite agent}从来没有<zh>过{definite object}
present 2:  {definite agent} [has|have] already <participle> {definite object}
            {definite agent}已经<zh>过{definite object}了
question 2: [has|have] {definite agent} ever <participle> {definite object}
            {definite agent}<zh>过{definite object}吗
"""),
    "p": read_patterns("""
past 4:     {definite object} [was|were] <participle> by {definite agent} {past time?}
            {definite object}{past time?}被{definite agent}<done>了
past 4:     {told object} [was|were] <participle> by {plain agent}
            {told object}被{plain agent}<done>了
past 1:     {definite object} [was|were] not <participle> by {definite agent}
            {definite object}没有被{definite agent}<done>
question 1: [was|were] {definite object} <participle> by {plain agent} {past time?}
            {definite object}{past time?}被{plain agent}<done>了吗
"""),
    "s": read_patterns("""
present 24: {plain agent} [<s>|<base>] {told object}
            {plain agent}<zh>{told object}
present 8:  {plain agent} [<s>|<base>] {any object}
            {plain agent}<zh>{any object}
present 4:  {definite agent} [does|do] not <base> {definite object}
            {definite agent}不<zh>{definite object}
question 4: [does|do] {definite agent} <base> {definite object}
            {definite agent}<zh>{definite object}吗
gap 1:      {known agent} [<s>|<base>]
            {known agent}<zh>
"""),
}

_INTRANSITIVE = read_patterns("""
activity 4:   {definite agent} <past> {place?} for {duration} {past day?}
              {definite agent}{past day?}{place?}<lasting>了{duration}
activity 2:   {definite agent} [is|are] <ing> {place}
              {definite agent}正{place}<zh>
activity 2:   {definite agent} {often} [<s>|<base>] {place}
              {definite agent}{often}{place}<zh>
activity 3:   {definite agent} {modal [one|many]} <base> {place} {future time?}
              {definite agent}{future time?}{modal [one|many]}{place}<zh>
background 3: {plain agent} [was|were] <ing> {place}
              {plain agent}正{place}<zh>
question 2:   how long did {plain agent} <base> {place?} {past day?}
              {plain agent}{past day?}{place?}<lasting>了多久
""")

_TERMINALS = {
    "often": "often 经常, always 总是, sometimes 有时候, usually 通常, never 从来不",
    "modal one": "must 必须, should 应该, may 可能会, wants to 想, plans to 打算",
    "modal many": "must 必须, should 应该, may 可能会, want to 想, plan to 打算",
}


def clause_rules() -> Iterator[Rule]:
    """Yield the rules of clauses for every verb."""
    for symbol, pairs in _TERMINALS.items():
        yield from read_terminals(symbol, pairs)
    for verb in VERBS + STATES:
        yield from _transitive_rules(verb)
    for activity in ACTIVITIES:
        yield from _intransitive_rules(activity)


def _transitive_rules(verb: Verb) -> Iterator[Rule]:
    sorts = verb.objects.split(",")
    frame = {
        "agent": AGENT,
        "object": noun_slot(sorts, "object"),
        "place": place_slot("place", verb.places.split(",")),
    }
    for pattern in (pattern for use in verb.uses for pattern in _TRANSITIVE[use]):
        # A relative clause is of the sort of the object that is missing in it.
        relative = pattern.symbol in ("gap", "story")
        for symbol in [f"{pattern.symbol} {s}" for s in sorts] if relative else [pattern.symbol]:
            yield from make_rules(
                pattern._replace(symbol=symbol),
                word=verb.base,
                forms=verb._asdict(),
                frame=frame,
            )


def _intransitive_rules(activity: Activity) -> Iterator[Rule]:
    frame = {"agent": AGENT, "place": place_slot("place", activity.places.split(","))}
    for pattern in _INTRANSITIVE:
        yield from make_rules(pattern, word=activity.base, forms=activity._asdict(), frame=frame)

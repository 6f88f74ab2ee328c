"""Noun phrases, numbers, times and places, in English and Chinese.

Noun phrases come in kinds: `any` may carry adjectives and a relative clause, `simple` no relative
clause, `plain` neither; `single` is one thing, `definite` and `indefinite` say which, and `bare`
has no article. A symbol is a kind, the noun's sort and its number, as in "simple animal many".
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from attention.data.grammar import words
from attention.data.grammar.patterns import NUMBERS, make_rules, read_patterns, read_terminals
from attention.data.grammar.synchronous import Rule, Slot

_ONE = read_patterns("""
known/plain/single/simple/any/definite 5: the <one>
                                    <the><zh>
plain/single/simple/any/definite 2: this <one>
                                    这<measure><zh>
plain/single/simple/any/definite 2: that <one>
                                    那<measure><zh>
plain/single/simple/any/indefinite 3: a <one>
                                    一<measure><zh>
single/simple/any/definite 5:       the {adjective} <one>
                                    那<measure>{adjective}<zh>
single/simple/any/definite 2:       this {adjective} <one>
                                    这<measure>{adjective}<zh>
single/simple/any/indefinite 6:     a {adjective} <one>
                                    一<measure>{adjective}<zh>
any 8:                              the {adjective?} <one> that {gap}
                                    {gap}的那<measure>{adjective?}<zh>
any 4:                              a {adjective?} <one> that {gap}
                                    {gap}的一<measure>{adjective?}<zh>
told 8:                             the {adjective?} <one> that {story}
                                    {story}的那<measure>{adjective?}<zh>
which 1:                            which {adjective?} <one>
                                    哪<measure>{adjective?}<zh>
compared 1:                         this <one> is {comparison} than that one
                                    这<measure><zh>比那<measure>{comparison}
""")

_MANY = read_patterns("""
known/plain/simple/any/definite 2:  the <many>
                                    <the_many>
plain/simple/any/definite 1:        these <many>
                                    这些<zh>
plain/simple/any/definite 1:        those {count} <many>
                                    那{count}<measure><zh>
simple/any/definite 1:              these {count} {adjective} <many>
                                    这{count}<measure>{adjective}<zh>
plain/simple/any/indefinite 2:      {count} <many>
                                    {count}<measure><zh>
simple/any/indefinite 3:            {count} {adjective} <many>
                                    {count}<measure>{adjective}<zh>
simple/any/indefinite 1:            many {adjective?} <many>
                                    很多{adjective?}<zh>
simple/any/indefinite 1:            some {adjective?} <many>
                                    一些{adjective?}<zh>
any 4:                              the {count} <many> that {gap}
                                    {gap}的那{count}<measure><zh>
told 4:                             the {count} <many> that {story}
                                    {story}的那{count}<measure><zh>
bare 1:                             {adjective?} <many>
                                    {adjective?}<zh>
how many 1:                         how many {adjective?} <many>
                                    多少<measure>{adjective?}<zh>
""")

# People are not owned.
_OWNED_ONE = read_patterns("""
single/simple/any/definite 2:       {whose} <one>
                                    {whose}<zh>
""")
_OWNED_MANY = read_patterns("""
simple/any/definite 1:              {whose} {count} <many>
                                    {whose}{count}<measure><zh>
""")

_PERSON_ONE = read_patterns("""
any/told 8: the {adjective?} <one> who {deed}
            {deed}的那<measure>{adjective?}<zh>
""")

_PRONOUNS = read_patterns("""
known/plain/definite pronoun one 30:  {he}
                              {he}
known/plain/definite pronoun many 25: {they}
                              {they}
""")

# Kin and names take no article or measure word; a Chinese title follows the name.
_FAMILY = read_patterns("""
known/plain/single/simple/any/definite kin one 40: {possessor} {relative}
                                             {possessor}{relative}
""")

_NAMES = read_patterns("""
known/plain/single/simple/any/definite name one 10: <title> {surname}
                                             {surname}<zh>
""")

# Chinese counts in ten thousands (万), English in thousands; a gap of zeros is read as one 零.
_NUMBERS = read_patterns("""
low price 1:   {digit:1}{digit:2}
               {digit:1}十{digit:2}
low price 1:   {digit}0
               {digit}十
high price 2:  {figure}{hundredth}
               {figure}百{hundredth}
high price 3:  {figure},{thousandth}
               {figure}千{thousandth}
high price 1:  {figure}0,000
               {figure}万
thousandth 4:  {figure}{hundredth}
               {figure}百{hundredth}
thousandth 1:  0{digit:1}{digit:2}
               零{digit:1}十{digit:2}
thousandth 1:  000
               -
hundredth 4:   {digit:1}{digit:2}
               {digit:1}十{digit:2}
hundredth 1:   {digit}0
               {digit}十
hundredth 1:   0{digit}
               零{digit}
hundredth 2:   00
               -
age 6:         {tens}-{unit}
               {tens}{unit}
age 1:         {tens}
               {tens}
year 3:        in 19{year digit:1}{year digit:2}
               一九{year digit:1}{year digit:2}年
year 1:        in 200{year digit}
               二〇〇{year digit}年
year 1:        in 201{year digit}
               二〇一{year digit}年
duration 2:    {count} hours
               {count}个小时
duration 1:    {tens} minutes
               {tens}分钟
""")

_TIMES = read_patterns("""
past time 1:   yesterday
               昨天
past time 2:   yesterday {part}
               昨天{part}
past time 2:   at {morning hour} yesterday morning
               昨天上午{morning hour}
past time 2:   at {evening hour} yesterday evening
               昨天晚上{evening hour}
past time 2:   last {weekday}
               上个{weekday}
past time 1:   last {period}
               上个{period}
past time 1:   last year
               去年
past time 3:   {count} {periods} ago
               {count}{periods}前
future time 1: tomorrow
               明天
future time 2: tomorrow {part}
               明天{part}
future time 1: at {morning hour} tomorrow morning
               明天上午{morning hour}
future time 1: at {evening hour} tomorrow evening
               明天晚上{evening hour}
future time 2: next {weekday}
               下个{weekday}
future time 1: next {period}
               下个{period}
future time 2: in {count} days
               {count}天后
future time 1: in {count} weeks
               {count}个星期后
habit time 1:  every day
               每天
habit time 2:  every {part}
               每天{part}
habit time 3:  every {weekday}
               每个{weekday}
""")

_TERMINALS = {
    "count": "two 两, three 三, four 四, five 五, six 六, seven 七, eight 八, nine 九, ten 十",
    "digit": "1 一, 2 二, 3 三, 4 四, 5 五, 6 六, 7 七, 8 八, 9 九",
    "figure": "1 一, 2 两, 3 三, 4 四, 5 五, 6 六, 7 七, 8 八, 9 九",
    "year digit": "0 〇, 1 一, 2 二, 3 三, 4 四, 5 五, 6 六, 7 七, 8 八, 9 九",
    "tens": "twenty 二十, thirty 三十, forty 四十, fifty 五十, sixty 六十",
    "unit": "one 一, two 二, three 三, four 四, five 五, six 六, seven 七, eight 八, nine 九",
    "part": "morning 上午, afternoon 下午, evening 晚上",
    "morning hour": "seven o'clock 七点, eight o'clock 八点, nine o'clock 九点, half past ten 十点半",
    "evening hour": "six o'clock 六点, seven o'clock 七点, eight o'clock 八点, half past nine 九点半",
    "weekday": "Monday 星期一, Tuesday 星期二, Wednesday 星期三, Friday 星期五, Saturday 星期六",
    "period": "week 星期, month 月",
    "periods": "days 天, weeks 个星期, months 个月, years 年",
    "whose": "my 我的, your 你的, his 他的, her 她的, our 我们的, their 他们的",
    "possessor": "my 我, your 你, his 他, her 她",
    "relative": "mother 妈妈, father 爸爸, grandmother 奶奶, older brother 哥哥, "
    "younger sister 妹妹, aunt 阿姨, uncle 叔叔",
    "he": "he 他, she 她",
    "they": "they 他们, we 我们",
    "often": "often 经常, always 总是, sometimes 有时候, usually 通常, never 从来不",
    "modal one": "must 必须, should 应该, may 可能会, wants to 想, plans to 打算",
    "modal many": "must 必须, should 应该, may 可能会, want to 想, plan to 打算",
    "city": "Beijing 北京, Shanghai 上海, London 伦敦, Paris 巴黎, Tokyo 东京, Berlin 柏林",
    "by vehicle": "by train 坐火车, by bus 坐公共汽车, by taxi 坐出租车, on foot 走路",
    "spot": "on the table 桌子上, under the table 桌子下面, on the chair 椅子上, in the box 箱子里, "
    "next to the lamp 灯旁边, in front of the desk 书桌前面, behind the sofa 沙发后面",
}

_TITLES = read_terminals("title", "Mr. 先生, Mrs. 太太, Miss 小姐, Professor 教授, Dr. 博士")
_SURNAMES = read_terminals("surname", "Wang 王, Li 李, Zhang 张, Chen 陈, Liu 刘, Zhao 赵, Wu 吴")


def noun_slot(sorts: Iterable[str], relation: str = "", numbers: Sequence[str] = NUMBERS) -> Slot:
    """Return the slot of a noun phrase of one of the sorts."""
    return Slot(tuple(f"{sort} {number}" for sort in sorts for number in numbers), relation)


def phrase_rules() -> Iterator[Rule]:
    """Yield every rule below the clause."""
    for symbol, pairs in _TERMINALS.items():
        yield from read_terminals(symbol, pairs)
    for pattern in _NUMBERS + _TIMES + _FAMILY + _PRONOUNS:
        yield from make_rules(pattern)
    for title in _TITLES:
        forms = {"title": title.english, "zh": title.chinese}
        frame = {"surname": Slot(("surname",), "surname")}
        for pattern in _NAMES:
            yield from make_rules(pattern, word=title.english, forms=forms, frame=frame)
    yield from (replace(surname, word=surname.english) for surname in _SURNAMES)
    for noun in words.NOUNS:
        yield from _noun_rules(noun)
    for adjective in words.ADJECTIVES:
        yield from _adjective_rules(adjective)
    for place in words.PLACES:
        yield from _place_rules(place)


def _noun_rules(noun: words.Noun) -> Iterator[Rule]:
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


def _adjective_rules(adjective: words.Adjective) -> Iterator[Rule]:
    plain, comparative, zh, zh_attribute, sorts = adjective
    for sort in sorts.split(","):
        yield Rule(f"adjective {sort}", plain, zh_attribute, plain)
        if comparative:
            yield Rule(f"comparison {sort}", comparative, zh, plain)
            yield Rule(f"comparison {sort}", f"much {comparative}", f"{zh}得多", plain)


def _place_rules(place: words.Place) -> Iterator[Rule]:
    yield Rule(f"place {place.sort}", place.where, place.zh_where, place.where)
    yield Rule("location", place.where, place.zh_where.removeprefix("在"), place.where)
    if place.name:
        yield Rule(f"destination {place.sort}", place.name, place.zh, place.where)

"""The verbs of the grammar, with the sorts of object and place each may have."""

from typing import NamedTuple

from attention.lab.data.sources.grammar.patterns import read_rows


class Verb(NamedTuple):
    """A verb with its English forms; `done` is the Chinese verb with its result (卖 -> 卖掉)."""

    s: str
    base: str
    past: str
    participle: str
    ing: str
    zh: str
    done: str
    uses: str
    objects: str
    places: str


class Activity(NamedTuple):
    """An intransitive verb; `lasting` is the Chinese verb before a duration (跳舞 -> 跳了三天)."""

    s: str
    base: str
    past: str
    ing: str
    zh: str
    lasting: str
    places: str


# third person, base, past, participle, -ing, Chinese, Chinese with result,
# uses (c completed, r in relative clauses, g going on, m modal, h habit, e experience, p passive),
# objects, places
VERBS = [
    Verb(*row)
    for row in read_rows("""
reads read read read reading 读 读完 cgmhepr print,prose study,rest
writes write wrote written writing 写 写完 cgmhpr prose study,rest
buys buy bought bought buying 买 买走 cgmhpr print,food,clothes,device,furniture,portable,dish shop
sells sell sold sold selling 卖 卖掉 cgmhp print,food,clothes,device,furniture,portable,dish shop
borrows borrow borrowed borrowed borrowing 借 借走 cmpr print,instrument,device study
washes wash washed washed washing 洗 洗干净 cgmhpr clothes,dish home
repairs repair repaired repaired repairing 修理 修好 cgmhepr vehicle,device,furniture shed
cleans clean cleaned cleaned cleaning 擦 擦干净 cgmhp furniture,instrument home
moves move moved moved moving 搬 搬走 cgmp furniture home
draws draw drew drawn drawing 画 画完 cgmher animal,plant,building outside,rest
eats eat ate eaten eating 吃 吃掉 cgmhp food home,rest
feeds feed fed fed feeding 喂 - cgmhe animal rest
looks_for look_for looked_for looked_for looking_for 找 - gm portable,trifle,animal outside,rest
finds find found found finding 找到 找到 cmpr portable,trifle,animal outside,rest
loses lose lost lost losing 弄丢 弄丢 cpr portable,trifle outside,shop
sees see saw seen seeing 看见 看见 cepr person,animal,vehicle outside,rest
meets meet met met meeting 遇见 - cer person outside,shop,study
helps help helped helped helping 帮助 - cgmher person work,study
praises praise praised praised praising 表扬 表扬 cgmhepr person work,study
criticises criticise criticised criticised criticising 批评 批评 cgmhepr person work,study
visits visit visited visited visiting 拜访 - cgmher person work
breaks break broke broken breaking 打碎 打碎 cp dish home,shop
uses use used used using 使用 - cgmer device study,home
""")
]

# Verbs of state take neither 了 nor 正在: third person, base, past ..., objects
STATES = [
    Verb(*row)
    for row in read_rows("""
likes like liked liked liking 喜欢 - s person,animal,print,prose,clothes,vehicle,instrument -
needs need needed needed needing 需要 - s device,furniture,portable,trifle,dish,vehicle -
remembers remember remembered remembered remembering 记得 - s person,prose,building -
trusts trust trusted trusted trusting 信任 - s person -
""")
]

# third person, base, past, -ing, Chinese, Chinese before a duration, places
ACTIVITIES = [
    Activity(*row)
    for row in read_rows("""
sleeps sleep slept sleeping 睡觉 睡 home,rest
rests rest rested resting 休息 休息 home,rest,work
works work worked working 工作 工作 work,study,shed
studies study studied studying 学习 学习 study,home
runs run ran running 跑步 跑 outside
dances dance danced dancing 跳舞 跳 outside,home
sings sing sang singing 唱歌 唱 outside,home
waits wait waited waiting 等 等 shop,work,outside
""")
]

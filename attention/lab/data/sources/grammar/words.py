"""The words of the grammar: nouns with what describes and counts them, places, verbs.

Tables pair the two languages line by line; an underscore stands for a space inside a word, a hyphen
for "none". The sorts of noun are selectional restrictions (Chomsky, 1965, chapter 2): adjectives
and verbs name the sorts they go with, so that no table eats a doctor.
"""

from attention.lab.data.sources.grammar.patterns import read_words

# A countable noun; `measure` is the Chinese word that counts it (两 本 书, two books).
NOUNS = read_words("""
sort one many zh measure
person doctor doctors 医生 位
person teacher teachers 老师 位
person writer writers 作家 位
person lawyer lawyers 律师 位
person nurse nurses 护士 位
person engineer engineers 工程师 位
person farmer farmers 农民 位
person singer singers 歌手 位
person driver drivers 司机 位
person journalist journalists 记者 位
person scientist scientists 科学家 位
person painter painters 画家 位
person manager managers 经理 位
person tourist tourists 游客 位
person student students 学生 个
person boy boys 男孩 个
person girl girls 女孩 个
animal cat cats 猫 只
animal dog dogs 狗 只
animal bird birds 鸟 只
animal rabbit rabbits 兔子 只
animal goat goats 山羊 只
animal duck ducks 鸭子 只
animal horse horses 马 匹
animal cow cows 牛 头
animal pig pigs 猪 头
print book books 书 本
print magazine magazines 杂志 本
print dictionary dictionaries 词典 本
print newspaper newspapers 报纸 份
prose letter letters 信 封
prose report reports 报告 份
prose story stories 故事 个
prose poem poems 诗 首
food apple apples 苹果 个
food orange oranges 橙子 个
food egg eggs 鸡蛋 个
food cake cakes 蛋糕 个
food watermelon watermelons 西瓜 个
food banana bananas 香蕉 根
clothes shirt shirts 衬衫 件
clothes coat coats 大衣 件
clothes sweater sweaters 毛衣 件
clothes skirt skirts 裙子 条
clothes scarf scarves 围巾 条
clothes hat hats 帽子 顶
vehicle car cars 汽车 辆
vehicle bicycle bicycles 自行车 辆
vehicle truck trucks 卡车 辆
device computer computers 电脑 台
device camera cameras 照相机 台
device radio radios 收音机 台
device phone phones 手机 部
instrument piano pianos 钢琴 架
instrument guitar guitars 吉他 把
instrument violin violins 小提琴 把
furniture table tables 桌子 张
furniture sofa sofas 沙发 张
furniture chair chairs 椅子 把
furniture desk desks 书桌 张
furniture lamp lamps 灯 盏
trifle key keys 钥匙 把
portable umbrella umbrellas 雨伞 把
portable pen pens 钢笔 支
portable bag bags 包 个
trifle map maps 地图 张
trifle ticket tickets 票 张
portable watch watches 手表 块
dish cup cups 杯子 个
dish bowl bowls 碗 个
dish plate plates 盘子 个
dish vase vases 花瓶 个
building house houses 房子 座
building bridge bridges 桥 座
building tower towers 塔 座
plant tree trees 树 棵
plant flower flowers 花 朵
""")

# They stand before a surname, and in Chinese behind it.
TITLES = read_words("""
title zh
Mr. 先生
Mrs. 太太
Miss 小姐
Professor 教授
Dr. 博士
""")

# Predicate `zh` (很新), attribute `zh_attribute` (有趣的 before a noun).
ADJECTIVES = read_words("""
plain comparative zh zh_attribute sorts
young younger 年轻 年轻的 person
famous more_famous 有名 有名的 person,prose,building
clever cleverer 聪明 聪明的 person,animal
friendly friendlier 友好 友好的 person
honest more_honest 诚实 诚实的 person
busy busier 忙 忙碌的 person
big bigger 大 大 animal,food,vehicle,furniture,dish,building,plant
small smaller 小 小 animal,food,vehicle,furniture,dish,building,plant
black - - 黑色的 animal,clothes,vehicle,device,furniture,portable
white - - 白色的 animal,clothes,vehicle,device,furniture,dish
red - - 红色的 clothes,vehicle,portable,dish
new newer 新 新 print,clothes,vehicle,device,instrument,furniture,portable,trifle,building
old older 旧 旧 print,clothes,vehicle,device,instrument,furniture,portable,trifle,building
interesting more_interesting 有趣 有趣的 print,prose
boring more_boring 无聊 无聊的 print,prose
useful more_useful 有用 有用的 print,device,portable,trifle
expensive more_expensive 贵 昂贵的 print,clothes,vehicle,device,instrument,furniture,portable
cheap cheaper 便宜 便宜的 clothes,device,furniture,dish,instrument
beautiful more_beautiful 漂亮 漂亮的 clothes,building,plant,dish
fresh fresher 新鲜 新鲜的 food
sweet sweeter 甜 很甜的 food
heavy heavier 重 很重的 furniture,device
""")

# Where something happens (in the park, 在公园里), and where one goes (去公园).
PLACES = read_words("""
sort where name zh_where zh
study in_the_library the_library 在图书馆里 图书馆
study in_the_classroom - 在教室里 -
work in_the_office the_office 在办公室里 办公室
shed in_the_factory the_factory 在工厂里 工厂
shed in_the_garage - 在车库里 -
work in_the_hospital the_hospital 在医院里 医院
study at_school the_school 在学校里 学校
work at_the_hotel the_hotel 在酒店里 酒店
rest in_the_park the_park 在公园里 公园
rest on_the_farm the_farm 在农场里 农场
rest in_the_garden - 在花园里 -
rest under_the_tree - 在树下 -
rest in_front_of_the_house - 在房子前面 -
home in_the_kitchen - 在厨房里 -
home at_home - 在家里 -
home in_the_living_room - 在客厅里 -
outside by_the_river the_river 在河边 河边
outside in_the_street - 在街上 -
outside on_the_beach the_beach 在海滩上 海滩
outside in_the_forest the_forest 在森林里 森林
shop at_the_market the_market 在市场里 市场
shop in_the_supermarket the_supermarket 在超市里 超市
shop at_the_station the_station 在车站 车站
shop at_the_airport the_airport 在机场 机场
""")

# `done` is the Chinese verb with its result (卖 -> 卖掉). Uses: c completed, r in relative clauses,
# g going on, m modal, h habit, e experience, p passive, s of a state (takes neither 了 nor 正在).
VERBS = read_words("""
s base past participle ing zh done uses objects places
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
likes like liked liked liking 喜欢 - s person,animal,print,prose,clothes,vehicle,instrument -
needs need needed needed needing 需要 - s device,furniture,portable,trifle,dish,vehicle -
remembers remember remembered remembered remembering 记得 - s person,prose,building -
trusts trust trusted trusted trusting 信任 - s person -
""")

# Intransitive verbs; `lasting` is the Chinese verb before a duration (跳舞 -> 跳了三天).
ACTIVITIES = read_words("""
s base past ing zh lasting places
sleeps sleep slept sleeping 睡觉 睡 home,rest
rests rest rested resting 休息 休息 home,rest,work
works work worked working 工作 工作 work,study,shed
studies study studied studying 学习 学习 study,home
runs run ran running 跑步 跑 outside
dances dance danced dancing 跳舞 跳 outside,home
sings sing sang singing 唱歌 唱 outside,home
waits wait waited waiting 等 等 shop,work,outside
""")

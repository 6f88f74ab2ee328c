"""Numbers, ages, prices, times and places, in English and Chinese."""

# Chinese counts in ten thousands (万), English in thousands; a gap of zeros is read as one 零.
NUMBERS = """
low price 1:  {ten}{digit}
              {ten}十{digit}
low price 1:  {ten}0
              {ten}十
high price 2: {figure}{hundredth}
              {figure}百{hundredth}
high price 3: {figure},{thousandth}
              {figure}千{thousandth}
high price 1: {figure}0,000
              {figure}万
thousandth 4: {figure}{hundredth}
              {figure}百{hundredth}
thousandth 1: 0{digit:1}{digit:2}
              零{digit:1}十{digit:2}
thousandth 1: 0{digit}0
              零{digit}十
thousandth 1: 00{digit}
              零{digit}
thousandth 1: 000
              -
hundredth 4:  {digit:1}{digit:2}
              {digit:1}十{digit:2}
hundredth 1:  {digit}0
              {digit}十
hundredth 1:  0{digit}
              零{digit}
hundredth 2:  00
              -
age 6:        {tens}-{unit}
              {tens}{unit}
age 1:        {tens}
              {tens}
year 3:       in 19{decade}{year digit}
              一九{decade}{year digit}年
year 1:       in 200{year digit}
              二〇〇{year digit}年
year 1:       in 201{year digit}
              二〇一{year digit}年
duration 2:   {count} hours
              {count}个小时
duration 1:   {tens} minutes
              {tens}分钟
"""

TIMES = """
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
past day 1:    yesterday
               昨天
past day 3:    last {weekday}
               上个{weekday}
past day 2:    {count} days ago
               {count}天前
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
"""

# For each place, and for each to which one goes.
PLACES = """
place <sort> 1: <where>
                <zh_where>
location 1:     <where>
                <spot>
"""
DESTINATIONS = """
destination <sort> 1: <name>
                      <zh>
"""

TERMINALS = {
    "count": "two 两, three 三, four 四, five 五, six 六, seven 七, eight 八, nine 九, ten 十",
    "digit": "1 一, 2 二, 3 三, 4 四, 5 五, 6 六, 7 七, 8 八, 9 九",
    "ten": "2 二, 3 三, 4 四, 5 五, 6 六, 7 七, 8 八, 9 九",
    "figure": "1 一, 2 两, 3 三, 4 四, 5 五, 6 六, 7 七, 8 八, 9 九",
    "decade": "5 五, 6 六, 7 七, 8 八, 9 九",
    "year digit": "0 〇, 1 一, 2 二, 3 三, 4 四, 5 五, 6 六, 7 七, 8 八, 9 九",
    "tens": "twenty 二十, thirty 三十, forty 四十, fifty 五十, sixty 六十",
    "unit": "one 一, two 二, three 三, four 四, five 五, six 六, seven 七, eight 八, nine 九",
    "part": "morning 上午, afternoon 下午, evening 晚上",
    "morning hour": "seven o'clock 七点, eight o'clock 八点, nine o'clock 九点, "
    "half past ten 十点半",
    "evening hour": "six o'clock 六点, seven o'clock 七点, eight o'clock 八点, "
    "half past nine 九点半",
    "weekday": "Monday 星期一, Tuesday 星期二, Wednesday 星期三, Friday 星期五, Saturday 星期六",
    "period": "week 星期, month 月",
    "periods": "days 天, weeks 个星期, months 个月, years 年",
    "city": "Beijing 北京, Shanghai 上海, London 伦敦, Paris 巴黎, Tokyo 东京, Berlin 柏林",
    "by vehicle": "by train 坐火车, by bus 坐公共汽车, by taxi 坐出租车, on foot 走路",
    "spot": "on the table 桌子上, under the table 桌子下面, on the chair 椅子上, "
    "in the box 箱子里, next to the lamp 灯旁边, in front of the desk 书桌前面, "
    "behind the sofa 沙发后面",
}

"""Sentences, what is said of things, and clauses joined, in English and Chinese.

What to watch for: Chinese compares before it names the quality, and puts reason, condition and
time clauses first.
"""

# What an adjective says of its noun; comparisons stay within a sort.
PREDICATES = """
quality 4:  {told thing} [is|are] very <plain>
            {told thing}非常<zh>
quality 3:  {told thing} [is|are] <comparative> than {sure other}
            {told thing}比{sure other}<zh>
quality 2:  {sure thing} [is|are] very <plain>
            {sure thing}非常<zh>
quality 1:  {sure thing} [is|are] quite <plain>
            {sure thing}相当<zh>
quality 1:  {sure thing} [is|are] not <plain>
            {sure thing}不<zh>
question 1: [is|are] {sure thing} <plain>
            {sure thing}<zh>吗
quality 3:  {sure thing} [is|are] <comparative> than {sure other}
            {sure thing}比{sure other}<zh>
quality 1:  {sure thing} [is|are] much <comparative> than {sure other}
            {sure thing}比{sure other}<zh>得多
quality 2:  {sure thing} [is|are] not as <plain> as {sure other}
            {sure thing}没有{sure other}<zh>
"""

COLOURS = """
quality 4:  {told thing} [is|are] <plain>
            {told thing}是<zh_attribute>
quality 2:  {sure thing} [is|are] <plain>
            {sure thing}是<zh_attribute>
question 1: [is|are] {sure thing} <plain>
            {sure thing}是<zh_attribute>吗
"""

COMPLEX = """
brief 2:        {event}
                {event}
brief 1:        {non-event}
                {non-event}
report 60:      {brief}
                {brief}
quality 30:     {compared thing}
                {compared thing}
circumstance 1: {plain partner} [has|have] time {future time?}
                {plain partner}{future time?}有时间
circumstance 1: {weather tomorrow}
                {weather tomorrow}
complex 4:      {brief} because {weather}
                因为{weather}，所以{brief}
complex 1:      because {weather}, {brief}
                因为{weather}，所以{brief}
complex 1:      although {profession} {condition}, {anyway}
                虽然{profession}{condition}，但是{anyway}
complex 3:      {background} when {plain partner} {arrived}
                {plain partner}{arrived}的时候，{background}
complex 1:      when {plain partner} {arrived}, {background}
                {plain partner}{arrived}的时候，{background}
complex 3:      {event} after {plain partner} {left}
                {plain partner}{left}以后，{event}
complex 1:      after {plain partner} {left}, {event}
                {plain partner}{left}以后，{event}
complex 3:      {event} before {plain partner} {left}
                {plain partner}{left}以前，{event}
complex 4:      {then} if {circumstance}
                如果{circumstance}，{then}
complex 1:      if {circumstance}, {then}
                如果{circumstance}，{then}
complex 1:      {plain agent} [says|say] that {report}
                {plain agent}说{report}
complex 1:      {plain agent} [thinks|think] that {report}
                {plain agent}觉得{report}
complex 1:      {event}, but {non-event}
                {event}，但是{non-event}
"""

SENTENCES = """
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
sentence 7: {quality}.
            {quality}。
sentence 1: {activity}.
            {activity}。
sentence 5: {question}?
            {question}？
sentence 1: {request}.
            {request}。
sentence 5: {complex}.
            {complex}。
"""

TERMINALS = {
    "weather": "it was raining 下雨, it was snowing 下雪, it was very cold 天气很冷, "
    "it was very hot 天气很热, it was late 时间不早了",
    "weather tomorrow": "it rains tomorrow 明天下雨, it snows tomorrow 明天下雪, "
    "the weather is good tomorrow 明天天气好, it is too cold tomorrow 明天太冷",
    "condition": "was tired 很累, was sick 生病了, was busy 很忙, was hungry 很饿, "
    "had no time 没有时间",
    "arrived": "arrived 到, came back 回来, came in 进来, called 打电话来",
    "left": "left 离开, came back 回来, went home 回家, fell asleep 睡着",
}

"""Noun phrases, in English and Chinese.

Noun phrases come in kinds. `any` may carry adjectives and a relative clause ("the old book that
she read"), `told` carries a longer one ("... that she read yesterday"), `simple` has no relative
clause, `plain` has no adjective either, and `known` is the plainest ("the doctor", "my aunt").
`single` is one thing, `definite` and `indefinite` say which, `sure` is definite and plain, `bare`
has no article, and `which` and `how many` ask. A symbol is a kind, the noun's sort and its number,
as in "simple animal many".
"""

# For each noun.
NOUNS = """
known/plain/single/simple/any/definite/sure <sort> one 5: the <one>
                                                          <the><zh>
plain/single/simple/any/definite/sure <sort> one 2:       this <one>
                                                          这<measure><zh>
plain/single/simple/any/definite/sure <sort> one 2:       that <one>
                                                          那<measure><zh>
plain/single/simple/any/indefinite <sort> one 3:          a <one>
                                                          一<measure><zh>
single/simple/any/definite <sort> one 5:                  the {adjective} <one>
                                                          那<measure>{adjective}<zh>
single/simple/any/definite <sort> one 2:                  this {adjective} <one>
                                                          这<measure>{adjective}<zh>
single/simple/any/indefinite <sort> one 6:                a {adjective} <one>
                                                          一<measure>{adjective}<zh>
any <sort> one 8:                                         the {adjective?} <one> that {gap}
                                                          {gap}的那<measure>{adjective?}<zh>
any <sort> one 4:                                         a {adjective?} <one> that {gap}
                                                          {gap}的一<measure>{adjective?}<zh>
told <sort> one 8:                                        the <one> that {story}
                                                          {story}的那<measure><zh>
which <sort> one 1:                                       which {adjective?} <one>
                                                          哪<measure>{adjective?}<zh>
compared <sort> one 1:                                    this <one> is {comparison} than that one
                                                          这<measure><zh>比那<measure>{comparison}
known/plain/simple/any/definite/sure <sort> many 2: the <many>
                                                    <the_many>
plain/simple/any/definite/sure <sort> many 1:       these <many>
                                                    这些<zh>
plain/simple/any/definite/sure <sort> many 1:       those {count} <many>
                                                    那{count}<measure><zh>
simple/any/definite <sort> many 1:                  these {count} {adjective} <many>
                                                    这{count}<measure>{adjective}<zh>
plain/simple/any/indefinite <sort> many 2:          {count} <many>
                                                    {count}<measure><zh>
simple/any/indefinite <sort> many 3:                {count} {adjective} <many>
                                                    {count}<measure>{adjective}<zh>
simple/any/indefinite <sort> many 1:                many {adjective?} <many>
                                                    很多{adjective?}<zh>
simple/any/indefinite <sort> many 1:                some {adjective?} <many>
                                                    一些{adjective?}<zh>
any <sort> many 4:                                  the {count} <many> that {gap}
                                                    {gap}的那{count}<measure><zh>
told <sort> many 4:                                 the {count} <many> that {story}
                                                    {story}的那{count}<measure><zh>
bare <sort> many 1:                                 {adjective?} <many>
                                                    {adjective?}<zh>
how many <sort> many 1:                             how many {adjective?} <many>
                                                    多少<measure>{adjective?}<zh>
"""

# People are not owned.
THINGS = """
single/simple/any/definite/sure <sort> one 2: {whose} <one>
                                              {whose}<zh>
simple/any/definite/sure <sort> many 1: {whose} {count} <many>
                                        {whose}{count}<measure><zh>
"""

PEOPLE = """
any <sort> one 6:  the {adjective?} <one> who {deed}
                   {deed}的那<measure>{adjective?}<zh>
told <sort> one 8: the <one> who {deed}
                   {deed}的那<measure><zh>
"""

PROFESSIONS = """
profession 1: the <one>
              <zh>
"""

# For each adjective and sort it goes with, and for those that compare.
ADJECTIVES = """
adjective <sort> 1: <plain>
                    <zh_attribute>
"""
COMPARISONS = """
comparison <sort> 1: <comparative>
                     <zh>
comparison <sort> 1: much <comparative>
                     <zh>得多
"""

# Kin and names take no article or measure word; a Chinese title follows the name.
KIN = """
known/plain/definite pronoun one 30:  {he}
                                      {he}
known/plain/definite pronoun many 25: {they}
                                      {they}
known/plain/single/simple/any/definite/sure kin one 40: {possessor} {relative}
                                                        {possessor}{relative}
"""

NAMES = """
known/plain/single/simple/any/definite/sure name one 10: <title> {surname}
                                                         {surname}<zh>
"""

TERMINALS = {
    "whose": "my 我的, your 你的, his 他的, her 她的, our 我们的, their 他们的",
    "possessor": "my 我, your 你, his 他, her 她",
    "relative": "mother 妈妈, father 爸爸, grandmother 奶奶, older brother 哥哥, "
    "younger sister 妹妹, aunt 阿姨, uncle 叔叔",
    "he": "he 他, she 她",
    "they": "they 他们, we 我们",
    "surname": "Wang 王, Li 李, Zhang 张, Chen 陈, Liu 刘, Zhao 赵, Wu 吴",
}

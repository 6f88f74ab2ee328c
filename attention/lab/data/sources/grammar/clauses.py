"""Clauses with one verb, in English and Chinese.

What to watch for: Chinese puts time and place before the verb and a relative clause before its
noun, and a question keeps the order of a statement.
"""

# By the use of the verb (see VERBS).
TRANSITIVE = {
    "c": """
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
""",
    "g": """
present 4:    {definite agent} [is|are] <ing> {single object} {place}
              {definite agent}正{place}<zh>{single object}
present 1:    {definite agent} [is|are] <ing> {single object}
              {definite agent}正在<zh>{single object}
background 1: {plain agent} [was|were] <ing> {single object} {place}
              {plain agent}正{place}<zh>{single object}
question 1:   [is|are] {definite agent} <ing> {definite object}
              {definite agent}正在<zh>{definite object}吗
""",
    "m": """
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
""",
    "h": """
present 4: {definite agent} {often} [<s>|<base>] {bare object} {place}
           {definite agent}{often}{place}<zh>{bare object}
present 2: {definite agent} [<s>|<base>] {bare object} {place} {habit time}
           {definite agent}{habit time}{place}<zh>{bare object}
""",
    "e": """
present 2:  {definite agent} [has|have] never <participle> {definite object}
            {definite agent}从来没有<zh>过{definite object}
present 2:  {definite agent} [has|have] already <participle> {definite object}
            {definite agent}已经<zh>过{definite object}了
question 2: [has|have] {definite agent} ever <participle> {definite object}
            {definite agent}<zh>过{definite object}吗
""",
    "p": """
past 4:     {definite object} [was|were] <participle> by {definite agent} {past time?}
            {definite object}{past time?}被{definite agent}<done>了
past 4:     {told object} [was|were] <participle> by {plain agent}
            {told object}被{plain agent}<done>了
past 1:     {definite object} [was|were] not <participle> by {definite agent}
            {definite object}没有被{definite agent}<done>
question 1: [was|were] {definite object} <participle> by {plain agent} {past time?}
            {definite object}{past time?}被{plain agent}<done>了吗
""",
    "s": """
present 24: {plain agent} [<s>|<base>] {told object}
            {plain agent}<zh>{told object}
present 8:  {plain agent} [<s>|<base>] {any object}
            {plain agent}<zh>{any object}
present 4:  {definite agent} [does|do] not <base> {definite object}
            {definite agent}不<zh>{definite object}
question 4: [does|do] {definite agent} <base> {definite object}
            {definite agent}<zh>{definite object}吗
""",
}

# The same of relative clauses, for each sort of the object that is missing in them.
RELATIVE = {
    "r": """
gap <sort> 3:   {known agent} <past>
                {known agent}<zh>
story <sort> 1: {known agent} <past> {past time}
                {known agent}{past time}<zh>
story <sort> 1: {known agent} <past> {place}
                {known agent}{place}<zh>
""",
    "s": """
gap <sort> 1: {known agent} [<s>|<base>]
              {known agent}<zh>
""",
}

INTRANSITIVE = """
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
"""

TERMINALS = {
    "often": "often 经常, always 总是, sometimes 有时候, usually 通常, never 从来不",
    "modal one": "must 必须, should 应该, may 可能会, wants to 想, plans to 打算",
    "modal many": "must 必须, should 应该, may 可能会, want to 想, plan to 打算",
}

"""Clauses with a partner, a price or a destination, in English and Chinese.

What to watch for: "for", "from" and "with" somebody stand before the Chinese verb, and so does a
definite thing that is put somewhere or given away (把).
"""

# By verb and the sorts of its object.
DEALS = {
    ("buy", "print,clothes,device,instrument,furniture,portable"): """
deal 3: {plain agent} bought {indefinite object} for {plain partner} {past time?}
        {plain agent}{past time?}给{plain partner}买了{indefinite object}
deal 2: {plain agent} will buy {indefinite object} for {plain partner} {future time?}
        {plain agent}{future time?}会给{plain partner}买{indefinite object}
""",
    ("buy", "print,clothes,dish"): """
deal 2:      {plain agent} bought {definite object} for {low price} yuan {past time?}
             {plain agent}{past time?}花{low price}元买了{definite object}
deal 2:      {definite object} [costs|cost] {low price} yuan
             {definite object}要{low price}元
question 20: how much [does|do] {definite object} cost
             {definite object}要多少钱
""",
    ("buy", "device,instrument,vehicle,furniture"): """
deal 3: {plain agent} bought {definite object} for {high price} yuan {past time?}
        {plain agent}{past time?}花{high price}元买了{definite object}
deal 2: {plain agent} bought {definite object} {year}
        {plain agent}{year}买了{definite object}
deal 2: {definite object} [costs|cost] {high price} yuan
        {definite object}要{high price}元
""",
    ("borrow", "print,instrument,device,vehicle"): """
deal 3: {plain agent} borrowed {indefinite object} from {plain partner} {past time?}
        {plain agent}{past time?}从{plain partner}那里借了{indefinite object}
""",
    ("give", "print,clothes,device,instrument,portable,dish"): """
deal 3: {plain agent} gave {definite object} to {plain partner} {past time?}
        {plain agent}{past time?}把{definite object}送给了{plain partner}
deal 3: {plain agent} gave {plain partner} {indefinite object} {past time?}
        {plain agent}{past time?}送给了{plain partner}{indefinite object}
""",
    ("put", "print,portable,trifle,dish"): """
deal 4:     {plain agent} put {definite object} {spot} {past time?}
            {plain agent}{past time?}把{definite object}放在了{spot}
request 20: please put {definite object} {spot}
            请把{definite object}放在{spot}
""",
    ("there be", "print,portable,trifle,dish"): """
deal 3:      there [is|are] {indefinite object} {spot}
             {spot}有{indefinite object}
question 10: {how many object} are there {spot}
             {spot}有{how many object}
""",
    ("there be", "animal,vehicle"): """
deal 3: there [is|are] {indefinite object} {location}
        {location}有{indefinite object}
""",
}

# By verb.
LIFE = {
    "go": """
life 4:      {plain agent} went to {destination} {past time?}
             {plain agent}{past time?}去了{destination}
life 6:      {plain agent} went to {destination} {by vehicle} {past time?}
             {plain agent}{past time?}{by vehicle}去了{destination}
life 6:      {plain agent} went to {destination} with {plain partner} {past time?}
             {plain agent}{past time?}和{plain partner}一起去了{destination}
life 6:      {plain agent} will go to {destination} {by vehicle?} {future time?}
             {plain agent}{future time?}会{by vehicle?}去{destination}
non-event 4: {plain agent} did not go to {destination} with {plain partner}
             {plain agent}没有和{plain partner}一起去{destination}
""",
    "talk": """
life 6: {plain agent} talked with {plain partner} for {duration} {past day?}
        {plain agent}{past day?}和{plain partner}聊了{duration}
""",
    "call": """
life 3: {plain agent} called {plain partner} {past time?}
        {plain agent}{past time?}给{plain partner}打了电话
life 4: {plain agent} will call {plain partner} {future time?}
        {plain agent}{future time?}会给{plain partner}打电话
""",
    "live": """
life 4: {plain relation} was born in {city} {year}
        {plain relation}{year}出生在{city}
life 4: {plain relation} lived in {city} for {count} years
        {plain relation}在{city}住了{count}年
life 3: {plain relation} is {age} years old
        {plain relation}{age}岁
""",
}

"""The embedded English-Chinese grammar: correct pairs, and splits that share no combination."""

import functools
import hashlib
import os
import random
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from attention.lab.data.sources.grammar import SPLITS, count_pairs, sample_pairs
from attention.lab.data.sources.grammar.english_chinese import rules
from attention.lab.data.sources.grammar.splits import grammar, split_of
from attention.lab.data.sources.grammar.synchronous import Grammar, Rule, Slot
from attention.lab.data.sources.grammar.words import ADJECTIVES, NOUNS, VERBS


@functools.cache
def drawn(split):
    return sample_pairs(split, 30_000 if split == "train" else 2_000)


def words(sentence):
    """Words in lower case; a number is its digits."""
    return re.findall(r"[a-z']+|\d", sentence.lower())


def anything(combination):
    return True


# The machinery.


def tiny(allowed=anything):
    thing = {"adjective": Slot(("adjective",), "adjective")}
    verb = {"object": Slot(("noun",), "object")}
    rules = [
        Rule("clause", "read {object} {time?}", "{time?}读{object}", "read", slots=verb),
        Rule("clause", "eat {object} {time?}", "{time?}吃{object}", "eat", slots=verb),
        Rule("noun", "a {adjective} book", "一本{adjective}书", "book", slots=thing),
        Rule("noun", "a {adjective} cake", "一块{adjective}蛋糕", "cake", slots=thing),
        Rule("adjective", "new", "新", "new"),
        Rule("adjective", "big", "大", "big"),
        Rule("time", "at {hour}", "{hour}点"),
        Rule("hour", "two", "两"),
        Rule("hour", "three", "三", weight=5),
    ]
    return Grammar(rules, allowed)


def test_a_derivation_is_read_in_both_languages():
    draw = random.Random(0).random
    found = {tiny().derive("clause", draw)[:2] for _ in range(500)}
    assert ("read a new book at two", "两点读一本新书") in found
    assert ("eat a big cake ", "吃一块大蛋糕") in found
    held = {tiny().derive("clause", draw).combinations for _ in range(500)}
    assert held == {
        ((verb, "object", noun), (noun, "adjective", adjective))
        for verb in ("read", "eat")
        for noun in ("book", "cake")
        for adjective in ("new", "big")
    }
    assert len(found) == tiny().count("clause") == 2 * 4 * 3


def test_combinations_that_are_not_allowed_are_neither_drawn_nor_counted():
    def allowed(combination):
        return combination not in {("eat", "object", "book"), ("cake", "adjective", "new")}

    draw = random.Random(0).random
    phrases = [tiny(allowed).derive("clause", draw) for _ in range(500)]
    assert all(allowed(c) for phrase in phrases for c in phrase.combinations)
    assert (
        len({phrase.english for phrase in phrases})
        == tiny(allowed).count("clause")
        == (2 + 1 + 1) * 3
    )


def test_a_rule_that_nothing_allowed_completes_is_left_out():
    only_books = tiny(lambda combination: combination[0] != "cake")
    assert only_books.count("noun") == 2
    draw = random.Random(0).random
    assert all("book" in only_books.derive("noun", draw).english for _ in range(50))


def test_an_inverse_relation_names_the_same_combination():
    assert Slot(("gap",), "object-of").combination("book", "read") == ("read", "object", "book")
    assert Slot(("noun",), "object").combination("read", "book") == ("read", "object", "book")
    assert Slot(("noun",), "object").combination("read", "") is None


def test_both_sides_of_a_rule_hold_the_same_slots():
    with pytest.raises(ValueError, match=r"clause.*\{object\}.*same slots"):
        Rule("clause", "read {object}", "读书")


def test_a_symbol_without_rules_is_named():
    with pytest.raises(ValueError, match="'clause'"):
        Grammar([], anything).derive("clause", random.Random(0).random)


# The sample.


@pytest.mark.slow
def test_sentences_are_distinct_and_as_many_as_asked():
    for pairs, count in ((drawn("train"), 30_000), (drawn("test"), 2_000), (drawn("valid"), 2_000)):
        assert len(pairs) == len(set(pairs.source)) == count
    assert len(sample_pairs("test", 0)) == 0


def test_a_larger_sample_begins_with_the_smaller_and_seeds_differ():
    assert sample_pairs("train", 200).source == drawn("train").source[:200]
    assert sample_pairs("train", 200, seed=1).source != drawn("train").source[:200]


def test_the_sample_does_not_depend_on_the_hash_seed():
    program = (
        "from attention.lab.data.sources.grammar import sample_pairs as s\n"
        "import hashlib; print(hashlib.sha256(repr(s('test', 300)).encode()).hexdigest())"
    )
    here = hashlib.sha256(repr(sample_pairs("test", 300)).encode()).hexdigest()
    env = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True)
    assert run.stdout.decode().strip() == here


def test_there_are_more_than_a_million_pairs():
    for split in SPLITS:
        assert count_pairs(split) > 1e9
        draw = random.Random(0).random
        held = [grammar(split).derive("sentence", draw).combinations for _ in range(2_000)]
        assert sum(len(set(c)) == len(c) for c in held) > 0.9 * len(held)


def test_an_english_sentence_has_one_translation():
    few = {"read", "see", "find", "buy", "like", "help", "give", "borrow", "put", "sleep", "go"}
    few |= {"book", "cat", "doctor", "boy", "old", "young", "in the park", "in the library"}
    small = Grammar(rules(), lambda combination: {combination[0], combination[2]} <= few)
    draw = random.Random(0).random
    translation, again = {}, 0
    for _ in range(25_000):
        phrase = small.derive("past", draw)
        english = " ".join(phrase.english.split())
        again += english in translation
        assert translation.setdefault(english, phrase.chinese) == phrase.chinese
    assert again > 100


def test_sampling_takes_few_calls():
    """Counted, not timed: a call takes the same on any machine."""
    grammar("train")
    calls = []
    sys.setprofile(lambda frame, event, argument: event == "call" and calls.append(frame.f_code))
    try:
        sample_pairs("train", 200)
    finally:
        sys.setprofile(None)
    assert 0 < len(calls) / 200 < 150


def test_wrong_arguments_are_explained():
    with pytest.raises(ValueError, match="split is 'dev'.*train, valid, test"):
        sample_pairs("dev", 1)
    with pytest.raises(ValueError, match="split is 'dev'.*train, valid, test"):
        count_pairs("dev")
    with pytest.raises(ValueError, match="count is -1"):
        sample_pairs("train", -1)
    with pytest.raises(ValueError, match="count is 1000000000"):
        sample_pairs("train", 10**9)


# The splits.


def test_splits_share_no_sentence():
    train, valid, test = (
        set(drawn("train").source),
        set(drawn("valid").source),
        set(drawn("test").source),
    )
    assert not train & valid
    assert not train & test
    assert not valid & test
    assert not set(drawn("train").target) & set(drawn("test").target)


@pytest.mark.parametrize("split", SPLITS)
def test_a_sentence_holds_combinations_of_training_and_its_split_only(split):
    draw = random.Random(1).random
    for _ in range(3_000):
        phrase = grammar(split).derive("sentence", draw)
        assert set(map(split_of, phrase.combinations)) <= {"train", split}


def test_each_test_sentence_holds_a_kept_combination():
    draw, kept = random.Random("test 0").random, set()
    while len(kept) < 500:
        phrase = grammar("test").derive("sentence", draw)
        if "test" in map(split_of, phrase.combinations):
            kept.add(phrase.chinese)
    assert set(drawn("test").target[:400]) <= kept


def test_kept_pairs_of_words_stand_together_in_the_test_text_only():
    """Read the text itself: an adjective before its noun, a verb before its object."""
    adjectives = "|".join(a["plain"] for a in ADJECTIVES)
    determiners = r"(?:(?:the|an?|this|that|these|those|my|two|three|four|many|some) )+"
    by_form = {form: n["one"] for n in NOUNS for form in (n["one"], n["many"])}
    noun = "|".join(by_form)
    described = re.compile(rf"\b({adjectives}) ({noun})\b")
    forms = {form: v["base"] for v in VERBS for form in (v["s"], v["base"], v["past"], v["ing"])}
    done = re.compile(rf"\b({'|'.join(forms)}) {determiners}(?:(?:{adjectives}) )?({noun})\b")

    def kept(sentences, split):
        text = "\n".join(sentences)
        found = {(by_form[n], "adjective", a) for a, n in described.findall(text)}
        found |= {(forms[v], "object", by_form[n]) for v, n in done.findall(text)}
        return {combination for combination in found if split_of(combination) == split}

    assert not kept(drawn("train").source, "test")
    assert not kept(drawn("train").source, "valid")
    assert not kept(drawn("valid").source, "test")
    assert len(kept(drawn("test").source, "test")) > 40
    assert len(kept(drawn("train").source, "train")) > 400


def test_every_test_word_occurs_in_training():
    seen = {word for sentence in drawn("train").source for word in words(sentence)}
    assert {
        word
        for sentence in drawn("test").source + drawn("valid").source
        for word in words(sentence)
    } <= seen
    assert set("".join(drawn("test").target + drawn("valid").target)) <= set(
        "".join(drawn("train").target)
    )
    assert 400 < len(seen) < 1_000


# The languages.


def test_english_is_written_as_usual():
    for sentence in drawn("train").source + drawn("test").source:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9,.' -]*[a-z0-9][.?]", sentence), sentence
        assert not re.search(r"  | [.,?]", sentence), sentence
        assert 4 <= len(sentence.split()) <= 25, sentence
        for article, following in pairwise(sentence.lower().split()):
            if article in ("a", "an"):
                vowel = following == "honest" or (following[0] in "aeiou" and following != "useful")
                assert article == ("an" if vowel else "a"), sentence


def test_english_verbs_agree():
    text = "\n".join(drawn("train").source)
    one = "|".join(n["one"] for n in NOUNS)
    many = "|".join(n["many"] for n in NOUNS)
    start_one, start_many = rf"^(The|This|An?) ({one})", rf"^(The|These|\w+ \w+) ({many})"
    assert len(re.findall(rf"{start_one} (is|was|has|likes|wants)\b", text, re.M)) > 50
    assert len(re.findall(rf"{start_many} (are|were|have|like|want)\b", text, re.M)) > 50
    assert not re.search(rf"{start_one} (are|were|have|like|want|say|cost)\b", text, re.M)
    assert not re.search(rf"{start_many} (is|was|has|likes|wants|says|costs)\b", text, re.M)
    assert not re.search(rf"\b(two|three|four|these|those|many) ({one})\b", text)


def test_chinese_is_written_as_usual():
    for sentence in drawn("train").target + drawn("test").target:
        assert re.fullmatch(r"[\u4e00-\u9fff〇，]+[。？]", sentence), sentence
    for english, chinese in zip(drawn("train").source, drawn("train").target, strict=True):
        assert english.endswith("?") == chinese.endswith("？")


def test_nouns_take_their_measure_words():
    measures = "".join({n["measure"] for n in NOUNS})
    nouns = "|".join(sorted((n["zh"] for n in NOUNS), key=len, reverse=True))
    text = "\n".join(drawn("train").target)
    counted = re.findall(rf"[一两三四五六七八九十这那哪]([{measures}])({nouns})", text)
    assert set(counted) == {(n["measure"], n["zh"]) for n in NOUNS}
    by_hand = (
        "本书 份报纸 封信 只猫 匹马 头牛 张桌子 把椅子 件衬衫 条裙子 辆汽车 台电脑 位老师 个男孩"
    )
    assert set(by_hand.split()) <= {m + n for m, n in counted}
    assert not re.search(rf"(?<![一三四五六七八九十期])二[{measures}]", text)


def test_numbers_are_read_in_chinese():
    draw = random.Random(0).random
    for symbol in ("low price", "high price"):
        for _ in range(2_000):
            english, chinese, *_ = grammar("train").derive(symbol, draw)
            assert chinese == numeral(int(english.replace(",", ""))), english
    found = {grammar("train").derive("year", draw)[:2] for _ in range(2_000)}
    assert ("in 1987", "一九八七年") in found
    assert ("in 2006", "二〇〇六年") in found


def numeral(number):
    """A whole number below 100,000 in Chinese, digit by digit."""
    digits, names = "零一二三四五六七八九", ["", "十", "百", "千", "万"]
    text = ""
    for place in range(4, -1, -1):
        digit = number // 10**place % 10
        if digit:
            two = digit == 2 and place >= 2
            text += ("两" if two else digits[digit]) + names[place]
        elif text and not text.endswith("零"):
            text += "零"
    return text.rstrip("零")


MOVES = [
    # English, Chinese: time and place go before the verb, a clause before its noun, ...
    (r"^The .* did not .* in the \w+ yesterday\.$", r"昨天没有在.+[里上].+。$"),
    (r" (is|are) \w+ing .* in the garden\.$", r"正在花园里.+。$"),
    (r"^There (is|are) .* on the table\.$", r"^桌子上有.+。$"),
    (r" was \w+ by .* last Monday\.$", r"上个星期一被.+了。$"),
    (r"^Did .* last Friday\?$", r"上个星期五.*了.+吗？$"),
    (r"^When did ", r"是什么时候.+的？$"),
    (r" (has|have) already ", r"已经.+过.+了。$"),
    (r" than that one\.$", r"^这.+比那."),
    (r" is not as \w+ as ", r"没有.+。$"),
    (r" that \w+ (bought|read|found) .* (is|are) very ", r"(买|读|找到)的那.+非常.+。$"),
    (r" for [\d,]+ yuan\.$", r"花.+元买了.+。$"),
    (r" gave .* to (Mr\.|Mrs\.|Miss) \w+\.$", r"把.+送给了.(先生|太太|小姐)。$"),
    (r" borrowed .* from ", r"从.+那里借了.+。$"),
    (r" went to .* by bus ", r"坐公共汽车去了.+。$"),
    (r" talked with .* for \w+ hours", r"和.+聊了.+个小时。$"),
    (r" because it was raining\.$", r"^因为下雨，所以.+。$"),
    (r" before .* went home\.$", r"回家以前，.+。$"),
    (r" if it snows tomorrow\.$", r"^如果明天下雪，.+就会.+。$"),
    (r"^Please do not ", r"^请不要.+。$"),
]


@pytest.mark.parametrize(("english", "chinese"), MOVES)
def test_phrases_move(english, chinese):
    pairs = zip(drawn("train").source, drawn("train").target, strict=True)
    found = [(e, c) for e, c in pairs if re.search(english, e)]
    assert len(found) >= 3
    for e, c in found:
        assert re.search(chinese, c), (e, c)

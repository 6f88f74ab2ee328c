"""The text of a flag as the value of a key."""

import pytest

from attention.lab.config.flags import parse
from attention.lab.config.key import Key, check_value
from attention.lab.config.schema import SCHEMA

NUMBER, COUNT, SWITCH = Key(0.5, "a rate"), Key(3, "a count"), Key(True, "a switch")
TEXT, UNSET = Key("a", "a word"), Key(None, "a directory", kind=str)
SIZES, ANY = Key((1, 2), "sizes"), Key(None, "anything", kind=object)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        (COUNT, "1000", 1000),
        (COUNT, "1_000", 1000),
        (COUNT, "1e3", 1000),
        (COUNT, "-2", -2),
        (COUNT, "123456789012345678901", 123456789012345678901),
        (NUMBER, "1e-3", 1e-3),
        (NUMBER, "2", 2.0),
        (SWITCH, "true", True),
        (SWITCH, "False", False),
        (SWITCH, "1", True),
        (SWITCH, "no", False),
        (TEXT, "none", "none"),
        (TEXT, "", ""),
        (TEXT, "a=b,c", "a=b,c"),
        (UNSET, "None", None),
        (UNSET, "none", None),
        (UNSET, "nonesuch", "nonesuch"),
        (SIZES, "3,4", (3, 4)),
        (SIZES, "(3, 4)", (3, 4)),
        (SIZES, "[3]", (3,)),
        (SIZES, "zh,en", ("zh", "en")),
        (SIZES, "0.5,true,x", (0.5, "true", "x")),
        (SIZES, "()", ()),
        (SIZES, "", ()),
        (ANY, "none", None),
        (ANY, "3", 3),
        (ANY, "0.5", 0.5),
        (ANY, "True", True),
        (ANY, "word", "word"),
        (ANY, "[1]", "[1]"),
    ],
)
def test_what_a_text_means(key, text, value):
    found = parse("some.key", key, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        (COUNT, "1.5", "a whole number"),
        (COUNT, "none", "a whole number"),
        (COUNT, "inf", "a whole number"),
        (COUNT, "1e999", "a whole number"),
        (COUNT, "", "a whole number"),
        (NUMBER, "half", "a number"),
        (NUMBER, "None", "a number"),
        (SWITCH, "maybe", "true or false"),
        (SWITCH, "none", "true or false"),
    ],
)
def test_what_means_nothing_is_told(key, text, wanted):
    with pytest.raises(ValueError, match=rf"^--config.some.key={text}: use {wanted} \(a "):
        parse("some.key", key, text)


@pytest.mark.parametrize("name", SCHEMA)
def test_every_default_reads_as_itself(name):
    key = SCHEMA[name]
    assert parse(name, key, str(key.default)) == key.default


def test_a_tuple_may_be_a_list_as_in_json():
    check_value("some.key", SIZES, [1, 2])
    check_value("some.key", SIZES, (1, 2))
    with pytest.raises(
        TypeError, match="some.key: 3 cannot be used; use values with commas between"
    ):
        check_value("some.key", SIZES, 3)

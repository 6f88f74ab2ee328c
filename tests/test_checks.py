"""What keys of a config demand of one another."""

import pytest

from attention import checks, schema


def config(**changes):
    plain = schema.defaults()
    for name, value in changes.items():
        section, _, leaf = name.partition("__")
        plain[section][leaf] = value
    return plain


def test_the_defaults_pass():
    checks.check(schema.defaults())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model__kv_heads": 3}, "model.kv_heads is 3, which does not divide model.heads 4"),
        ({"model__heads": 3}, "model.heads is 3, which does not divide model.size 128; choose"),
        ({"model__size": 9, "model__heads": 3}, "model.size is 9; sinusoidal positions need an"),
        (
            {"model__size": 12, "model__positions": "rotary"},
            "model.heads is 4, which leaves 3 features of model.size 12 to each; rotary",
        ),
        ({"train__warmup": 1000}, "train.warmup is 1000; it needs to be below train.steps, 1000"),
        (
            {"train__warmup": 0, "train__schedule": "inverse_sqrt"},
            "train.warmup is 0; inverse_sqrt needs at least 1",
        ),
        ({"train__dtype": "float16"}, "train.dtype is float16, which needs loss scaling"),
        (
            {"data__kind": "text", "data__target_lang": "de"},
            "data.dir is not set; say --config.data.dir=DIR",
        ),
        ({"data__dir": "x"}, "data.dir is 'x', but data.kind is grammar, which reads no files"),
        ({"data__target_lang": "en"}, "data.source_lang and target_lang are both 'en'"),
        ({"data__target_lang": "de"}, "data.source_lang and target_lang are 'en' and 'de'; the"),
        ({"decode__beam": 1001}, "decode.beam is 1001; it needs to be from 1 to the vocabulary's"),
        ({"decode__valid_beam": 1001}, "decode.valid_beam is 1001; it needs to be from 1 to"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(changes, text):
    with pytest.raises(ValueError) as error:
        checks.check(config(**changes))
    assert str(error.value).startswith(f"config.{text}")
    assert "\n" not in str(error.value)


def test_fewer_heads_of_keys_than_of_queries_that_are_the_keys():
    gat = {"model__encoder": {"name": "graph"}, "model__kv_heads": 2}
    with pytest.raises(NotImplementedError) as error:
        checks.check(config(**gat))
    assert str(error.value) == (
        "config.model.kv_heads is 2, and the keys of model.encoder, graph, are its queries, "
        "4 heads; choose 0"
    )
    checks.check(config(**gat | {"model__kv_heads": 4}))
    checks.check(config(**gat | {"model__encoder": {"name": "graph", "score": "dot"}}))


@pytest.mark.parametrize(
    "changes",
    [
        {"model__size": 9, "model__heads": 3, "model__positions": "learned"},
        {"train__warmup": 0},
        {"train__warmup": 5_000, "train__schedule": "constant"},
        {"data__kind": "text", "data__dir": "somewhere", "data__target_lang": "de"},
        {"decode__beam": 1000},
    ],
)
def test_what_is_right_passes(changes):
    checks.check(config(**changes))

"""The table of config keys: defaults, types, ranges, and words for what is wrong."""

import pytest

from attention.lab.config import schema
from attention.lab.config.key import wanted

NUMBERS = [name for name, key in schema.SCHEMA.items() if key.type in (int, float)]


def changed(name, value):
    config = schema.defaults()
    section, _, leaf = name.rpartition(".")
    (config[section] if section else config)[leaf] = value
    return config


def test_the_defaults_pass_and_are_every_key():
    config = schema.defaults()
    schema.check(config)
    names = {name for name, _ in schema.flatten(config) if not schema.is_attention(name)}
    assert names == schema.SCHEMA.keys()
    assert [config["model"][place] for place in schema.SLOTS] == [{"name": "softmax"}] * 3


def test_every_key_has_one_line_of_help():
    for name, key in schema.SCHEMA.items():
        assert key.help, name
        assert "\n" not in wanted(key)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_range_and_refuses_what_is_no_number(name):
    assert schema.SCHEMA[name].low is not None
    for value in (float("nan"), float("inf"), -1e9, "1", True, [1]):
        with pytest.raises(
            (ValueError, TypeError), match=f"^config.{name}: .* cannot be used; use a "
        ):
            schema.check(changed(name, value))
    with pytest.raises(ValueError, match=f"config.{name}: missing"):
        schema.check(changed(name, {}))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("model.layers", 0, "0 cannot be used; use a whole number of at least 1 (layers of"),
        ("model.layers", 2.0, "2.0 cannot be used; use a whole number"),
        ("model.layers", None, "None cannot be used; use a whole number"),
        ("model.dropout", 1.0, "1.0 cannot be used; use a number in [0, 1) (on embeddings"),
        ("model.dropout", "a", "'a' cannot be used; use a number in [0, 1)"),
        ("model.tied", 1, "1 cannot be used; use true or false"),
        ("data.source_lang", 3, "3 cannot be used; use text"),
        ("noise.rate", 1.01, "1.01 cannot be used; use a number in [0, 1]"),
        (
            "model.norm",
            "layr",
            "'layr' cannot be used; use one of layer, rms, batch (normalisation); did you",
        ),
    ],
)
def test_what_is_wrong_is_told(name, value, text):
    with pytest.raises((ValueError, TypeError)) as error:
        schema.check(changed(name, value))
    assert str(error.value).startswith(f"config.{name}: {text}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("model.dropout", 0), ("noise.rate", 1.0), ("noise.k", None), ("noise.k", 5), ("seed", 0)],
)
def test_what_is_right_passes(name, value):
    schema.check(changed(name, value))


def test_unknown_keys_name_the_nearest():
    with pytest.raises(ValueError, match=r"model.sizes: unknown key; did you mean model.size\?$"):
        schema.check(changed("model.sizes", 3))
    with pytest.raises(ValueError, match="config.zebra: unknown key$"):
        schema.check(changed("zebra", 3))


def test_completed_fills_in_what_is_younger():
    old = schema.defaults()
    del old["mesh"], old["model"]["remat"], old["model"]["cross"]
    old["model"]["size"] = 7
    full = schema.completed(old)
    schema.check(full)
    assert full["model"]["size"] == 7
    assert full["model"]["cross"] == {"name": "softmax"}
    assert "mesh" not in old
    with pytest.raises(ValueError, match="config.model: unknown key"):
        schema.check(schema.completed({"model": 3}))


def test_only_these_may_change_when_a_run_goes_on():
    free = {name for name in schema.SCHEMA if schema.may_change(name)}
    decode = {name for name in schema.SCHEMA if name.startswith("decode.")}
    every = {f"train.{name}_every" for name in ("eval", "checkpoint", "log")}
    assert free == {"train.steps", "train.watchdog_seconds"} | every | decode
    assert not schema.may_change("model.encoder.name")


def test_completed_gives_todays_names():
    old = {"model": {"encoder": {"name": "lstm", "both_ways": False}, "wiring": "same"}}
    model = schema.completed(old)["model"]
    assert model["encoder"] == {"name": "lstm", "bidirectional": False}
    assert model["encoder_memory"] == "same"
    old = {"model": {"cross": {"name": "tempered", "dropout_rate": 0.1}}}
    assert schema.completed(old)["model"]["cross"]["name"] == "learned_temperature"


def test_an_old_name_is_understood_with_a_warning():
    with pytest.warns(UserWarning, match="tempered is now learned_temperature"):
        assert schema.current_attention("tempered") == "learned_temperature"
    with pytest.warns(UserWarning, match=r"config\.model\.encoder\.both_ways is now .*bidirectio"):
        assert schema.current_name("model.encoder.both_ways") == "model.encoder.bidirectional"

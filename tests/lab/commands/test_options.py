"""The table of all keys."""

import pytest

from attention.lab.commands import options, resolve
from attention.lab.config import schema
from attention.lab.config.key import allowed


def test_every_key_has_a_line_with_its_value_and_its_range():
    config = resolve.resolve("experiments/text.py", ["--config.seed=7", "--config.data.dir=x"])
    lines = options.table(config).splitlines()
    names = [line.partition("=")[0].removeprefix("--config.") for line in lines]
    assert names == [name for name, _ in schema.flatten(config)]
    by_name = dict(zip(names, lines, strict=True))
    assert by_name["seed"].startswith("--config.seed=7 ")
    assert by_name["data.dir"].startswith("--config.data.dir=x ")
    assert by_name["noise.k"].startswith("--config.noise.k=none ")
    assert by_name["model.tied"].startswith("--config.model.tied=true ")
    for name, key in schema.SCHEMA.items():
        assert by_name[name].endswith(f"  {key.help} ({allowed(key)})")
    assert "(one of softmax" in by_name["model.cross.name"]
    assert by_name["model.cross.dropout_rate"].endswith("(a number in [0, 1))")


def test_every_line_is_a_flag_that_says_the_same_again():
    config = resolve.resolve("experiments/quickstart.py", [])
    flags = [line.split("  ")[0].rstrip() for line in options.table(config).splitlines()]
    assert resolve.resolve("experiments/base.py", flags) == config


@pytest.mark.filterwarnings("ignore:tempered is now")
def test_an_attention_by_an_old_name_is_the_same_config():
    new = resolve.resolve("experiments/text.py:encoder=learned_temperature", [])
    assert resolve.resolve("experiments/text.py:encoder=tempered", []) == new
    flag = "--config.model.encoder.name=tempered"
    assert resolve.resolve("experiments/text.py", [flag]) == new


def test_naming_another_attention_brings_its_parameters():
    flags = ["--config.model.encoder.left=7", "--config.model.encoder.name=local"]
    config = resolve.resolve("experiments/text.py", flags)
    named = resolve.resolve("experiments/text.py:encoder=local", flags[:1])
    assert config == named
    assert config["model"]["encoder"]["left"] == 7
    assert config["model"]["encoder"]["dropout_rate"] == 0.1  # as the experiment has it
    assert config["model"]["decoder"]["name"] == "softmax"

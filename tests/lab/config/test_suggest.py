"""Every key misspelt by one edit is told with the key that was meant."""

import functools
import string

import pytest

from attention.lab.commands import resolve
from attention.lab.config import schema
from attention.lab.config.suggest import one_edit, suggest
from experiments import base

LETTERS = string.ascii_lowercase + "_."
KEYS = [name for name, _ in schema.flatten(schema.defaults())]


def edits(word):
    """All that one letter left out, put in or exchanged, or two neighbours swapped, lead to."""
    halves = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    yield from (a + b[1:] for a, b in halves if b)
    yield from (a + b[1] + b[0] + b[2:] for a, b in halves if b[1:])
    yield from (a + letter + b[1:] for a, b in halves if b for letter in LETTERS)
    yield from (a + letter + b for a, b in halves for letter in LETTERS)


@functools.cache
def near(word):
    return frozenset(edits(word))


def suggested(text):
    return text.rpartition("did you mean ")[2].rstrip("?").split(" or ")


@pytest.mark.slow
@pytest.mark.parametrize("name", KEYS)
def test_every_key_misspelt_by_one_edit_is_suggested(name):
    known = set(KEYS)
    for wrong in {*edits(name)} - known:
        others = suggested(suggest(wrong, KEYS))
        assert name in others, wrong
        assert all(wrong in near(other) for other in others)


@pytest.mark.parametrize("name", KEYS)
def test_in_a_flag_and_in_get_config_alike(name, tmp_path):
    section, _, leaf = name.rpartition(".")
    wrong = f"{name[:-1]}{'x' if name[-1] != 'x' else 'y'}"
    if name.endswith(".name"):
        wrong = f"{name}s"
    with pytest.raises(ValueError) as told:
        resolve.resolve("experiments/base.py", [f"--config.{wrong}=1"])
    assert name in suggested(str(told.value))
    assert str(told.value).startswith(f"--config.{wrong}=1: the config has no {wrong}; ")
    if schema.is_attention(name):
        return  # tests/lab/build/test_values.py: the variant's own parameters
    config = base.get_config()
    owner = config[section] if section else config
    owner[wrong.rpartition(".")[2]] = owner[leaf]
    with pytest.raises(ValueError, match=f"config.{wrong}: unknown key; did you mean") as told:
        schema.check(config.to_dict())
    assert name in suggested(str(told.value))
    if section:
        with pytest.raises(ValueError, match=f"config.{wrong}: unknown key; did you") as told:
            base.get_config(**{section: {wrong.rpartition(".")[2]: 1}})
        assert name in suggested(str(told.value))


def test_one_edit_is_one():
    for word in ("", "a", "ab", "aba", "steps"):
        close = {*edits(word)} - {word}
        assert all(one_edit(word, other) and one_edit(other, word) for other in close)
        far = {*(again for other in close for again in edits(other))} - close - {word}
        assert far
        assert not any(one_edit(word, other) for other in far)
        assert not one_edit(word, word)


def test_what_is_like_nothing_gets_no_suggestion():
    assert suggest("qqqq", KEYS) == ""

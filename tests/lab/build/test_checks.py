"""What keys of a config demand of one another."""

import pytest

from attention.lab.build import attentions, checks
from attention.lab.config import schema


def config(**changes):
    plain = schema.defaults()
    for name, value in changes.items():
        section, _, leaf = name.partition("__")
        plain[section][leaf] = value
    return plain


def test_the_defaults_pass():
    checks.check(schema.defaults())


@pytest.mark.parametrize("name", ["location", "monotonic", "additive", "linear"])
def test_an_attention_of_the_cross_place_alone_is_asked_as_one(name):
    checks.check(config(model__cross={"name": name}))
    if name in ("location", "monotonic"):
        with pytest.raises(NotImplementedError, match="config.model.encoder is .*, which cannot"):
            checks.check(config(model__encoder={"name": name}))


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
        (
            {"model__encoder": {"name": "global"}, "model__external_tokens": 2},
            "model.external_tokens is 2, and model.encoder.first 1: only the first 1 tokens are",
        ),
        (
            {"model__encoder": {"name": "local"}, "model__external_tokens": 2},
            "model.external_tokens is 2, and model.encoder is local, in which no token is global",
        ),
        (
            {"model__encoder": {"name": "bigbird", "block": 2}, "model__external_tokens": 3},
            "model.external_tokens is 3, and model.encoder.block 2: only the first 2 tokens are",
        ),
        (
            {"model__encoder": {"name": "per_head", "left": (1, 2)}},
            "model.encoder: PerHead has masks for 2 heads, and attention has 4; give it one mask",
        ),
        (
            {"model__decoder": {"name": "strided", "split": True}, "model__heads": 1},
            "model.decoder: Strided(split=True): needs two heads or more, got 1; use split=False",
        ),
        (
            {"model__encoder": {"name": "bigbird", "length": 100}, "data__max_length": 120},
            "model.encoder: BigBird(length=100): sequences have 120 tokens; give length=120 or",
        ),
        (
            {"model__encoder": {"name": "global", "positions": (128,)}},
            "model.encoder: Global: position 128 lies beyond the 128 queries; name positions below",
        ),
        ({"model__norm": "batch"}, "model.norm is batch, which cannot stand in a causal decoder"),
        (
            {"model__encoder_memory": "mixture", "model__levels": 5},
            "model.levels is 5; an encoder of 3 layers has 4 states to mix, its embeddings with",
        ),
        (
            {"model__levels": 2},
            "model.levels is 2, and model.encoder_memory last, which mixes none; choose",
        ),
        (
            {"noise__kind": "scheduled", "noise__mix": "top_k", "noise__top_k": 1001},
            "noise.top_k is 1001; the vocabulary has 1000 tokens, choose at most as many",
        ),
        ({"task__canvas": 9}, "task.canvas is 9, and task.kind left_to_right, which needs none"),
        (
            {"task__kind": "mask_predict", "task__canvas": 9},
            "task.canvas is 9, and data.max_length 128: targets of so many tokens would not fit",
        ),
        (
            {"task__kind": "mask_predict", "task__canvas": 130, "model__positions": "learned"},
            "task.canvas is 130, and there are learned positions for data.max_length, 128, tokens",
        ),
        (
            {"task__kind": "mask_predict", "noise__kind": "scheduled"},
            "noise is of decoders that read what comes before, and task.kind is mask_predict",
        ),
        (
            {"task__kind": "mask_predict", "risk__candidates": 4},
            "risk.candidates is 4, and task.kind mask_predict, which draws none; choose",
        ),
        (
            {"task__kind": "mask_predict", "model__copy": True},
            "model.copy is true, and task.kind mask_predict, whose tokens are told all at once",
        ),
        (
            {"risk__cross_entropy": 0.5},
            "risk.cross_entropy is 0.5, and risk.candidates 0, so that there is no risk to mix it",
        ),
        (
            {"risk__candidates": 1, "risk__gold": False},
            "risk.candidates is 1, and risk.gold false: one candidate alone has no gradient",
        ),
        (
            {"risk__candidates": 4, "noise__token_rate": 0.1},
            "noise.kind is none and noise.token_rate 0.1, which concern cross-entropy, and risk.cr",
        ),
        (
            {"risk__candidates": 4, "risk__alpha": 0.0},
            "risk.alpha is 0, which weighs all candidates alike, so that there is no gradient",
        ),
        (
            {"risk__candidates": 4, "risk__cross_entropy": 1.0},
            "risk.cross_entropy is 1, which leaves the candidates no weight; choose less",
        ),
        (
            {"train__init_from": "there", "data__vocabulary": "file"},
            "data.vocabulary is 'file', and the vocabulary is that of train.init_from, there",
        ),
        (
            {"model__encoder_norm": "batch", "model__encoder_memory": "same"},
            "model.encoder_norm is batch, and model.encoder_memory same: the last norm would have",
        ),
        (
            {"task__kind": "mask_predict", "model__decoder": {"name": "gru", "both_ways": False}},
            "model.decoder.both_ways is False, with which gru sees no later token, and task.kind",
        ),
        (
            {"task__kind": "mask_predict", "model__decoder": {"name": "location"}},
            "model.decoder is location, which cannot attend within one sequence; choose softmax",
        ),
        (
            {"task__kind": "mask_predict", "model__decoder": {"name": "local", "left": -1}},
            "model.decoder: Window(left=-1): needs a whole number, 0 or more",
        ),
        ({"risk__alpha": -1.0}, "risk.alpha is -1.0; it needs a number of at least 0"),
        (
            {"risk__temperature": 0.0},
            "risk.temperature is 0.0; it needs a number of at least",
        ),
        ({"decode__beam": 1001}, "decode.beam is 1001; it needs to be from 1 to the vocabulary's"),
        ({"decode__valid_beam": 1001}, "decode.valid_beam is 1001; it needs to be from 1 to"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(changes, text):
    with pytest.raises((ValueError, NotImplementedError)) as error:
        checks.check(config(**changes))
    assert str(error.value).startswith(f"config.{text}")
    assert "\n" not in str(error.value)


def test_fewer_heads_of_keys_than_of_queries_that_are_the_keys():
    gat = {"model__encoder": {"name": "graph"}, "model__kv_heads": 2}
    with pytest.raises(NotImplementedError) as error:
        checks.check(config(**gat))
    assert str(error.value) == (
        "config.model.kv_heads is 2, and model.encoder, graph, has no keys of their own for its "
        "4 heads; choose 0"
    )
    with pytest.raises(NotImplementedError, match="encoder, fnet, has no keys of their own"):
        checks.check(config(**gat | {"model__encoder": {"name": "fnet"}}))
    checks.check(config(**gat | {"model__kv_heads": 4}))
    checks.check(config(**gat | {"model__encoder": {"name": "graph", "score": "dot"}}))


@pytest.mark.parametrize(
    "changes",
    [
        {"model__size": 9, "model__heads": 3, "model__positions": "learned"},
        {"train__warmup": 0},
        {
            "model__encoder": {"name": "local"},
            "model__encoder_memory": "mixture",
            "model__levels": 3,
        },
        {
            "model__encoder_norm": "batch",
            "model__encoder_memory": "same",
            "model__norm_place": "post",
        },
        {"task__kind": "mask_predict", "model__decoder": {"name": "gru"}},
        {"risk__candidates": 1},
        {"risk__candidates": 2, "risk__gold": False},
        {"risk__candidates": 2, "risk__cross_entropy": 0.5, "noise__kind": "scheduled"},
        {"model__encoder": {"name": "bigbird", "length": 130}, "model__external_tokens": 2},
        {"model__encoder": {"name": "longformer", "first": 2}, "model__external_tokens": 2},
        {"train__warmup": 5_000, "train__schedule": "constant"},
        {"data__kind": "text", "data__dir": "somewhere", "data__target_lang": "de"},
        {"decode__beam": 1000},
    ],
)
def test_what_is_right_passes(changes):
    checks.check(config(**changes))


@pytest.mark.parametrize(
    ("place", "name", "text"),
    [
        ("decoder", "bigbird", "config.model.decoder is bigbird, which cannot be causal; choose"),
        ("decoder", "longformer", "choose softmax; without global tokens, first=0, it is causal"),
        ("cross", "local", "config.model.cross is local, which cannot attend across two sequences"),
    ],
)
def test_an_attention_in_a_place_where_it_cannot_be(place, name, text):
    with pytest.raises(NotImplementedError) as error:
        checks.check(config(**{f"model__{place}": {"name": name}}))
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"model__encoder": {"name": "fnet"}, "model__positions": "rotary"},
            ".positions is rotary, which turns queries and keys, and model.encoder is fnet, which "
            "does not work by them alone; choose sinusoidal",
        ),
        (
            {"model__encoder": {"name": "linformer", "length": 64, "rank": 8}},
            ".encoder: Linformer(length=64): got 128 keys; set length=128 or more",
        ),
    ],
)
def test_what_an_attention_cannot_do_is_told_before_a_run(changes, text):
    with pytest.raises((ValueError, NotImplementedError)) as error:
        checks.check(config(**changes))
    assert str(error.value) == f"config.model{text}"


def sees_all(name):
    attention = attentions.attend({"name": name}, attentions.usual_place(name))
    return attention.capabilities.attends_globally == "all"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*filter(sees_all, attentions.ATTENTIONS)])
def test_external_tokens_are_seen_where_all_see_all(name):
    encoder = attentions.attention_defaults(name, "encoder")
    checks.check(config(model__encoder=encoder, model__external_tokens=2))


def test_a_remedy_is_of_what_was_asked():
    for spec, remedy in (
        ({"name": "lstm"}, "choose softmax"),
        ({"name": "rfa", "gated": True}, "choose softmax; with gated=False it attends across"),
    ):
        with pytest.raises(NotImplementedError, match=f"{remedy}.{{0,10}}") as error:
            checks.check(config(model__cross=spec))
        assert "causal" not in str(error.value)

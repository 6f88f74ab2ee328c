"""From config to values: the three attentions, the model, noise, schedules and search."""

import dataclasses
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import variants
from attention.lab import build
from attention.lab.build import attentions, training
from attention.lab.build.model import transformer
from attention.lab.config import schema
from attention.lab.tasks.translation import Search
from attention.lab.training import noise
from attention.modules.embeddings import LearnedPositions


def config(**changes):
    plain = schema.defaults()
    for name, value in changes.items():
        section, _, leaf = name.partition("__")
        plain[section][leaf] = value
    return plain


SMALL = {"model__size": 8, "model__heads": 2, "model__ff_size": 16, "model__layers": 1}


def logits(plain, length=5):
    model = transformer(plain).clone(vocab_size=11)
    source_BS = jnp.array([[4, 5, 6, 1, 0]])
    target_BT = jnp.full((1, length), 4).at[0, 0].set(3)
    variables = model.init(jax.random.key(0), source_BS, target_BT)
    return model.apply(variables, source_BS, target_BT)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model__norm": "rms", "model__norm_place": "post"},
        {"model__encoder": {"name": "graph"}},
        {"model__activation": "swiglu", "model__positions": "rotary"},
        {"model__activation": "gelu", "model__positions": "learned", "model__tied": False},
        {"model__positions": "none", "model__remat": True},
    ],
)
def test_every_choice_makes_a_model(changes):
    plain = config(**SMALL, **changes)
    build.experiment(plain)
    out_BTV = logits(plain)
    assert out_BTV.shape == (1, 5, 11)
    assert np.isfinite(out_BTV).all()


def test_bfloat16_computes_in_bfloat16():
    exact, rough = (logits(config(**SMALL, train__dtype=d)) for d in ("float32", "bfloat16"))
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(exact, rough, atol=0.1)
    assert not np.array_equal(exact, rough)


def test_learned_positions_do_not_hang_on_what_may_change():
    plain = config(**SMALL, model__positions="learned", data__max_length=9, decode__max_length=50)
    made = transformer(plain).positions()
    assert isinstance(made, LearnedPositions)
    assert made.length == 9
    assert build.experiment(plain).search.max_length == 9
    assert build.experiment(config(decode__max_length=50)).search.max_length == 50


def test_attend_takes_its_parameters():
    assert attentions.attention_of("cross", {"name": "softmax"}) == variants.Softmax()
    value = attentions.attention_of("encoder", {"name": "softmax", "dropout_rate": 0.1})
    assert value == variants.Softmax(dropout_rate=0.1)
    defaults = attentions.attention_defaults("softmax", "encoder")
    assert defaults["name"] == "softmax"
    assert attentions.attention_of("decoder", defaults) == variants.Softmax()


def test_in_a_decoder_longformer_begins_without_global_tokens():
    assert attentions.attention_defaults("longformer", "encoder")["first"] == 1
    decoder = attentions.attention_of(
        "decoder", attentions.attention_defaults("longformer", "decoder")
    )
    assert decoder == variants.Longformer(first=0)


def test_a_graph_stands_in_an_encoder():
    value = attentions.attention_of(
        "encoder", {"name": "graph", "score": "dot", "self_loops": False}
    )
    assert value == variants.Graph("dot", self_loops=False)
    with pytest.raises(ValueError, match=r"config.model.encoder: Graph\(score='add'\): needs one"):
        attentions.attention_of("encoder", {"name": "graph", "score": "add"})
    for slot in ("decoder", "cross"):
        with pytest.raises(NotImplementedError, match=f"config.model.{slot}: Graph cannot"):
            attentions.attention_of(slot, {"name": "graph"})


@pytest.mark.parametrize(
    ("spec", "error", "text"),
    [
        ("softmax", ValueError, "config.model.cross: 'softmax' has no name; use one of"),
        ({}, ValueError, "{} has no name; use one of"),
        ({"name": "sofmax"}, ValueError, "config.model.cross.name: 'sofmax' is no attention"),
        ({"name": 3}, ValueError, "config.model.cross.name: 3 is no attention"),
        ({"name": "softmax", "drop": 1}, ValueError, "config.model.cross.drop: unknown to softmax"),
        ({"name": "softmax", "dropout_rate": "x"}, TypeError, "cross.dropout_rate: 'x' cannot"),
        ({"name": "softmax", "dropout_rate": -0.1}, ValueError, "cross.dropout_rate: -0.1"),
        ({"name": "softmax", "kernel": 3}, TypeError, "config.model.cross.kernel: 3"),
    ],
)
def test_a_wrong_attention(spec, error, text):
    with pytest.raises(error) as raised:
        attentions.attention_of("cross", spec)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, noise.TeacherForcing()),
        ({"noise__token_rate": 0.1}, noise.TokenNoise(0.1, 50)),
        (
            {"noise__kind": "scheduled", "noise__schedule": "linear", "noise__rate": 0.4},
            noise.ScheduledSampling(noise.Linear(1.0, 1e-4, floor=0.6)),
        ),
        (
            {"noise__kind": "scheduled", "noise__schedule": "exponential", "noise__k": 0.5},
            noise.ScheduledSampling(noise.Exponential(0.5)),
        ),
        (
            {"noise__kind": "scheduled", "noise__mix": "sample", "noise__backprop": True},
            noise.ScheduledSampling(noise.InverseSigmoid(1_000.0), noise.Sample(), True),
        ),
        (
            {"noise__kind": "scheduled", "noise__mix": "top_k", "noise__top_k": 3},
            noise.ScheduledSampling(noise.InverseSigmoid(1_000.0), noise.TopK(1.0, 3)),
        ),
        (
            {"noise__kind": "scheduled", "noise__mix": "softmax", "noise__temperature": 0.5},
            noise.ScheduledSampling(noise.InverseSigmoid(1_000.0), noise.Soft(0.5)),
        ),
        (
            {"noise__kind": "scheduled", "noise__mix": "gumbel", "noise__temperature": 0.5},
            noise.ScheduledSampling(noise.InverseSigmoid(1_000.0), noise.Gumbel(0.5)),
        ),
        (
            {"noise__kind": "scheduled", "noise__schedule": "constant", "noise__token_rate": 0.2},
            noise.ScheduledSampling(noise.Constant(0.25), before=noise.TokenNoise(0.2, 50)),
        ),
    ],
)
def test_noise(changes, expected):
    assert training.noise(config(**changes)["noise"], vocab_size=50) == expected


def test_a_wrong_decay_names_the_schedule():
    plain = config(noise__kind="scheduled", noise__schedule="exponential", noise__k=2.0)
    with pytest.raises(ValueError, match="config.noise with schedule exponential: k"):
        build.experiment(plain)


@pytest.mark.parametrize("schedule", ["inverse_sqrt", "cosine", "linear", "constant"])
def test_the_learning_rate_peaks_after_the_warmup(schedule):
    plain = config(train__schedule=schedule, train__warmup=100, train__learning_rate=3e-3)
    rate = training.schedule(plain)
    rates = [float(rate(step)) for step in range(300)]
    assert max(rates) == pytest.approx(3e-3, rel=0.02)
    assert 98 <= int(np.argmax(rates)) <= 101
    assert rates[10] < rates[50] < rates[90]
    if schedule == "inverse_sqrt":
        assert rates[250] == pytest.approx(3e-3 * math.sqrt(100 / 251), rel=0.01)


def test_search_takes_its_beams_from_the_config():
    plain = config(decode__beam=7, decode__length_penalty=0.2)
    made = build.experiment(plain)
    assert made.search == Search(beams=7, nbest=1, length_penalty=0.2)
    assert made.valid_search == Search(beams=1, nbest=1, length_penalty=0.2)


def test_minimum_risk_takes_its_keys_from_the_config():
    task = build.experiment(config()).task(types.SimpleNamespace(vocab_size=11))
    assert build.experiment(config(risk__alpha=0.5)).minimum_risk is None
    plain = config(risk__candidates=5, risk__alpha=0.5, risk__gold=False, decode__max_length=20)
    plain["risk"] |= {"temperature": 0.7, "cross_entropy": 0.2}
    risk = build.experiment(plain).minimum_risk(task)
    assert (risk.task, risk.target_lang, risk.max_length) == (task, "zh", 20)
    found = (risk.candidates, risk.alpha, risk.temperature, risk.gold, risk.cross_entropy)
    assert found == (5, 0.5, 0.7, False, 0.2)


def test_pairs_of_the_grammar():
    plain = config(data__train_pairs=30, data__heldout_pairs=5)
    data = build.data_of(plain)
    sizes = {split: len(data.pairs(split)) for split in ("train", "valid", "test")}
    assert sizes == {"train": 30, "valid": 5, "test": 5}
    with pytest.raises(
        ValueError, match="split: the grammar makes no 'dev'; use train, valid, test"
    ):
        data.pairs("dev")


def test_pairs_of_files_win_over_the_grammar(corpus):
    data = dataclasses.replace(build.data_of(config()), target_lang="de")
    assert len(data.pairs("train", str(corpus))) == 80


def test_devices():
    assert build.experiment(config()).devices is None
    assert build.experiment(config(mesh__data=99)).devices == 99

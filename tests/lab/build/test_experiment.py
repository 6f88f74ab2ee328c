"""What keys of a config demand of one another, and that past the door nobody reads one."""

import dataclasses
import inspect
import pathlib
import types
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from attention import variants
from attention.lab import build
from attention.lab.build import attentions
from attention.lab.config import schema


def config(**changes):
    plain = schema.defaults()
    for name, value in changes.items():
        section, _, leaf = name.partition("__")
        plain[section][leaf] = value
    return plain


def test_the_defaults_pass():
    build.experiment(schema.defaults())


@pytest.mark.parametrize("name", ["location", "monotonic", "additive", "linear"])
def test_an_attention_of_the_cross_slot_alone_is_used_as_one(name):
    build.experiment(config(model__cross={"name": name}))
    if name in ("location", "monotonic"):
        with pytest.raises(
            NotImplementedError, match="config.model.encoder: .* cannot attend within"
        ):
            build.experiment(config(model__encoder={"name": name}))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"model__kv_heads": 3},
            "model.kv_heads: 3 does not divide model.heads 4; use 2 or 4, or 0",
        ),
        ({"model__heads": 3}, "model.heads: 3 does not divide model.size 128; use 2 or 4"),
        (
            {"model__size": 9, "model__heads": 3},
            "model.size: 9 is odd, and sinusoidal positions are pairs; use 10",
        ),
        (
            {"model__size": 12, "model__positions": "rotary"},
            "model.heads: 4 leaves 3 features of model.size 12 to each; rotary",
        ),
        ({"train__warmup": 1000}, "train.warmup: 1000 is not below train.steps 1000; use less"),
        (
            {"train__warmup": 0, "train__schedule": "inverse_sqrt"},
            "train.warmup: 0 is too few for inverse_sqrt; use at least 1",
        ),
        ({"train__dtype": "float16"}, "train.dtype: float16 needs loss scaling; use bfloat16"),
        (
            {"data__kind": "text", "data__target_lang": "de"},
            "data.dir: not set; use --config.data.dir=DIR",
        ),
        ({"data__dir": "x"}, "data.dir: 'x' is not read, since data.kind is grammar; use"),
        ({"data__target_lang": "en"}, "data.target_lang: 'en' is also data.source_lang"),
        ({"data__target_lang": "de"}, "data.target_lang: the grammar has no 'en' with 'de'; use"),
        (
            {"model__encoder": {"name": "global"}, "model__external_tokens": 2},
            "model.encoder: Global cannot let 2 tokens see all others; use Softmax; or set first",
        ),
        (
            {"model__encoder": {"name": "local"}, "model__external_tokens": 2},
            "model.encoder: Local cannot let 2 tokens see all others; use Softmax",
        ),
        (
            {"model__encoder": {"name": "bigbird", "block": 2}, "model__external_tokens": 3},
            "model.encoder: BigBird cannot let 3 tokens see all others; use Softmax; or set blo",
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
            "model.encoder: BigBird(length=100): got 120 positions; set length=120 or more",
        ),
        (
            {"model__encoder": {"name": "global", "positions": (128,)}},
            "model.encoder: Global: position 128 lies beyond the 128 queries; name positions below",
        ),
        (
            {"model__norm": "batch"},
            "model.norm: batch lets a causal decoder's tokens see later ones; use",
        ),
        (
            {"model__encoder_memory": "mixture", "model__levels": 5},
            "model.levels: 5 is more than the states of 3 layers and embeddings; use at most 4",
        ),
        (
            {"model__levels": 2},
            "model.levels: 2 needs model.encoder_memory mixture, which is last; use",
        ),
        (
            {"noise__kind": "scheduled", "noise__mix": "top_k", "noise__top_k": 1001},
            "noise.top_k: 1001 is more than the 1000 tokens of the vocabulary; use at most as many",
        ),
        ({"task__canvas": 9}, "task.canvas: 9 has no use with task.kind left_to_right; use"),
        (
            {"task__kind": "mask_predict", "task__canvas": 9},
            "task.canvas: 9 is less than data.max_length 128, the longest target; use",
        ),
        (
            {"task__kind": "mask_predict", "task__canvas": 130, "model__positions": "learned"},
            "task.canvas: 130 is more than data.max_length 128, the learned positions; use",
        ),
        (
            {"task__kind": "mask_predict", "noise__kind": "scheduled"},
            "noise.kind: scheduled and token_rate 0 change words that task.kind mask_predict does",
        ),
        (
            {"task__kind": "mask_predict", "risk__candidates": 4},
            "risk.candidates: 4 cannot be drawn by task.kind mask_predict; use",
        ),
        (
            {"task__kind": "mask_predict", "model__copy": True},
            "model.copy: true needs tokens one after another, but task.kind is mask_predict; use",
        ),
        (
            {"risk__cross_entropy": 0.5},
            "risk.cross_entropy: 0.5 is a share beside a risk, but risk.candidates is 0; use",
        ),
        (
            {"risk__candidates": 1, "risk__gold": False},
            "risk.candidates: 1 alone has no gradient without risk.gold; use 2 or more",
        ),
        (
            {"risk__candidates": 4, "noise__token_rate": 0.1},
            "noise.kind: none and token_rate 0.1 need a share of risk.cross_entropy, which is 0",
        ),
        (
            {"risk__candidates": 4, "risk__alpha": 0.0},
            "risk.alpha: 0 weighs all candidates alike, which has no gradient; use more than 0",
        ),
        (
            {"risk__candidates": 4, "risk__cross_entropy": 1.0},
            "risk.cross_entropy: 1 leaves the candidates no weight; use less",
        ),
        (
            {"train__init_from": "there", "data__vocabulary": "file"},
            "data.vocabulary: 'file' has no use, since train.init_from, there, has a vocabulary",
        ),
        (
            {"model__encoder_norm": "batch", "model__encoder_memory": "same"},
            "model.encoder_norm: batch has one running mean, but model.encoder_memory is same",
        ),
        (
            {
                "task__kind": "mask_predict",
                "model__decoder": {"name": "gru", "bidirectional": False},
            },
            "model.decoder: GRU cannot see later tokens with bidirectional=False; use Softmax",
        ),
        (
            {"task__kind": "mask_predict", "model__decoder": {"name": "location"}},
            "model.decoder: Location cannot attend within one sequence",
        ),
        (
            {"task__kind": "mask_predict", "model__decoder": {"name": "local", "left": -1}},
            "model.decoder: Window(left=-1): needs a whole number, 0 or more",
        ),
        ({"risk__alpha": -1.0}, "risk.alpha: -1.0 cannot be used; use a number of at least 0"),
        (
            {"risk__temperature": 0.0},
            "risk.temperature: 0.0 cannot be used; use a number of at least",
        ),
        ({"decode__beam": 1001}, "decode.beam: 1001 is not within the vocabulary; use 1 to 1000"),
        ({"decode__valid_beam": 1001}, "decode.valid_beam: 1001 is not within the vocabulary"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(changes, text):
    with pytest.raises((ValueError, NotImplementedError)) as error:
        build.experiment(config(**changes))
    assert str(error.value).startswith(f"config.{text}")
    assert "\n" not in str(error.value)


def test_fewer_heads_of_keys_than_of_queries_that_are_the_keys():
    gat = {"model__encoder": {"name": "graph"}, "model__kv_heads": 2}
    with pytest.raises(NotImplementedError) as error:
        build.experiment(config(**gat))
    assert str(error.value) == (
        "config.model.encoder: Graph cannot share heads of keys among heads of queries; use "
        "Softmax; or kv_heads=None"
    )
    with pytest.raises(NotImplementedError, match="encoder: FNet cannot share heads of keys"):
        build.experiment(config(**gat | {"model__encoder": {"name": "fnet"}}))
    build.experiment(config(**gat | {"model__kv_heads": 4}))
    build.experiment(config(**gat | {"model__encoder": {"name": "graph", "score": "dot"}}))


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
    build.experiment(config(**changes))


@pytest.mark.parametrize(
    ("slot", "name", "text"),
    [
        ("decoder", "bigbird", "config.model.decoder: BigBird cannot attend causally; use"),
        ("decoder", "longformer", "use Softmax; without global tokens, first=0, it is causal"),
        ("cross", "local", "config.model.cross: Local cannot attend across two sequences"),
    ],
)
def test_an_attention_in_a_slot_where_it_cannot_be(slot, name, text):
    with pytest.raises(NotImplementedError) as error:
        build.experiment(config(**{f"model__{slot}": {"name": name}}))
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"model__encoder": {"name": "fnet"}, "model__positions": "rotary"},
            ".encoder: FNet cannot take rotary positions, since not all it does is by queries and "
            "keys; use Softmax; or rotary=None with other positions",
        ),
        (
            {"model__encoder": {"name": "linformer", "length": 64, "rank": 8}},
            ".encoder: Linformer(length=64): got 128 positions; set length=128 or more",
        ),
    ],
)
def test_what_an_attention_cannot_do_is_told_before_a_run(changes, text):
    with pytest.raises((ValueError, NotImplementedError)) as error:
        build.experiment(config(**changes))
    assert str(error.value) == f"config.model{text}"


def sees_all(name):
    attention = attentions.attention_of(attentions.usual_slot(name), {"name": name})
    return attention.capabilities.attends_globally == "all"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*filter(sees_all, attentions.ATTENTIONS)])
def test_external_tokens_are_seen_where_all_see_all(name):
    encoder = attentions.attention_defaults(name, "encoder")
    build.experiment(config(model__encoder=encoder, model__external_tokens=2))


def test_a_remedy_is_of_what_was_asked():
    for spec, remedy in (
        ({"name": "lstm"}, "use Softmax"),
        ({"name": "rfa", "gated": True}, "use Softmax; with gated=False it attends across"),
    ):
        with pytest.raises(NotImplementedError, match=f"{remedy}.{{0,10}}") as error:
            build.experiment(config(model__cross=spec))
        assert "causal" not in str(error.value)


class Sealed(dict):
    """A config that raises on every access but those of the module that writes and compares it."""

    def __getattribute__(self, name):
        callers = {pathlib.Path(frame.filename).name for frame in inspect.stack(context=0)[1:]}
        assert "directory.py" in callers, f"the config is read ({name})"
        return super().__getattribute__(name)

    def __getitem__(self, name):
        raise AssertionError(f"the config is read ({name})")


@pytest.mark.slow
def test_past_the_door_nobody_reads_the_config(launched, tiny, tmp_path, monkeypatch):
    build_from, opened = build.experiment, []

    def sealing(config):
        made = build_from(config)
        opened.append(made.config)
        config.clear()  # whoever holds it finds nothing in it
        return dataclasses.replace(made, config=Sealed(made.config))

    monkeypatch.setattr(build, "experiment", sealing)
    train = [*tiny, f"--workdir={tmp_path}", "--config.train.eval_every=6"]
    for steps in (6, 8):
        ran = launched(*train, f"--config.train.steps={steps}")
        assert ran.code == 0, ran.err
    assert "resumed at step 6 of 8" in ran.err
    assert launched("evaluate", f"--workdir={tmp_path}").report == ran.report
    assert launched("translate", f"--workdir={tmp_path}", stdin=b"a b\n").code == 0
    assert len(opened) == 2 * 2 + 2


def test_a_sealed_config_is_sealed():
    sealed = Sealed(schema.defaults())
    for read in (lambda: sealed["seed"], lambda: sealed.get("seed"), lambda: sealed.items()):
        with pytest.raises(AssertionError, match="the config is read"):
            read()


def test_each_attention_is_built_once_before_the_first_step(monkeypatch):
    built = []

    def counted(kind):
        make = kind.__init__

        def init(self, *arguments, **fields):
            built.append(kind.name)
            make(self, *arguments, **fields)

        monkeypatch.setattr(kind, "__init__", init)

    for kind in (variants.Local, variants.Cosine, variants.ReLU):
        counted(kind)
    slots = {"encoder": "local", "decoder": "cosine", "cross": "relu"}
    small = {"model__size": 8, "model__heads": 2, "model__layers": 2}
    named = {f"model__{slot}": {"name": name} for slot, name in slots.items()}
    experiment = build.experiment(config(**small, **named))
    task = experiment.task(types.SimpleNamespace(vocab_size=11))
    params, state = task.init(jax.random.key(0))
    batch = {name: jnp.full((2, 5), 4) for name in ("source_BS", "target_BT")}
    jax.eval_shape(partial(task.loss, rng=jax.random.key(1), step=0), params, state, batch)
    assert sorted(built) == ["cosine", "local", "relu"]

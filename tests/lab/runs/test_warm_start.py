"""A run that starts from another: what it takes over, what it refuses, and that it resumes."""

import copy
import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from attention.lab import build
from attention.lab.build import attentions
from attention.lab.config import schema
from attention.lab.runs import load, warm_start
from attention.lab.storage import directory
from attention.lab.storage.metrics import read_metrics
from tests.test_launch import contents, mistake

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

RISK = [
    "--config.train.schedule=constant",
    "--config.train.warmup=1",
    "--config.train.log_every=1",
    "--config.train.eval_every=4",
    "--config.risk.candidates=3",
    "--config.risk.cross_entropy=0.1",
]


def arrays(run, step):
    with ocp.StandardCheckpointer() as reader:
        return reader.restore(run / "checkpoints" / str(step) / "state")


def told(run):
    return [
        {name: value for name, value in row.items() if not name.startswith("perf/")}
        for row in read_metrics(run)
    ]


@pytest.fixture(scope="module")
def source(trained_run):
    return f"--config.train.init_from={trained_run[0]}"


def test_it_begins_with_parameters_and_vocabulary(launched, tiny, trained_run, source, tmp_path):
    still = ["--config.train.learning_rate=0", "--config.train.steps=6", "--config.seed=4"]
    run = tmp_path / "run"
    ran = launched(*tiny, source, *still, "--config.model.dropout=0.5", f"--workdir={run}")
    assert ran.code == 0, ran.err
    best = load.load(trained_run[0])
    jax.tree.map(np.testing.assert_array_equal, arrays(run, 6)["params"], best.params)
    vocabulary = "tokenizer.model"
    assert (run / vocabulary).read_bytes() == (trained_run[0] / vocabulary).read_bytes()
    # Once it has a checkpoint of its own, the other run is needed no more.
    config = directory.read_config(run)
    config["train"]["init_from"] = str(tmp_path / "gone")
    assert warm_start.load(build.experiment(config), run) is None


def test_minimum_risk_resumes_bit_for_bit(launched, tiny, source, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    steps = ["--config.train.steps=6", "--config.train.checkpoint_every=3"]
    for run in (whole, broken):
        ran = launched(*tiny, source, *RISK, *steps, f"--workdir={run}")
        assert ran.code == 0, ran.err
        if run == whole:  # the other goes on as if it had been killed after step 3
            shutil.copytree(whole, broken)
            later = [p for p in (broken / "checkpoints").glob("[0-9]*") if int(p.name) > 3]
            for checkpoint in later:
                shutil.rmtree(checkpoint)
    assert "resumed at step 3 of 6" in ran.err
    losses = [[row for row in told(run) if "train/loss" in row] for run in (whole, broken)]
    assert [row["step"] for row in losses[0]] == [*range(1, 7)]
    assert losses[0] == losses[1]
    jax.tree.map(np.testing.assert_array_equal, arrays(whole, 6), arrays(broken, 6))
    result = json.loads((whole / "result.json").read_text())
    assert result["step"] == 4 or result["step"] == 6


REFUSED = [
    (["model.size=32"], "model.size: 16 -> 32", "make them alike, or start from another run"),
    (["model.encoder.name=relu"], "model.encoder.name: 'softmax' -> 'relu'", "make them alike"),
    (["data.vocab_size=300"], "data.vocab_size: 290 -> 300", "make them alike"),
    (["task.kind=mask_predict"], "task.kind: 'left_to_right' -> 'mask_predict'", "make them alike"),
    (["model.layers=2", "model.tied=false"], "model.layers: 1 -> 2; model.tied: True", "alike"),
]


@pytest.mark.parametrize(("overrides", "what", "remedy"), REFUSED)
def test_another_model_or_vocabulary(launched, tiny, source, tmp_path, overrides, what, remedy):
    changes = [f"--config.{override}" for override in overrides]
    ran = launched(*tiny, source, *changes, f"--workdir={tmp_path / 'run'}")
    mistake(ran, "config.train.init_from: the model or vocabulary of", what, remedy)
    assert contents(tmp_path) == {}


def test_no_such_run(launched, tiny, trained_run, tmp_path):
    nowhere, bare = tmp_path / "nowhere", tmp_path / "bare"
    run = f"--workdir={tmp_path / 'run'}"
    ran = launched(*tiny, f"--config.train.init_from={nowhere}", run)
    mistake(ran, f"config.train.init_from: {nowhere} holds no run", "train one there first")
    bare.mkdir()
    shutil.copy(trained_run[0] / "config.json", bare)
    ran = launched(*tiny, f"--config.train.init_from={bare}", run)
    mistake(ran, f"config.train.init_from: {bare} has no tokenizer.model: its training has not")
    shutil.copy(trained_run[0] / "tokenizer.model", bare)
    ran = launched(*tiny, f"--config.train.init_from={bare}", run)
    mistake(ran, "config.train.init_from: no checkpoints in", "the run has none yet")
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_vocabulary_that_is_there_already(launched, tiny, trained_run, source, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(trained_run[0] / "config.json", run)
    (run / "tokenizer.model").write_bytes(b"another")
    ran = launched(*tiny, source, "--on_change=continue", f"--workdir={run}")
    mistake(ran, "config.train.init_from: the vocabulary of", "choose another --workdir")


def test_what_shapes_parameters_counts():
    was = schema.defaults()
    was["model"]["cross"] = attentions.attention_defaults("compressed", "cross")

    def differences(**changes):
        now = copy.deepcopy(was)
        for name, value in changes.items():
            section, *inner, leaf = name.split("__")
            owner = now[section][inner[0]] if inner else now[section]
            owner[leaf] = value
        return directory.differences(build.parameter_keys(was), build.parameter_keys(now))

    assert differences(model__cross__kernel=5) == ["model.cross.kernel: 3 -> 5"]
    assert differences(model__encoder__kernel="reference", model__dropout=0.5) == []
    assert differences(data__max_length=99) == []
    was["task"]["kind"] = "mask_predict"  # which classifies lengths
    assert differences(data__max_length=99) == ["data.max_length: 128 -> 99"]

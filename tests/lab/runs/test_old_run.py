"""A run that an earlier version left behind (revision 8047c8b) is evaluated and goes on."""

import json
import pathlib
import shutil

import pytest

# Trained by: launch.py train with the flags below and train.steps=8.
OLD = pathlib.Path(__file__).resolve().parents[2] / "old_run"
FLAGS = {
    "data.vocab_size": 700,
    "data.max_length": 40,
    "data.buckets": 1,
    "data.train_pairs": 60,
    "data.heldout_pairs": 12,
    "model.layers": 1,
    "model.size": 16,
    "model.heads": 2,
    "model.ff_size": 16,
    "model.wiring": "mixture",
    "model.levels": 2,
    "train.batch_tokens": 512,
    "train.warmup": 2,
    "train.eval_every": 8,
    "train.checkpoint_every": 8,
    "train.log_every": 2,
    "checkpoint.keep": 1,
    "decode.beam": 2,
    "decode.max_length": 24,
}


@pytest.mark.slow
def test_an_old_run_is_opened_and_goes_on(launched, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(OLD, run)
    workdir, was = f"--workdir={run}", json.loads((OLD / "result.json").read_text())
    ran = launched("evaluate", workdir)
    assert ran.code == 0, ran.err
    assert ran.report["loss"] == pytest.approx(was["loss"], rel=1e-5)
    assert {**ran.report, "loss": 0, "split": ""} == {**was, "loss": 0, "split": ""}
    command = ["train", "--config=quickstart:encoder=local,decoder=local"]
    flags = [f"--config.{key}={value}" for key, value in FLAGS.items()]
    ran = launched(*command, *flags, "--config.train.steps=10", workdir)
    assert ran.code == 0, ran.err
    assert "resumed at step 8 of 10" in ran.err
    assert ran.err.count("config.model.wiring is now config.model.encoder_memory: use that") == 1

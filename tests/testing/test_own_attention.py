"""docs/own_attention.md is run as it stands: its files are written, imported and trained."""

import importlib
import shlex
import sys

import pytest

from tests.testing.page import COMMANDS, FILES

FEW = {
    "train.steps": 2,
    "train.warmup": 1,
    "train.eval_every": 2,
    "train.checkpoint_every": 2,
    "train.batch_tokens": 512,
    "model.size": 16,
    "model.layers": 1,
    "model.ff_size": 32,
    "decode.beam": 1,
    "decode.max_length": 4,
}


def module_name(path):
    return path.removesuffix(".py").replace("/", ".")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The page's files in a directory that Python looks into."""
    for path, source in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(source, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_package", *FILES):
        monkeypatch.delitem(sys.modules, module_name(name), raising=False)
    yield tmp_path
    for name in ("my_package", *FILES):
        sys.modules.pop(module_name(name), None)


def test_the_class_takes_at_most_60_lines():
    assert len(FILES) == 3
    assert FILES["my_package/sigmoid.py"].count("\n") <= 60


@pytest.mark.slow
def test_its_test_passes(written):
    importlib.import_module("my_package.test_sigmoid").test_sigmoid()


@pytest.mark.slow
def test_its_module_works(written):
    importlib.import_module("my_package.example")


@pytest.mark.slow
def test_its_commands_work(written, launched):
    workdir = str(written / "run")
    train, evaluate = (
        shlex.split(command.replace("runs/sigmoid", workdir)) for command in COMMANDS
    )
    ran = launched(*train, *(f"--config.{key}={value}" for key, value in FEW.items()))
    assert ran.code == 0, ran.err
    ran = launched(*evaluate)
    assert ran.code == 0, ran.err
    assert "bleu" in ran.report

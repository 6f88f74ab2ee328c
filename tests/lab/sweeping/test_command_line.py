"""`launch.py sweep`, and the training of a trial, as a shell sees them."""

import json
import shlex

import pytest

from attention.lab.storage.directory import read_result

QUICKSTART = "experiments/sweep_quickstart.py"


def test_print_writes_a_command_a_line(launched, tmp_path):
    ran = launched("sweep", f"--config={QUICKSTART}", f"--workdir={tmp_path}", "--executor=print")
    lines = ran.out.splitlines()
    assert (ran.code, len(lines)) == (0, 8)
    words = shlex.split(lines[0])
    assert words[1].endswith("launch.py")
    assert {"train", "--final_split=valid", "--config.train.learning_rate=0.001"} <= {*words}
    assert "8 commands" in ran.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config=experiments/quickstart.py"], "has no function sweep"),
        (["--config=experiments/no.py"], "there is no file"),
        ([f"--config={QUICKSTART}", "--executor=rya"], "choose one of local, ray, slurm, print"),
        ([f"--config={QUICKSTART}", "--on_change=maybe"], "choose one of refuse"),
        ([f"--config={QUICKSTART}", "--config.train.step=1"], "did you mean train.steps"),
        ([f"--config={QUICKSTART}", "--executor=slurm"], "no sbatch"),
    ],
)
def test_mistakes_are_one_line(launched, tmp_path, monkeypatch, flags, words):
    monkeypatch.setenv("PATH", "")
    ran = launched("sweep", *flags, f"--workdir={tmp_path / 'sweep'}")
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    assert words in ran.err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def sweep():\n  return [{'seed': 1}]", "returned list"),
        (
            "from attention.lab.sweeping import grid\n"
            "def sweep():\n  return grid({'train.learning_rat': (1e-3,)})",
            "did you mean train.learning_rate",
        ),
    ],
)
def test_a_sweep_that_cannot_be_used_is_one_line(launched, tmp_path, source, words):
    file = tmp_path / "mine.py"
    file.write_text(f"from experiments.quickstart import get_config\n{source}\n")
    ran = launched("sweep", f"--config={file}", f"--workdir={tmp_path / 'sweep'}")
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_a_trial_ends_on_the_validation_split(launched, tiny, tmp_path):
    ran = launched(*tiny, f"--workdir={tmp_path}", "--final_split=valid", "--config.train.steps=6")
    assert ran.code == 0, ran.err
    assert ran.report["split"] == "valid"
    assert read_result(tmp_path) == json.loads(ran.out)
    assert not [*(tmp_path / "decodes").glob("*.test.txt")]


def test_no_other_split_ends_a_training(launched, tiny, tmp_path):
    ran = launched(*tiny, f"--workdir={tmp_path}", "--final_split=train")
    assert (ran.code, ran.out) == (2, "")
    assert "choose test or valid" in ran.err


def test_a_damaged_report_is_named(tmp_path):
    (tmp_path / "result.json").write_text("[1")
    with pytest.raises(ValueError, match="damaged"):
        read_result(tmp_path)

"""A run's directory: who may use it, and what becomes of another config's run."""

import fcntl
import json
import os
import pathlib
import socket
import warnings

import pytest

from attention.errors import RunError, StorageError
from attention.lab.config import schema
from attention.lab.storage import directory


def config(**model):
    plain = schema.defaults()
    plain["model"] |= model
    return plain


def begin(path, **model):
    with directory.claimed(path, config(**model)) as run:
        directory.write_config(run, config(**model))
        (run / "tokenizer.model").write_text("words")


def test_a_claimed_directory_is_made_locked_and_freed(tmp_path):
    path = tmp_path / "deep" / "run"
    with directory.claimed(path, config()) as run:
        assert run == path
        assert [entry.name for entry in path.iterdir()] == ["lock"]
        with (
            pytest.raises(RunError, match=r"run is in use by process \d+ on \S+; wait"),
            directory.claimed(path, config()),
        ):
            pass
    with directory.claimed(path, config()):
        pass


def test_the_lock_is_freed_when_training_fails(tmp_path):
    with pytest.raises(RuntimeError), directory.claimed(tmp_path, config()):
        raise RuntimeError
    with (tmp_path / "lock").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_that_a_dead_process_left_is_taken_over(tmp_path):
    (tmp_path / "lock").write_text("process 4194305 on elsewhere\n")
    with directory.claimed(tmp_path, config()):
        assert f"process {os.getpid()} on {socket.gethostname()}\n" == (
            (tmp_path / "lock").read_text()
        )


def test_the_config_comes_back(tmp_path):
    begin(tmp_path, size=32)
    assert directory.read_config(tmp_path) == config(size=32)
    with directory.claimed(tmp_path, config(size=32)):
        pass
    assert not list(tmp_path.glob("*.tmp"))


def test_an_older_config_is_completed_and_so_no_other(tmp_path):
    old = config()
    del old["model"]["remat"]
    directory.write_config(tmp_path, old)
    with directory.claimed(tmp_path, config()):
        pass


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_a_damaged_config(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        directory.read_config(tmp_path)


def test_no_run(tmp_path):
    with pytest.raises(RunError, match=r"holds no run \(no config.json\): train one"):
        directory.read_config(tmp_path)


def test_another_config_is_refused_with_the_difference(tmp_path):
    begin(tmp_path, size=32)
    with (
        pytest.raises(ValueError, match=r"\(model.heads: 4 -> 2; model.size: 32 -> 64\); choose"),
        directory.claimed(tmp_path, config(size=64, heads=2)),
    ):
        pass
    assert directory.read_config(tmp_path)["model"]["size"] == 32


def test_continue_goes_on_with_a_warning(tmp_path):
    begin(tmp_path)
    with (
        pytest.warns(UserWarning, match=r"goes on with another config \(model.size: 128 -> 64\)"),
        directory.claimed(tmp_path, config(size=64), "continue"),
    ):
        assert (tmp_path / "tokenizer.model").read_text() == "words"


def test_restart_moves_the_run_aside_and_never_over_another(tmp_path):
    path = tmp_path / "run"
    for number, size in ((1, 64), (2, 32)):
        begin(path, size=size)
        (path / "notes").mkdir()
        (path / "notes" / "mine.txt").write_text(str(size))
        with (
            pytest.warns(UserWarning, match=rf"is moved to .*run\.old\.{number}$"),
            directory.claimed(path, config(), "restart"),
        ):
            assert [entry.name for entry in path.iterdir()] == ["lock"]
    for number, size in ((1, 64), (2, 32)):
        aside = tmp_path / f"run.old.{number}"
        assert directory.read_config(aside)["model"]["size"] == size
        assert (aside / "notes" / "mine.txt").read_text() == str(size)


@pytest.mark.parametrize("on_change", ["continue", "restart"])
def test_the_same_config_just_goes_on(tmp_path, on_change):
    begin(tmp_path)
    with warnings.catch_warnings(), directory.claimed(tmp_path, config(), on_change):
        assert (tmp_path / "tokenizer.model").exists()


def test_what_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("mine")
    with (
        pytest.raises(ValueError, match=r"has metrics.jsonl but no config.json, so it is no run"),
        directory.claimed(tmp_path, config(), "restart"),
    ):
        pass
    assert (tmp_path / "metrics.jsonl").read_text() == "mine"


def test_a_directory_that_cannot_be_written(tmp_path, monkeypatch):
    def refused(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(pathlib.Path, "open", refused)  # root may write anywhere
    with (
        pytest.raises(StorageError, match=r"cannot be written \(Permission denied\); choose"),
        directory.claimed(tmp_path, config()),
    ):
        pass


def test_differences_leave_out_what_may_change():
    new = config(size=64)
    new["train"]["steps"] = new["decode"]["beam"] = 9
    new["model"]["encoder"] = {"name": "softmax", "dropout_rate": 0.1}
    assert directory.differences(config(), new) == [
        "model.encoder.dropout_rate: None -> 0.1",
        "model.size: 128 -> 64",
    ]
    assert directory.differences(config(), json.loads(json.dumps(config()))) == []


@pytest.mark.parametrize("name", ["a", "quickstart", "lr=1e-3,seed=0", "A.b_c+d-9", "x" * 200])
def test_a_run_has_its_directory_inside_the_root(tmp_path, name):
    assert directory.inside(tmp_path, name).resolve().parent == tmp_path.resolve()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "/a", "-a", ".a", "a\n", "a\0", "x" * 201, "ä", "~"]
)
def test_a_run_name_cannot_lead_out_of_the_root(tmp_path, name):
    with pytest.raises(ValueError, match="run name is .* it needs 1 to 200 letters"):
        directory.inside(tmp_path, name)

"""What is saved comes back bit for bit, or not at all."""

import dataclasses
import errno
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.errors import RunError
from attention.lab.storage import checksums
from attention.lab.storage.checkpoints import Checkpoints
from attention.lab.training.step import create_state, make_train_step

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def trained(toy):
    opt = toy.make_optimiser(clip=1.0)
    update = make_train_step(toy.make_loss(0.2), opt)
    state, _ = update(toy.state(opt), toy.batch(0))
    return state


def numbered(state, number):
    """The state with params that are all `number`."""
    params = jax.tree.map(lambda p: jnp.full_like(p, number), state.params)
    return dataclasses.replace(state, params=params)


def abstract(state):
    return jax.eval_shape(lambda: state)


def assert_same(one, other):
    def check(x, y):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            assert jax.random.key_impl(x) == jax.random.key_impl(y)
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert x.dtype == y.dtype
        assert x.sharding.is_equivalent_to(y.sharding, x.ndim)
        np.testing.assert_array_equal(x, y)

    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(check, one, other)


def test_bit_identical_with_rng_optimiser_and_data(tmp_path, trained):
    position = {"batches": {"epoch": 3, "next": [1, 2]}, "best": 0.1, "since": 0}
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(7, trained, position, score=0.5)
        restored = checkpoints.restore("latest", trained)
        assert_same(restored.state, trained)
        assert restored.data_state == position
        assert restored.step == 7
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        assert_same(checkpoints.restore(7, abstract(trained)).state, trained)
        assert checkpoints.steps() == (7,)


def test_empty_model_state_and_another_kind_of_key(tmp_path, toy):
    state = create_state(
        {"x": jnp.ones(2)}, {}, toy.make_optimiser(), jax.random.key(3, impl="rbg")
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, None)
        assert_same(checkpoints.restore(1, abstract(state)).state, state)


def test_donation_right_after_saving_does_no_harm(tmp_path, toy, trained):
    opt = toy.make_optimiser(clip=1.0)
    update = make_train_step(toy.make_loss(0.2), opt)
    state = jax.tree.map(jnp.copy, trained)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, None)
        for number in range(20):
            state, _ = update(state, toy.batch(number))
        assert_same(checkpoints.restore(1, trained).state, trained)


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 4)])
def test_best_latest_step_and_what_is_kept(tmp_path, trained, mode, best):
    scores = {1: 0.4, 2: 0.9, 3: None, 4: 0.1, 5: 0.5, 6: None, 7: None}
    with Checkpoints(tmp_path, keep=2, metric_mode=mode) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(step, numbered(trained, step), {"at": step}, score=score)
        for which, step in (("best", best), ("latest", 7), (6, 6), ("6", 6)):
            restored = checkpoints.restore(which, trained)
            assert restored.step == step
            assert restored.data_state == {"at": step}
            assert float(restored.state.params["dense"]["bias"][0]) == step
        assert checkpoints.steps() == (best, 6, 7)


def test_average_of_the_last(tmp_path, trained):
    with Checkpoints(tmp_path, keep=1, average=3) as checkpoints:
        for step in (1, 2, 4, 9):
            checkpoints.save(step, numbered(trained, step), step)
        restored = checkpoints.restore("average", trained)
        assert checkpoints.steps() == (2, 4, 9)
    assert (restored.step, restored.data_state) == (9, 9)
    expected = dataclasses.replace(trained, params=numbered(trained, 5).params)
    assert_same(restored.state, expected)


def test_average_of_fewer_than_asked(tmp_path, trained):
    with Checkpoints(tmp_path, keep=1, average=3) as checkpoints:
        for step in (2, 4):
            checkpoints.save(step, numbered(trained, step), step)
        restored = checkpoints.restore("average", trained)
    assert_same(
        restored.state,
        dataclasses.replace(numbered(trained, 4), params=numbered(trained, 3).params),
    )


def test_absent_checkpoints_name_those_that_are_there(tmp_path, trained):
    with Checkpoints(tmp_path / "c", keep=3) as checkpoints:
        with pytest.raises(RunError, match=r"no checkpoints in .*c: train first"):
            checkpoints.restore("latest", trained)
        checkpoints.save(1, trained, None)
        checkpoints.save(2, trained, None)
        with pytest.raises(RunError, match=r"no checkpoint of step 3; .*: 1, 2$"):
            checkpoints.restore(3, trained)
        with pytest.raises(RunError, match="no checkpoint has a score"):
            checkpoints.restore("best", trained)
        with pytest.raises(
            ValueError, match=r"must be latest, best, average or a step, got 'bset'"
        ):
            checkpoints.restore("bset", trained)
    with pytest.raises(RunError, match=r"no checkpoints in .*none"):
        Checkpoints(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_another_model(tmp_path, trained):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, trained, None)
        other = dataclasses.replace(trained, params=trained.params | {"new": jnp.ones(1)})
        message = (
            "checkpoint 1 is of another model, 1 array differs: "
            r"params/new: saved nothing, expected float32\[1\]$"
        )
        with pytest.raises(ValueError, match=message):
            checkpoints.restore(1, other)
        half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), trained.params)
        with pytest.raises(ValueError, match="3 arrays differ: params/dense/bias: saved") as error:
            checkpoints.restore("latest", dataclasses.replace(trained, params=half))
        for path, shape in (("dense/bias", "[13]"), ("dense/kernel", "[8, 13]")):
            line = f"params/{path}: saved float32{shape}, expected bfloat16{shape}"
            assert line in str(error.value)


def test_another_optimiser_and_ten_of_many_differences(tmp_path, trained):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, trained, None)
        other = dataclasses.replace(trained, opt_state={"momentum": jnp.ones(3)})
        with pytest.raises(ValueError, match=r"opt_state/\S+: saved float32\S+, expected nothing"):
            checkpoints.restore(1, other)
        many = dataclasses.replace(trained, params={f"{n:02}": jnp.ones(n) for n in range(17)})
        with pytest.raises(ValueError, match=r"20 arrays differ: .*; and 10 more$") as error:
            checkpoints.restore(1, many)
    assert str(error.value).count(": saved ") == 10


def harm(path, way, chance):
    """Does one kind of damage to a file."""
    content = path.read_bytes()
    if way == "flip":
        byte = chance.randrange(len(content))
        changed = content[byte] ^ 1 << chance.randrange(8)
        path.write_bytes(content[:byte] + bytes([changed]) + content[byte + 1 :])
    elif way == "cut":
        path.write_bytes(content[: chance.randrange(len(content))])
    elif way == "remove":
        path.unlink()
    else:
        path.with_name("extra").write_bytes(b"")


@pytest.mark.parametrize("way", ["flip", "cut", "remove", "add"])
def test_damage_to_any_file_is_found_named_and_passed_over(tmp_path, trained, way):
    chance = random.Random(way)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, trained, {"at": step}, score=step)
    reader = Checkpoints(tmp_path, keep=2, read_only=True)
    files = sorted(path for path in (tmp_path / "2").rglob("*") if path.is_file())
    assert len(files) > 10
    for path in files:
        intact = path.read_bytes()
        harm(path, way, chance)
        name = path.with_name("extra") if way == "add" else path
        named = re.escape(f"{name.relative_to(tmp_path / '2')} ") + "(has changed|is missing|is ex)"
        place = re.escape(f"checkpoint 2 in {tmp_path} is damaged (") + named
        with pytest.raises(OSError, match=place) as error:
            reader.restore(2, trained)
        assert str(error.value).endswith("; the others are 1")
        with pytest.warns(UserWarning, match="checkpoint 1 is used: " + place):
            assert reader.restore("latest", trained).data_state == {"at": 1}
        path.write_bytes(intact)
        path.with_name("extra").unlink(missing_ok=True)
    assert_same(reader.restore("best", trained).state, trained)
    reader.close()


def test_a_training_moves_the_damaged_aside_and_saves_that_step_anew(tmp_path, trained):
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, trained, None)
        assert checkpoints.steps() == (1, 2, 3)
        (tmp_path / "3" / "notes.json").write_text("{}")
        (tmp_path / "2" / "more").touch()
        with pytest.warns(UserWarning, match="checkpoint 1 is used: checkpoint [23] .* damaged"):
            assert checkpoints.restore("latest", trained).step == 1
        assert checkpoints.steps() == (1,)
        checkpoints.save(2, trained, None)
        assert checkpoints.restore("latest", trained).step == 2
    assert len(list(tmp_path.glob("damaged.[23].*"))) == 2


def test_where_all_are_damaged_training_does_not_begin_anew(tmp_path, trained):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, trained, None)
        checkpoints.wait()
        (tmp_path / "1" / "more").touch()
        with pytest.raises(OSError, match=r"1 in .* is damaged \(more is extra\); .* are none$"):
            checkpoints.restore("latest", trained)
        assert checkpoints.steps() == (1,)


def test_best_is_not_told_where_a_score_is_damaged(tmp_path, trained):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step, score in ((1, 0.9), (2, 0.5)):
            checkpoints.save(step, trained, None, score=score)
        checkpoints.wait()
        notes = tmp_path / "1" / "notes.json"
        notes.write_text(notes.read_text().replace("0.9", "0.1"))
        with pytest.raises(OSError, match=r"checkpoint 1 .* \(notes.json has changed\)"):
            checkpoints.restore("best", trained)
        checkpoints.save(3, trained, None)  # and does no harm to the training
        assert checkpoints.steps() == (2, 3)


def test_a_directory_half_written_is_no_checkpoint(tmp_path, trained):
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        checkpoints.save(1, trained, None)
    (tmp_path / "2" / "state").mkdir(parents=True)
    (tmp_path / "3").mkdir()
    for left in ("saving.4", "deleting.5"):
        shutil.copytree(tmp_path / "1", tmp_path / left)
    with Checkpoints(tmp_path, keep=3, read_only=True) as checkpoints:
        assert checkpoints.steps() == (1,)
        with pytest.warns(UserWarning, match="checkpoint 1 is used"):
            assert checkpoints.restore("latest", trained).step == 1
        with pytest.raises(OSError, match=r"2 in .* is damaged \(SHA256SUMS is missing\)"):
            checkpoints.restore(2, trained)
    with pytest.warns(UserWarning, match=r"checkpoint [23] in .* \(SHA256SUMS is missing\)"):
        checkpoints = Checkpoints(tmp_path, keep=3)
    with checkpoints:
        assert checkpoints.steps() == (1,)
        checkpoints.save(2, trained, None)
    names = sorted(path.name.partition(".17")[0] for path in tmp_path.iterdir())
    assert names == ["1", "2", "damaged.2", "damaged.3"]


@pytest.mark.parametrize("where", ["save", "_finish"])
def test_a_save_that_fails_says_so_and_leaves_the_last(tmp_path, trained, monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, trained, None)
        checkpoints.wait()
        with monkeypatch.context() as patch:
            if where == "save":
                patch.setattr(pathlib.Path, "write_text", full)
            else:
                patch.setattr(pathlib.Path, "rename", full)
            message = (
                r"checkpoint 2 could not be saved in .*No space left on device\); "
                "those saved before are whole: 1; make room"
            )
            if where == "_finish":
                checkpoints.save(2, trained, None)
            with pytest.raises(OSError, match=message):
                checkpoints.wait() if where == "_finish" else checkpoints.save(2, trained, None)
        assert_same(checkpoints.restore("latest", trained).state, trained)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, trained, None)
        assert checkpoints.steps() == (2,)


def test_refused(tmp_path, trained):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, trained, None)
        with pytest.raises(ValueError, match="step must be above the last saved step 5, got 5"):
            checkpoints.save(5, trained, None)


SAVER = """
import runpy, sys
import jax
from attention.lab.storage.checkpoints import Checkpoints
toy = type("toy", (), runpy.run_path("tests/lab/toy.py"))
state = toy.state(toy.make_optimiser())
checkpoints = Checkpoints(sys.argv[1])
start = max(checkpoints.steps(), default=0)
for step in range(start + 1, 10_000):
    checkpoints.save(step, state, {"at": step})
    print(step, flush=True)
"""


@pytest.mark.slow
def test_killed_while_saving(tmp_path, toy):
    state = toy.state(toy.make_optimiser())
    directory = tmp_path / "c"
    dice = random.Random(0)
    last = 0
    for _ in range(3):
        command = [sys.executable, "-c", SAVER, str(directory)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ)
        for _ in range(3):
            began = int(process.stdout.readline())
        time.sleep(dice.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        with Checkpoints(directory, read_only=True) as checkpoints:
            restored = checkpoints.restore("latest", state)
        assert began - 1 <= restored.step
        assert last < restored.step
        assert restored.data_state == {"at": restored.step}
        assert_same(restored.state, state)
        last = restored.step
    for path in directory.iterdir():
        if path.name.isdecimal():
            checksums.check(path)

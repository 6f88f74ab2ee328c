"""What is saved comes back bit for bit, or not at all."""

import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.training import manifests
from attention.training.checkpoints import Checkpoints
from attention.training.step import create_state, make_train_step

ROOT = pathlib.Path(__file__).resolve().parents[2]


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


def test_absent_checkpoints_name_those_that_are_there(tmp_path, trained):
    with Checkpoints(tmp_path / "c", keep=3) as checkpoints:
        with pytest.raises(FileNotFoundError, match=r"no checkpoints in .*c: train first"):
            checkpoints.restore("latest", trained)
        checkpoints.save(1, trained, None)
        checkpoints.save(2, trained, None)
        with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 3; .*: 1, 2$"):
            checkpoints.restore(3, trained)
        with pytest.raises(FileNotFoundError, match="no checkpoint has a score"):
            checkpoints.restore("best", trained)
        with pytest.raises(
            ValueError, match=r"must be latest, best, average or a step, got 'bset'"
        ):
            checkpoints.restore("bset", trained)
    with pytest.raises(FileNotFoundError, match=r"no checkpoints in .*none"):
        Checkpoints(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_another_model(tmp_path, trained):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, trained, None)
        other = dataclasses.replace(trained, params=trained.params | {"new": jnp.ones(1)})
        with pytest.raises(ValueError, match="params/new is in this model but not in checkpoint 1"):
            checkpoints.restore(1, other)
        half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), trained.params)
        message = r"params/dense/bias is float32\[13\] there, bfloat16\[13\] here"
        with pytest.raises(ValueError, match=message):
            checkpoints.restore(1, dataclasses.replace(trained, params=half))


def test_a_flipped_bit_is_noticed(tmp_path, trained):
    noisy = jax.tree.map(lambda p: jax.random.normal(jax.random.key(1), p.shape), trained.params)
    state = dataclasses.replace(trained, params=noisy)
    complaints = []
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, None)
        checkpoints.wait()
        for path in (tmp_path / "1" / "state").rglob("d/*"):
            intact = path.read_bytes()
            middle = len(intact) // 2
            path.write_bytes(intact[:middle] + bytes([intact[middle] ^ 1]) + intact[middle + 1 :])
            try:
                assert_same(checkpoints.restore(1, state).state, state)  # a copy not read
            except OSError as error:
                complaints.append(str(error))
            path.write_bytes(intact)
        assert_same(checkpoints.restore(1, state).state, state)
    assert complaints
    for complaint in complaints:
        assert complaint.startswith(f"checkpoint 1 in {tmp_path} is damaged (")
        assert "\n" not in complaint


def test_restoring_checks_the_manifest(tmp_path, trained):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, trained, None)
        checkpoints.wait()
        path = tmp_path / "1" / "manifest" / "metadata"
        manifest = json.loads(path.read_text())
        manifest["params/dense/bias"]["sha256"] = "0" * 64
        path.write_text(json.dumps(manifest))
        with pytest.raises(OSError, match=r"is damaged \(the SHA-256 of params/dense/bias"):
            checkpoints.restore(1, trained)


def test_a_changed_array_is_noticed(trained):
    manifest = manifests.describe(trained.params)
    bias = np.asarray(trained.params["dense"]["bias"]).copy()
    bias.view(np.uint8)[5] ^= 1
    changed = trained.params | {"dense": trained.params["dense"] | {"bias": jnp.asarray(bias)}}
    manifests.check_intact(manifest, trained.params)
    with pytest.raises(OSError, match="the SHA-256 of dense/bias"):
        manifests.check_intact(manifest, changed)


def test_a_directory_copied_in_part_is_set_aside(tmp_path, trained):
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        checkpoints.save(1, trained, None)
    (tmp_path / "2" / "state").mkdir(parents=True)
    with Checkpoints(tmp_path, keep=3, read_only=True) as checkpoints:
        assert checkpoints.steps() == (1,)
        assert checkpoints.restore("latest", trained).step == 1
    with pytest.warns(UserWarning, match="2 is incomplete: moved to"):
        checkpoints = Checkpoints(tmp_path, keep=3)
    with checkpoints:
        assert checkpoints.steps() == (1,)
        checkpoints.save(2, trained, None)
    assert len(list(tmp_path.glob("incomplete.2.*"))) == 1


def test_refused(tmp_path, trained):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, trained, None)
        with pytest.raises(ValueError, match="step must be above the last saved step 5, got 5"):
            checkpoints.save(5, trained, None)
        with pytest.raises(ValueError, match="score of step 6 must be finite, got nan"):
            checkpoints.save(6, trained, None, score=float("nan"))
    with pytest.raises(ValueError, match="keep must be at least 1"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="metric_mode must be"):
        Checkpoints(tmp_path, metric_mode="best")


SAVER = """
import runpy, sys
import jax
from attention.training import manifests
from attention.training.checkpoints import Checkpoints
toy = type("toy", (), runpy.run_path("tests/training/toy.py"))
state = toy.state(toy.make_optimiser())
checkpoints = Checkpoints(sys.argv[1], keep=2)
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
        with Checkpoints(directory, keep=2, read_only=True) as checkpoints:
            restored = checkpoints.restore("latest", state)
        assert began - 1 <= restored.step
        assert last < restored.step
        assert restored.data_state == {"at": restored.step}
        assert_same(restored.state, state)
        last = restored.step
    assert all(json.loads(p.read_text()) for p in directory.glob("*/manifest/metadata"))

"""A batch over eight devices gives one device's losses."""

import json

import jax
import numpy as np
import pytest

from attention.lab.storage.checkpoints import Checkpoints
from attention.lab.training import devices
from attention.lab.training.step import make_train_step

SOURCE = """
    import json, logging, runpy, sys
    import jax
    from attention.lab.training import devices
    from attention.lab.storage.checkpoints import Checkpoints
    from attention.lab.training.step import make_train_step

    compiled = []
    handler = logging.Handler()
    handler.emit = lambda record: compiled.append(record.getMessage())
    logging.getLogger("jax").addHandler(handler)
    jax.config.update("jax_log_compiles", True)
    toy = type("toy", (), runpy.run_path("tests/lab/toy.py"))
    out = {"devices": jax.device_count()}
    for accumulate in (1, 2):
        opt = toy.make_optimiser(clip=1.0)
        mesh = devices.mesh()
        update = make_train_step(toy.make_loss(0.2), opt, accumulate=accumulate)
        state = devices.replicate(toy.state(opt), mesh)
        losses = []
        for number in range(10):
            batch = devices.shard_batch(toy.batch(number, rows=32), mesh, accumulate=accumulate)
            state, metrics = update(state, batch)
            losses.append(float(metrics["loss"]))
        out[accumulate] = losses
        out["replicated"] = state.params["embed"]["table"].sharding.is_fully_replicated
        out["split"] = len(batch["source_BS"].sharding.device_set)
        out["compilations"] = sum(m.startswith("Compiling jit(step)") for m in compiled)
        compiled.clear()
        hlo = update.lower(state, batch).compile().as_text()
        out["gathers"] = hlo.count("all-gather") + hlo.count("all-to-all")
    with Checkpoints(sys.argv[1]) as checkpoints:
        checkpoints.save(10, state, None)
        restored = checkpoints.restore("latest", state).state
    out["restored on"] = len(restored.params["embed"]["table"].sharding.device_set)
    out["bias"] = state.params["dense"]["bias"].tolist()
    batch = devices.shard_batch(toy.batch(0, rows=5), mesh, accumulate=2)
    out["filled"] = batch["index_B"].shape[0], int(batch["target_BT"][5:].sum())
    print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def eight(eight_devices, tmp_path_factory):
    directory = tmp_path_factory.mktemp("eight")
    output = json.loads(eight_devices(SOURCE, directory).splitlines()[-1])
    return output | {"directory": directory}


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_eight_devices_equal_one(toy, eight, accumulate):
    opt = toy.make_optimiser(clip=1.0)
    update = make_train_step(toy.make_loss(0.2), opt, accumulate=accumulate)
    state = toy.state(opt)
    losses = []
    for number in range(10):
        state, metrics = update(state, toy.batch(number, rows=32))
        losses.append(float(metrics["loss"]))
    assert eight["devices"] == 8
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(eight[str(accumulate)], losses, rtol=1e-5)


def test_state_is_replicated_batch_is_split_and_nothing_gathered(eight):
    assert eight["replicated"]
    assert eight["split"] == 8
    assert eight["compilations"] == 1
    assert eight["gathers"] == 0


def test_a_checkpoint_of_eight_devices_is_read_by_eight_and_by_one(toy, eight):
    assert eight["restored on"] == 8
    state = jax.eval_shape(lambda: toy.state(toy.make_optimiser(clip=1.0)))
    with Checkpoints(eight["directory"], read_only=True) as checkpoints:
        params = checkpoints.restore("latest", state).state.params
    assert len(params["embed"]["table"].sharding.device_set) == 1
    assert params["dense"]["bias"].tolist() == eight["bias"]


def test_rows_are_filled_up(eight):
    assert eight["filled"] == [16, 0]


def test_filler_rows_are_marked(toy):
    batch = devices.shard_batch(toy.batch(0, rows=3), devices.mesh(1), accumulate=4)
    np.testing.assert_array_equal(batch["index_B"], [0, 1, 2, -1])
    assert not np.any(batch["source_BS"][3:])


def test_more_devices_than_there_are():
    with pytest.raises(ValueError, match=r"devices must be between 1 and the \d+ cpu devices"):
        devices.mesh(jax.device_count() + 1)

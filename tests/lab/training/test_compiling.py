"""Each batch shape is compiled once, and a later process finds it on disk."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]

# Three passes over two shapes, as launch.py trains; says what was compiled in each.
SOURCE = textwrap.dedent("""
    import json, types, jax, numpy as np
    from attention.lab import build
    from attention.lab.commands import process
    from attention.lab.config import schema
    from attention.lab.training.devices import mesh as mesh_of
    from attention.lab.training.devices import replicate, shard_batch
    from attention.lab.training.step import create_state, make_train_step

    process.keep_compiled_programs()
    config = schema.defaults()
    config["model"] |= dict(layers=1, size=8, heads=2, ff_size=16)
    experiment = build.experiment(config)
    task = experiment.task(types.SimpleNamespace(vocab_size=20))
    optimiser, mesh = experiment.optimiser, mesh_of(experiment.devices)
    params, model_state = task.init(jax.random.key(0))
    state = create_state(params, model_state, optimiser, jax.random.key(1))
    state = replicate(state, mesh)
    update = make_train_step(task.loss, optimiser)
    events = []
    jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: events.append(name))
    passes = []
    for number in range(3):
        events.clear()
        for length in (4, 6):
            tokens_BT = np.random.default_rng(number).integers(4, 20, (8, length), np.int32)
            batch = {"source_BS": tokens_BT, "target_BT": tokens_BT}
            state, metrics = update(state, shard_batch(batch, mesh))
        passes.append({
            "compiled": sum(e.endswith("/backend_compile_duration") for e in events),
            "hits": events.count("/jax/compilation_cache/cache_hits"),
        })
    print(json.dumps({"passes": passes, "loss": float(metrics["loss"])}))
""")


def run(cache):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    environment.pop("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", None)
    environment |= {"XDG_CACHE_HOME": str(cache), "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(
        [sys.executable, "-c", SOURCE], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    programs = {path.name for path in cache.rglob("jit_step-*-cache")}
    return json.loads(ran.stdout.splitlines()[-1]), programs


@pytest.mark.slow
def test_a_shape_is_compiled_once_and_kept_on_disk(tmp_path):
    first, kept = run(tmp_path)
    assert [p["compiled"] for p in first["passes"]] == [2, 0, 0]
    assert first["passes"][0]["hits"] == 0
    assert len(kept) == 2
    second, kept_by_both = run(tmp_path)
    assert second["passes"][0]["hits"] == 2
    assert kept_by_both == kept
    assert second["loss"] == first["loss"]

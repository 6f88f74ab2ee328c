"""Batch normalisation: of real tokens alone, with running means, on any number of devices."""

import functools
import json
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attention.lab.training.step import create_state, make_train_step
from attention.models.transformer import Transformer
from attention.modules.encoder_memory import SameLayer
from attention.modules.feed_forward import FeedForward
from attention.modules.normalisation import BatchNorm

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

RANDOM = np.random.default_rng(0)
X_BTM = np.asarray(3 + 2 * RANDOM.normal(size=(3, 5, 4)), "float32")
REAL_BT = np.arange(5)[None] < np.array([[5], [2], [0]])
RNGS = {"dropout": jax.random.key(1)}
SOURCE_BS = jnp.array([[4, 5, 6, 7], [8, 9, 0, 0]])
TARGET_BT = jnp.array([[3, 6, 7], [3, 9, 0]])


@functools.cache
def initialised():
    variables = jax.jit(BatchNorm().init)(jax.random.key(0), X_BTM, REAL_BT)
    return jax.tree.map(np.asarray, nn.meta.unbox(variables))


def made(seed=0):
    random = np.random.default_rng(seed)
    move = lambda x: x + np.abs(random.normal(size=x.shape)).astype(x.dtype)  # noqa: E731
    return BatchNorm(), jax.tree.map(move, initialised())


@partial(jax.jit, static_argnames="mutable")
def normed(variables, x_BTM, real_BT, **options):
    return BatchNorm().apply(variables, x_BTM, real_BT, **options)


def in_training(variables, x_BTM, real_BT):
    out, changed = normed(variables, x_BTM, real_BT, rngs=RNGS, mutable=("batch_stats",))
    return np.asarray(out), changed


def test_in_training_by_the_real_tokens():
    _, variables = made()
    out, changed = in_training(variables, X_BTM, REAL_BT)
    tokens = np.concatenate([X_BTM[0], X_BTM[1, :2]]).astype(np.float64)
    mean, variance = tokens.mean(0), tokens.var(0)
    expected = (X_BTM - mean) / np.sqrt(variance + 1e-5)
    own = jax.tree.map(np.asarray, variables["params"])
    expected = expected * own["scale"] + own["bias"]
    np.testing.assert_allclose(out[REAL_BT], expected[REAL_BT], atol=1e-5)
    for name, now in (("mean_M", mean), ("variance_M", variance)):
        before, after = (v["batch_stats"][name] for v in (variables, changed))
        np.testing.assert_allclose(after, 0.9 * before + 0.1 * now, rtol=1e-5)


def test_in_evaluation_by_the_running_means():
    _, variables = made()
    out = np.asarray(normed(variables, X_BTM, REAL_BT))
    own, kept = (jax.tree.map(np.asarray, variables[n]) for n in ("params", "batch_stats"))
    expected = (X_BTM - kept["mean_M"]) / np.sqrt(kept["variance_M"] + 1e-5)
    expected = expected * own["scale"] + own["bias"]
    np.testing.assert_allclose(out[REAL_BT], expected[REAL_BT], atol=1e-5)


@pytest.mark.parametrize("rngs", [{}, RNGS])
def test_what_stands_in_padding_changes_nothing(rngs):
    norm, variables = made()

    def run(x_BTM):
        out, state = norm.apply(variables, x_BTM, REAL_BT, rngs=rngs, mutable=["batch_stats"])
        return (jnp.where(REAL_BT[..., None], out, 0) ** 3).sum(), (out, state)

    spoilt = np.where(REAL_BT[..., None], X_BTM, np.float32(np.nan))
    gradient = jax.jit(jax.grad(run, has_aux=True))
    (grad, (out, state)), (grad_2, (out_2, state_2)) = (
        jax.tree.map(np.asarray, gradient(x)) for x in (X_BTM, spoilt)
    )
    np.testing.assert_array_equal(out[REAL_BT], out_2[REAL_BT])
    assert np.isfinite(out_2).all()
    jax.tree.map(np.testing.assert_array_equal, state, state_2)
    np.testing.assert_array_equal(grad, grad_2)
    assert not np.any(grad[~REAL_BT])


def test_nothing_real_leaves_the_running_means():
    _, variables = made()
    out, changed = in_training(variables, X_BTM, np.zeros_like(REAL_BT))
    assert np.isfinite(out).all()
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], variables["batch_stats"])


def model_of(**options):
    forward = partial(FeedForward, hidden=16)
    norms = {"norm": nn.LayerNorm, "source_norm": BatchNorm} | options
    return Transformer(vocab_size=11, size=8, heads=2, layers=1, feed_forward=forward, **norms)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_an_encoder_of_it_learns_and_decodes(pre_norm):
    model = model_of(pre_norm=pre_norm)
    variables = nn.meta.unbox(jax.jit(model.init)(jax.random.key(0), SOURCE_BS, TARGET_BT))
    assert len(jax.tree.leaves(variables["batch_stats"])) == 2 * (2 + pre_norm)

    def loss(params, state, batch, *, rng, step):
        logits, state = model.apply(
            {"params": params, **state}, batch["source"], batch["target"],
            rngs={"dropout": rng}, mutable=list(state),
        )  # fmt: skip
        return (logits**2).sum(), (jnp.float32(1), state)

    state = {"batch_stats": variables["batch_stats"]}
    state = create_state(variables["params"], state, optax.sgd(1e-3), jax.random.key(0))
    before = jax.tree.map(np.asarray, state.model_state)
    batch = {"source": SOURCE_BS, "target": TARGET_BT}
    state, metrics = make_train_step(loss, optax.sgd(1e-3), accumulate=2)(state, batch)
    assert metrics["finite"]
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, state.model_state)
    assert all(jax.tree.leaves(moved))
    learned = {"params": state.params, **state.model_state}
    full = np.asarray(jax.jit(model.apply)(learned, SOURCE_BS, TARGET_BT))
    start = jax.jit(partial(model.apply, length=3, method="start"))
    memory, cache = start(learned, SOURCE_BS)
    extend = jax.jit(partial(model.apply, method="extend"))
    for at in range(3):
        logits, cache = extend(learned, memory, cache, np.asarray(TARGET_BT)[:, at])
        logits = np.asarray(logits)
        np.testing.assert_allclose(logits[0], full[0, at], atol=1e-5)


def test_accumulated_microbatches_move_the_means_in_turn():
    """Rows are dealt out: row 0 is the first microbatch, row 1 the second."""
    norm, variables = made()

    def loss(params, state, batch, *, rng, step):
        out, state = norm.apply(
            {"params": params, **state}, batch["x"], batch["real"],
            rngs={"dropout": rng}, mutable=list(state),
        )  # fmt: skip
        return (out**2).sum(), (jnp.float32(1), state)

    expected = variables["batch_stats"]["mean_M"]
    for tokens in (X_BTM[0], X_BTM[1, :2]):
        expected = 0.9 * expected + 0.1 * tokens.mean(axis=0)
    state = {"batch_stats": variables["batch_stats"]}
    state = create_state(variables["params"], state, optax.sgd(0.0), jax.random.key(0))
    step = make_train_step(loss, optax.sgd(0.0), accumulate=2)
    state, _ = step(state, {"x": X_BTM[:2], "real": REAL_BT[:2]})
    np.testing.assert_allclose(state.model_state["batch_stats"]["mean_M"], expected, rtol=1e-5)


def test_a_causal_decoder_of_it_is_refused():
    with pytest.raises(NotImplementedError, match="cannot stand in a causal decoder"):
        jax.eval_shape(model_of(norm=BatchNorm).init, jax.random.key(0), SOURCE_BS, TARGET_BT)


def test_eight_devices_have_the_means_of_all(eight_devices):
    printed = eight_devices(
        """
        import json, jax, jax.numpy as jnp, numpy as np
        from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
        from attention.modules.normalisation import BatchNorm
        x = jnp.asarray(np.random.default_rng(0).normal(size=(16, 5, 4)), "float32")
        real = jnp.arange(5)[None] < jnp.arange(16)[:, None] % 6
        norm = BatchNorm()
        variables = norm.init(jax.random.key(0), x, real)
        run = jax.jit(lambda x, real: norm.apply(
            variables, x, real, rngs={"dropout": jax.random.key(0)}, mutable=["batch_stats"]))
        one, state = run(x, real)
        mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
        split = NamedSharding(mesh, P("data"))
        with jax.set_mesh(mesh):
            many, moved = run(jax.device_put(x, split), jax.device_put(real, split))
        errors = [float(abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(
            jax.tree.leaves((one, state)), jax.tree.leaves((many, moved)), strict=True)]
        print(json.dumps([max(errors), len(many.sharding.device_set)]))
        """
    )
    error, devices = json.loads(printed.splitlines()[-1])
    assert devices == 8
    assert error < 1e-5


def test_a_memory_that_all_layers_ask_is_normalised_once():
    model = model_of(pre_norm=True).clone(layers=2)
    variables = nn.meta.unbox(jax.jit(model.init)(jax.random.key(0), SOURCE_BS, TARGET_BT))
    train = partial(model.apply, rngs=RNGS, mutable=["batch_stats"])
    _, moved = jax.jit(train)(variables, SOURCE_BS, TARGET_BT)
    states, _ = jax.jit(partial(train, method="_states"))(variables, SOURCE_BS)
    mean_M = np.asarray(states[-1])[np.asarray(SOURCE_BS) != 0].mean(axis=0)
    ours = moved["batch_stats"]["encoder_norm"]["mean_M"]
    np.testing.assert_allclose(ours, 0.1 * mean_M, atol=1e-6)


def test_memories_that_differ_are_refused():
    model = model_of(pre_norm=True, encoder_memory=SameLayer).clone(layers=2)
    with pytest.raises(NotImplementedError, match="cannot normalise 2 memories that differ; use"):
        jax.eval_shape(model.init, jax.random.key(0), SOURCE_BS, TARGET_BT)

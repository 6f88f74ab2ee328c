"""Every attention in every slot where it is legal, and together: trained and decoded."""

import contextlib
import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.lab import build
from attention.lab.build import attentions
from attention.lab.build.model import transformer
from attention.lab.commands.resolve import resolve
from attention.lab.config import schema
from attention.lab.data.tokenizer import EOS, PAD, Tokenizer, train_tokenizer
from attention.lab.training.step import create_state, make_train_step

# Small enough that what a pattern hides matters in nine tokens.
PARAMETERS = {
    "local": {"left": 2, "right": 1},
    "dilated": {"left": 1, "right": 1, "step": 2},
    "strided": {"stride": 3},
    "fixed": {"block": 3, "summary": 1},
    "longformer": {"left": (2,), "right": (1,)},
    "bigbird": {"block": 2, "random": 1},
    "grid": {"width": 3, "rows": 1, "columns": 1},
    "axial": {"width": 3},
    "per_head": {"left": (1, 2), "right": (1, 0), "step": (1, 2)},
    "linformer": {"rank": 5},
    "conv": {"left": 1, "right": 1},
    "reformer": {"chunk": 2, "rounds": 2},
    "mixer": {"hidden": 5},
    "routing": {"clusters": 2, "left": 2, "right": 1},
    "performer": {"random_features": 6},
    "rfa": {"random_features": 16},
    "synthesizer": {"hidden": 3},
    "sinkhorn": {"block": 2},
}
SOURCE_BS = jnp.array([[4, 5, 6, 7, 9, 8, 10, 4, 1], [8, 9, 5, 6, 1, 0, 0, 0, 0]])
TARGET_BT = jnp.array([[3, 5, 4, 6, 7, 0, 0], [3, 10, 9, 8, 7, 6, 5]])

# One more sentence, and three more places: enough for another block of every pattern.
PADDED_BS = jnp.pad(SOURCE_BS, ((0, 1), (0, 3)))


def legal(slot, name):
    try:
        attentions.attention_of(slot, spec(slot, name))
    except NotImplementedError:
        return False
    return True


def spec(slot, name):
    return attentions.attention_defaults(name, slot) | PARAMETERS.get(name, {})


SLOTS = {
    slot: [name for name in attentions.ATTENTIONS if legal(slot, name)]
    for slot in ("encoder", "decoder", "cross")
}


def model_of(**slots):
    config = schema.defaults()
    config["model"] |= {"size": 8, "heads": 2, "layers": 1, "ff_size": 12, "dropout": 0.0}
    config["model"] |= {slot: spec(slot, name) for slot, name in slots.items()}
    return transformer(config).clone(vocab_size=11)


def told_of(decoder):
    """Expects the warning that a decoder may select otherwise than in training, if it does."""
    if decoder.capabilities.causal == "exact":
        return contextlib.nullcontext()
    return pytest.warns(UserWarning, match="works out the prefix again at each step of decoding")


def variables_of(model):
    """Random parameters, and a state of normal numbers and of counts of zero, without an init."""
    init = functools.partial(model.init, jax.random.key(0), SOURCE_BS, TARGET_BT)
    abstract = nn.meta.unbox(jax.eval_shape(init))
    random = np.random.default_rng(0)

    def fill(path, a):
        if not jnp.issubdtype(a.dtype, jnp.floating):
            return np.zeros(a.shape, a.dtype)
        name = jax.tree_util.keystr(path)
        drawn = random.normal(size=a.shape).astype(a.dtype)
        if not name.startswith("['params']"):
            return drawn
        return np.asarray(("scale" in name) + 0.3 * drawn, a.dtype)

    return jax.tree_util.tree_map_with_path(fill, abstract)


def check(model):
    """Logits and gradients are finite; steps of a batch with more padding give the full pass.

    Compiling takes nearly all the time: a test compiles two programs, and calls one of them often.
    """
    variables = variables_of(model)

    @jax.jit
    def grads_and_logits(params, target_BT):
        def loss(params):
            logits_BTV = model.apply(variables | {"params": params}, SOURCE_BS, target_BT)
            picked = jax.nn.log_softmax(logits_BTV)[:, :, 4]
            return -jnp.where(target_BT != 0, picked, 0).sum(), logits_BTV

        return jax.grad(loss, has_aux=True)(params)

    @jax.jit
    def by_steps(variables):
        apply = functools.partial(model.apply, variables)
        memory, cache = apply(PADDED_BS, length=TARGET_BT.shape[1], method="start")

        def step(cache, token_B):
            logits_BV, cache = apply(memory, cache, token_B, method="extend")
            return cache, logits_BV

        read_BT = jnp.pad(TARGET_BT, ((0, 1), (0, 0)))
        return jax.lax.scan(step, cache, read_BT.T)[1]

    grads, logits_BTV = grads_and_logits(variables["params"], TARGET_BT)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        leaf = np.asarray(leaf)
        assert np.isfinite(leaf).all(), path
        # Adding one number to all keys of a head changes no weight.
        key_bias = jax.tree_util.keystr(path).endswith("['key']['bias']")
        assert key_bias or np.any(leaf), path
    with told_of(model.decoder):
        steps_TBV = by_steps(variables)
    for t, logits_BV in enumerate(np.asarray(steps_TBV)[:, :2]):
        real_B = np.asarray(TARGET_BT)[:, t] != 0
        if model.decoder.capabilities.causal != "exact":  # later tokens change what is selected
            prefix_BT = np.where(np.arange(TARGET_BT.shape[1]) <= t, TARGET_BT, 0)
            _, logits_BTV = grads_and_logits(variables["params"], prefix_BT)
        full_BV = np.asarray(logits_BTV)[real_B, t]
        np.testing.assert_allclose(logits_BV[real_B], full_BV, atol=1e-5)


TOGETHER = [
    {slot: names[number % len(names)] for slot, names in SLOTS.items()}
    for number in range(max(map(len, SLOTS.values())))
]


# The laws have every attention; that a model is made of it hangs on the slot more than on which.
@pytest.mark.slow
@pytest.mark.parametrize(
    "slots",
    [
        pytest.param(slots, marks=pytest.mark.long if number % 3 else (), id="-".join(names))
        for number, slots in enumerate(TOGETHER)
        for names in [slots.values()]
    ],
)
def test_in_every_slot(slots):
    check(model_of(**slots))


@pytest.mark.long
@pytest.mark.parametrize(
    ("slot", "name"), [(slot, name) for slot, names in SLOTS.items() for name in names]
)
def test_alone_in_every_slot(slot, name):
    """Beside softmax attention, so that a failure names the attention and the slot."""
    check(model_of(**{slot: name}))


FEWER = [  # than the quickstart has
    "--config.model.layers=1",
    "--config.model.heads=2",
    "--config.data.train_pairs=2000",
    "--config.train.warmup=1",
]


@pytest.fixture(scope="module")
def batch():
    """The quickstart's tokeniser and a batch of its sentences."""
    config = resolve("experiments/quickstart.py", FEWER)
    pairs = build.data_of(config).pairs("train")
    tokenizer = Tokenizer(train_tokenizer([*pairs.source, *pairs.target], 1_500))
    source, target = (
        [np.asarray(tokenizer.encode(text)) for text in texts[:8]]
        for texts in (pairs.source, pairs.target)
    )
    rows = {"source_BS": source, "target_BT": target}
    filled = {name: jnp.asarray(fill(tokens)) for name, tokens in rows.items()}
    return tokenizer, filled


def fill(rows):
    """Rows of tokens with their ends, filled up to the longest."""
    longest = max(map(len, rows)) + 1
    ended = [np.append(row, EOS) for row in rows]
    return np.stack([np.pad(row, (0, longest - len(row)), constant_values=PAD) for row in ended])


@pytest.mark.long
@pytest.mark.parametrize("slots", TOGETHER, ids=lambda slots: "-".join(slots.values()))
def test_the_quickstart_trains_and_decodes(slots, batch):
    """Every attention in every slot where it is legal, by the config that users start from."""
    tokenizer, rows = batch
    structure = ",".join(f"{slot}={name}" for slot, name in slots.items())
    config = resolve(f"experiments/quickstart.py:{structure}", FEWER)
    for slot, name in slots.items():
        config["model"][slot] = spec(slot, name)
    experiment = build.experiment(config)
    task, optimiser = experiment.task(tokenizer), experiment.optimiser
    params, model_state = task.init(jax.random.key(0))
    update = make_train_step(task.loss, optimiser)
    state = create_state(params, model_state, optimiser, jax.random.key(1))
    losses = []
    for _ in range(4):
        state, metrics = update(state, rows)
        assert metrics["finite"]
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0]
    search = dataclasses.replace(experiment.search, beams=2, max_length=9)
    with told_of(task.model.decoder):
        beams = jax.jit(functools.partial(task.search, search=search))(
            state.params, state.model_state, rows["source_BS"]
        )
    assert np.isfinite(beams.scores_BN).all()
    assert len(task.texts(np.asarray(beams.tokens_BNT)[:, 0])) == len(rows["source_BS"])


NEVER_CAUSAL = {"global", "bigbird", "graph", "linformer", "fnet", "mixer"}
ACROSS = {
    *("softmax", "additive", "relu", "learned_temperature", "cosine", "linformer", "compressed"),
    *("linear", "efficient", "performer", "rfa"),
    *("location", "monotonic"),
}
CARRIED = {"location", "monotonic"}


def test_what_is_legal():
    names = set(attentions.ATTENTIONS)
    assert set(SLOTS["encoder"]) == names - CARRIED
    assert set(SLOTS["decoder"]) == names - NEVER_CAUSAL - CARRIED
    assert set(SLOTS["cross"]) == ACROSS
    assert set(PARAMETERS) <= names


@pytest.mark.parametrize(
    ("slot", "name"),
    [
        (slot, name)
        for slot, names in SLOTS.items()
        for name in attentions.ATTENTIONS
        if name not in names
    ],
)
def test_what_is_illegal_is_refused_with_a_remedy(slot, name):
    with pytest.raises(NotImplementedError) as error:
        attentions.attention_of(slot, spec(slot, name))
    refused = f"config.model.{slot}: {attentions.ATTENTIONS[name].__name__} cannot "
    assert str(error.value).startswith(refused)
    assert "; use Softmax" in str(error.value)
    assert "\n" not in str(error.value)

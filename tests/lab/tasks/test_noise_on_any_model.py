"""What the decoder reads in training, on every decoder, every cross-attention and eight devices."""

import functools
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.lab.data.tokenizer import BOS, PAD
from attention.lab.tasks.translation import Translation, shift_right
from attention.lab.training import noise
from attention.lab.training.losses import cross_entropy
from tests.models.test_slots import SLOTS, SOURCE_BS, TARGET_BT, model_of, variables_of

MIXES = [noise.Argmax(), noise.Sample(), noise.TopK(k=3), noise.Soft(), noise.Gumbel()]
LIKE_GUMBEL = [noise.Sample(), noise.TopK(k=3)]  # which draw words as it draws numbers
DRAWN = [noise.Gumbel(), noise.Sample(), noise.TopK(k=3)]
NEVER_SAMPLED, ALWAYS_SAMPLED = 0, 1  # steps of the decay below
RNG = jax.random.key(2)
DECAY = noise.Linear(k=1.0, c=1.0)
BATCH = {"source_BS": SOURCE_BS, "target_BT": TARGET_BT}
TOGETHER = [
    {"decoder": name, "cross": SLOTS["cross"][number % len(SLOTS["cross"])]}
    for number, name in enumerate(SLOTS["decoder"])
]
ALONE = [{slot: name} for slot in ("decoder", "cross") for name in SLOTS[slot]]


def task_of(reads, **slots):
    model = model_of(encoder="fnet", **slots)  # of all encoders the least to compile
    return Translation(model, tokenizer=None, noise=reads, label_smoothing=0.0)


def made(task):
    """Parameters such that no two tokens are as likely, and the model's state."""
    variables = variables_of(task.model)
    return variables["params"], {name: v for name, v in variables.items() if name != "params"}


def loss_of(task, batch=BATCH):
    """The mean loss and the model's state after it, by parameters, state and step."""

    def loss(params, state, step):
        total, (weight, moved) = task.loss(params, state, batch, rng=RNG, step=step)
        return total / weight, moved

    return loss


def logits_of(model, read_BT):
    """As many positions as the target has, whatever is read."""
    y_BTM, memories = model.embed_target(read_BT), model.memories(SOURCE_BS)
    lengths = model.lengths(SOURCE_BS), model.lengths(TARGET_BT)
    return model.decode(y_BTM, memories, *lengths, SOURCE_BS)


def read_after(said_BT):
    """What is read where a first pass said these, by hand: the start, then what was said."""
    read_BT = np.where(TARGET_BT != PAD, np.roll(said_BT, 1, axis=1), PAD)
    read_BT[:, 0] = BOS
    return read_BT


@pytest.mark.slow
@pytest.mark.parametrize(
    "slots",
    [
        *TOGETHER[::4],
        *(
            pytest.param(slots, marks=pytest.mark.long)
            for slots in [*TOGETHER, *ALONE]
            if slots not in TOGETHER[::4]
        ),
    ],
    ids=lambda slots: "-".join(f"{slot}={name}" for slot, name in slots.items()),
)
def test_rate_0_is_teacher_forcing_and_rate_1_reads_the_first_pass(slots):
    task = task_of(noise.ScheduledSampling(DECAY), **slots)
    params, state = made(task)
    rng, rng_first_pass, _ = jax.random.split(RNG, 3)  # some draw hashes or noise

    @jax.jit
    def apply(read_BT, rng):
        variables, rngs = {"params": params, **state}, {"dropout": rng}
        changing = {"rngs": rngs, "mutable": list(state), "method": logits_of}
        return task.model.apply(variables, read_BT, **changing)[0]

    def expected(read_BT):
        total, weight = cross_entropy(apply(read_BT, rng), TARGET_BT, TARGET_BT != PAD)
        return total / weight

    gold_BT = np.asarray(shift_right(TARGET_BT))
    read_BT = read_after(np.asarray(apply(gold_BT, rng_first_pass)).argmax(axis=-1))
    assert (read_BT != gold_BT).any()
    loss = jax.jit(loss_of(task))
    np.testing.assert_allclose(loss(params, state, NEVER_SAMPLED)[0], expected(gold_BT), rtol=1e-6)
    np.testing.assert_allclose(loss(params, state, ALWAYS_SAMPLED)[0], expected(read_BT), rtol=1e-5)


@functools.cache
def by_gold(**slots):
    """Parameters and state, and the gradients and the state that come of the gold tokens."""
    task = task_of(noise.TeacherForcing(), **slots)
    params, state = made(task)
    return params, state, jax.jit(jax.grad(loss_of(task), has_aux=True))(params, state, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slots", "mix"),
    [
        ({"decoder": "routing", "cross": "monotonic"}, noise.Argmax()),
        *(
            pytest.param({"decoder": "gru", "cross": "linear"}, mix, marks=marks)
            for mix, marks in (
                (mix, pytest.mark.long if mix in LIKE_GUMBEL else ()) for mix in MIXES
            )
        ),
    ],
)
def test_gradients_with_every_mix(slots, mix):
    """Without sampling the first pass adds nothing; with it, and with backprop, it is finite."""
    params, state, (expected, moved) = by_gold(**slots)
    mixed = task_of(noise.ScheduledSampling(DECAY, mix, backprop=True), **slots)
    of_mixed = jax.jit(jax.grad(loss_of(mixed), has_aux=True))
    ours, ours_moved = of_mixed(params, state, NEVER_SAMPLED)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), ours, expected)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), ours_moved, moved)
    sampled, _ = of_mixed(params, state, ALWAYS_SAMPLED)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(sampled))
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (sampled, ours)), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)])
def test_eight_devices_read_what_one_does(eight_devices, every):
    """One mix on one of the meshes, or each on every mesh."""
    printed = eight_devices(
        "from tests.lab.tasks import test_noise_on_any_model as here; "
        f"here.print_on_meshes(every={every})"
    )
    found = json.loads(printed.splitlines()[-1])
    assert len(found) == (2 * len(DRAWN) if every else 1)
    for one, many, gold in found.values():
        np.testing.assert_allclose(many, one, rtol=1e-4)
        assert abs(one[0] - gold) > 1e-4


def print_on_meshes(every):
    """Loss and norm of the gradient with half of the tokens sampled, on one device and on eight."""
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P

    from tests.laws.sharded import MESHES  # which takes eight devices

    random = np.random.default_rng(0)
    batch = {
        "source_BS": jnp.asarray(random.integers(4, 11, (16, 6)), jnp.int32),
        "target_BT": jnp.asarray(random.integers(4, 11, (16, 5)), jnp.int32),
    }
    plain = task_of(noise.TeacherForcing(), decoder="local", cross="softmax")
    params, state = made(plain)

    def numbers(task, batch):
        (value, _), grads = jax.jit(jax.value_and_grad(loss_of(task, batch), has_aux=True))(
            params, state, 0
        )
        squares = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(grads))
        return float(value), squares**0.5

    gold, found = float(jax.jit(loss_of(plain, batch))(params, state, 0)[0]), {}
    for mix in DRAWN if every else DRAWN[:1]:
        reads = noise.ScheduledSampling(noise.Constant(0.5), mix, backprop=True)
        task = task_of(reads, decoder="local", cross="softmax")
        one = numbers(task, batch)
        meshes = list(MESHES.items())
        for name, mesh in meshes if every else meshes[1:]:
            with jax.set_mesh(mesh):
                split = jax.device_put(batch, NamedSharding(mesh, P("data")))
                found[f"{type(mix).__name__} {name}"] = one, numbers(task, split), gold
    print(json.dumps(found))

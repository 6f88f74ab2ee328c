"""Dropout of attention weights: on in training alone, and different wherever it should be.

That masks are the same on any number of devices, and differ between them, is with law 8.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import Transformer
from attention.lab.training import optimiser, schedules
from attention.lab.training.step import create_state, make_train_step
from attention.testing.draw import draw, numbers
from attention.testing.masks import Setting
from attention.variants import Softmax
from tests.laws.cases import DROPPING
from tests.laws.settings import places_of

ALONE = [case for case in DROPPING if case.module is None]


def weights_of(case, rng, length=24):
    """A_BHQK where all scores are equal: 0 where dropped, else one number."""
    drawn = draw(Setting(case, "encoder", "all"), batch=3, q_len=length)
    inputs = {name: jnp.zeros_like(x) for name, x in drawn.inputs.items()}
    eye_BKHK = jnp.eye(length)[None, :, None].repeat(3, 0).repeat(drawn.sizes.heads, 2)
    out_BQHK = drawn.out(rng, inputs=inputs | {"v": eye_BKHK})
    return np.swapaxes(np.asarray(out_BQHK), 1, 2)


@pytest.mark.parametrize("setting", places_of(DROPPING))
def test_without_an_rng_nothing_is_dropped(setting):
    case = setting.case
    drawn = draw(setting)
    kept = dataclasses.replace(case, attend=dataclasses.replace(case.attend, dropout_rate=0.0))
    plain = numbers(drawn.out())
    np.testing.assert_allclose(plain, numbers(drawn.out(case=kept)), atol=1e-6)
    one, again, other = (numbers(drawn.out(jax.random.key(seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.any(one != plain)
    assert np.any(one != other)


@pytest.mark.parametrize("case", ALONE, ids=str)
def test_weights_are_dropped_or_scaled(case):
    rate = case.attend.dropout_rate
    weights = weights_of(case, jax.random.key(0))
    whole = 1 / weights.shape[-1] / (1 - rate)
    assert np.all((weights == 0) | (np.abs(weights - whole) < 1e-6))
    share = (weights == 0).mean()
    assert abs(share - rate) < 4 * np.sqrt(rate * (1 - rate) / weights.size)


@pytest.mark.parametrize("case", ALONE, ids=str)
def test_masks_differ_across_examples_heads_and_queries(case):
    kept_BHQK = weights_of(case, jax.random.key(0)) > 0
    for axis in (0, 1, 2):
        slices = np.moveaxis(kept_BHQK, axis, 0)
        assert len({part.tobytes() for part in slices}) == len(slices)
    # Nor is a mask another's neighbour: rows agree by chance alone.
    rows = kept_BHQK.reshape(-1, kept_BHQK.shape[-1])
    assert len(np.unique(rows, axis=0)) > 0.9 * len(rows)


@pytest.mark.parametrize("case", ALONE, ids=str)
def test_the_gradient_drops_what_the_forward_pass_dropped(case):
    drawn = draw(Setting(case, "encoder", "all"), q_len=24)
    rng = jax.random.key(0)

    def out(v):
        inputs = drawn.inputs | {"v": v}
        return case.apply(drawn.sizes, drawn.variables, inputs, drawn.mask, drawn.bias, rng)

    # Linear in v: the gradient of any weighing of outputs is that weighing of the same matrix.
    v = drawn.inputs["v"]
    weigh = jnp.cos(jnp.arange(v.size, dtype="float32")).reshape(v.shape)
    grad = jax.jit(jax.grad(lambda v: (out(v) * weigh).sum()))(v)
    other = jnp.sin(jnp.arange(v.size, dtype="float32")).reshape(v.shape)
    np.testing.assert_allclose((grad * other).sum(), (jax.jit(out)(other) * weigh).sum(), rtol=1e-4)


KEYS: list[bytes] = []  # the rngs that attentions were given, as they run


@dataclasses.dataclass(frozen=True)
class Recording(Softmax):
    """Notes each rng that it is given."""

    def _attend(self, params, state, inputs, rng):
        assert rng is not None
        jax.debug.callback(lambda data: KEYS.append(np.asarray(data).tobytes()),
                           jax.random.key_data(rng))  # fmt: skip
        return super()._attend(params, state, inputs, rng)


@pytest.mark.slow
def test_masks_differ_across_steps_layers_and_microbatches():
    """By the rngs that attentions get in training; above, masks differ as their rngs do."""
    steps, microbatches, layers = 2, 2, 2
    attention = Recording(dropout_rate=0.1)
    model = Transformer(
        vocab_size=7, size=4, heads=2, layers=layers, encoder=attention, decoder=attention,
        cross=attention,
    )  # fmt: skip
    tokens = jnp.ones((4, 3), jnp.int32)
    rng = jax.random.key(0)
    variables = jax.jit(model.init)({"params": rng, "dropout": rng}, tokens, tokens)

    def loss(params, model_state, batch, *, rng, step):
        logits = model.apply(
            {"params": params}, batch["x_BT"], batch["x_BT"], rngs={"dropout": rng}
        )
        return (logits**2).sum(), (jnp.float32(1), model_state)

    opt = optimiser.adam(schedules.constant(peak=1e-3, warmup=1))
    update = make_train_step(loss, opt, accumulate=microbatches)
    state = create_state(variables["params"], {}, opt, jax.random.key(1))
    jax.effects_barrier()
    KEYS.clear()
    for _ in range(steps):
        state, _ = update(state, {"x_BT": tokens})
    jax.effects_barrier()
    # Encoder, decoder and cross attention in each layer. Counted as a set: a pass may run twice.
    assert len(set(KEYS)) == steps * microbatches * layers * 3

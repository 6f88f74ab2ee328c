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
from attention.testing import dropout
from attention.variants import Softmax
from tests.laws.cases import DROPPING
from tests.laws.settings import slots_of

ALONE = [case for case in DROPPING if case.module is None]


@pytest.mark.parametrize("setting", slots_of(DROPPING))
def test_without_an_rng_nothing_is_dropped(setting):
    dropout.without_an_rng_nothing_is_dropped(setting)


@pytest.mark.parametrize("case", ALONE, ids=str)
def test_weights_are_dropped_or_scaled(case):
    dropout.weights_are_dropped_or_scaled(case)


@pytest.mark.parametrize("case", ALONE, ids=str)
def test_masks_differ_across_examples_heads_and_queries(case):
    dropout.dropped_weights_differ(case)


@pytest.mark.parametrize("case", ALONE, ids=str)
def test_the_gradient_drops_what_the_forward_pass_dropped(case):
    dropout.the_gradient_drops_what_the_forward_pass_dropped(case)


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

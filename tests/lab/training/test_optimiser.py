"""Adam against a transcription, and what is put around it."""

import jax
import jax.numpy as jnp
import numpy as np

from attention.lab.training import optimiser, schedules


def test_equals_adam_in_numpy():
    schedule = schedules.inverse_sqrt(model_size=4, warmup=3)
    opt = optimiser.adam(schedule)
    x = np.array([1.0, -2.0, 3.0])
    params = {"x": jnp.asarray(x, jnp.float32)}
    state = opt.init(params)
    m, v = np.zeros(3), np.zeros(3)
    for t in range(1, 6):
        g = np.sin(x) * t
        updates, state = opt.update({"x": jnp.asarray(g, jnp.float32)}, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g**2
        rate = 4**-0.5 * min(t**-0.5, t * 3**-1.5)
        x = x - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.98**t)) + 1e-9)
        np.testing.assert_allclose(params["x"], x, rtol=1e-5, atol=2e-6)  # x crosses 0
        np.testing.assert_allclose(state[-1].learning_rate, rate, rtol=1e-6)


def test_clipping_is_by_the_norm_of_all():
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    grads = {"a": jnp.array([30.0]), "b": jnp.array([40.0])}
    states = []
    for clip, scale in ((5.0, 0.1), (1000.0, 1.0)):
        opt = optimiser.adam(schedules.constant(peak=1.0), clip=clip)
        _, state = opt.update(grads, opt.init(params), params)
        states.append(state)
        np.testing.assert_allclose(state[1].mu["b"], [4.0 * scale], rtol=1e-6)


def test_weight_decay_spares_biases():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    opt = optimiser.adam(schedules.constant(peak=0.5), weight_decay=0.1)
    updates, _ = opt.update(jax.tree.map(jnp.zeros_like, params), opt.init(params), params)
    np.testing.assert_allclose(updates["kernel"], np.full((2, 2), -0.05), rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], np.zeros(2))

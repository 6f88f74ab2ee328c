"""Laws of what the decoder reads."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.lab.training import noise
from attention.lab.training.mixes import draw

B, T, V, M = 16, 24, 11, 6
BOS = 3
TABLE, DENSE = (
    np.asarray(jax.random.normal(jax.random.key(seed), shape))
    for seed, shape in ((5, (V, M)), (6, (M, V)))
)
RNG = jax.random.key(7)
HARD = [noise.Argmax(), noise.Sample(0.7)]
SOFT = [noise.Soft(0.7), noise.TopK(0.7, 3), noise.Gumbel(0.7)]


def embed(x, table=TABLE):
    return x @ table if x.ndim == 3 else jnp.asarray(table)[x]


def predict(y_BTM):
    return jnp.cumsum(y_BTM, axis=1) @ DENSE


def sample(batch=B, length=T):
    random = np.random.default_rng(0)
    gold_BT = random.integers(4, V, (batch, length))
    gold_BT[:, 0] = BOS
    valid_BT = np.arange(length)[None, :] < random.integers(length // 2, length + 1, (batch, 1))
    return np.where(valid_BT, gold_BT, 0).astype("int32"), valid_BT


@functools.partial(jax.jit, static_argnums=0)
def input_of(value, gold_BT, valid_BT, step, rng):
    return value.decoder_input(gold_BT, predict, embed, rng=rng, step=step, valid_BT=valid_BT)


first_pass = jax.jit(lambda gold_BT: predict(embed(gold_BT)))


def read(value, gold_BT, valid_BT, step=0, rng=RNG):
    """The tokens that the decoder reads, found by their embeddings."""
    y_BTM = input_of(value, gold_BT, valid_BT, step, rng)
    distance_BTV = np.sum((np.asarray(y_BTM)[:, :, None] - np.asarray(TABLE)) ** 2, axis=-1)
    assert np.all(distance_BTV.min(axis=-1) == 0)
    return distance_BTV.argmin(axis=-1)


def within_four_sigma(share, rate, count):
    return abs(share - rate) <= 4 * math.sqrt(rate * (1 - rate) / count)


@pytest.mark.parametrize(
    ("decay", "step", "expected"),
    [
        (noise.Constant(0.25), 10**6, 0.75),
        (noise.Linear(k=0.9, c=1e-3, floor=0.2), 0, 0.9),
        (noise.Linear(k=0.9, c=1e-3, floor=0.2), 300, 0.6),
        (noise.Linear(k=0.9, c=1e-3, floor=0.2), 5000, 0.2),
        (noise.Exponential(0.99), 0, 1.0),
        (noise.Exponential(0.99), 100, 0.3660323413),
        (noise.Exponential(0.99), 10**9, 0.0),
        (noise.InverseSigmoid(100.0), 0, 100 / 101),
        (noise.InverseSigmoid(100.0), 300, 100 / (100 + math.exp(3))),
        (noise.InverseSigmoid(100.0), 10**9, 0.0),
    ],
)
def test_decays_at_hand_computed_steps(decay, step, expected):
    value = decay.gold_probability(jnp.int32(step))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=2e-6)


@pytest.mark.parametrize("mix", [*HARD, *SOFT])
@pytest.mark.parametrize("backprop", [False, True])
def test_rate_0_is_teacher_forcing_bit_for_bit(mix, backprop):
    gold_BT, valid_BT = sample()
    values = noise.ScheduledSampling(noise.Constant(0.0), mix, backprop), noise.TeacherForcing()

    def loss(table, value):
        y_BTM = value.decoder_input(
            gold_BT, predict, lambda x: embed(x, table), rng=RNG, step=9, valid_BT=valid_BT
        )
        return jnp.sum(jnp.tanh(predict(y_BTM)))

    results = [jax.jit(jax.value_and_grad(lambda t, v=v: loss(t, v)))(TABLE) for v in values]
    assert float(results[0][0]) == float(results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_rate_1_reads_the_first_pass_shifted():
    gold_BT, valid_BT = sample()
    tokens_BT = read(noise.ScheduledSampling(noise.Constant(1.0)), gold_BT, valid_BT)
    first_BT = np.asarray(first_pass(gold_BT)).argmax(axis=-1)
    expected_BT = np.concatenate([np.asarray(gold_BT)[:, :1], first_BT[:, :-1]], axis=1)
    np.testing.assert_array_equal(tokens_BT, np.where(valid_BT, expected_BT, gold_BT))


@pytest.mark.parametrize("mix", [*HARD, noise.Soft(), noise.TopK(k=1)])
def test_the_coin_is_tossed_per_token_and_spares_bos_and_padding(mix):
    rate = 0.3
    gold_BT, valid_BT = sample(4_000, 40)
    # A first pass that always says 1, which gold never does; no constant, which XLA would fold.
    says_one_BTV = np.full((*gold_BT.shape, V), -1e9, "float32")
    says_one_BTV[..., 1] = 0

    @jax.jit
    def run(gold_BT, valid_BT, says_one_BTV, rng):
        return noise.ScheduledSampling(noise.Constant(rate), mix).decoder_input(
            gold_BT, lambda _: says_one_BTV, embed, rng=rng, step=0, valid_BT=valid_BT
        )

    y_BTM = run(gold_BT, valid_BT, says_one_BTV, RNG)
    swapped_BT = np.all(np.asarray(y_BTM) == TABLE[1], axis=-1)
    open_BT = valid_BT & (np.arange(40) > 0)[None, :]
    assert open_BT.sum() > 1e5
    assert not swapped_BT[~open_BT].any()
    assert within_four_sigma(swapped_BT[open_BT].mean(), rate, open_BT.sum())
    # A coin per sentence would make rows all alike, a coin per column would make columns so.
    assert np.ptp(swapped_BT.sum(axis=1)) > 0
    assert 0 < swapped_BT[:, 1].mean() < 1
    assert swapped_BT.sum(axis=1).max() < open_BT.sum(axis=1).max()


def test_the_share_follows_the_schedule():
    gold_BT, valid_BT = sample(64, 40)
    value = noise.ScheduledSampling(noise.Linear(k=1.0, c=0.01))
    early, late = (
        np.mean(read(value, gold_BT, valid_BT, step) != np.asarray(gold_BT)) for step in (5, 90)
    )
    assert early < 0.1 < late


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_token_noise(rate):
    gold_BT, valid_BT = sample(64, 40)
    tokens_BT = read(noise.TokenNoise(rate, vocab_size=V), gold_BT, valid_BT)
    open_BT = valid_BT & (np.arange(40) > 0)[None, :]
    changed_BT = tokens_BT != np.asarray(gold_BT)
    assert not changed_BT[~open_BT].any()
    # One in V - 4 random tokens is the gold one.
    expected = rate * (1 - 1 / (V - 4))
    assert within_four_sigma(changed_BT[open_BT].mean(), expected, open_BT.sum())
    assert set(tokens_BT[changed_BT]) == set(range(4, V))


def test_token_noise_of_rate_0_is_teacher_forcing():
    gold_BT, valid_BT = sample()
    np.testing.assert_array_equal(read(noise.TokenNoise(0.0, V), gold_BT, valid_BT), gold_BT)


def test_token_noise_goes_before_scheduled_sampling():
    gold_BT, valid_BT = sample(64, 40)
    before = noise.TokenNoise(1.0, V, first_token=V - 1)
    gold_read = read(noise.ScheduledSampling(noise.Constant(0.0), before=before), gold_BT, valid_BT)
    open_BT = valid_BT & (np.arange(40) > 0)[None, :]
    assert np.all(gold_read[open_BT] == V - 1)
    tokens_BT = read(noise.ScheduledSampling(noise.Constant(1.0), before=before), gold_BT, valid_BT)
    first_BT = np.asarray(first_pass(gold_read.astype("int32"))).argmax(axis=-1)
    np.testing.assert_array_equal(
        tokens_BT[:, 1:][open_BT[:, 1:]], first_BT[:, :-1][open_BT[:, 1:]]
    )


@pytest.mark.parametrize("mix", HARD)
def test_backprop_is_straight_through(mix):
    """Forward as without; backward, the first pass's logits get the softmax's gradient."""
    gold_BT, valid_BT = sample(2, 5)
    ways = [noise.ScheduledSampling(noise.Constant(1.0), mix, backprop=b) for b in (False, True)]

    def loss(dense, value):
        y_BTM = value.decoder_input(
            gold_BT,
            lambda y: y @ dense,
            embed,
            rng=RNG,
            step=0,
            valid_BT=valid_BT,
        )
        return jnp.sum(y_BTM)

    run = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    (off, off_grad), (on, on_grad) = (run(DENSE, v) for v in ways)
    assert float(off) == float(on)
    assert not np.any(off_grad)
    open_BT = (valid_BT & (np.arange(5) > 0)[None, :])[..., None]

    def soft(dense):
        p_BTV = mix.weights(embed(gold_BT) @ dense)
        return jnp.sum(jnp.where(open_BT, jnp.roll(p_BTV @ TABLE, 1, axis=1), 0))

    np.testing.assert_allclose(on_grad, jax.jit(jax.grad(soft))(DENSE), rtol=1e-5, atol=1e-6)


def weights_by_loops(mix, logits_BTV):
    """A soft mix of Gumbel's by its own random numbers, of the others by the definition."""
    logits_BTV = np.asarray(logits_BTV, np.float64)
    if isinstance(mix, noise.Gumbel):
        logits_BTV = logits_BTV + np.asarray(jax.random.gumbel(RNG, logits_BTV.shape, "float32"))
    weights_BTV = np.zeros_like(logits_BTV)
    for at in np.ndindex(logits_BTV.shape[:2]):
        kept = np.argsort(-logits_BTV[at], kind="stable")[: getattr(mix, "k", None)]
        p = np.exp((logits_BTV[at][kept] - logits_BTV[at].max()) / mix.temperature)
        weights_BTV[at][kept] = p / p.sum()
    return weights_BTV


@functools.partial(jax.jit, static_argnums=0)
def chosen(mix, logits_BTV):
    return mix.choose(logits_BTV, rng=RNG)


@pytest.mark.parametrize("mix", [*SOFT, noise.TopK(1e6, 3), noise.TopK(k=V)])
@pytest.mark.parametrize("ties", [False, True])
def test_soft_mixes_weigh_embeddings(mix, ties):
    shape = (2, 3, V)
    logits_BTV = np.zeros(shape) if ties else np.random.default_rng(1).normal(size=shape)
    logits_BTV = logits_BTV.astype("float32")
    weights_BTV = chosen(mix, logits_BTV)
    np.testing.assert_allclose(weights_BTV, weights_by_loops(mix, logits_BTV), atol=1e-6)
    assert weights_BTV.dtype == logits_BTV.dtype


@pytest.mark.parametrize("mix", SOFT)
def test_rate_1_reads_the_means_of_the_first_pass_shifted(mix, monkeypatch):
    gold_BT, valid_BT = sample()
    monkeypatch.setattr(jax.random, "split", lambda rng, count=2: [RNG] * count)
    value = noise.ScheduledSampling(noise.Constant(1.0), mix)
    given = {"rng": RNG, "step": 0, "valid_BT": valid_BT}
    # `input_of` may be compiled already, with keys that were split.
    y_BTM = jax.jit(lambda gold_BT: value.decoder_input(gold_BT, predict, embed, **given))(gold_BT)
    mean_BTM = weights_by_loops(mix, first_pass(gold_BT)) @ TABLE
    open_BT = valid_BT & (np.arange(T) > 0)[None, :]
    shifted_BTM = np.roll(mean_BTM, 1, axis=1)
    expected_BTM = np.where(open_BT[..., None], shifted_BTM, TABLE[gold_BT])
    np.testing.assert_allclose(y_BTM, expected_BTM, atol=1e-5)


@pytest.mark.parametrize("mix", SOFT)
def test_soft_mixes_have_their_own_gradient_with_backprop_and_none_without(mix, monkeypatch):
    gold_BT, valid_BT = sample(2, 5)
    open_BT = (valid_BT & (np.arange(5) > 0)[None, :])[..., None]
    monkeypatch.setattr(jax.random, "split", lambda rng, count=2: [RNG] * count)

    def loss(dense, backprop):
        value = noise.ScheduledSampling(noise.Constant(1.0), mix, backprop)
        y_BTM = value.decoder_input(
            gold_BT, lambda y: y @ dense, embed, rng=RNG, step=0, valid_BT=valid_BT
        )
        return jnp.sum(y_BTM**2)

    def mean(dense):
        y_BTM = mix.choose(embed(gold_BT) @ dense, rng=RNG) @ TABLE
        return jnp.sum(jnp.where(open_BT, jnp.roll(y_BTM, 1, axis=1), 0) ** 2)

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    on, off = (gradient(DENSE, backprop) for backprop in (True, False))
    assert not np.any(off)
    np.testing.assert_allclose(on, jax.jit(jax.grad(mean))(DENSE), rtol=1e-4, atol=1e-4)


def test_gumbel_s_greatest_weight_follows_the_softmax():
    count = 20_000
    logits_V = np.array([0.0, 2.0, -1.0, 1.0, -3.0], "float32")
    weights_BTV = chosen(noise.Gumbel(0.5), np.broadcast_to(logits_V, (2, count // 2, 5)))
    shares_V = np.bincount(np.ravel(np.asarray(weights_BTV).argmax(axis=-1)), minlength=5) / count
    for share, p in zip(shares_V, np.asarray(jax.nn.softmax(logits_V)), strict=True):
        assert within_four_sigma(share, p, count)


def test_straight_through_trains_the_table_as_the_chosen_tokens_do():
    """The table's gradient in the second pass is that of a lookup, as without backprop."""
    gold_BT, valid_BT = sample(2, 5)
    fixed = jax.random.normal(RNG, (2, 5, V))

    def loss(table, backprop):
        value = noise.ScheduledSampling(noise.Constant(1.0), backprop=backprop)
        y_BTM = value.decoder_input(
            gold_BT, lambda y: fixed, lambda x: embed(x, table), rng=RNG, step=0, valid_BT=valid_BT
        )
        return jnp.sum(y_BTM**2)

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    grads = [gradient(TABLE, backprop) for backprop in (False, True)]
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-6)


def test_without_backprop_the_first_pass_has_no_backward_pass():
    gold_BT, valid_BT = sample()

    def flops(value):
        def loss(dense):
            passes = lambda y: jnp.tanh(y @ dense) @ dense.T @ dense  # noqa: E731
            y_BTM = value.decoder_input(gold_BT, passes, embed, rng=RNG, step=0, valid_BT=valid_BT)
            return jnp.sum(passes(y_BTM) ** 2)

        jaxpr = jax.make_jaxpr(jax.grad(loss))(DENSE)
        return str(jaxpr).count("dot_general")

    teacher = flops(noise.TeacherForcing())
    assert flops(noise.ScheduledSampling(noise.Constant(0.5))) == teacher + 3
    assert flops(noise.ScheduledSampling(noise.Constant(0.5), backprop=True)) > teacher + 3


def test_drawing_follows_the_softmax():
    count = 20_000
    logits_V = np.array([0.0, 2.0, -np.inf, 1.0, -3.0, -np.inf, 0.5, -np.inf], "float32")
    tokens_BT = jax.jit(draw)(RNG, np.broadcast_to(logits_V, (2, count // 2, 8)))
    shares_V = np.bincount(np.ravel(tokens_BT), minlength=8) / count
    for share, p in zip(shares_V, np.asarray(jax.nn.softmax(logits_V)), strict=True):
        assert within_four_sigma(share, p, count)


def test_drawing_at_the_ends_of_the_unit_interval(monkeypatch):
    logits_BTV = np.array([[[-np.inf, 1.0, -np.inf, 0.0, -np.inf]]], "float32")
    for uniform, token in ((0.0, 1), (1 - 2**-24, 3), (1.0, 3)):
        monkeypatch.setattr(jax.random, "uniform", lambda *_, u=uniform: jnp.full((1, 1), u))
        assert int(jax.jit(lambda logits: draw(RNG, logits))(logits_BTV)[0, 0]) == token


def test_low_temperature_is_argmax():
    logits_BTV = jax.random.normal(RNG, (3, 7, 50))
    cold = chosen(noise.Sample(1e-4), logits_BTV)
    np.testing.assert_array_equal(cold, chosen(noise.Argmax(), logits_BTV))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: noise.Linear(k=1.5), "k must be in"),
        (lambda: noise.Exponential(1.0), "k of an exponential decay"),
        (lambda: noise.InverseSigmoid(0.5), "k of an inverse sigmoid decay must be >= 1"),
    ],
)
def test_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()

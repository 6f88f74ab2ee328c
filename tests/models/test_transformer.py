"""The Transformer against float64 NumPy; counts, causality, padding, cached decoding."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import Transformer
from attention.modules.embeddings import LearnedPositions
from attention.modules.feed_forward import FeedForward, GatedFeedForward
from attention.modules.position_biases import ALiBiPositions, RelativePositions
from attention.positions import Rotary
from attention.variants import Local, Softmax
from tests.reference.transformer import Transformer as NumpyTransformer

SMALL = dict(vocab_size=11, size=8, heads=2, layers=1, feed_forward=partial(FeedForward, hidden=12))
LEARNED = dict(positions=partial(LearnedPositions, length=9))
ROTARY = dict(positions=None, rotary=Rotary())
GATED = dict(feed_forward=partial(GatedFeedForward, hidden=12))

# Options of our Transformer, and what the NumPy one calls them.
FORMS = {
    "post, sinusoidal": (dict(layers=2), dict()),
    "pre, learned, untied": (
        dict(pre_norm=True, tied=False, **LEARNED),
        dict(pre=True, tied=False, positions="learned"),
    ),
    "pre, rotary, SwiGLU": (
        dict(pre_norm=True, **ROTARY, **GATED),
        dict(pre=True, positions="rotary"),
    ),
    "post, rotary": (ROTARY, dict(positions="rotary")),
}
each_form = pytest.mark.parametrize("form", FORMS)

SOURCE_BS = np.array([[4, 5, 6, 7, 1], [8, 9, 1, 0, 0]], np.int32)
TARGET_BT = np.array([[3, 5, 4, 0, 0, 0], [3, 10, 9, 8, 7, 6]], np.int32)
REAL_BT = TARGET_BT != 0


@functools.cache
def model_of(form="post, sinusoidal", **options):
    return Transformer(**(SMALL | FORMS[form][0] | options))


@functools.cache
def variables_of(model):
    """Random parameters, without compiling an init."""
    random = np.random.default_rng(0)
    abstract = nn.meta.unbox(jax.eval_shape(model.init, jax.random.key(0), SOURCE_BS, TARGET_BT))

    def fill(path, a):
        one = 1.0 if "scale" in jax.tree_util.keystr(path) else 0.0
        return jnp.asarray(one + 0.3 * random.normal(size=a.shape), a.dtype)

    return jax.tree_util.tree_map_with_path(fill, abstract)


@functools.cache
def run(model):
    return jax.jit(partial(model.apply, variables_of(model)), static_argnames=("method", "length"))


def loss_of(model):
    """The sum of squares of the logits that count."""

    def loss(variables, source_BS=SOURCE_BS, target_BT=TARGET_BT, **options):
        logits_BTV = model.apply(variables, source_BS, target_BT, **options)
        return (jnp.where((target_BT != 0)[..., None], logits_BTV, 0) ** 2).sum()

    return loss


@each_form
def test_equal_to_the_papers_equations(form):
    model = model_of(form)
    logits_BTV = run(model)(SOURCE_BS, TARGET_BT)
    assert logits_BTV.dtype == jnp.float32
    reference = NumpyTransformer(
        variables_of(model)["params"], layers=model.layers, **FORMS[form][1]
    )
    rows = zip(SOURCE_BS, TARGET_BT, np.asarray(logits_BTV), strict=True)
    for source_S, target_T, logits_TV in rows:
        source_S, target_T = source_S[source_S != 0], target_T[target_T != 0]
        theirs_TV = reference.logits(source_S, target_T)
        np.testing.assert_allclose(logits_TV[: len(target_T)], theirs_TV, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "heads", "hidden", "count"),
    [(512, 8, 2048, 63_082_496), (1024, 16, 4096, 214_245_376)],
    ids=["base", "big"],
)
def test_the_papers_models_have_their_number_of_parameters(size, heads, hidden, count):
    feed_forward = partial(FeedForward, hidden=hidden)
    model = Transformer(37_000, size, heads, layers=6, feed_forward=feed_forward)
    assert parameters(model) == count


def parameters(model):
    variables = jax.eval_shape(model.init, jax.random.key(0), SOURCE_BS, TARGET_BT)
    assert set(variables) == {"params"}
    return sum(a.size for a in jax.tree.leaves(variables))


def test_parameters_of_the_other_forms():
    plain = parameters(model_of(layers=1))
    assert parameters(model_of(layers=1, tied=False)) == plain + 2 * 11 * 8
    assert parameters(model_of(layers=1, pre_norm=True)) == plain + 2 * 2 * 8
    assert parameters(model_of(layers=1, **LEARNED)) == plain + 2 * 9 * 8
    assert parameters(model_of(layers=1, **ROTARY)) == plain
    assert parameters(model_of(layers=1, **GATED)) == plain + 2 * (8 * 12 + 12)


def test_parameters_carry_the_names_of_their_axes():
    model = model_of("pre, learned, untied", **GATED)
    variables = jax.eval_shape(model.init, jax.random.key(0), SOURCE_BS, TARGET_BT)
    boxes = jax.tree_util.tree_leaves_with_path(
        variables, is_leaf=lambda a: isinstance(a, nn.LogicallyPartitioned)
    )
    for path, box in boxes:
        if "norm" not in jax.tree_util.keystr(path):  # vectors of M, the same everywhere
            assert len(box.names) == box.value.ndim, jax.tree_util.keystr(path)


@pytest.mark.slow
@each_form
def test_later_target_tokens_change_nothing(form):
    full = run(model_of(form))
    plain = np.asarray(full(SOURCE_BS, TARGET_BT))
    for i in range(5):
        other_BT = np.where((np.arange(6) > i)[None] & REAL_BT, 11 - TARGET_BT, TARGET_BT)
        assert np.any(other_BT != TARGET_BT)
        ours = np.asarray(full(SOURCE_BS, other_BT))
        np.testing.assert_array_equal(ours[:, : i + 1], plain[:, : i + 1])
        assert np.any(ours[1, i + 1 :] != plain[1, i + 1 :])


def test_each_source_token_matters_to_each_logit():
    full = run(model_of())
    plain = np.asarray(full(SOURCE_BS, TARGET_BT))
    for s in range(5):
        source_BS = SOURCE_BS.copy()
        source_BS[0, s] = 10
        ours = np.asarray(full(source_BS, TARGET_BT))
        assert np.all(np.any(ours[0, :3] != plain[0, :3], axis=-1))
        np.testing.assert_array_equal(ours[1], plain[1])


@pytest.mark.slow
@each_form
def test_more_padding_changes_nothing(form):
    full = run(model_of(form))
    plain = full(SOURCE_BS, TARGET_BT)
    more = full(*(np.pad(x, ((0, 1), (0, 3))) for x in (SOURCE_BS, TARGET_BT)))
    more = np.asarray(more)
    assert np.isfinite(more).all()  # the added sentence is nothing but padding
    where = np.asarray(REAL_BT)[..., None]
    # A product of matrices rounds otherwise with more rows: logits up to 3 differ by 2e-6, and in
    # float64 by 1e-15.
    np.testing.assert_allclose(
        np.where(where, more[:2, :6], 0), np.where(where, plain, 0), atol=3e-6, rtol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "dtype"), [("post, rotary", "float32"), ("pre, rotary, SwiGLU", "bfloat16")]
)
def test_nan_in_padding_stays_there(form, dtype):
    model = model_of(form, dtype=jnp.dtype(dtype))
    source_real_BS = SOURCE_BS != 0

    @jax.jit
    def grad(y_BTM, memory_BSM):
        def loss(variables, y_BTM, memory_BSM):
            lengths = [x.sum(axis=1) for x in (source_real_BS, REAL_BT)]
            logits_BTV = model.apply(
                variables, y_BTM, [memory_BSM] * model.layers, *lengths, method="decode"
            )
            return jnp.where(REAL_BT[..., None], logits_BTV, 0).sum(), logits_BTV

        grad = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)
        return grad(variables_of(model), y_BTM, memory_BSM)

    random = np.random.default_rng(0)
    inputs = [
        (random.normal(size=(*real.shape, 8)).astype(jnp.dtype(dtype)), real[..., None])
        for real in (REAL_BT, source_real_BS)
    ]
    plain_grads, plain = grad(*(x for x, _ in inputs))
    grads, logits_BTV = grad(*(np.where(real, x, np.nan).astype(x.dtype) for x, real in inputs))
    np.testing.assert_array_equal(logits_BTV, plain)
    for ours, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(plain_grads), strict=True):
        ours, theirs = np.asarray(ours, np.float32), np.asarray(theirs, np.float32)
        assert np.isfinite(ours).all()
        np.testing.assert_array_equal(ours, theirs)
    for ours, (_, real) in zip(grads[1:], inputs, strict=True):
        assert not np.any(np.where(real, 0, np.asarray(ours)))
        assert np.any(np.asarray(ours))


@functools.cache
def decoder(model):
    """Logits [T, B, V] of tokens fed one by one into a cache, and the cache."""

    @jax.jit
    def decode(memory, cache, tokens_BT):
        def step(cache, token_B):
            logits_BV, cache = model.apply(
                variables_of(model), memory, cache, token_B, method="extend"
            )
            return cache, logits_BV

        cache, logits_TBV = jax.lax.scan(step, cache, tokens_BT.T)
        return logits_TBV.swapaxes(0, 1), cache

    return decode


TOKENS_BT = np.array([[3, 5, 4, 6, 9, 7], [3, 10, 9, 8, 7, 6]], np.int32)


@each_form
def test_cached_decoding_is_the_full_pass(form):
    model = model_of(form)
    memory, cache = run(model)(SOURCE_BS, length=6, method="start")
    assert {x.shape[0] for x in jax.tree.leaves(cache)} == {2}
    ours, cache = decoder(model)(memory, cache, TOKENS_BT)
    np.testing.assert_allclose(ours, run(model)(SOURCE_BS, TOKENS_BT), atol=1e-5)
    np.testing.assert_array_equal(cache["pos_B"], [6, 6])


@pytest.mark.slow
def test_a_cache_that_grows_is_the_full_pass():
    model = model_of()
    memory, cache = run(model)(SOURCE_BS, length=0, method="start")
    outs = []
    for first, last in ((0, 2), (2, 3), (3, 6)):
        cache = run(model)(cache, length=last, method="grow")
        out, cache = decoder(model)(memory, cache, TOKENS_BT[:, first:last])
        outs.append(out)
    ours = np.concatenate(outs, axis=1)
    np.testing.assert_allclose(ours, run(model)(SOURCE_BS, TOKENS_BT), atol=1e-5)


@each_form
def test_beams_share_the_memory_and_may_be_reordered(form):
    model = model_of(form)
    memory, cache = run(model)(SOURCE_BS, length=6, method="start")
    cache = jax.tree.map(lambda x: np.repeat(np.asarray(x), 3, axis=0), cache)
    first = np.array([[3, 4], [3, 5], [3, 6], [3, 7], [3, 8], [3, 9]], np.int32)
    second = np.array([[10, 4], [9, 5], [8, 6], [7, 8], [6, 7], [5, 10]], np.int32)
    order = np.array([2, 0, 0, 4, 5, 4])  # within each sentence
    one, cache = decoder(model)(memory, cache, first)
    cache = jax.tree.map(lambda x: np.asarray(x)[order], cache)
    two, _ = decoder(model)(memory, cache, second)
    full = run(model)(np.repeat(SOURCE_BS, 3, axis=0), np.concatenate([first[order], second], 1))
    one, two, full = map(np.asarray, (one, two, full))
    np.testing.assert_allclose(one[order], full[:, :2], atol=1e-5)
    np.testing.assert_allclose(two, full[:, 2:], atol=1e-5)


@pytest.mark.slow
def test_rows_may_stand_at_different_positions():
    model = model_of()
    memory, empty = run(model)(SOURCE_BS, length=6, method="start")
    full = np.asarray(run(model)(SOURCE_BS, TOKENS_BT))
    _, early = decoder(model)(memory, empty, TOKENS_BT[:, :2])
    _, late = decoder(model)(memory, empty, TOKENS_BT[:, :4])
    early, late = jax.tree.map(np.asarray, (early, late))
    cache = jax.tree.map(lambda a, b: np.stack([a[0], b[1]]), early, late)
    ours, _ = decoder(model)(memory, cache, np.stack([TOKENS_BT[0, 2:4], TOKENS_BT[1, 4:6]]))
    np.testing.assert_allclose(ours, np.stack([full[0, 2:4], full[1, 4:6]]), atol=1e-5)


@pytest.mark.slow  # two compilations with dropout, when none is cached
def test_remat_changes_nothing():
    results = []
    for remat in (False, True):
        model = model_of(layers=1, dropout=0.1, remat=remat)
        loss = partial(loss_of(model), rngs={"dropout": jax.random.key(0)})
        results.append(jax.jit(jax.value_and_grad(loss))(variables_of(model)))
    for ours, theirs in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_bfloat16_stays_close():
    model = model_of(dtype=jnp.bfloat16)
    assert {a.dtype for a in jax.tree.leaves(variables_of(model))} == {jnp.dtype("float32")}
    ours, plain = (run(m)(SOURCE_BS, TARGET_BT) for m in (model, model_of()))
    assert ours.dtype == jnp.float32
    ours, plain = np.asarray(ours), np.asarray(plain)
    assert np.abs(ours - plain).max() < 0.05 * np.abs(plain).max()
    assert np.abs(ours - plain).max() > 0


@pytest.mark.slow
def test_vmap_changes_nothing():
    model = model_of()
    rows = jax.jit(jax.vmap(partial(model.apply, variables_of(model))))
    ours = np.asarray(rows(SOURCE_BS[:, None], TARGET_BT[:, None]))[:, 0]
    np.testing.assert_allclose(ours, run(model)(SOURCE_BS, TARGET_BT), atol=1e-5)


@pytest.mark.slow
def test_dropout_is_on_with_an_rng_alone():
    model = model_of("post, rotary", dropout=0.5, decoder=Softmax(dropout_rate=0.5))
    plain = np.asarray(run(model_of("post, rotary"))(SOURCE_BS, TARGET_BT))
    np.testing.assert_array_equal(run(model)(SOURCE_BS, TARGET_BT), plain)
    one, again, other = (
        np.asarray(run(model)(SOURCE_BS, TARGET_BT, rngs={"dropout": jax.random.key(seed)}))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert np.any(one != plain)
    assert np.any(one != other)


def test_embeddings_are_dropped_on_both_sides():
    model, rngs = model_of(layers=0, dropout=0.5), {"dropout": jax.random.key(0)}
    plain_BSM = np.asarray(run(model)(SOURCE_BS, method="encode"))
    memory_BSM = np.asarray(run(model)(SOURCE_BS, method="encode", rngs=rngs))
    np.testing.assert_allclose(memory_BSM, np.where(memory_BSM == 0, 0, 2 * plain_BSM), rtol=1e-6)
    assert 0.3 < np.mean(memory_BSM == 0) < 0.7
    # Without layers, logits know nothing of the source.
    plain, other = (np.asarray(run(model)(SOURCE_BS, TARGET_BT, rngs=r)) for r in (None, rngs))
    assert np.all(np.any(other != plain, axis=-1))


def test_weights_over_tokens_may_stand_for_target_tokens():
    model = model_of()
    y_BTM = run(model)(np.eye(11, dtype="float32")[TARGET_BT], method="embed_target")
    memories = run(model)(SOURCE_BS, method="memories")
    lengths = [(x != 0).sum(axis=1) for x in (SOURCE_BS, TARGET_BT)]
    ours = run(model)(y_BTM, memories, *lengths, method="decode")
    where = np.asarray(REAL_BT)[..., None]
    plain = run(model)(SOURCE_BS, TARGET_BT)
    np.testing.assert_allclose(np.where(where, ours, 0), np.where(where, plain, 0), atol=1e-5)


def test_heads_that_do_not_divide_the_size_are_told():
    with pytest.raises(ValueError, match="heads=3 does not divide 8 features"):
        parameters(model_of(heads=3))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("position_bias", "kv_heads"), [(None, 1), (ALiBiPositions, None), (RelativePositions, 1)]
)
def test_decoding_from_a_cache_with_biases_and_shared_heads(position_bias, kv_heads):
    model = model_of(layers=2, positions=None, position_bias=position_bias, kv_heads=kv_heads)
    memory, cache = run(model)(SOURCE_BS, length=6, method="start")
    ours, _ = decoder(model)(memory, cache, TOKENS_BT)
    np.testing.assert_allclose(ours, run(model)(SOURCE_BS, TOKENS_BT), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "left", [2, *(pytest.param(left, marks=pytest.mark.slow) for left in (0, 5, 40))]
)
def test_a_window_survives_a_cache_that_grows(left):
    model = model_of(layers=1, decoder=Local(left=left))
    target_BT = np.arange(18, dtype=np.int32).reshape(2, 9) % 9 + 2
    memory, cache = run(model)(SOURCE_BS, length=0, method="start")
    outs = []
    for room in (3, 6, 9):
        cache = run(model)(cache, length=room, method="grow")
        out, cache = decoder(model)(memory, cache, target_BT[:, room - 3 : room])
        outs.append(out)
    full_BTV = run(model)(SOURCE_BS, target_BT)
    np.testing.assert_allclose(np.concatenate(outs, axis=1), full_BTV, atol=1e-5)


def test_a_decoder_that_sees_later_tokens_has_no_steps():
    model = model_of(causal=False)
    with pytest.raises(ValueError, match="has no steps"):
        run(model)(SOURCE_BS, length=6, method="start")

"""The Transformer that copies, or whose cross-attention carries an alignment: passes and steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention.lab.data.tokenizer import BOS, EOS, PAD, UNK
from attention.lab.tasks.translation import Search, Translation
from attention.modules.copying import PointerGenerator
from attention.variants import Additive, Location, Monotonic, ReLU, Softmax
from tests.models.test_transformer import (
    REAL_BT,
    SOURCE_BS,
    TARGET_BT,
    TOKENS_BT,
    decoder,
    model_of,
    parameters,
    run,
    variables_of,
)

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

LOCATION, MONOTONIC = Location(width=3, filters=2), Monotonic(offset=1.0)
PRE, POST = "pre, learned, untied", "post, sinusoidal"
# Each carries, or copies, or both; those of one layer have a companion of two.
MODELS = {
    "location": model_of(POST, cross=LOCATION, layers=1),
    "monotonic": model_of(PRE, cross=MONOTONIC),
    "copying": model_of(POST, copying=PointerGenerator, layers=1),
    "copying, pre": model_of(PRE, copying=PointerGenerator, cross=Additive(), layers=2, kv_heads=1),
    "copying, monotonic": model_of(PRE, copying=PointerGenerator, cross=MONOTONIC, layers=2),
    "copying, location": model_of(POST, copying=PointerGenerator, cross=LOCATION),
}
SEARCHED = ("monotonic", "copying, pre", "copying, location")
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
# Of these, a few in `make test`.
any_model = pytest.mark.parametrize(
    "model",
    [pytest.param(m, marks=[] if n in SEARCHED else pytest.mark.long) for n, m in MODELS.items()],
    ids=MODELS,
)


def full(model, source_BS, target_BT):
    """Logits of the full pass, in batches of one shape, since more padding changes nothing."""
    rows, length = target_BT.shape
    wider = ((0, 6 - rows), (0, 6 - source_BS.shape[1])), ((0, 6 - rows), (0, 9 - length))
    padded = (
        np.pad(np.asarray(x, np.int32), pad)
        for x, pad in zip((source_BS, target_BT), wider, strict=True)
    )
    return np.asarray(run(model)(*padded))[:rows, :length]


@each_model
def test_cached_decoding_is_the_full_pass(model):
    memory, cache = run(model)(SOURCE_BS, length=6, method="start")
    assert {x.shape[0] for x in jax.tree.leaves(cache)} == {2}
    ours, _ = decoder(model)(memory, cache, TOKENS_BT)
    np.testing.assert_allclose(ours, run(model)(SOURCE_BS, TOKENS_BT), atol=1e-5)


@any_model
def test_beams_share_the_memory_and_may_be_reordered_while_the_cache_grows(model):
    memory, cache = run(model)(SOURCE_BS, length=2, method="start")
    cache = jax.tree.map(lambda x: np.repeat(np.asarray(x), 3, axis=0), cache)
    first = np.array([[3, 4], [3, 5], [3, 6], [3, 7], [3, 8], [3, 9]], np.int32)
    second = np.array([[10, 4], [9, 5], [8, 6], [7, 8], [6, 7], [5, 10]], np.int32)
    order = np.array([2, 0, 0, 4, 5, 4])  # within each sentence
    one, cache = decoder(model)(memory, cache, first)
    cache = jax.tree.map(lambda x: np.asarray(x)[order], cache)
    cache = run(model)(cache, length=6, method="grow")
    two, _ = decoder(model)(memory, cache, second)
    read = np.concatenate([first[order], second], axis=1)
    plain = full(model, np.repeat(SOURCE_BS, 3, axis=0), read)
    np.testing.assert_allclose(np.asarray(one)[order], plain[:, :2], atol=1e-5)
    np.testing.assert_allclose(two, plain[:, 2:], atol=1e-5)


@each_model
def test_later_target_tokens_change_nothing(model):
    plain, other_BT = np.asarray(run(model)(SOURCE_BS, TARGET_BT)), TARGET_BT.copy()
    other_BT[1, 4:] = 5
    ours = np.asarray(run(model)(SOURCE_BS, other_BT))
    np.testing.assert_array_equal(ours[:, :4], plain[:, :4])
    assert np.any(ours[1, 4:] != plain[1, 4:])


@each_model
def test_more_padding_changes_nothing(model):
    plain = run(model)(SOURCE_BS, TARGET_BT)
    more = full(model, *(np.pad(x, ((0, 4), (0, 1))) for x in (SOURCE_BS, TARGET_BT)))
    assert np.isfinite(more).all()  # the added sentences are nothing but padding
    where = np.asarray(REAL_BT)[..., None]
    np.testing.assert_allclose(
        np.where(where, more[:2, :6], 0), np.where(where, plain, 0), atol=5e-6
    )


@any_model
def test_gradients_are_finite_and_nan_in_padding_stays_there(model):
    lengths = [(x != 0).sum(axis=1) for x in (SOURCE_BS, TARGET_BT)]

    @jax.jit
    def grad(y_BTM, memory_BSM):
        def loss(variables, y_BTM, memory_BSM):
            memories = [memory_BSM] * model.layers
            logits_BTV = model.apply(
                variables, y_BTM, memories, *lengths, SOURCE_BS, method="decode"
            )
            return jnp.where(REAL_BT[..., None], logits_BTV, 0).sum()

        return jax.grad(loss, argnums=(0, 1, 2))(variables_of(model), y_BTM, memory_BSM)

    random, inputs = np.random.default_rng(0), []
    for real in (REAL_BT, SOURCE_BS != 0):
        inputs.append((np.asarray(random.normal(size=(*real.shape, 8)), "float32"), real))
    plain = grad(*(x for x, _ in inputs))
    spoilt = grad(*(np.where(real[..., None], x, np.float32(np.nan)) for x, real in inputs))
    for ours, theirs in zip(jax.tree.leaves(spoilt), jax.tree.leaves(plain), strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_array_equal(ours, theirs)
    for ours, (_, real) in zip(spoilt[1:], inputs, strict=True):
        assert np.any(np.asarray(ours))
        assert not np.any(np.where(real[..., None], 0, ours))


@any_model
def test_a_beams_score_is_what_the_full_pass_says(model):
    """Over reorders, a cache that grows, and rows that run on alone."""
    source_BS = np.concatenate([np.tile(SOURCE_BS, (2, 1)), np.array([[5, 9, 6, 4, 1]], np.int32)])
    task, variables = Translation(model, None), variables_of(model)
    search = Search(beams=3, nbest=3, length_penalty=0.0, max_length=9)
    beams = jax.jit(partial(task.search, variables["params"], {}, search=search))(source_BS)
    never_V = np.zeros(11)
    never_V[[PAD, UNK, BOS]] = -np.inf
    for b, n in np.ndindex(5, 3):
        target_T = np.asarray(beams.tokens_BNT)[b, n, : int(beams.lengths_BN[b, n])]
        assert len(target_T)
        assert EOS not in target_T[:-1]
        read_1T = np.append(BOS, target_T[:-1])[None]
        logits_TV = full(model, source_BS[b : b + 1], read_1T)[0]
        logits_TV = logits_TV.astype(np.float64) + never_V[None]
        log_p_TV = logits_TV - np.logaddexp.reduce(logits_TV, axis=-1, keepdims=True)
        total = sum(float(log_p_TV[t, token]) for t, token in enumerate(target_T))
        np.testing.assert_allclose(beams.log_probs_BN[b, n], total, atol=2e-5)


def test_with_copying_the_output_is_a_distribution_and_holds_the_source():
    model = MODELS["copying"]
    probabilities = np.exp(run(model)(SOURCE_BS, TARGET_BT))
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    variables = variables_of(model)
    copies = {"kernel": np.zeros((3, 8), "float32"), "bias": np.float32(-200.0)}
    variables = {"params": variables["params"] | {"copies": copies}}
    copied_BTV = np.exp(jax.jit(model.apply)(variables, SOURCE_BS, TARGET_BT))
    for b in range(2):
        real_T = np.asarray(REAL_BT[b])
        absent = sorted(set(range(11)) - set(np.asarray(SOURCE_BS[b]).tolist()) | {0})
        # What weights lack to a sum of one by rounding is generated.
        assert copied_BTV[b][real_T][:, absent].max() < 1e-6
        np.testing.assert_allclose(copied_BTV[b][real_T].sum(-1), 1, atol=1e-5)


def test_remat_and_vmap_change_nothing():
    for name in ("copying, location", "copying, monotonic"):
        model = MODELS[name]
        plain = run(model)(SOURCE_BS, TARGET_BT)
        again = run(model.clone(remat=True))(SOURCE_BS, TARGET_BT)
        np.testing.assert_allclose(again, plain, atol=1e-5)
        rows = jax.jit(jax.vmap(partial(model.apply, variables_of(model))))
        ours = np.asarray(rows(SOURCE_BS[:, None], TARGET_BT[:, None]))[:, 0]
        np.testing.assert_allclose(ours, plain, atol=1e-5)


def test_without_copying_nothing_is_added():
    assert parameters(model_of(copying=PointerGenerator)) == parameters(model_of()) + 3 * 8 + 1
    memory, cache = run(model_of())(SOURCE_BS, length=2, method="start")
    assert memory["source"] is None
    assert memory["layers"][0][1].shape == (2, 5, 2, 4)
    assert cache["layers"][0]["cross"] == {}


def test_what_cannot_be_copied_by_is_refused():
    with pytest.raises(NotImplementedError, match="^ReLU cannot tell how much is copied.*; use So"):
        parameters(model_of(copying=PointerGenerator, cross=ReLU()))
    assert model_of(cross=ReLU()).cross != Softmax()


def test_a_model_that_copies_is_told_its_source():
    model = MODELS["copying"]
    y_BTM = run(model)(TARGET_BT, method="embed_target")
    memories = run(model)(SOURCE_BS, method="memories")
    lengths = [(x != 0).sum(axis=1) for x in (SOURCE_BS, TARGET_BT)]
    with pytest.raises(ValueError, match="give source_BS"):
        run(model)(y_BTM, memories, *lengths, method="decode")

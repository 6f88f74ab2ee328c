"""Memory-compressed attention beside the laws: what is seen when, and how values weigh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead
from attention.analysis.matrices import effective_matrix
from attention.kernels import softmax_attention
from attention.masks import Causal, Lengths, Valid
from attention.protocols import WithAxes
from attention.shapes import Sizes
from attention.variants.compressed.compressed import Compressed

RANDOM = np.random.default_rng(0)
SIZES = Sizes(heads=2, size=4, value_size=3, model_size=8)
GAPS = Valid(jnp.array([[1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1]], bool))
FORMS = [(3, 3), (5, 2), (1, 1), (4, 3)]


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), "float32")


Q, K, V = normal(2, 11, 2, 4), normal(2, 11, 2, 4), normal(2, 11, 2, 3)


@functools.cache
def params_of(attend, sizes=SIZES):
    @jax.jit
    def made(rng):
        boxed, state = attend.init(rng, sizes)
        assert state == {}
        return jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, WithAxes))

    return made(jax.random.key(0))


@functools.partial(jax.jit, static_argnums=0)
def attended(attend, params, q, k, v, mask, rng=None):
    return attend.attend(params, {}, q, k, v, mask, rng=rng)[0]


@functools.partial(jax.jit, static_argnums=0)
def matrix_of(attend, params, q, k, mask):
    return effective_matrix(attend, params, {}, q, k, mask)


@functools.partial(jax.jit, static_argnums=0)
def extended(attend, params, cache, q, k, v, mask):
    return attend.extend(params, {}, cache, q, k, v, mask)


def out_of(attend, q=Q, k=K, v=V, mask=None):
    return attended(attend, params_of(attend), q, k, v, mask)


def test_a_kernel_of_one_identity_is_softmax():
    params = {n: jnp.eye(size)[None, None].repeat(2, 0) for n, size in (("keys", 4), ("values", 3))}
    for mask in (None, Causal(), Causal() & Lengths(jnp.array([11, 4]))):
        ours = attended(Compressed(1, 1), params, Q, K, V, mask)
        np.testing.assert_allclose(ours, jax.jit(softmax_attention)(Q, K, V, mask), atol=1e-6)


def test_causally_only_what_is_complete_is_seen():
    out = out_of(Compressed(), mask=Causal())
    assert not np.any(out[:, :2])
    # From there on a query sees the first key, whose value is a mix of three; the next at 5.
    params = params_of(Compressed())
    first_BHE = jnp.einsum("BCHE,HCEF->BHF", V[:, :3], params["values"])
    np.testing.assert_allclose(out[:, 2:5], first_BHE[:, None].repeat(3, 1), atol=1e-5)
    assert np.all(np.any(np.abs(out[:, 5] - first_BHE) > 1e-3, axis=-1))


@pytest.mark.parametrize(("kernel", "stride"), FORMS)
def test_every_token_is_seen_from_both_sides(kernel, stride):
    """A last key of fewer tokens, in a short sentence too, is one."""
    attend = Compressed(kernel, stride)
    for length in (11, 4, 2, 1):
        mask = Lengths(jnp.array([11, length]))
        matrix_BHQK = matrix_of(attend, params_of(attend), Q, K, mask)
        see = mask.dense(11, 11)
        np.testing.assert_array_equal(matrix_BHQK > 0, np.broadcast_to(see, matrix_BHQK.shape))


@pytest.mark.parametrize(("kernel", "stride"), FORMS)
@pytest.mark.parametrize("mask", [None, Causal(), GAPS], ids=["all", "causal", "gaps"])
def test_the_matrix_is_of_norms_of_derivatives(kernel, stride, mask):
    attend = Compressed(kernel, stride)
    q, k, v = Q[:1], K[:1], V[:1]
    by_value = jax.jit(jax.jacobian(lambda v: out_of(attend, q, k, v, mask)))(v)
    by_value = np.asarray(by_value)[0, :, :, :, 0]  # [Q, H, E, K, H, E]
    norms_HQK = np.stack([np.linalg.norm(by_value[:, h, :, :, h], axis=(1, 3)) for h in range(2)])
    ours = matrix_of(attend, params_of(attend), q, k, mask)
    np.testing.assert_allclose(ours[0], norms_HQK, atol=1e-5)
    assert np.all((np.asarray(ours[0]) == 0) == (norms_HQK == 0))


def test_a_sentence_is_the_same_however_its_batch_is_padded():
    attend = Compressed()
    for length in range(1, 8):
        short = out_of(attend, Q[:1, :length], K[:1, :length], V[:1, :length])
        padded = out_of(attend, mask=Lengths(jnp.array([length, 11])))
        np.testing.assert_allclose(padded[:1, :length], short, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride"), FORMS)
def test_decoding_with_gaps_is_the_full_pass(kernel, stride):
    attend = Compressed(kernel, stride)
    valid = Valid(jnp.asarray(np.random.default_rng(1).random((2, 11)) < 0.5))
    full = out_of(attend, mask=Causal() & valid)
    k, v = (jnp.where(valid.k_valid_BK[..., None, None], x, jnp.nan) for x in (K, V))
    cache = attend.init_cache(params_of(attend), {}, SIZES, 2, 11, "float32")
    first = 0
    for last in (1, 2, 6, 7, 11):
        new = (x[:, first:last] for x in (Q, k, v))
        ours, cache = extended(attend, params_of(attend), cache, *new, valid)
        np.testing.assert_allclose(ours, full[:, first:last], atol=1e-5)
        first = last


def test_a_cache_in_bfloat16_rounds_no_term():
    attend, q, k, v = Compressed(64, 64), *(normal(1, 64, 2, n) for n in (4, 4, 3))
    q, k, v = (x.astype("bfloat16") for x in (q, k, v))
    cache = attend.init_cache({}, {}, SIZES, 1, 64, "bfloat16")
    params = params_of(attend)
    for at in range(64):
        new = (x[:, at : at + 1] for x in (q, k, v))
        ours, cache = extended(attend, params, cache, *new, None)
    full = attended(attend, params, q, k, v, Causal())[:, -1:]
    assert ours.dtype == full.dtype == jnp.bfloat16
    np.testing.assert_allclose(*(np.asarray(x, "float32") for x in (ours, full)), rtol=2**-7)


@pytest.mark.parametrize(("kernel", "stride"), FORMS)
def test_a_cache_that_grows_loses_no_key_that_it_has_begun(kernel, stride):
    attend = Compressed(kernel, stride)
    full, cache, first = out_of(attend, mask=Causal()), {}, 0
    for room in (4, 8, 11):
        empty = attend.init_cache(params_of(attend), {}, SIZES, 2, room, "float32")
        cache = jax.tree.map(
            lambda new, old: jax.lax.dynamic_update_slice(new, old, (0,) * new.ndim),
            empty,
            cache or empty,
        )
        new = (x[:, first:room] for x in (Q, K, V))
        ours, cache = extended(attend, params_of(attend), cache, *new, None)
        np.testing.assert_allclose(ours, full[:, first:room], atol=1e-5)
        first = room


def test_the_cache_holds_a_third():
    cache = Compressed().init_cache({}, {}, SIZES, 2, 300, "float32")
    assert cache["k_BHKD"].shape == (2, 2, 100, 4)
    assert cache["v_BHKE"].shape == (2, 2, 100, 3)


def test_fewer_heads_of_keys_are_repeated_by_the_layer():
    layer = MultiHead(heads=4, kv_heads=2, attention=Compressed())
    x_BTM = normal(2, 7, 8)
    out_BTM, _ = jax.jit(functools.partial(layer.init_with_output, mask=Causal()))(
        jax.random.key(0), x_BTM
    )
    assert out_BTM.shape == x_BTM.shape


def test_dropout_is_of_training_alone():
    attend = Compressed(dropout_rate=0.5)
    outs = [
        attended(attend, params_of(attend), Q, K, V, None, rng)
        for rng in (None, jax.random.key(0), jax.random.key(1))
    ]
    np.testing.assert_array_equal(outs[0], out_of(Compressed()))
    assert np.any(outs[0] != outs[1])
    assert np.any(outs[1] != outs[2])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kernel": 0}, "needs a whole number, 1 or more"),
        ({"stride": 2.0}, "needs a whole number, 1 or more"),
        ({"stride": True}, "needs a whole number, 1 or more"),
        ({"kernel": 2}, "needs at least stride, 3, else some tokens are in no key"),
        ({"dropout_rate": -0.1}, r"needs to be in \[0, 1\)"),
    ],
)
def test_fields_are_checked(fields, said):
    with pytest.raises(ValueError, match=rf"^Compressed\(.*\): {said}"):
        Compressed(**fields)

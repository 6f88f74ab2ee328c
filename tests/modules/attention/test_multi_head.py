"""MultiHead against flax's and the paper's, padding, cached decoding, NNX, refusals."""

import dataclasses
import functools
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attention import MultiHead
from attention.analysis.matrices import effective_matrix
from attention.biases import ALiBi
from attention.masks import Array, Causal, Lengths, Valid
from attention.positions import Rotary
from attention.protocols import Capabilities
from attention.variants import Reformer, Softmax, Synthesizer
from tests.reference import positions
from tests.reference.attention import multi_head as numpy_multi_head
from tests.reference.attention import softmax_attention

LENGTHS = jnp.array([3, 6])


def random(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


X_BTM, MEMORY_BKM = random(2, 6, 8), random(2, 5, 8, seed=1)


@functools.cache
def variables_of(layer):
    """Random parameters, biases too, without compiling an init."""
    abstract = nn.meta.unbox(jax.eval_shape(layer.init, jax.random.key(0), X_BTM))
    generator = np.random.default_rng(2)
    return jax.tree.map(
        lambda a: jnp.asarray(0.4 * generator.normal(size=a.shape), a.dtype), abstract
    )


@functools.cache
def apply(layer):
    return jax.jit(layer.apply, static_argnames="method")


@pytest.mark.parametrize("features", [None, 12])
@pytest.mark.parametrize("memory", [None, MEMORY_BKM], ids=["self", "cross"])
def test_agrees_with_flax_on_the_same_weights(features, memory):
    ours = MultiHead(heads=4, features=features)
    theirs = nn.MultiHeadDotProductAttention(num_heads=4, qkv_features=features)
    variables = variables_of(theirs)
    abstract = nn.meta.unbox(jax.eval_shape(ours.init, jax.random.key(0), X_BTM))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), variables) == jax.tree.map(
        lambda a: (a.shape, a.dtype), abstract
    )
    see = Causal().dense(6, 6 if memory is None else 5)
    out = apply(ours)(variables, X_BTM, memory, see[0, 0])
    expected = apply(theirs)(variables, X_BTM, memory, mask=see)
    np.testing.assert_allclose(out, expected, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("bfloat16", 3e-2)])
def test_equal_to_the_papers_equations(dtype, tolerance):
    layer = MultiHead(heads=2, dtype=jnp.dtype(dtype))
    variables = variables_of(layer)
    params = variables["params"]
    assert {a.dtype for a in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    mask = Lengths(LENGTHS, jnp.array([5, 2]))
    ours = apply(layer)(variables, X_BTM, MEMORY_BKM, mask)
    theirs = numpy_multi_head(params, X_BTM, MEMORY_BKM, mask.dense(6, 5))
    assert ours.dtype == dtype
    np.testing.assert_allclose(np.asarray(ours, np.float64), theirs, atol=tolerance, rtol=tolerance)


def test_rotary_turns_queries_and_keys_of_self_attention():
    layer = MultiHead(heads=2, rotary=Rotary())
    variables = variables_of(layer)
    ours = apply(layer)(variables, X_BTM, None, Causal())
    theirs = numpy_multi_head(
        variables["params"], X_BTM, X_BTM, np.tri(6, dtype=bool), positions.rotate
    )
    np.testing.assert_allclose(ours, theirs, atol=5e-6)
    # Across two sequences there is no common place to count from.
    plain = apply(MultiHead(heads=2))(variables, X_BTM, MEMORY_BKM)
    np.testing.assert_array_equal(apply(layer)(variables, X_BTM, MEMORY_BKM), plain)


@pytest.mark.parametrize(
    "mask",
    [
        Array(np.tri(6, k=-1, dtype=bool)),
        Lengths(jnp.array([6, 2]), jnp.array([2, 6])),
        Valid(jnp.arange(12).reshape(2, 6) % 2 == 0, jnp.ones((2, 6), bool)),
    ],
    ids=["strictly before", "lengths", "valid"],
)
def test_a_position_that_sees_nothing_may_still_be_seen(mask):
    layer = MultiHead(heads=2)
    variables = variables_of(layer)
    theirs = numpy_multi_head(variables["params"], X_BTM, X_BTM, mask.dense(6, 6))
    ours = apply(layer)(variables, X_BTM, None, mask)
    np.testing.assert_allclose(ours, theirs, atol=5e-6)


def test_masks_of_two_sides_compose_across_sequences():
    layer = MultiHead(heads=2)
    variables = variables_of(layer)
    see = np.random.default_rng(3).random((6, 5)) < 0.6
    mask = Lengths(LENGTHS, jnp.array([5, 2])) & see
    theirs = numpy_multi_head(variables["params"], X_BTM, MEMORY_BKM, mask.dense(6, 5))
    ours = apply(layer)(variables, X_BTM, MEMORY_BKM, mask)
    np.testing.assert_allclose(ours, theirs, atol=5e-6)


def test_bias_is_added_to_the_scores():
    layer = MultiHead(heads=2)
    variables = variables_of(layer)
    see = np.tri(6, dtype=bool)
    bias = jnp.where(see, 0.0, -jnp.inf)
    ours = apply(layer)(variables, X_BTM, bias=bias)
    np.testing.assert_allclose(ours, apply(layer)(variables, X_BTM, None, see), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_nan_in_padding_stays_there(cross, dtype):
    layer = MultiHead(heads=2, dtype=jnp.dtype(dtype))
    variables = variables_of(layer)
    memory, k_lengths = (MEMORY_BKM, jnp.array([5, 2])) if cross else (X_BTM, LENGTHS)
    real, k_real = (
        (jnp.arange(x.shape[1])[None] < n[:, None])[..., None]
        for x, n in ((X_BTM, LENGTHS), (memory, k_lengths))
    )

    @jax.jit
    def grad(x, memory):
        def loss(variables, x, memory):
            mask = Lengths(LENGTHS, k_lengths)
            out = layer.apply(variables, x, memory if cross else None, mask)
            return jnp.where(real, out, 0).astype(jnp.float32).sum(), out

        return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(variables, x, memory)

    (_, plain), plain_grads = grad(X_BTM, memory)
    (_, out), grads = grad(jnp.where(real, X_BTM, jnp.nan), jnp.where(k_real, memory, jnp.nan))
    np.testing.assert_array_equal(np.asarray(out, np.float32), np.asarray(plain, np.float32))
    for ours, theirs in zip(jax.tree.leaves(grads), jax.tree.leaves(plain_grads), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.isfinite(ours).all()
    assert not np.any(np.where(real, 0, grads[1]))
    assert not np.any(np.where(k_real, 0, grads[2]))
    assert np.any(grads[1])


def test_a_query_that_sees_nothing_gets_the_bias_alone():
    layer = MultiHead(heads=2)
    variables = variables_of(layer)
    out = apply(layer)(variables, X_BTM, None, Lengths(jnp.array([0, 6])))
    bias = variables["params"]["out"]["bias"]
    np.testing.assert_array_equal(out[0], np.broadcast_to(bias, (6, 8)))


@pytest.mark.parametrize("rotary", [None, Rotary()], ids=["plain", "rotary"])
def test_cached_decoding_is_the_full_pass(rotary):
    layer = MultiHead(heads=2, features=12, rotary=rotary)
    variables = variables_of(layer)
    full = apply(layer)(variables, X_BTM, None, Causal())
    cache = layer.apply(variables, 2, 7, 8, method="start")
    for first, last in ((0, 1), (1, 5), (5, 6)):
        pos_BQ = jnp.arange(first, last)[None].repeat(2, 0)
        out, cache = apply(layer)(variables, cache, X_BTM[:, first:last], pos_BQ, method="extend")
        np.testing.assert_allclose(out, full[:, first:last], atol=1e-5)


def test_a_memory_projected_once_is_asked_many_times():
    layer = MultiHead(heads=2)
    variables = variables_of(layer)
    mask = Lengths(None, jnp.array([5, 2]))
    memory = layer.apply(variables, MEMORY_BKM, mask, method="project_memory")
    full = apply(layer)(variables, X_BTM, MEMORY_BKM, mask)
    for t in (0, 4):
        out = apply(layer)(variables, X_BTM[:, t : t + 1], memory, mask, method="cross")
        np.testing.assert_allclose(out, full[:, t : t + 1], atol=1e-6)


def test_an_rng_named_dropout_means_training():
    layer = MultiHead(heads=2, attention=Softmax(dropout_rate=0.5))
    variables = variables_of(layer)
    plain = apply(MultiHead(heads=2))(variables, X_BTM)
    np.testing.assert_array_equal(apply(layer)(variables, X_BTM), plain)
    np.testing.assert_array_equal(
        apply(layer)(variables, X_BTM, rngs={"params": jax.random.key(0)}), plain
    )
    one, again, other = (
        np.asarray(apply(layer)(variables, X_BTM, rngs={"dropout": jax.random.key(seed)}))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert np.any(one != plain)
    assert np.any(one != other)


def test_parameters_carry_the_names_of_their_axes():
    variables = jax.eval_shape(MultiHead(heads=2).init, jax.random.key(0), X_BTM)
    assert set(variables) == {"params"}
    spec = nn.get_partition_spec(variables)["params"]
    for name in ("query", "key", "value"):
        assert tuple(spec[name]["kernel"]) == ("model", "heads", "head_size")
        assert tuple(spec[name]["bias"]) == ("heads", "head_size")
    assert tuple(spec["out"]["kernel"]) == ("heads", "head_size", "model")
    assert tuple(spec["out"]["bias"]) == ("model",)


def test_kernels_begin_with_glorots_variance_and_biases_with_zero():
    x_BTM = jnp.ones((1, 1, 64))
    params = nn.meta.unbox(jax.jit(MultiHead(heads=4, features=128).init)(jax.random.key(0), x_BTM))
    for name, part in params["params"].items():
        assert not np.any(part["bias"])
        # Uniform, with variance 2 / (fan in + fan out), of all heads together.
        assert float(jnp.var(part["kernel"])) == pytest.approx(2 / (64 + 128), rel=0.05), name


@pytest.mark.slow
def test_use_from_nnx():
    layer = MultiHead(heads=2, attention=Softmax(dropout_rate=0.5))
    # NNX would have a mesh for the named axes of parameters; without one it is told so.
    with nnx.use_eager_sharding(False):
        model = nnx.jit(lambda: nnx.bridge.ToNNX(layer, rngs=nnx.Rngs(0)).lazy_init(X_BTM))()
        state = nnx.state(model, nnx.Param)
        shapes = {"/".join(path): x.shape for path, x in nnx.to_flat_state(state)}
        assert shapes["query/kernel"] == (8, 2, 4)
        assert len(shapes) == 8
        params = nnx.to_pure_dict(state)
        expected = apply(layer)({"params": params}, X_BTM, None, Causal())
        out = nnx.jit(lambda model: model(X_BTM, None, Causal(), rngs={}))(model)
        np.testing.assert_allclose(out, expected, atol=1e-6)
        grads = nnx.jit(nnx.grad(lambda model: model(X_BTM, rngs={}).sum()))(model)
        assert np.any(nnx.to_pure_dict(grads)["value"]["kernel"])
        train = nnx.jit(lambda model, rngs: model(X_BTM, rngs=rngs))
        one, other = (train(model, nnx.Rngs(dropout=seed)) for seed in (0, 1))
        assert np.any(one != other)


class Shared(Softmax):
    """Queries are keys, as for Reformer."""

    capabilities: ClassVar[Capabilities] = dataclasses.replace(
        Softmax.capabilities, projections="shared"
    )


class One(Softmax):
    """Queries are keys and values, as for GAT."""

    capabilities: ClassVar[Capabilities] = dataclasses.replace(
        Softmax.capabilities, projections="one"
    )


# Which projection makes the queries, the keys and the values.
MADE_BY = {Shared: ("query", "query", "value"), One: ("query", "query", "query")}


@pytest.mark.parametrize("memory", [None, MEMORY_BKM], ids=["self", "cross"])
@pytest.mark.parametrize("kind", MADE_BY)
def test_shared_projections_have_one_set_of_parameters(kind, memory):
    rotary = Rotary() if memory is None else None  # turns queries and keys, never the values
    layer = MultiHead(heads=2, attention=kind(), rotary=rotary)
    variables = variables_of(layer)
    assert set(variables["params"]) == {*MADE_BY[kind], "out"}
    names = zip(("query", "key", "value"), MADE_BY[kind], strict=True)
    apart = {name: variables["params"][made_by] for name, made_by in names}
    expected = apply(MultiHead(heads=2, rotary=rotary))(
        {"params": apart | {"out": variables["params"]["out"]}}, X_BTM, memory
    )
    np.testing.assert_allclose(apply(layer)(variables, X_BTM, memory), expected, atol=1e-6)


def test_one_projection_by_hand():
    layer = MultiHead(heads=2, attention=One())
    params = variables_of(layer)["params"]
    projected_BTHD = np.einsum("BTM,MHD->BTHD", X_BTM, params["query"]["kernel"])
    projected_BTHD += np.asarray(params["query"]["bias"])
    head_BTHD = softmax_attention(*(projected_BTHD,) * 3)
    expected = np.einsum("BTHD,HDM->BTM", head_BTHD, params["out"]["kernel"])
    ours = apply(layer)({"params": params}, X_BTM)
    np.testing.assert_allclose(ours, expected + np.asarray(params["out"]["bias"]), atol=5e-6)


@pytest.mark.parametrize("kind", MADE_BY)
def test_cached_decoding_with_shared_projections_is_the_full_pass(kind):
    layer = MultiHead(heads=2, attention=kind(), rotary=Rotary())
    variables = variables_of(layer)
    full = apply(layer)(variables, X_BTM, None, Causal())
    cache = layer.apply(variables, 2, 6, 8, method="start")
    for first, last in ((0, 4), (4, 6)):
        pos_BQ = jnp.arange(first, last)[None].repeat(2, 0)
        out, cache = apply(layer)(variables, cache, X_BTM[:, first:last], pos_BQ, method="extend")
        np.testing.assert_allclose(out, full[:, first:last], atol=1e-5)


@pytest.mark.parametrize("kind", MADE_BY)
def test_shared_projections_have_as_many_heads_of_keys_as_of_queries(kind):
    layer = MultiHead(heads=4, attention=kind(), kv_heads=2)
    message = f"^{kind.__name__} cannot share heads of keys .*; use Softmax; or kv_heads=None"
    with pytest.raises(NotImplementedError, match=message):
        jax.eval_shape(layer.init, jax.random.key(0), X_BTM)
    jax.eval_shape(MultiHead(heads=4, attention=kind(), kv_heads=4).init, jax.random.key(0), X_BTM)


class Plain(Softmax):
    """Declares nothing."""

    capabilities: ClassVar[Capabilities] = Capabilities()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda layer, v: layer.apply(v, X_BTM, MEMORY_BKM), "Plain cannot attend across two"),
        (lambda layer, v: layer.apply(v, X_BTM, bias=jnp.zeros((6, 6))), "Plain cannot add a bias"),
        (lambda layer, v: layer.apply(v, 2, 6, 8, method="start"), "Plain cannot decode"),
    ],
    ids=["cross", "bias", "decoding"],
)
def test_what_is_not_declared_is_refused(call, message):
    layer = MultiHead(heads=2, attention=Plain())
    variables = variables_of(layer)
    with pytest.raises(NotImplementedError, match=f"{message}.*; use Softmax"):
        call(layer, variables)


def test_values_alone_are_asked_by_no_second_sequence():
    layer = MultiHead(heads=2, attention=Synthesizer(length=8))
    with pytest.raises(NotImplementedError, match="^Synthesizer cannot attend across two"):
        layer.apply(variables_of(layer), X_BTM, MEMORY_BKM)


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        (MultiHead(heads=3), (X_BTM,), "heads=3 does not divide 8 features"),
        (MultiHead(heads=0), (X_BTM,), "heads=0 does not divide 8 features"),
        (MultiHead(heads=2, features=7), (X_BTM,), "heads=2 does not divide 7 features"),
        (MultiHead(heads=2), (X_BTM[0],), r"x_BQM has shape \(6, 8\); it needs three axes"),
        (MultiHead(heads=2), (X_BTM, X_BTM[0]), r"memory_BKM has shape \(6, 8\); .*three axes"),
        (MultiHead(heads=2), (X_BTM, MEMORY_BKM[:1]), "batch sizes differ: q has 2, k 1, v 1"),
        (MultiHead(heads=8, rotary=Rotary()), (X_BTM,), "a head has 1 features; rotary"),
        (MultiHead(heads=2), (X_BTM, None, np.ones((6, 5), bool)), "made for 5 keys"),
        (MultiHead(heads=2), (X_BTM, MEMORY_BKM, np.ones((5, 5), bool)), "made for 5 queries"),
        (MultiHead(heads=2), (X_BTM, None, Valid(np.ones((2, 5), bool))), "made for 5 queries"),
        (MultiHead(heads=2), (X_BTM, None, Lengths([1, 2, 3])), r"\(3, .*2"),
    ],
)
def test_what_does_not_fit_is_told(layer, inputs, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(layer.init, jax.random.key(0), *inputs)


@pytest.mark.slow
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_what_is_sown_gives_the_matrix_that_was_used(kv_heads):
    x_BTM = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 8)), "float32")
    layer, bias = MultiHead(heads=4, kv_heads=kv_heads), ALiBi.of(4)
    variables = layer.init(jax.random.key(0), x_BTM)
    sizes = {name: variables["params"][name]["kernel"].value.shape for name in ("query", "key")}
    assert sizes == {"query": (8, 4, 2), "key": (8, kv_heads, 2)}
    out, sown = layer.apply(variables, x_BTM, mask=Causal(), bias=bias, mutable=["intermediates"])
    *inputs, kept, x = sown["intermediates"]["attended"][0]
    np.testing.assert_array_equal(x, x_BTM)
    matrix_BHQK = effective_matrix(layer.attention, *inputs, bias=kept, x_BTM=x)
    params = nn.meta.unbox(variables["params"])
    v_BKGE = jnp.einsum("BKM,MGE->BKGE", x_BTM, params["value"]["kernel"])
    v_BKHE = jnp.repeat(v_BKGE, 4 // kv_heads, axis=2)
    again = jnp.einsum("BHQK,BKHE,HEM->BQM", matrix_BHQK, v_BKHE, params["out"]["kernel"])
    np.testing.assert_allclose(out, again, atol=1e-5)


def test_kv_heads_divide_the_heads():
    with pytest.raises(ValueError, match="kv_heads=3 does not divide 4 heads"):
        MultiHead(heads=4, kv_heads=3).init(jax.random.key(0), jnp.ones((1, 2, 8)))


@pytest.mark.slow
def test_what_is_causal_in_values_only_works_out_the_prefix_at_each_step():
    attend = Reformer(chunk=2, rounds=2)
    layer, x_BTM = MultiHead(heads=2, attention=attend), random(2, 7, 8)
    variables = nn.meta.unbox(jax.jit(layer.init)(jax.random.key(0), x_BTM))
    with pytest.warns(UserWarning, match="Reformer works out the prefix again at each step"):
        cache = layer.apply(variables, 2, 9, 8, method="start")
    # Row 1 starts two positions later; then the rows change places, as in a beam search.
    _, ahead = apply(layer)(variables, cache, x_BTM[:, :2], None, method="extend")
    cache = jax.tree.map(lambda new, old: jnp.stack([new[0], old[1]]), ahead, cache)
    cache = jax.tree.map(lambda leaf: leaf[jnp.array([1, 0])], cache)
    for step in range(4):
        inputs = jnp.stack([x_BTM[1, step], x_BTM[0, step + 2]])[:, None]
        out_B1M, cache = apply(layer)(variables, cache, inputs, None, method="extend")
        for row, (of, length) in enumerate(((1, step + 1), (0, step + 3))):
            whole = apply(layer)(variables, x_BTM[of : of + 1, :length], mask=Causal())
            np.testing.assert_allclose(out_B1M[row, 0], whole[0, -1], atol=1e-6)

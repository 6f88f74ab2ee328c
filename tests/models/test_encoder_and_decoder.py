"""The encoder and the decoder alone: with a Transformer's parameters, and without memories."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from attention import Decoder, Encoder
from attention.masks import Lengths
from attention.modules.layers import Stack
from attention.modules.normalisation import BatchNorm
from attention.modules.position_biases import RelativePositions
from attention.variants import GRU, Local, Softmax
from tests.models.test_transformer import SOURCE_BS, TARGET_BT, model_of, run, variables_of

SMALL = dict(size=8, heads=2, layers=2)
LENGTHS_B = np.array([6, 4])
REAL_BT = np.arange(6)[None] < LENGTHS_B[:, None]
Y_BTM = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)


def of_a_transformer():
    model = model_of(layers=2, pre_norm=True, position_bias=RelativePositions, positions=None)
    options = {name: getattr(model, name) for name in Stack.__annotations__}
    return model, variables_of(model), options


def randomised(module, *inputs):
    """The module's ``apply`` with random parameters, without compiling an init."""
    abstract = nn.meta.unbox(jax.eval_shape(module.init, jax.random.key(0), *inputs))
    random = np.random.default_rng(1)
    draw = lambda a: jnp.asarray(0.3 * random.normal(size=a.shape), a.dtype)  # noqa: E731
    return partial(module.apply, jax.tree.map(draw, abstract))


def test_an_encoder_alone_is_that_of_a_transformer_with_the_same_parameters():
    model, variables, options = of_a_transformer()
    embedding = variables["params"]["source_embedding"]["embedding"]
    x_BSM = embedding[SOURCE_BS] * np.sqrt(8)
    mask = Lengths((SOURCE_BS != 0).sum(axis=1))
    ours = np.asarray(jax.jit(Encoder(**options).apply)(variables, x_BSM, mask))
    plain = np.asarray(run(model)(SOURCE_BS, method="encode"))
    real_BS1 = (SOURCE_BS != 0)[..., None]
    np.testing.assert_allclose(np.where(real_BS1, ours, 0), np.where(real_BS1, plain, 0), atol=1e-6)


def test_a_decoder_alone_is_that_of_a_transformer_with_the_same_parameters():
    model, variables, options = of_a_transformer()
    y_BTM = run(model)(TARGET_BT, method="embed_target")
    memories = run(model)(SOURCE_BS, method="memories")
    source_B, target_B = ((x != 0).sum(axis=1) for x in (SOURCE_BS, TARGET_BT))
    decode = jax.jit(Decoder(**options).apply)
    out_BTM, weights = decode(variables, y_BTM, target_B, memories, source_B)
    assert weights is None
    logits_BTV = out_BTM @ variables["params"]["source_embedding"]["embedding"].T
    ours, plain = (
        np.where((TARGET_BT != 0)[..., None], x, 0)
        for x in (logits_BTV, run(model)(SOURCE_BS, TARGET_BT))
    )
    np.testing.assert_allclose(ours, plain, atol=1e-5)


@pytest.mark.slow
def test_an_encoder_needs_no_mask():
    encoder = Encoder(**SMALL, pre_norm=True, norm=BatchNorm)
    plain = encoder.init_with_output(jax.random.key(0), Y_BTM)[0]
    ours = encoder.init_with_output(jax.random.key(0), Y_BTM, Lengths(np.array([6, 6])))[0]
    np.testing.assert_allclose(ours, plain, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("attention", [Softmax(), Local(left=2, right=0), GRU(bidirectional=False)])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_without_a_cross_attention_steps_are_the_full_pass(attention, pre_norm):
    decoder = Decoder(**SMALL, attention=attention, cross=None, pre_norm=pre_norm)
    apply = randomised(decoder, Y_BTM, LENGTHS_B)
    full = np.asarray(jax.jit(apply)(Y_BTM, LENGTHS_B)[0])
    later = np.where((np.arange(6) > 3)[None, :, None], 5, Y_BTM)
    np.testing.assert_array_equal(jax.jit(apply)(later, LENGTHS_B)[0][:, :4], full[:, :4])
    memory, cache = apply(2, 4, method="start")
    extend = jax.jit(partial(apply, method="extend"))
    out, _, cache = extend(memory, cache, Y_BTM[:, :3])
    cache = apply(cache, 6, method="grow")
    outs = [out]
    for t in (3, 4, 5):
        out, weights, cache = extend(memory, cache, Y_BTM[:, t : t + 1])
        assert weights is None
        outs.append(out)
    steps = np.concatenate(outs, axis=1)
    np.testing.assert_allclose(steps[REAL_BT], full[REAL_BT], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "memories", "message"),
    [
        (dict(cross=None), [Y_BTM, Y_BTM], "needs 0 memories, and has 2"),
        (dict(), [], "needs 2 memories, and has 0"),
        (dict(), [Y_BTM], "needs 2 memories, and has 1"),
    ],
)
def test_a_wrong_number_of_memories_is_told(options, memories, message):
    decoder = Decoder(**SMALL, **options)
    with pytest.raises(ValueError, match=message):
        decoder.init(jax.random.key(0), Y_BTM, LENGTHS_B, memories, LENGTHS_B)


def test_without_a_cross_attention_nothing_points():
    decoder = Decoder(**SMALL, cross=None, points=True)
    with pytest.raises(NotImplementedError, match="a decoder without it cannot tell how much"):
        decoder.init(jax.random.key(0), Y_BTM, LENGTHS_B)


@pytest.mark.slow
def test_a_transformer_from_nnx_has_the_same_parameters():
    model = model_of()
    with nnx.use_eager_sharding(False):
        made = nnx.bridge.ToNNX(model, rngs=nnx.Rngs(0)).lazy_init(SOURCE_BS, TARGET_BT)
        params = nnx.to_pure_dict(nnx.state(made, nnx.Param))
    assert jax.tree.structure(params) == jax.tree.structure(variables_of(model)["params"])

"""Every attention in every place where it is legal, and every legal pair: trained and decoded."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import build, schema

# Small enough that what a pattern hides matters in nine tokens.
PARAMETERS = {
    "local": {"left": 2, "right": 1},
    "dilated": {"left": 1, "right": 1, "step": 2},
    "strided": {"stride": 3},
    "fixed": {"block": 3, "summary": 1},
    "longformer": {"left": (2,), "right": (1,)},
    "bigbird": {"block": 2, "random": 1},
    "grid": {"width": 3, "rows": 1, "columns": 1},
    "axial": {"width": 3},
    "per_head": {"left": (1, 2), "right": (1, 0), "step": (1, 2)},
}
SOURCE_BS = jnp.array([[4, 5, 6, 7, 9, 8, 10, 4, 1], [8, 9, 5, 6, 1, 0, 0, 0, 0]])
TARGET_BT = jnp.array([[3, 5, 4, 6, 7, 0, 0], [3, 10, 9, 8, 7, 6, 5]])


def legal(place, name):
    try:
        build.attend(spec(place, name), place)
    except NotImplementedError:
        return False
    return True


def spec(place, name):
    return build.attention_defaults(name, place) | PARAMETERS.get(name, {})


PLACES = {
    place: [name for name in build.ATTENTIONS if legal(place, name)]
    for place in ("encoder", "decoder", "cross")
}


def model_of(**places):
    config = schema.defaults()
    config["model"] |= {"size": 8, "heads": 2, "layers": 1, "ff_size": 12, "dropout": 0.0}
    config["model"] |= {place: spec(place, name) for place, name in places.items()}
    return build.transformer(config, vocab_size=11)


def check(model):
    """Logits and gradients are finite, padding does not matter, the cache gives the full pass."""
    variables = nn.meta.unbox(jax.jit(model.init)(jax.random.key(0), SOURCE_BS, TARGET_BT))

    def loss(params):
        logits_BTV = model.apply({"params": params}, SOURCE_BS, TARGET_BT)
        picked = jax.nn.log_softmax(logits_BTV)[:, :, 4]
        return -jnp.where(TARGET_BT != 0, picked, 0).sum(), logits_BTV

    grads, logits_BTV = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(leaf).all(), path
        # Adding one number to all keys of a head changes no weight.
        key_bias = jax.tree_util.keystr(path).endswith("['key']['bias']")
        assert key_bias or np.any(leaf), path
    alone = model.apply(variables, SOURCE_BS[1:, :5], TARGET_BT[1:])
    np.testing.assert_allclose(alone, logits_BTV[1:], atol=1e-5)
    start = jax.jit(partial(model.apply, method="start"), static_argnames="length")
    extend = jax.jit(partial(model.apply, method="extend"))
    memory, cache = start(variables, SOURCE_BS, length=TARGET_BT.shape[1])
    for t in range(TARGET_BT.shape[1]):
        logits_BV, cache = extend(variables, memory, cache, TARGET_BT[:, t])
        real_B = np.asarray(TARGET_BT[:, t] != 0)
        np.testing.assert_allclose(logits_BV[real_B], logits_BTV[real_B, t], atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "name"), [(place, name) for place, names in PLACES.items() for name in names]
)
def test_in_every_place(place, name):
    check(model_of(**{place: name}))


@pytest.mark.long
@pytest.mark.parametrize("decoder", PLACES["decoder"])
@pytest.mark.parametrize("encoder", PLACES["encoder"])
def test_every_legal_pair(encoder, decoder):
    check(model_of(encoder=encoder, decoder=decoder))


def test_what_is_legal():
    assert PLACES["encoder"] == list(build.ATTENTIONS)
    assert set(build.ATTENTIONS) - set(PLACES["decoder"]) <= {"global", "bigbird", "graph"}
    assert PLACES["cross"] == ["softmax"]
    assert set(PARAMETERS) <= set(build.ATTENTIONS)

"""Routing beside the laws: how centroids move, and what a token gets in many clusters or none."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention import MultiHead, masks
from attention.shapes import Sizes
from attention.variants.clustered.routing import Routing
from tests.reference.clustered import normalised

RANDOM = np.random.default_rng(0)
SIZES = Sizes(heads=3, size=4, value_size=5, model_size=12)
RNG = jax.random.key(7)


def normal(*shape):
    return np.asarray(RANDOM.normal(size=shape), "float32")


Q, K, V = normal(2, 9, 3, 4), normal(2, 9, 3, 4), normal(2, 9, 3, 5)
LENGTHS = masks.Lengths(jnp.array([9, 4]))


@functools.cache
def state_of(attend):
    init = jax.jit(lambda rng: attend.init(rng, SIZES)[1]["centroids"].value)
    return {"centroids": np.asarray(init(jax.random.key(1)))}


@functools.partial(jax.jit, static_argnums=0)
def attended(attend, state, q, k, v, mask, rng=None):
    return attend.attend({}, state, q, k, v, mask, rng=rng)


def moved(attend, q, k, mask, state, rng=RNG):
    return np.asarray(attended(attend, state, q, k, V, mask, rng)[1]["centroids"])


@pytest.mark.parametrize(
    "fields",
    [
        *({"clusters": 0}, {"clusters": 2.5}, {"window": -1}, {"local_heads": 0.5}),
        *({"left": -1}, {"right": True}, {"decay": 1.5}, {"scale": -1.0}),
    ],
)
def test_fields_are_checked(fields):
    (name, value) = next(iter(fields.items()))
    with pytest.raises(ValueError, match=rf"^Routing\({name}={value}\): needs"):
        Routing(**fields)


def test_some_heads_must_route():
    with pytest.raises(ValueError, match=r"^Routing\(local_heads=3\): needs fewer than all 3"):
        Routing(local_heads=3).init(RNG, SIZES)


def test_only_shared_queries_and_keys_may_be_causal():
    attend = Routing(shared=False)
    with pytest.raises(NotImplementedError, match="with shared=True it is causal"):
        attend.attend({}, state_of(attend), Q, K, V, masks.Causal())


def follows(attend, q, k, lengths, centroids_HND):
    """The equation: each token to its nearest centroid, which moves to their mean."""
    mu = np.asarray(centroids_HND, np.float64)
    new = mu.copy()
    for h, n in np.ndindex(mu.shape[:2]):
        mine = [
            x
            for side in ((q,) if attend.shared else (q, k))
            for row, length in zip(np.asarray(side), lengths, strict=True)
            for x in normalised(row[:length, h + attend.local_heads])
            if np.argmax(mu[h] @ x) == n
        ]
        if mine:
            new[h, n] = attend.decay * mu[h, n] + (1 - attend.decay) * np.mean(mine, axis=0)
    return new


@pytest.mark.parametrize(
    "attend",
    [
        Routing(clusters=3, decay=0.9),
        Routing(clusters=9, decay=0.5, shared=False),
        Routing(clusters=2, decay=0.9, local_heads=1),
    ],
)
def test_centroids_move_to_the_mean_of_what_is_nearest(attend):
    state, k = state_of(attend), Q if attend.shared else K
    theirs = follows(attend, Q, k, (9, 4), state["centroids"])
    q, k = Q.copy(), k.copy()
    q[1, 4:] = k[1, 4:] = np.nan  # padding does not count
    ours = moved(attend, q, k, LENGTHS, state)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    stayed = np.all(theirs == np.asarray(state["centroids"], np.float64), axis=2)
    assert attend.clusters < 9 or stayed.any()  # without a token a centroid stays where it is
    assert not stayed.all()


def test_centroids_move_in_training_alone():
    attend = Routing(clusters=3)
    state = state_of(attend)
    np.testing.assert_array_equal(moved(attend, Q, Q, None, state, rng=None), state["centroids"])
    assert np.any(moved(attend, Q, Q, None, state) != state["centroids"])


def test_nothing_is_learned_through_the_choice():
    attend = Routing(clusters=3)

    def loss(state):
        out, new = attend.attend({}, state, Q, Q, V, None, rng=RNG)
        return out.sum() + new["centroids"].sum()

    assert not np.any(jax.jit(jax.grad(loss))(state_of(attend))["centroids"])


def test_a_module_keeps_what_moved():
    layer, x_BTM = MultiHead(heads=3, attention=Routing(clusters=3)), normal(2, 9, 12)
    variables = jax.jit(layer.init)(RNG, x_BTM)
    kept = [name for name in variables if name != "params"]
    apply = jax.jit(functools.partial(layer.apply, mutable=kept))
    _, after = apply(variables, x_BTM, rngs={"dropout": RNG})
    _, still = apply(variables, x_BTM)
    same = lambda a, b: jax.tree.all(jax.tree.map(np.array_equal, a, b))  # noqa: E731
    assert not same(after, {name: variables[name] for name in kept})
    assert same(still, {name: variables[name] for name in kept})


def test_a_token_gets_the_mean_of_its_clusters_and_zero_in_none():
    """Of one head: tokens a to d; cluster 0 takes a and b, cluster 1 takes b and c."""
    a, b, c, d = np.array([[3, -3, 0, 0], [2, -1, -1, 0], [0, 0, 3, -3], [-2, 1, 1, 0]], "float32")
    q = np.stack([a, b, c, d])[None, :, None]
    v = normal(1, 4, 1, 5)
    centroids = np.stack([a, b + c])[None]
    x = np.asarray([normalised(y) for y in (a, b, c, d)])
    near = x @ np.asarray(centroids[0]).T
    members = [sorted(np.argsort(-near[:, n])[:2].tolist()) for n in range(2)]
    assert sorted(members[0] + members[1]) in ([0, 0, 1, 2], [0, 1, 1, 2], [0, 1, 2, 2])
    state = {"centroids": centroids}
    out = np.asarray(attended(Routing(clusters=2), state, q, q, v, None)[0])[0, :, 0]
    found = {i: [] for i in range(4)}
    for tokens in members:
        s = x[tokens] @ x[tokens].T / 2
        weights = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
        for i, row in zip(tokens, weights @ np.asarray(v[0, tokens, 0]), strict=True):
            found[i].append(row)
    assert sorted(map(len, found.values())) == [0, 1, 1, 2]
    for i, rows in found.items():
        np.testing.assert_allclose(out[i], np.mean(rows, axis=0) if rows else 0, atol=1e-5)


@pytest.mark.parametrize(("window", "taken"), [(0, (3, 2)), (2, (2, 2)), (20, (9, 4))])
def test_clusters_are_balanced_by_the_true_length(window, taken):
    """With equal centroids all clusters have the same tokens, as many as a third of the row's."""
    attend = Routing(clusters=3, window=window)
    state = {"centroids": np.repeat(state_of(attend)["centroids"][:, :1], 3, axis=1)}
    out = np.asarray(attended(attend, state, Q, Q, V, LENGTHS)[0])
    for row, tokens in enumerate(taken):
        np.testing.assert_array_equal(out[row].any(axis=-1).sum(axis=0), tokens)


@pytest.mark.slow
def test_an_update_gathers_nothing_over_devices(eight_devices):
    eight_devices(
        """
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
        from attention.masks import Lengths
        from attention.shapes import Sizes
        from attention.variants.clustered.routing import Routing

        attend = Routing(clusters=3, decay=0.5)
        _, boxed = attend.init(jax.random.key(0), Sizes(2, 4, 4, 8))
        state = {"centroids": boxed["centroids"].value}
        x = jax.random.normal(jax.random.key(1), (16, 12, 2, 4))
        lengths = jnp.arange(16) % 12 + 1

        @jax.jit
        def step(x, lengths):
            out, new = attend.attend({}, state, x, x, x, Lengths(lengths), rng=jax.random.key(2))
            return out, new["centroids"]

        alone = jax.device_get(step(x, lengths))
        mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
        with jax.set_mesh(mesh):
            put = [jax.device_put(a, NamedSharding(mesh, P("data"))) for a in (x, lengths)]
            compiled = step.lower(*put).compile()
            ours = compiled(*put)
        for a, b in zip(ours, alone, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        assert "all-reduce" in compiled.as_text() and "all-gather" not in compiled.as_text()
        """
    )

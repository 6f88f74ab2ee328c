"""Splash attention's masks are ours; heads that differ reach it together or apart."""

from unittest import mock

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export
from jax.experimental.pallas.ops.tpu import splash_attention as pallas

from attention.kernels import softmax_attention
from attention.kernels.request import head_masks
from attention.kernels.splash import masks as splash_masks
from attention.masks import (
    Causal,
    Dilated,
    Everything,
    Fixed,
    Global,
    Grid,
    Lengths,
    PerHead,
    RandomBlocks,
    Strided,
    Window,
)

MASKS = [
    Everything(),
    Causal(),
    Window(2, 150),
    Window(0, 0),
    Dilated(4, 1, 7),
    Strided(13),
    Fixed(16, 2, local=False),
    Global(1, (140,)),
    RandomBlocks(32, 2, 5),
    Grid(11, 1, 2),
]
static_masks = st.recursive(
    st.sampled_from(MASKS),
    lambda masks: st.one_of(
        st.builds(lambda a, b: a & b, masks, masks),
        st.builds(lambda a, b: a | b, masks, masks),
        st.builds(lambda a: ~a, masks),
    ),
    max_leaves=4,
)


def slices(length):
    ends = st.tuples(st.integers(0, length), st.integers(0, length))
    return ends.map(lambda pair: slice(*sorted(pair)))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(static_masks, st.data())
def test_every_slice_is_that_of_the_dense_mask(mask, data):
    q_len, k_len = data.draw(st.sampled_from([(150, 200), (300, 150), (200, 300)]))
    made = splash_masks.ConvertedMask(mask, q_len, k_len)
    see = np.array(np.broadcast_to(mask.dense(*made.shape)[0, 0], made.shape))
    lost = ~see[:q_len, :k_len].any(1)
    see[:q_len, 0] |= lost  # rows without a key are shown the first one
    q, k = data.draw(slices(made.shape[0])), data.draw(slices(made.shape[1]))
    np.testing.assert_array_equal(made[q, k], see[q, k])
    with mock.patch.object(splash_masks, "_SIDE", 64):
        first_Q = splash_masks._first_key.__wrapped__(mask, q_len, k_len)
    np.testing.assert_array_equal(first_Q, np.where(lost, k_len, see[:q_len, :k_len].argmax(1)))


def test_a_row_without_a_key_is_shown_the_first_one():
    made = splash_masks.ConvertedMask(~Window(9, 200), 130, 130)
    see = made[slice(0, 256), slice(0, 256)]
    assert see[:10, 0].all()
    np.testing.assert_array_equal(see[:130, :130].sum(1), np.maximum(np.arange(130) - 9, 1))


def test_heads_with_equal_masks_share_one():
    one, other = (splash_masks.convert(Strided(5) & ~Causal(), 130, 130) for _ in "ab")
    assert (one == other, hash(one) == hash(other)) == (True, True)
    assert one != splash_masks.convert(Strided(5) & ~Causal(), 129, 130)
    assert one != splash_masks.convert(Strided(6) & ~Causal(), 130, 130)


def test_its_own_masks_are_taken_where_there_are_any():
    kinds = [type(splash_masks.convert(m, 130, 150)) for m in (Everything(), *MASKS[1:3])]
    assert kinds == [pallas.FullMask, pallas.CausalMask, pallas.LocalMask]
    # Of 600 queries the last see nothing, which its own window does not know of.
    assert isinstance(splash_masks.convert(Window(5, 5), 600, 130), splash_masks.ConvertedMask)


def test_a_mask_by_head_is_that_of_each_head():
    found = head_masks(PerHead((Causal(), Strided(5))) & Lengths([3]) & Window(4, 4), 2)
    assert found.masks == (Causal() & Window(4, 4), Strided(5) & Window(4, 4))
    np.testing.assert_array_equal(found.lengths.k_lengths_B, [3])
    share = jax.tree.map(lambda head_1H11: head_1H11[:, 1:], PerHead((Causal(), Strided(5))))
    assert head_masks(share, 1) is None  # of some heads only: which ones is known when it runs


@pytest.mark.parametrize(("kernel", "launches"), [("splash", 1), ("auto", 2)])
def test_heads_that_differ_reach_it_together_or_apart(kernel, launches, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    x = jax.ShapeDtypeStruct((2, 130, 3, 64), "float32")
    mask = PerHead((Causal(), Strided(9), Causal()))

    @jax.jit
    def attend(x, mask):  # the mask as an argument: then its numbers of heads are traced
        return softmax_attention(x, x, x, mask, kernel=kernel)

    program = export.export(attend, platforms=("tpu",))(x, mask)
    assert program.mlir_module().count("stablehlo.custom_call @tpu_custom_call") == launches


@pytest.mark.slow
def test_under_a_mesh_nothing_changes(eight_devices):
    printed = eight_devices("""
        from dataclasses import replace
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
        from attention.kernels import KERNELS, softmax_attention
        from attention.kernels.splash.splash import splash
        from attention.masks import Causal, Lengths, PerHead, Strided

        jax.default_backend = lambda: "tpu"
        heads = []

        def interpreted(q, *arguments, **options):
            heads.append(q.shape[2])
            return splash(q, *arguments, **options, interpret=True)

        KERNELS["splash"] = replace(KERNELS["splash"], compute=interpreted)
        x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 130, 4, 8)), jnp.float32)
        lengths = jnp.array([130, 1, 70, 0])

        def make(kernel, pattern):
            @jax.jit
            def grad(x, lengths):
                def loss(x):
                    mask = pattern & Lengths(lengths)
                    y = softmax_attention(x, x[:, :, :2], x[:, :, 2:], mask, kernel=kernel)
                    return (y ** 2).mean()
                return jax.value_and_grad(loss)(x)
            return grad

        by_head = PerHead((Strided(9), Causal(), Causal(), Strided(9)))
        for pattern in (Strided(9), by_head & PerHead((Strided(5), Causal()) * 2)):
            plain = make("tiled", pattern)(x, lengths)
            for shape, names in (((4,), ("data",)), ((4, 2), ("data", "tensor"))):
                mesh = jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(shape))
                split = [jax.device_put(a, NamedSharding(mesh, P("data"))) for a in (x, lengths)]
                heads.clear()
                with jax.set_mesh(mesh):
                    ours = make("splash", pattern)(*split)
                np.testing.assert_allclose(ours[0], plain[0], rtol=1e-5)
                np.testing.assert_allclose(ours[1], plain[1], atol=1e-6)
                print(*heads)
    """)
    # Heads that differ stay together while a device has them all.
    assert printed.splitlines() == ["4", "2", "4", "1 1 1 1"]

"""Under a mesh nothing is gathered, and nothing changes."""


def test_long_rows_stay_where_they_are(eight_devices):
    """Many tiles and groups: without shard_map the loop over rows gathers them all."""
    printed = eight_devices("""
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
        from attention.biases import ALiBi
        from attention.kernels import softmax_attention
        from attention.masks import Causal, Lengths

        x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 600, 4, 8)), jnp.float32)
        lengths = jnp.arange(8) * 80 + 1

        def make():
            @jax.jit
            def grad(x, lengths):
                def loss(x):
                    y = softmax_attention(
                        x, x[:, :, :2], x[:, :, 2:], Causal() & Lengths(lengths),
                        bias=ALiBi.of(4), dropout_rate=0.2, rng=jax.random.key(0), kernel="tiled",
                    )
                    return (y ** 2).mean()
                return jax.value_and_grad(loss)(x)
            return grad

        plain = make()(x, lengths)
        for shape, names in (((8,), ("data",)), ((4, 2), ("data", "tensor"))):
            mesh = jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(shape))
            spec = P("data") if len(shape) == 1 else P("data", None, "tensor")
            split = [
                jax.device_put(x, NamedSharding(mesh, P("data"))),
                jax.device_put(lengths, NamedSharding(mesh, P("data"))),
            ]
            loose = make().lower(*split).compile().as_text()
            with jax.set_mesh(mesh):
                compiled = make().lower(*split).compile()
                ours = compiled(*split)
            np.testing.assert_allclose(ours[0], plain[0], rtol=1e-5)
            np.testing.assert_allclose(ours[1], plain[1], atol=1e-7)
            print(names[-1], "all-gather" in loose, "all-gather" in compiled.as_text())
    """)
    lines = [line.split() for line in printed.splitlines()]
    assert lines[0] == ["data", "True", "False"]
    assert lines[1][0] == "tensor"

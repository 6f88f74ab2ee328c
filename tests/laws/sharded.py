"""Law 8 on eight devices: run in a process of its own, for all cases, by test_transforms.py."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from attention.shapes import Sizes
from attention.testing.draw import draw
from attention.testing.masks import Setting
from tests.laws.cases import CASES

BATCH = 16
SIZES = Sizes(heads=2, size=4, value_size=4, model_size=16)
MESHES = {
    "data": jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,)),
    "data and tensor": jax.make_mesh((4, 2), ("data", "tensor"), axis_types=(AxisType.Auto,) * 2),
}


def drawn_of(case, kind=None):
    slot = "decoder" if "decoder" in case.slots else case.slots[0]
    model_size = SIZES.heads * case.groups * SIZES.size
    sizes = SIZES if case.module is None else Sizes(2, 4, 4, model_size)
    return draw(Setting(case, slot, kind or case.padded), sizes=sizes, batch=BATCH)


def split(drawn, mesh):
    """Inputs and mask over the mesh: rows over data; heads, where there are any, over tensor."""

    def put(x):
        heads = ("tensor",) if "tensor" in mesh.axis_names and x.ndim == 4 else ()
        spec = P("data", *(None, *heads) if heads else ())
        return jax.device_put(x, NamedSharding(mesh, spec))

    return jax.tree.map(put, (drawn.inputs, drawn.mask))


def function_of(drawn, rng=None):
    def loss(inputs, mask):
        out = drawn.case.apply(drawn.sizes, drawn.variables, inputs, mask, drawn.bias, rng)
        return (out**2).sum() / out.shape[0], out

    return jax.jit(jax.grad(loss, has_aux=True))


def error(ours, theirs):
    """The greatest error over all leaves, where below one absolute, else relative."""
    return max(
        float(np.max(np.abs(np.asarray(a) - np.asarray(b)) / np.maximum(1.0, np.abs(b))))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    )


def on_meshes(case, names):
    drawn = drawn_of(case)
    alone = jax.device_get(function_of(drawn)(drawn.inputs, drawn.mask))
    return {name: on_mesh(drawn, alone, MESHES[name]) for name in names}


def on_mesh(drawn, alone, mesh):
    with jax.set_mesh(mesh):
        arguments = split(drawn, mesh)
        compiled = function_of(drawn).lower(*arguments).compile()
        ours = compiled(*arguments)
        # Under a tensor axis, projections may be gathered; rows may not.
        gathers = "all-gather" in compiled.as_text() and mesh is MESHES["data"]
    devices = len(ours[1].sharding.device_set)
    return {"devices": devices, "error": error(ours, alone), "gathers": gathers}


def dropout(case):
    """With the same contents in every row."""
    drawn = drawn_of(case, "lengths")
    inputs = jax.tree.map(lambda x: jnp.broadcast_to(x[-1:], x.shape), drawn.inputs)
    # Nothing is padding: of short rows several would by chance drop the same.
    same = inputs, jax.tree.map(lambda x: jnp.full_like(x, drawn.shape.q_len), drawn.mask)
    rng = jax.random.key(3)
    alone = jax.device_get(function_of(drawn, rng)(*same))
    errors = []
    for devices in (2, 8):
        mesh = jax.make_mesh(
            (devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
        )
        put = functools.partial(jax.device_put, device=NamedSharding(mesh, P("data")))
        with jax.set_mesh(mesh):
            ours = function_of(drawn, rng)(*jax.tree.map(put, same))
        errors.append(error(ours, alone))
    rows = {np.asarray(row).tobytes() for row in ours[1]}
    return {"error": max(errors), "different rows": len(rows), "rows": BATCH}


def main(wanted):
    """Prints what was found, by case and mesh (or "dropout"), of those that are wanted."""
    found = {}
    for case in CASES:
        meshes = [name for name in MESHES if f"{case.name}/{name}" in wanted]
        found[case.name] = on_meshes(case, meshes) if meshes else {}
        if f"{case.name}/dropout" in wanted:
            found[case.name]["dropout"] = dropout(case)
    print(json.dumps(found))

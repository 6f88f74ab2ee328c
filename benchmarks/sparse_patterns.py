"""Times sparse attention against PyTorch, and shows how time, memory and products grow.

    python benchmarks/sparse_patterns.py [--parts=window,growth,products] [--pairs=15]

- window: a window of 128 to either side against PyTorch's FlexAttention (compiled, the same
  window), against PyTorch's dense attention and our own, and forward with backward against forward.
  In turn, in one process, on two threads. PyTorch is optional (``pip install torch==2.13.0``, and a
  C++ compiler for FlexAttention).
- growth: exponents of seconds and of temporary memory, fitted from 4k to 32k tokens.
- products: multiply-adds counted in the jaxpr at 16k tokens, against those of the visible pairs.

Float32, batch 1, 8 heads of 64. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.paired import HEADER, paired, use_processors

use_processors(2)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from attention import masks, variants  # noqa: E402
from attention.analysis.growth import exponent  # noqa: E402
from attention.analysis.memory import temporary_bytes  # noqa: E402
from attention.analysis.multiply_adds import multiply_adds  # noqa: E402
from attention.kernels import softmax_attention  # noqa: E402
from attention.lab.commands import process  # noqa: E402
from attention.protocols import WithAxes  # noqa: E402
from attention.shapes import Sizes  # noqa: E402

HEADS, SIZE, WINDOW = 8, 64, 128
SIZES = Sizes(HEADS, SIZE, SIZE, HEADS * SIZE)
LENGTHS = 4_096, 8_192, 16_384, 32_768
PAIRS_OF_DENSE = 5
PAUSE = 0.05  # seconds before each run: OpenMP's threads spin for a while


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="window,growth,products")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=5, help="of each time that is fitted")
    parser.add_argument("--only", default="", help="grow only what has this in its name")
    options = parser.parse_args()
    process.keep_freed_memory()  # as launch.py does
    parts: dict[str, Callable[[], None]] = {
        "window": partial(window, options.pairs),
        "growth": partial(growth, options.repeats, options.only),
        "products": products,
    }
    for name in options.parts.split(","):
        print(f"\n### {name}\n")
        parts[name]()


def window(pairs: int) -> None:
    """The window against others, and its backward pass against its forward pass."""
    mask = masks.Window(WINDOW, WINDOW)
    arrays = drawn(8_192)
    ours = ready(lambda q, k, v, g: softmax_attention(q, k, v, mask), arrays)
    dense = ready(lambda q, k, v, g: softmax_attention(q, k, v), arrays)
    print(HEADER)
    for name, other in (pytorch(arrays) | {"our own dense": dense}).items():
        count = pairs if name.startswith("Flex") else PAIRS_OF_DENSE
        ratio = paired(ours, other, pairs=count, pause=PAUSE)
        print(ratio.row(f"window forward against {name}, N 8,192, {count} pairs"), flush=True)
    long = drawn(16_384)
    forward = ready(lambda q, k, v, g: softmax_attention(q, k, v, mask), long)
    both = ready(
        lambda q, k, v, g: jax.vjp(lambda *x: softmax_attention(*x, mask), q, k, v)[1](g), long
    )
    ratio = paired(forward, both, pairs=pairs, pause=PAUSE)
    print(ratio.row(f"window forward against forward with backward, N 16,384, {pairs} pairs"))


def pytorch(arrays: list[np.ndarray]) -> dict[str, Callable[[], None]]:
    """PyTorch's sides of the comparison, or none where it is absent."""
    try:
        import torch
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    except ImportError:
        print("PyTorch: skipped, it is not installed (pip install torch==2.13.0)", file=sys.stderr)
        return {}
    torch.set_num_threads(2)
    q, k, v, _ = (torch.tensor(np.ascontiguousarray(x.swapaxes(1, 2))) for x in arrays)
    length = q.shape[2]

    def near(b: Any, h: Any, q_pos: Any, k_pos: Any) -> Any:
        return (k_pos - q_pos).abs() <= WINDOW

    blocks = create_block_mask(near, None, None, length, length, device="cpu")
    compiled = torch.compile(flex_attention)

    def flex() -> None:
        with torch.no_grad():
            compiled(q, k, v, block_mask=blocks)

    def dense() -> None:
        with torch.no_grad():
            torch.nn.functional.scaled_dot_product_attention(q, k, v)

    return {"FlexAttention": flex, "PyTorch dense": dense}


def of_length(length: int) -> dict[str, tuple[Any, float]]:
    """Attentions by name with the keys that a query sees in the mean, at a length."""
    root = int(length**0.5)
    made = {
        "window 128": variants.Local(WINDOW, WINDOW),
        "Longformer 128, 1 global": variants.Longformer(WINDOW, WINDOW, first=1),
        "BigBird 64, 3 random": variants.BigBird(64, 3, length=length),
        "strided, l = √n, causal": variants.Strided(root),
        "fixed, l = √n, c = 8, causal": variants.Fixed(root, 8),
        "dilated 64, step 4": variants.Dilated(64, 64, 4),
        "global 16": variants.Global(16),
        "grid, width √n, 3 around": variants.Grid(root, 3, 3),
        "axial, width √n": variants.Axial(root),
        "per head: 4 windows, 4 dilated": variants.PerHead(WINDOW, WINDOW, (1,) * 4 + (4,) * 4),
    }
    return {name: (attend, visible(name, attend, length)) for name, attend in made.items()}


def mask_of(name: str) -> masks.Mask | None:
    return masks.Causal() if "causal" in name else None


def visible(name: str, attend: Any, length: int) -> float:
    """Pairs that are seen of a head, counted in dense tiles of the mask, divided by the length."""
    pattern = attend.pattern(np.array([length]) if isinstance(attend, variants.BigBird) else HEADS)
    mask = masks.as_mask(mask_of(name)) & pattern
    side = 1_024
    count = jax.jit(lambda q, k: mask.tile(q, k, side, side).sum(dtype=jnp.int32))
    heads = jax.eval_shape(lambda: mask.tile(0, 0, side, side)).shape[1]
    firsts = range(0, length, side)
    return sum(int(count(q, k)) for q in firsts for k in firsts) / heads / length


def function_of(name: str, attend: Any) -> Callable[..., jax.Array]:
    """Attention by q, k, v, and the layer's x where it is wanted."""
    boxed, _ = attend.init(jax.random.key(0), SIZES)
    params = jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, WithAxes))

    def attended(q: jax.Array, k: jax.Array, v: jax.Array, g: jax.Array) -> jax.Array:
        x_BTM = q.reshape(*q.shape[:2], -1)
        return attend.attend(params, {}, q, k, v, mask_of(name), x_BTM=x_BTM)[0]

    return attended


def growth(repeats: int, only: str) -> None:
    """Exponents of time and temporary memory, forward and with the backward pass."""
    names = [name for name in list(of_length(LENGTHS[0]))[:5] if only in name]
    print("| | " + " | ".join(f"{n:,}" for n in LENGTHS) + " | exponent |")
    print("| --- |" + " ---: |" * (len(LENGTHS) + 1))
    for name in names:
        rows: dict[str, list[float]] = {}
        for length in LENGTHS:
            plain, arrays = function_of(name, of_length(length)[name][0]), drawn(length)
            for what, function in (("forward", plain), ("with backward", with_backward(plain))):
                shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays]
                needed = temporary_bytes(function, *shapes)
                rows.setdefault(f"{what}, MiB", []).append(needed / 2**20)
                run, seconds = ready(function, arrays), []
                for _ in range(repeats + 1):
                    started = time.perf_counter()
                    run()
                    seconds.append(time.perf_counter() - started)
                rows.setdefault(f"{what}, seconds", []).append(statistics.median(seconds[1:]))
        for what, numbers in rows.items():
            cells = " | ".join(f"{n:.4g}" for n in numbers)
            print(f"| {name}: {what} | {cells} | {exponent(LENGTHS, numbers):.2f} |", flush=True)


def with_backward(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    return lambda q, k, v, g: jax.vjp(lambda *x: function(*x, g), q, k, v)[1](g)


def products() -> None:
    """Multiply-adds at 16k, less Longformer's own projections, by those of visible pairs."""
    length = 2**14
    print("| pattern | keys a query sees | multiply-adds, G | by the visible |")
    print("| --- | ---: | ---: | ---: |")
    shapes = [jax.ShapeDtypeStruct((1, length, HEADS, SIZE), "float32")] * 4
    for name, (attend, seen) in of_length(length).items():
        counted = multiply_adds(function_of(name, attend), *shapes)
        if attend.capabilities.needs_x:  # keys and values of all tokens
            counted -= 2 * length * (HEADS * SIZE) ** 2
        least = seen * length * HEADS * 2 * SIZE
        print(f"| {name} | {seen:.1f} | {counted / 1e9:.2f} | {counted / least:.2f} |", flush=True)


def drawn(length: int) -> list[np.ndarray]:
    """q, k, v and what the output is multiplied by."""
    random = np.random.default_rng(0)
    return [random.normal(size=(1, length, HEADS, SIZE)).astype("float32") for _ in range(4)]


def ready(function: Callable[..., Any], arrays: list[np.ndarray]) -> Callable[[], None]:
    """The compiled function on its arrays; it returns when the work is done."""
    compiled, on_device = jax.jit(function), [jax.device_put(x) for x in arrays]

    def run() -> None:
        jax.block_until_ready(compiled(*on_device))

    return run


if __name__ == "__main__":
    main()

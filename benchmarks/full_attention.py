"""Times full attention against jax.nn and PyTorch, and measures its temporary memory.

    python benchmarks/full_attention.py [--lengths=512,1024,2048,4096] [--pairs=15]

Float32, batch times length 4,096, 8 heads of 64, forward, and forward with backward; what is
compared runs in turn in one process on two threads. Both sides get their arrays as they like them:
jax [B, T, H, D], PyTorch [B, H, T, D]. PyTorch is optional (``pip install torch==2.13.0``).

The process keeps memory as a plain one does; ``--keep_freed_memory`` says to keep what is freed, as
``launch.py`` does, for both sides. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.paired import HEADER, paired, use_processors

use_processors(2)

import jax  # noqa: E402
import numpy as np  # noqa: E402

from attention.analysis.memory import temporary_bytes  # noqa: E402
from attention.kernels import softmax_attention  # noqa: E402
from attention.lab.commands import process  # noqa: E402
from attention.masks import Causal  # noqa: E402

TOKENS, HEADS, SIZE = 4_096, 8, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="512,1024,2048,4096")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--keep_freed_memory", action="store_true")
    options = parser.parse_args()
    if options.keep_freed_memory:
        process.keep_freed_memory()
    ratios: dict[str, list[float]] = {}
    print(HEADER)
    for length in map(int, options.lengths.split(",")):
        for name, ours, theirs in comparisons(length):
            ratio = paired(ours, theirs, pairs=options.pairs)
            print(ratio.row(f"{name}, N {length:,}"), flush=True)
            ratios.setdefault(name, []).append(ratio.median)
    print("\nGeometric means over N:\n")
    for name, values in ratios.items():
        print(f"- {name}: {statistics.geometric_mean(values):.2f}, least {min(values):.2f}")
    print("\n| temporary memory, MiB | ours | jax.nn | share |\n| --- | ---: | ---: | ---: |")
    for length in map(int, options.lengths.split(",")):
        shapes = [jax.ShapeDtypeStruct(shape(length), "float32")] * 4
        for name, wrap in (("forward", first_three), ("forward and backward", with_backward)):
            ours, theirs = (
                temporary_bytes(wrap(f), *shapes) for f in (full, jax.nn.dot_product_attention)
            )
            row = f"{ours / 2**20:,.0f} | {theirs / 2**20:,.0f} | {ours / theirs:.3f}"
            print(f"| {name}, N {length:,} | {row} |")


def full(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    return softmax_attention(q, k, v)


def causal(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    return softmax_attention(q, k, v, Causal())


def first_three(attend: Callable) -> Callable:
    return lambda q, k, v, g: attend(q, k, v)


def with_backward(attend: Callable) -> Callable:
    return lambda q, k, v, g: jax.vjp(attend, q, k, v)[1](g)


def shape(length: int) -> tuple[int, int, int, int]:
    return TOKENS // length, length, HEADS, SIZE


def comparisons(length: int) -> list[tuple[str, Callable, Callable]]:
    """(name, ours, theirs), each of which blocks until it is done."""
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape(length)).astype("float32") for _ in range(4)]
    on_device = [jax.device_put(x) for x in arrays]

    def ready(function: Callable) -> Callable[[], None]:
        compiled = jax.jit(function)

        def run() -> None:
            jax.block_until_ready(compiled(*on_device))

        return run

    theirs = {"jax.nn": {
        "forward": ready(first_three(jax.nn.dot_product_attention)),
        "forward and backward": ready(with_backward(jax.nn.dot_product_attention)),
    }}  # fmt: skip
    if (torch_side := pytorch(arrays)) is not None:
        theirs["PyTorch"] = torch_side
    ours = {
        "forward": ready(first_three(full)),
        "forward and backward": ready(with_backward(full)),
    }
    found = [
        (f"{what} against {other}", ours[what], functions[what])
        for other, functions in theirs.items()
        for what in ours
    ]
    found += [
        ("causal forward against full", ready(first_three(causal)), ours["forward"]),
        (
            "causal forward and backward against full",
            ready(with_backward(causal)),
            ours["forward and backward"],
        ),
    ]
    return found


def pytorch(arrays: list[np.ndarray]) -> dict[str, Callable] | None:
    """PyTorch's fused attention, or None where it is absent."""
    try:
        import torch
    except ImportError:
        print("PyTorch: skipped, it is not installed (pip install torch==2.13.0)", file=sys.stderr)
        return None
    torch.set_num_threads(2)
    q, k, v, g = (torch.tensor(np.ascontiguousarray(x.swapaxes(1, 2))) for x in arrays)
    attend = torch.nn.functional.scaled_dot_product_attention
    trained = [x.clone().requires_grad_() for x in (q, k, v)]

    def forward() -> None:
        with torch.no_grad():
            attend(q, k, v)

    def forward_and_backward() -> None:
        torch.autograd.grad(attend(*trained), trained, g)

    return {"forward": forward, "forward and backward": forward_and_backward}


if __name__ == "__main__":
    main()

"""How every attention's multiply-adds, time and temporary memory grow, beside full attention.

    python benchmarks/variants.py [--parts=growth,against,step] [--only=linear,reformer] [--pairs=9]

- growth: forward, and forward with backward, from 1k to 16k tokens; exponents fitted from 4k.
- against: memory-compressed attention against full attention at 16k tokens, and causal linear
  attention against its two-sided form, in turn, in one process.
- step: seconds of one cached step of linear attention with 128 to 4,096 tokens before it.

Float32, batch 1, 4 heads of 64, two threads. Prints Markdown tables.
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

from attention import masks  # noqa: E402
from attention.analysis.growth import exponent  # noqa: E402
from attention.analysis.memory import temporary_bytes  # noqa: E402
from attention.analysis.multiply_adds import multiply_adds  # noqa: E402
from attention.lab.build import attentions  # noqa: E402
from attention.lab.commands import process  # noqa: E402
from attention.protocols import TokenMixer, WithAxes  # noqa: E402
from attention.shapes import Sizes  # noqa: E402

HEADS, SIZE = 4, 64
SIZES = Sizes(HEADS, SIZE, SIZE, HEADS * SIZE)
LENGTHS = 1_024, 2_048, 4_096, 8_192, 16_384
FITTED = 4_096  # tokens from which exponents are fitted
PREFIXES = 128, 256, 512, 1_024, 2_048, 4_096
ENOUGH = 15.0  # seconds of rounds, of which there is at least one
# Parameters that go with the length n, of root r.
GROWN: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "strided": lambda n, r: {"stride": r},
    "fixed": lambda n, r: {"block": r, "summary": 8},
    "grid": lambda n, r: {"width": r},
    "axial": lambda n, r: {"width": r},
    "bigbird": lambda n, r: {"length": n},
    "per_head": lambda n, r: {"left": (64,) * 4, "right": (64,) * 4, "step": (1, 1, 4, 4)},
    "routing": lambda n, r: {"clusters": r},
    "sinkhorn": lambda n, r: {"block": r, "length": n},
    "linformer": lambda n, r: {"length": n},
    "synthesizer": lambda n, r: {"length": n},
    "mixer": lambda n, r: {"length": n},
}


# Of a complete graph all scores are in memory.
MASKS: dict[str, Callable[[int], masks.Mask]] = {
    "graph": lambda n: masks.Edges(np.random.default_rng(0).integers(0, n, (8 * n, 2)), nodes=n),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="growth,against,step")
    parser.add_argument("--only", default="", help="grow these alone, with commas between")
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    process.keep_freed_memory()  # as launch.py does
    names = options.only.split(",") if options.only else list(attentions.ATTENTIONS)
    parts: dict[str, Callable[[], None]] = {
        "growth": partial(growth, names),
        "against": partial(against, options.pairs),
        "step": step,
    }
    for name in options.parts.split(","):
        print(f"\n### {name}\n")
        parts[name]()


def growth(names: list[str]) -> None:
    """A row a variant and pass: seconds at each length, and exponents."""
    print(
        "| | "
        + " | ".join(f"{n // 1024}k, s" for n in LENGTHS)
        + " | exponent | 16k, MiB | exponent | 16k, G multiply-adds | exponent |"
    )
    print("| --- |" + " ---: |" * (len(LENGTHS) + 5))
    fitted = [n for n in LENGTHS if n >= FITTED]
    for name in names:
        for what in ("forward", "with backward"):
            runs, needed, counted = [], [], []
            for length in LENGTHS:
                mask = MASKS[name](length) if name in MASKS else None
                function, arrays = function_of(name, length, mask), drawn(name, length)
                if what == "with backward":
                    function = with_backward(function)
                shapes = jax.eval_shape(lambda: arrays)  # noqa: B023
                needed.append(temporary_bytes(function, *shapes) / 2**20)
                counted.append(multiply_adds(function, *shapes) / 1e9)
                runs.append(ready(function, arrays))
            seconds = medians(runs, rounds=15)
            cells = [f"{s:.4g}" for s in seconds]
            for numbers in (seconds, needed, counted):
                cells += [f"{numbers[-1]:.4g}"] * (numbers is not seconds)
                cells.append(f"{exponent(fitted, numbers[-len(fitted) :]):.2f}")
            print(f"| {name}: {what} | {' | '.join(cells)} |", flush=True)


def against(pairs: int) -> None:
    """What is promised of one attention's time by another's."""
    length = LENGTHS[-1]
    print(HEADER)
    for what, change in (("forward", lambda f: f), ("with backward", with_backward)):
        sides = [
            ready(change(function_of(name, length)), drawn(name, length))
            for name in ("compressed", "softmax")
        ]
        ratio = paired(*sides, pairs=min(pairs, 5), warm_up=1)
        print(ratio.row(f"compressed against softmax, {what}"), flush=True)
        for name in ("linear", "efficient", "performer", "rfa"):
            sides = [
                ready(change(function_of(name, length, mask)), drawn(name, length))
                for mask in (None, masks.Causal())
            ]
            ratio = paired(*sides, pairs=pairs)
            print(ratio.row(f"{name}: two-sided against causal, {what}"), flush=True)


def step() -> None:
    """Seconds of a cached step."""
    print("| | " + " | ".join(f"{n:,}, µs" for n in PREFIXES) + " | exponent |")
    print("| --- |" + " ---: |" * (len(PREFIXES) + 1))
    for name in ("linear", "efficient", "performer", "rfa", "softmax"):
        attend = attentions.attention_of("decoder", {"name": name})
        params, state = made(attend)
        runs = []
        for prefix in PREFIXES:
            q, k, v, _ = (jnp.asarray(x[:, :1]) for x in drawn(name, 2)[1:])
            cache = attend.init_cache(params, state, SIZES, 1, prefix + 1, jnp.float32)
            # What stands in the cache does not matter for the time; where the row stands does.
            cache = cache | {n: x + prefix for n, x in cache.items() if n == "index_B"}
            run = jax.jit(lambda *x: attend.extend(params, state, *x, None))  # noqa: B023
            runs.append(partial(block, run, cache, q, k, v))
        seconds = medians(runs, rounds=400)
        cells = " | ".join(f"{1e6 * s:.1f}" for s in seconds)
        print(f"| {name} | {cells} | {exponent(PREFIXES, seconds):.2f} |", flush=True)


def made(attend: Any) -> tuple[Any, Any]:
    """Its parameters and state."""
    params, state = attend.init(jax.random.key(0), SIZES)
    boxed = params | attend.params_shared(jax.random.key(1), SIZES), state
    return jax.tree.map(lambda x: x.value, boxed, is_leaf=lambda x: isinstance(x, WithAxes))


def function_of(name: str, length: int, mask: Any = None) -> Callable[..., jax.Array]:
    """The attention by its parameters and state, q, k, v, g; q's heads joined are the layer's x."""
    attend = attention_of(name, length)

    def mixed(own: Any, q: jax.Array, k: jax.Array, v: jax.Array, g: jax.Array) -> jax.Array:
        return attend.mix(*own, q.reshape(*q.shape[:2], -1), mask)[0].reshape(q.shape)

    def attended(own: Any, q: jax.Array, k: jax.Array, v: jax.Array, g: jax.Array) -> jax.Array:
        if attend.capabilities.projections in ("shared", "one"):
            k = q
        x_BTM = q.reshape(*q.shape[:2], -1)
        return attend.attend(*own, q, k, v, mask, x_BTM=x_BTM)[0]

    return mixed if isinstance(attend, TokenMixer) else attended


def attention_of(name: str, length: int) -> Any:
    """The attention with its defaults, or with parameters that go with the length."""
    spec = {"name": name} | GROWN.get(name, lambda n, r: {})(length, round(length**0.5))
    return attentions.attention_of(attentions.usual_slot(name), spec)


def with_backward(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    """The gradients by parameters, q, k and v."""

    def gradients(own: Any, q: jax.Array, k: jax.Array, v: jax.Array, g: jax.Array) -> Any:
        params, state = own
        return jax.vjp(lambda p, *x: function((p, state), *x, g), params, q, k, v)[1](g)

    return gradients


def drawn(name: str, length: int) -> list[Any]:
    """Parameters and state, q, k, v, and what the output is multiplied by."""
    random, shape = np.random.default_rng(0), (1, length, HEADS, SIZE)
    arrays = [random.normal(size=shape).astype("float32") for _ in range(4)]
    return [made(attention_of(name, length)), *arrays]


def ready(function: Callable[..., Any], arrays: list[Any]) -> Callable[[], None]:
    """The compiled function on its arrays; it returns when the work is done."""
    return partial(block, jax.jit(function), *jax.device_put(arrays))


def block(function: Callable[..., Any], *arguments: Any) -> None:
    jax.block_until_ready(function(*arguments))


def medians(runs: list[Callable[[], None]], rounds: int) -> list[float]:
    """Seconds of each, after one that compiles; each round has all of them, one after another."""
    for run in runs:
        run()
    seconds: list[list[float]] = [[] for _ in runs]
    begun = time.perf_counter()
    for _ in range(rounds):
        for run, own in zip(runs, seconds, strict=True):
            started = time.perf_counter()
            run()
            own.append(time.perf_counter() - started)
        if time.perf_counter() - begun > ENOUGH:
            break
    return [statistics.median(own) for own in seconds]


if __name__ == "__main__":
    main()

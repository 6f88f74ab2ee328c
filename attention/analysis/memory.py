"""Temporary memory of a function, as the compiler plans it."""

from collections.abc import Callable
from typing import Any

import jax

# On a CPU, XLA hands some matrix products with what surrounds them to a library, and does not see
# its memory: softmax(q kᵀ) v of 4,096 tokens would need nothing. Memory is planned before machine
# code is made, and what is not run need not be fast: half the time goes without LLVM's passes.
_OPTIONS: dict[str, dict[str, str | bool]] = {
    "cpu": {
        "xla_cpu_experimental_ynn_fusion_type": "",
        "xla_backend_optimization_level": "0",
        "xla_llvm_disable_expensive_passes": True,
    }
}


def temporary_bytes(function: Callable, *arguments: Any) -> int:
    """Bytes that ``function(*arguments)`` needs beside its arguments and its result.

    The function is compiled for the default device, and not run; on a CPU without the library whose
    buffers the compiler does not count, so that all of them are counted.

    Args:
      function: of arrays, or of pytrees of them; static arguments must be bound beforehand.
      arguments: arrays or ``jax.ShapeDtypeStruct``.

    Returns:
      The most that is live at a time, in bytes.

    Raises:
      NotImplementedError: the platform's compiler does not tell.

        >>> import jax.numpy as jnp
        >>> temporary_bytes(lambda x: jnp.sin(x).sum(), jnp.ones(8)) < 1024
        True
    """
    options = _OPTIONS.get(jax.default_backend())
    compiled = jax.jit(function).lower(*arguments).compile(compiler_options=options)
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise NotImplementedError(
            f"temporary_bytes: the compiler for {jax.default_backend()} does not tell its memory; "
            "set JAX_PLATFORMS=cpu for this measurement"
        )
    return analysis.temp_size_in_bytes

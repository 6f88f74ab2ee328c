"""How a process uses its host; the command line says so before anything is compiled."""

import ctypes
import os
import sys

import jax

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # glibc's malloc.h


def keep_compiled_programs() -> None:
    """Keeps compiled programs on disk for later processes, unless the user said where or not to."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    jax.config.update("jax_compilation_cache_dir", f"{cache}/attention-jax/xla")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def keep_freed_memory() -> None:
    """Keeps freed memory in the process rather than hand it back to the kernel.

    A step on a CPU allocates and frees its large buffers anew; the kernel would clear each of their
    pages every time, which took a fifth of a training step. Does nothing but on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1)):
        mallopt(option, value)

"""Settings and fixtures for all tests."""

import os
import pathlib
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Set before jax is imported, and in the environment, so that subprocesses share the cache.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax  # noqa: E402

# A vector added to a matrix is more often a mistake than a wish.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def multi30k() -> pathlib.Path:
    """Directory of the Multi30k English-German text; skips where it is not at hand."""
    places = [ROOT.parent / "shared" / "data" / "multi30k-en-de"]
    if named := os.environ.get("ATTENTION_MULTI30K"):
        places = [pathlib.Path(named)]
    for place in places:
        if (place / "train.en").exists() or (place / "train.en.gz").exists():
            return place
    pytest.skip(f"Multi30k is not in {places[0]}: set ATTENTION_MULTI30K to its directory")


@pytest.fixture(scope="session")
def eight_devices() -> Callable[..., str]:
    """Runs Python source in a process that sees eight CPU devices, and returns what it printed.

    The source may be indented. Further arguments are its `sys.argv[1:]`.
    """

    def run(source: str, *arguments: str, timeout: float = 300.0) -> str:
        flags = os.environ.get("XLA_FLAGS", "")
        environment = os.environ | {
            "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=8".strip(),
            "JAX_PLATFORMS": "cpu",
        }
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if result.returncode:
            pytest.fail(f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result.stdout

    return run

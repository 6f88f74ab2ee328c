"""Settings and fixtures for all tests."""

import contextlib
import functools
import gc
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests import budget
from tests.budget import pytest_configure, pytest_sessionfinish  # noqa: F401  # hooks of pytest
from tests.scheduling import ByFileAndCase, Cases
from tests.xla_flags import known_flags

LEAST_FREE = 1_000_000_000  # bytes
ROOT = pathlib.Path(__file__).resolve().parent.parent

# Set before jax is imported, and in the environment, so that subprocesses share the cache.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if os.environ["JAX_PLATFORMS"] == "cpu" and "XLA_FLAGS" not in os.environ:
    # Compiling takes most of the tests' time: here less than half of it, to slower programs.
    os.environ["XLA_FLAGS"] = " ".join(
        known_flags(
            "--xla_backend_optimization_level=0",
            "--xla_llvm_disable_expensive_passes=true",
            "--xla_cpu_use_fusion_emitters=false",
            "--xla_cpu_parallel_codegen_split_count=1",
        )
    )
os.environ.setdefault("MPLBACKEND", "Agg")

import jax  # noqa: E402

# Tracing makes millions of objects that live on: looking for cycles that often takes a tenth of it.
gc.set_threshold(50_000, 20, 100)

# A vector added to a matrix is more often a mistake than a wish.
jax.config.update("jax_numpy_rank_promotion", "raise")


# Linux gives a process 65,530 memory maps (vm.max_map_count), and a compiled program takes several:
# a worker that keeps thousands of programs is killed.
_MANY_MAPS, _TESTS = 45_000, iter(range(2**62))


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Drops compiled programs once there are many; those needed again come from the disk cache."""
    maps = pathlib.Path("/proc/self/maps")
    if next(_TESTS) % 50 == 0 and maps.exists() and maps.read_bytes().count(b"\n") > _MANY_MAPS:
        jax.clear_caches()


def pytest_sessionstart() -> None:
    """Ends at once where files of the tests or compiled programs would not find room."""
    for path in (tempfile.gettempdir(), ROOT):
        if (free := shutil.disk_usage(path).free) < LEAST_FREE:
            pytest.exit(
                f"{path} has {free / 1e6:.0f} MB free on its disk; the tests need "
                f"{LEAST_FREE / 1e6:.0f} MB: make room there, or set TMPDIR",
                returncode=2,
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    budget.pytest_addoption(parser)
    parser.addoption("--shuffle", type=int, default=0, metavar="SEED", help="run in random order")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = [
        report
        for each in terminalreporter.stats.values()
        for report in each
        if isinstance(report, pytest.TestReport)
    ]
    pairs = {law_cases().find(r.nodeid) for r in reports if r.passed and "tests/laws/" in r.nodeid}
    if pairs := pairs - {None}:
        terminalreporter.line(f"{len(pairs)} pairs of a law and a variant hold")
    budget.summarise(terminalreporter, config, reports)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFileAndCase | None:
    """With ``--dist=loadscope``, see ``tests.scheduling``."""
    if config.getoption("dist") != "loadscope":
        return None
    return ByFileAndCase(config, log, law_cases())


@functools.cache
def law_cases() -> Cases:
    from tests.laws.cases import CASES

    return Cases(case.name for case in CASES)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files come first, so that at the end no process waits for another."""
    if seed := config.getoption("shuffle"):
        random.Random(seed).shuffle(items)
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def turn(item: pytest.Item) -> int:
        if "_devices" in item.name:
            return 0
        return 2 if "laws" in item.path.parts else 1 if item.path in slow else 3

    items.sort(key=turn)


@pytest.fixture(scope="module")
def empty_caches() -> None:
    """For tests that ask how often a function was compiled.

    Of a process's jitted functions JAX keeps 8,192; those after them are forgotten at once.
    """
    jax.clear_caches()


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


class Ran(NamedTuple):
    """What a command came to: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON object of stdout's last line."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture(scope="session")
def launched() -> Callable[..., Ran]:
    """Calls launch.py in this process: launched("evaluate", "--workdir=...", stdin=b"...")."""
    import launch

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)  # shown, and no error as in tests
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = launch.main(["launch.py", *map(str, arguments)])
        out.flush()
        return Ran(code, out.buffer.getvalue().decode("utf-8"), err.getvalue())

    return run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory of tiny text, to be read only: letters, whose German is their capitals, reversed.

    Of its 80 training pairs one is too long for `tiny` and one has a blank side.
    """
    directory = tmp_path_factory.mktemp("corpus")
    chance = random.Random(0)
    for split, count in (("train", 78), ("valid", 12), ("test", 12)):
        lines = [chance.choices("abcdefgh", k=chance.randint(1, 6)) for _ in range(count)]
        target = [[letter.upper() for letter in reversed(line)] for line in lines]
        if split == "train":
            lines, target = [*lines, ["a"] * 20, ["b"]], [*target, ["A"] * 20, [" "]]
        for language, side in (("en", lines), ("de", target)):
            text = "".join(" ".join(line) + "\n" for line in side)
            (directory / f"{split}.{language}").write_text(text, "utf-8")
    return directory


@pytest.fixture(scope="session")
def tiny(corpus: pathlib.Path) -> list[str]:
    """Arguments of a training run of seconds on `corpus`."""
    values = {
        "data.dir": corpus,
        "data.vocab_size": 290,
        "data.max_length": 8,
        "data.buckets": 1,
        "model.layers": 1,
        "model.size": 16,
        "model.heads": 2,
        "model.ff_size": 32,
        "train.steps": 20,
        "train.batch_tokens": 64,
        "train.warmup": 5,
        "train.eval_every": 10,
        "train.checkpoint_every": 5,
        "train.log_every": 5,
        "decode.beam": 2,
        "decode.max_length": 12,
    }
    overrides = [f"--config.{key}={value}" for key, value in values.items()]
    return ["train", "--config=experiments/text.py", *overrides]


@pytest.fixture(scope="session")
def trained_run(
    launched: Callable[..., Ran], tiny: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[pathlib.Path, Ran]:
    """The workdir of a tiny trained run, to be read only, and what its training wrote."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    ran = launched(*tiny, f"--workdir={workdir}")
    assert ran.code == 0, ran.err
    return workdir, ran

"""Imports run one way, without circles, and `import attention` stays light."""

import ast
import graphlib
import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What each part of attention/ may import of it, beside itself. Nothing here is transitive.
_LIBRARY = [
    *("shapes", "masks", "positions", "biases", "randomness"),
    *("kernels", "variants", "modules", "models"),
]
_NEIGHBOURS = ["decoding", "data", "training", "evaluation", "analysis"]
_PARTS = {*_LIBRARY, *_NEIGHBOURS, "tasks"}
ALLOWED = {
    "shapes": set(),
    "masks": {"shapes"},
    "positions": {"shapes"},
    "biases": {"shapes"},
    "randomness": set(),
    "kernels": {"shapes", "masks", "positions", "biases", "randomness"},
    "variants": {*_LIBRARY} - {"variants", "modules", "models"},
    "modules": {*_LIBRARY} - {"modules", "models"},
    "models": {*_LIBRARY} - {"models"},
    **{name: {"shapes", "masks", "files"} for name in _NEIGHBOURS},
    "tasks": {*_LIBRARY, "data", "training", "decoding", "evaluation"},
    # Only these compose: build makes the values, run and its kin use them.
    "spelling": set(),
    "keys": {"spelling"},
    "schema": {"keys", "spelling"},
    "parsing": {"keys"},
    "options": {"keys", "schema", "parsing", "attentions"},
    "attentions": {"variants", "keys", "schema", "spelling"},
    "host": set(),
    "files": set(),
    "results": {"files"},
    "provenance": set(),
    "workdir": {"schema", "files"},
    "build": _PARTS | {"schema", "attentions"},
    "judge": _PARTS,
    "places": {"schema", "build", "variants"},
    "checks": {"schema", "build", "places", "shapes"},
    "capabilities": _PARTS | {"attentions"},
    "trained": _PARTS | {"schema", "workdir", "build", "judge", "checks"},
    "inspecting": _PARTS | {"schema", "workdir", "build", "judge", "trained"},
    "exposing": _PARTS | {"build", "trained"},
    "tagging": {"data"},
    "distilling": _PARTS | {"build", "checks", "trained"},
    "translating": _PARTS | {"build", "checks", "trained"},
    "starting": _PARTS | {"workdir", "trained"},
    "run": _PARTS
    | {"schema", "workdir", "build", "judge", "checks", "provenance", "results", "trained"}
    | {"starting"},
    "sweeping": {"analysis", "training", "keys", "schema", "parsing", "files"}
    | {"results", "workdir", "checks", "trained"},
    "": set(_LIBRARY),  # attention/__init__.py: what `import attention` brings
}
MAY_IMPORT_ML_COLLECTIONS = ("launch.py", "experiments/", "tests/")


def module_name(path: str) -> str:
    """'attention/data/text.py' -> 'attention.data.text'; an __init__ has its package's name."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: str, source: str, modules: set[str]) -> dict[str, int]:
    """What a file imports, and the line: a name of `modules` where there is one.

    Imports inside functions count, and `from package import x` is package.x if that is a module.
    """
    package = module_name(path).split(".")
    if not path.endswith("__init__.py"):
        package = package[:-1]
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.setdefault(whole if whole in modules else base, node.lineno)
    return found


def breaches(files: dict[str, str]) -> list[str]:
    """All that is wrong with the imports of files, given as path: source; one line each."""
    modules = {module_name(path) for path in files}
    wrong, graph = [], {}
    for path, source in sorted(files.items()):
        found = imports(path, source, modules)
        graph[module_name(path)] = set(found) & modules
        for name, line in found.items():
            if name.split(".")[0] == "ml_collections":
                if not path.startswith(MAY_IMPORT_ML_COLLECTIONS):
                    wrong.append(
                        f"{path}:{line}: only launch.py and experiments/ see ml_collections"
                    )
            elif path.startswith("attention/") and name.split(".")[0] in ("experiments", "launch"):
                wrong.append(f"{path}:{line}: the library must not import {name}")
            elif path.startswith("attention/") and name.split(".")[0] == "attention":
                importer, imported = part(module_name(path)), part(name)
                if importer not in ALLOWED:
                    wrong.append(f"{path}: {importer!r} has no place in ALLOWED of this test")
                elif imported != importer and imported not in ALLOWED[importer]:
                    wrong.append(f"{path}:{line}: {importer or '__init__'} must not import {name}")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        wrong.append("circle: " + " <- ".join(error.args[1]))
    return wrong


def part(module: str) -> str:
    """'attention.data.text' -> 'data'; the package itself is ''."""
    return [*module.split("."), ""][1]


def python_files() -> dict[str, str]:
    paths = [ROOT / "launch.py"]
    for folder in ("attention", "experiments", "benchmarks", "tests"):
        paths += sorted((ROOT / folder).rglob("*.py"))
    return {str(p.relative_to(ROOT)): p.read_text("utf-8") for p in paths if p.exists()}


def test_imports_run_one_way():
    files = python_files()
    assert any(path.startswith("attention/") for path in files)
    assert not (wrong := breaches(files)), "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("attention/shapes.py", "from attention.masks import Mask"),
        ("attention/masks.py", "import attention.positions"),
        ("attention/kernels/reference.py", "from attention import variants"),
        ("attention/variants/softmax.py", "from ..modules import multi_head"),
        ("attention/variants/softmax.py", "from .. import models"),
        ("attention/modules/layers.py", "def f():\n  from attention.models import transformer"),
        ("attention/models/transformer.py", "import attention"),
        ("attention/decoding/beam.py", "from attention.models.transformer import Transformer"),
        ("attention/data/text.py", "from attention.training import loop"),
        ("attention/training/step.py", "import attention.evaluation.scores as s"),
        ("attention/analysis/plots.py", "from attention.tasks import translation"),
        ("attention/tasks/translation.py", "from attention import build"),
        ("attention/schema.py", "from attention.build import ATTENTIONS"),
        ("attention/build.py", "import ml_collections"),
        ("attention/run.py", "from ml_collections import config_flags"),
        ("attention/run.py", "import experiments.text"),
        ("attention/__init__.py", "from attention.training import losses"),
        ("attention/leftovers.py", "from attention import shapes"),
        ("benchmarks/speed.py", "import ml_collections"),
    ],
)
def test_a_breach_is_found(path, source):
    others = ["models/transformer", "modules/multi_head", "training/loop", "shapes", "build"]
    files = {f"attention/{name}.py": "" for name in others}
    wrong = breaches(files | {path: source})
    assert len(wrong) == 1
    assert wrong[0].startswith(path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("attention/modules/layers.py", "from attention.kernels import softmax_attention"),
        ("attention/data/batches.py", "from . import text"),
        ("attention/decoding/beam.py", "from attention.shapes import check"),
        ("attention/tasks/translation.py", "from attention.data.batches import TrainBatches"),
        ("attention/run.py", "from attention import build, schema"),
        ("attention/shapes.py", "import jax\nimport numpy as np"),
        ("launch.py", "from ml_collections import config_flags\nfrom attention import run"),
        ("experiments/text.py", "import ml_collections"),
    ],
)
def test_what_is_allowed_passes(path, source):
    files = {f"attention/{name}.py": "" for name in ("data/text", "run", "build", "schema")}
    assert breaches(files | {path: source}) == []


@pytest.mark.parametrize(
    "files",
    [
        {
            "attention/data/a.py": "from attention.data import b",
            "attention/data/b.py": "from attention.data.c import x",
            "attention/data/c.py": "def f():\n  from .a import x",
        },
        {
            "attention/kernels/__init__.py": "from attention.kernels.reference import f",
            "attention/kernels/reference.py": "from attention.kernels import g",
        },
    ],
)
def test_a_circle_is_found(files):
    (wrong,) = breaches(files)
    assert wrong.startswith("circle: attention.")


def run(source: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout


def test_import_attention_brings_nothing_heavy():
    loaded = run("import sys, attention; print(*{name.split('.')[0] for name in sys.modules})")
    heavy = {"optax", "orbax", "grain", "tensorflow", "matplotlib", "ml_collections", "sacrebleu"}
    heavy |= {
        "sentencepiece",
        "tensorboardX",
        "tqdm",
        "safetensors",
        "wandb",
        "ray",
        "submitit",
        "optuna",
    }
    assert "flax" in loaded.split()
    assert not heavy & set(loaded.split())


def test_import_attention_compiles_nothing_and_adds_few_modules():
    """Counted, not timed, so that it holds on any machine: the time is in what is imported."""
    compiled, *added = run(
        """
        import sys
        import jax, flax.linen
        compilations = []
        jax.monitoring.register_event_duration_secs_listener(
            lambda name, *_, **__: compilations.append(name)
        )
        before = set(sys.modules)
        import attention
        print(len(compilations), *(set(sys.modules) - before))
        """
    ).split()
    assert compiled == "0"
    others = {name for name in added if name.split(".")[0] != "attention"}
    assert len(added) < 200, len(added)
    assert len(others) < 60, others

"""Imports run one way, without circles, and `import attention` stays light."""

import ast
import graphlib
import pathlib
import subprocess
import sys
import textwrap
import tomllib

import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What each part may import, beside itself: only of rows above it. Nothing here is transitive.
LIBRARY = {
    "errors": set(),
    "shapes": set(),
    "randomness": set(),
    "masks": {"shapes"},
    "positions": {"shapes"},
    "biases": {"shapes"},
    "kernels": {"shapes", "masks", "positions", "biases", "randomness"},
    "protocols": {"shapes", "masks", "positions", "biases", "kernels"},
    "variants": {"shapes", "protocols", "masks", "positions", "biases", "randomness", "kernels"},
}
LIBRARY["modules"] = {*LIBRARY}
LIBRARY["models"] = {*LIBRARY}
LIBRARY[""] = {*LIBRARY}  # attention/__init__.py: what `import attention` brings
LIBRARY["decoding"] = {"shapes"}
LIBRARY["analysis"] = LIBRARY["modules"] - {"modules"}
LIBRARY["testing"] = LIBRARY["analysis"] | {"analysis"}
LIBRARY = {name: {"errors", *parts} for name, parts in LIBRARY.items()}
LIBRARY["errors"] = set()
_OF_LIBRARY = {*LIBRARY} - {"", "testing"}
_DATA = {"lab.data.tokenizer", "lab.data.sources", "lab.data.batching"}
LAB = {
    "lab.config": set(),
    "lab.data.tokenizer": set(),
    "lab.data.sources": set(),
    "lab.data.batching": _DATA - {"lab.data.batching"},
    "lab.evaluation.scores": set(),
    "lab.pictures": set(),
    "lab.training": set(),
    "lab.storage": {"lab.config", "lab.training"},
    "lab.tasks": _DATA | {"lab.training", "lab.evaluation.scores"},
    "lab.evaluation.evaluator": _DATA | {"lab.training", "lab.evaluation.scores", "lab.tasks"},
    "lab.build": _DATA | {"lab.config", "lab.training", "lab.tasks", "lab.evaluation.scores"},
}
LAB["lab.runs"] = {*LAB}
LAB["lab.sweeping"] = {*LAB}
LAB["lab.commands"] = {*LAB}
ALLOWED = LIBRARY | {name: _OF_LIBRARY | parts for name, parts in LAB.items()}
SPLIT = ("lab.data", "lab.evaluation")  # whose modules stand in rows of their own
MAY_IMPORT_ML_COLLECTIONS = ("attention/lab/commands/", "experiments/", "tests/")


def module_name(path: str) -> str:
    """'attention/lab/keys.py' -> 'attention.lab.keys'; of __init__, the package."""
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
                        f"{path}:{line}: only lab/commands and experiments/ see ml_collections"
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
    """'attention.lab.data.sources.text' -> 'lab.data.sources'; the package itself is ''."""
    names = module.split(".")[1:]
    depth = 3 if ".".join(names[:2]) in SPLIT else 2 if names[:1] == ["lab"] else 1
    return ".".join(names[:depth])


def python_files() -> dict[str, str]:
    paths = [ROOT / "launch.py"]
    for folder in ("attention", "experiments", "benchmarks", "tests", "tools"):
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
        ("attention/variants/dense/softmax.py", "from ...modules import multi_head"),
        ("attention/variants/dense/softmax.py", "from ... import models"),
        ("attention/modules/layers.py", "def f():\n  from attention.models import transformer"),
        ("attention/models/transformer.py", "import attention"),
        ("attention/testing/case.py", "from attention.modules.layers import Layer"),
        ("attention/lab/runs/train.py", "from attention.testing import check"),
        ("attention/decoding/beam.py", "from attention.models.transformer import Transformer"),
        ("attention/lab/data/sources/text.py", "from attention.lab.training import loop"),
        ("attention/lab/training/step.py", "import attention.lab.evaluation.scores as s"),
        ("attention/lab/pictures/plots.py", "from attention.lab.tasks import translation"),
        ("attention/lab/tasks/translation.py", "from attention.lab.build import model"),
        ("attention/lab/config/schema.py", "from attention.lab.build import ATTENTIONS"),
        ("attention/lab/build/model.py", "import ml_collections"),
        ("attention/lab/runs/train.py", "from ml_collections import config_flags"),
        ("attention/lab/runs/train.py", "import experiments.text"),
        ("attention/__init__.py", "from attention.lab.training import losses"),
        ("attention/leftovers.py", "from attention import shapes"),
        ("benchmarks/speed.py", "import ml_collections"),
    ],
)
def test_a_breach_is_found(path, source):
    others = ["models/transformer", "modules/attention/multi_head", "lab/training/loop", "shapes"]
    others += ["lab/build/model", "lab/evaluation/scores"]
    files = {f"attention/{name}.py": "" for name in others}
    wrong = breaches(files | {path: source})
    assert len(wrong) == 1
    assert wrong[0].startswith(path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("attention/modules/layers.py", "from attention.kernels import softmax_attention"),
        ("attention/lab/data/sources/grammar.py", "from . import text"),
        ("attention/decoding/beam.py", "from attention.shapes import check"),
        ("attention/lab/tasks/translation.py", "from attention.lab.data.tokenizer import BOS"),
        ("attention/lab/runs/train.py", "from attention.lab.build import model"),
        ("attention/shapes.py", "import jax\nimport numpy as np"),
        ("attention/lab/commands/resolve.py", "import ml_collections"),
        ("experiments/text.py", "import ml_collections"),
    ],
)
def test_what_is_allowed_passes(path, source):
    files = {f"attention/{name}.py": "" for name in ("lab/data/sources/text", "lab/build/model")}
    assert breaches(files | {path: source}) == []


@pytest.mark.parametrize(
    "files",
    [
        {
            "attention/lab/tasks/a.py": "from attention.lab.tasks import b",
            "attention/lab/tasks/b.py": "from attention.lab.tasks.c import x",
            "attention/lab/tasks/c.py": "def f():\n  from .a import x",
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


# By the name of its import, where that is not the name of the distribution.
IMPORTED_AS = {"orbax-checkpoint": "orbax", "absl-py": "absl", "pylopdf-fonts-zh-cn": "pylopdf"}
BROUGHT_BY_JAX_OR_FLAX = {"absl"}


def test_the_library_imports_nothing_that_only_the_lab_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    of_lab = {Requirement(r).name for r in extras["lab"] + extras["sweep"] + extras["dev"]}
    of_lab = {IMPORTED_AS.get(name, name) for name in of_lab} - BROUGHT_BY_JAX_OR_FLAX
    loaded = run(
        """
        import importlib, pathlib, sys
        import attention
        for name in attention.__all__:
            getattr(attention, name)
        for path in pathlib.Path("attention").rglob("*.py"):
            if path.parts[1] != "lab":
                importlib.import_module(".".join(path.with_suffix("").parts))
        print(*{name.split(".")[0] for name in sys.modules})
        print(*(name for name in sys.modules if name.startswith("attention.lab.")))
        """
    ).split("\n")
    assert {"flax", "numpy"} <= set(loaded[0].split())
    assert not of_lab & set(loaded[0].split())
    assert loaded[1] == ""


def test_help_and_mistakes_do_not_wait_for_jax():
    source = """
        import sys
        import launch
        for arguments in (["--help"], ["train", "--help"], ["tran"]):
            launch.main(["launch.py", *arguments])
        print("jax" in sys.modules)
        """
    assert run(source).splitlines()[-1] == "False"


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
        for name in attention.__all__:
            getattr(attention, name)
        print(len(compilations), *(set(sys.modules) - before))
        """
    ).split()
    assert compiled == "0"
    others = {name for name in added if name.split(".")[0] != "attention"}
    assert len(added) < 200, len(added)
    assert len(others) < 60, others

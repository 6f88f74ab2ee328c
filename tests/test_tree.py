"""What must hold for every file: no code from data, nothing too long, pins that are only pins."""

import ast
import os
import pathlib
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).resolve().parent.parent

UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "os.system", "os.popen", "subprocess.getoutput"}
UNSAFE_KEYWORDS = {"shell", "allow_pickle"}
MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_A_FUNCTION = 60  # without its docstring


def unsafe(source: str, path: str = "source") -> list[str]:
    """Whatever in a file could turn data into code: one line each."""
    found = []
    for node in ast.walk(ast.parse(source, path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call):
            names = [f"{ast.unparse(node.func)}()"]
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg in UNSAFE_KEYWORDS and not off:
                    names.append(f"{keyword.arg}=")
        for name in names:
            bare = name.removesuffix("()")
            called = name in UNSAFE_CALLS or (name != bare and bare in UNSAFE_CALLS)
            if called or name.endswith("=") or name.split(".")[0] in UNSAFE_MODULES:
                found.append(f"{path}:{node.lineno}: {name}")
                break
    return found


def too_long(source: str, path: str = "source") -> list[str]:
    """The file, and its functions, that have more lines than they may: one line each."""
    found = []
    if (lines := source.count("\n")) > MOST_LINES_OF_A_FILE:
        found.append(f"{path} has {lines} lines, at most {MOST_LINES_OF_A_FILE}: split it by topic")
    for node in ast.walk(ast.parse(source, path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[1] if ast.get_docstring(node) and node.body[1:] else node.body[0]
        lines = node.end_lineno - first.lineno + 1
        if lines > MOST_LINES_OF_A_FUNCTION:
            found.append(
                f"{path}:{node.lineno}: {node.name} has {lines} lines without its docstring, "
                f"at most {MOST_LINES_OF_A_FUNCTION}: split it"
            )
    return found


def python_files() -> list[pathlib.Path]:
    """Every Python file of the tree; what tools and runs leave behind is no part of it."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        ours = pathlib.Path(folder) != ROOT
        folders[:] = [
            f for f in folders if f[0] != "." and (ours or f not in ("runs", "build", "dist"))
        ]
        found += [pathlib.Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(found)


def test_nothing_turns_data_into_code():
    files = python_files()
    assert ROOT / "attention" / "__init__.py" in files
    wrong = [w for f in files for w in unsafe(f.read_text("utf-8"), str(f.relative_to(ROOT)))]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n  from pickle import loads",
        "import cloudpickle as c",
        "eval('1')",
        "exec(text)",
        "import os\nos.system('ls')",
        "from os import system",
        "subprocess.run('ls', shell=True)",
        "subprocess.run('ls', shell=flag)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_what_is_unsafe_is_found(source):
    assert len(unsafe(source)) == 1


@pytest.mark.parametrize(
    "source",
    ["np.load(path, allow_pickle=False)", "subprocess.run(['ls'], shell=False)", "model.eval()"],
)
def test_what_is_safe_passes(source):
    assert unsafe(source) == []


def test_files_and_functions_are_short():
    files = sorted((ROOT / "attention").rglob("*.py"))
    wrong = [w for f in files for w in too_long(f.read_text("utf-8"), str(f.relative_to(ROOT)))]
    assert not wrong, "\n" + "\n".join(wrong)


def test_what_is_long_is_found():
    body = "  x = 1\n" * MOST_LINES_OF_A_FUNCTION
    docstring = '  """Says.\n\n  Much.\n  """\n'
    assert too_long(f"def f():\n{docstring}{body}") == []
    assert "f has 61 lines" in too_long(f"class A:\n def f(self):\n{body}  x = 1\n")[0]
    assert "has 351 lines" in too_long("x = 1\n" * (MOST_LINES_OF_A_FILE + 1))[0]


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    # Nothing but name==version: no index address, no option, no path, no direct reference.
    wrong = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)]
    assert not wrong
    return {canonicalize_name(name): version for name, version in (p.split("==") for p in lines)}


def test_requirements_pin_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = project["dependencies"] + extras["lab"] + extras["dev"] + extras["sweep"]
    pinned = pins()
    for requirement in map(Requirement, needed):
        if requirement.name == project["name"]:  # of an extra, which needs another one of ours
            continue
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} has no pin in requirements.txt"
        assert requirement.specifier.contains(version), f"{requirement} against the pin {version}"
    assert "setuptools" in pinned  # builds the package without a network

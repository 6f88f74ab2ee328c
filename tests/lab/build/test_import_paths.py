"""An attention outside the package, chosen by its import path: used, and refused where it must."""

import json
import pathlib
import shutil
import subprocess
import sys
import textwrap

import pytest

from attention.lab.build import attentions, imports
from attention.lab.config import schema
from attention.lab.sweeping import listed
from tests.lab.sweeping.test_sweep import by_rate
from tests.lab.sweeping.test_sweep import run as sweep
from tests.test_launch import contents, mistake

ROOT = pathlib.Path(__file__).resolve().parents[3]
MINE = """
from dataclasses import dataclass, field, replace
from typing import ClassVar

from attention.protocols import Attention, TokenMixer
from attention.variants import Softmax

@dataclass(frozen=True)
class Talking(Softmax):
    name: ClassVar[str] = "talking"
    loudness: float = 0.5
    windows: tuple = (1, 2)
    both_ways: bool = True

@dataclass(frozen=True)
class Never(Softmax):
    capabilities = replace(Softmax.capabilities, causal="no", cross=False)

@dataclass
class Loose:
    size: int = 3

class Undecorated(Softmax):
    loudness: float = 0.5

@dataclass(frozen=True)
class Half(TokenMixer):
    size: int = 3

@dataclass(frozen=True)
class Odd(Softmax):
    sizes: dict = field(default_factory=dict)

def helper():
    pass
"""
MODULES = {
    "mine": MINE,
    "broken": "\n\nraise ValueError('of its\\nauthor')\n",
    "wrong_syntax": "def f(:\n",
    "leaving": "raise SystemExit(3)\n",
    "needing": "import nothing_of_this_name\n",
}
SPEC = "--config=experiments/text.py"


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """The directory of the modules, on Python's path."""
    folder = tmp_path / "modules"
    folder.mkdir()
    for name, source in MODULES.items():
        (folder / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def run_of_mine(launched, tiny, tmp_path_factory):
    """A trained run whose encoder is Talking, and what its training wrote."""
    folder, workdir = tmp_path_factory.mktemp("modules"), tmp_path_factory.mktemp("runs") / "mine"
    (folder / "mine.py").write_text(MINE)
    flags = ["--config.model.encoder.loudness=0.25", "--config.model.encoder.windows=3,4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        few = [f"--config.train.{key}=6" for key in ("steps", "eval_every", "checkpoint_every")]
        command = [tiny[0], f"{SPEC}:encoder=mine:Talking", *tiny[2:], *few, *flags]
        ran = launched(*command, f"--workdir={workdir}")
        del sys.modules["mine"]
    assert ran.code == 0, ran.err
    return workdir, ran, command


@pytest.mark.slow
def test_it_trains_resumes_and_is_opened_where_it_is_named(
    launched, modules, run_of_mine, tmp_path, monkeypatch
):
    workdir, ran, command = run_of_mine
    kept = json.loads((workdir / "config.json").read_text())["model"]["encoder"]
    assert kept["name"] == "mine:Talking"
    assert (kept["loudness"], kept["windows"]) == (0.25, [3, 4])
    evaluate = ["evaluate", f"--workdir={workdir}"]
    assert launched(*evaluate, "--allow_import=other,mine").report == ran.report
    assert launched(*evaluate, "--allow_import=other", "--allow_import=mine").code == 0
    monkeypatch.setenv("ATTENTION_ALLOW_IMPORT", "mine")
    ran = launched("translate", f"--workdir={workdir}", stdin=b"a b\n")
    assert (ran.code, ran.out.count("\n")) == (0, 1), ran.err
    monkeypatch.delenv("ATTENTION_ALLOW_IMPORT")
    again = tmp_path / "again"
    shutil.copytree(workdir, again)
    ran = launched(*command, "--config.train.steps=7", f"--workdir={again}")
    assert ran.code == 0, ran.err
    assert "resumed at step 6 of 7" in ran.err


OPENING = {
    "evaluate": [],
    "translate": [],
    "inspect": ["--text=a"],
    "expose": [],
    "distil": ["--target_dir=nowhere"],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", OPENING)
def test_a_workdir_imports_nothing_that_the_user_does_not_name(
    launched, modules, run_of_mine, command
):
    workdir = run_of_mine[0]
    before = contents(workdir)
    given = [command, f"--workdir={workdir}", *OPENING[command]]
    for allowed in ([], ["--allow_import=min"], ["--allow_import=mine.inner,other"]):
        ran = launched(*given, *allowed)
        mistake(
            ran, f"{workdir} has an attention of mine", "program outside", "--allow_import=mine"
        )
    assert "mine" not in sys.modules
    assert contents(workdir) == before


@pytest.mark.slow
def test_a_module_that_is_gone_or_lies_in_the_workdir_itself(launched, run_of_mine, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(run_of_mine[0], workdir)
    (workdir / "mine.py").write_text(MINE)
    before = contents(workdir)
    ran = launched("evaluate", f"--workdir={workdir}", "--allow_import=mine")
    mistake(ran, "config.model.encoder.name: there is no module mine", "on PYTHONPATH")
    assert contents(workdir) == before


WRONG = [
    ("encoder=nothing.here:A", "encoder.name: there is no module nothing.here", "on PYTHONPATH"),
    ("encoder=mine.inner:A", "encoder.name: there is no module mine.inner", "on PYTHONPATH"),
    ("encoder=mine:", "encoder.name: 'mine:' is no import path", "write my_package.my_module:My"),
    ("encoder=../mine:Talking", "'../mine:Talking' is no import path", "write my_package"),
    ("encoder=mine:Talkin", "the module mine has no Talkin", "did you mean Talking?"),
    ("encoder=mine:helper", "mine:helper is no attention", "derive it from attention.protocols"),
    ("encoder=mine:Loose", "mine:Loose is no attention", "derive it from attention.protocols"),
    ("encoder=os:system", "os:system is no attention", "derive it from attention.protocols"),
    ("encoder=mine:Undecorated", "is no frozen dataclass", "write @dataclass(frozen=True)"),
    ("encoder=mine:Half", "mine:Half does not define ", "define it"),
    ("encoder=mine:Odd", "has a field sizes, which cannot be a key", "give it a default"),
    ("encoder=broken:A", "importing broken raised ValueError: of its author", "broken.py, line 3"),
    ("encoder=wrong_syntax:A", "importing wrong_syntax raised SyntaxError", "wrong_syntax.py, li"),
    ("encoder=leaving:A", "importing leaving raised SystemExit", "mend it"),
    ("encoder=needing:A", "raised ModuleNotFoundError: No module named 'nothing_of", "mend it"),
    ("decoder=mine:Never", "config.model.decoder: Never cannot attend causally", "use Softmax"),
    ("cross=mine:Never", "config.model.cross: Never cannot attend across two", "use Softmax"),
]


@pytest.mark.parametrize(("structure", "what", "remedy"), WRONG)
def test_a_wrong_import_path(launched, tiny, modules, tmp_path, structure, what, remedy):
    run = tmp_path / "run"
    ran = launched(tiny[0], f"{SPEC}:{structure}", *tiny[2:], f"--workdir={run}")
    mistake(ran, what, remedy)
    assert not run.exists()


FIELDS = [
    ("loudness=loud", "encoder.loudness=loud", "use a number"),
    ("loudnes=1", "the config has no model.encoder.loudnes", "did you mean model.encoder.loudness"),
    ("dropout_rate=2", "encoder.dropout_rate: 2.0", "in [0, 1)"),
]


@pytest.mark.parametrize(("flag", "what", "remedy"), FIELDS)
def test_a_wrong_field(launched, tiny, modules, tmp_path, flag, what, remedy):
    named = [f"{SPEC}:encoder=mine:Talking", *tiny[2:], f"--config.model.encoder.{flag}"]
    mistake(launched("train", *named, f"--workdir={tmp_path / 'run'}"), what, remedy)
    assert not (tmp_path / "run").exists()
    with pytest.raises(
        TypeError, match="config.model.cross.loudness: 'x' cannot be used; use a number"
    ):
        attentions.attention_of("cross", {"name": "mine:Talking", "loudness": "x"})


def test_its_fields_are_keys_and_a_flag_names_it_too(launched, modules):
    by_structure = launched("options", f"{SPEC}:encoder=mine:Talking")
    by_flag = launched("options", SPEC, "--config.model.encoder.name=mine:Talking")
    assert by_structure == by_flag
    assert "--config.model.encoder.loudness=0.5 " in by_flag.out
    assert "--config.model.encoder.windows=1,2 " in by_flag.out
    old_name = "--config.model.encoder.both_ways=false"  # of a field of this package's
    ran = launched("options", f"{SPEC}:encoder=mine:Talking", old_name)
    assert f"{old_name} " in ran.out
    model = {"encoder": {"name": "mine:Talking", "both_ways": False}}
    assert schema.completed({"model": model})["model"]["encoder"] == model["encoder"]
    wrong = launched("options", SPEC, "--config.model.encoder.name=mine:Talkin")
    mistake(wrong, "config.model.encoder.name: the module mine has no Talkin; mend the name")


def test_of_this_package_and_of_configs_without_paths_nothing_is_to_be_allowed(tmp_path):
    def model(**slots):
        return {"model": {slot: {"name": name} for slot, name in slots.items()}}

    ours = model(encoder="attention.variants:Softmax", decoder="softmax")
    imports.check_allowed(ours, tmp_path, ())
    assert imports.modules_of(model(encoder="a.b:C", cross="attentive:D")) == ("a.b", "attentive")
    for damaged in ({}, {"model": 3}, model(encoder=4), {"model": {"encoder": "a:B"}}):
        imports.check_allowed(damaged, tmp_path, ())


def test_the_winner_of_a_sweep_is_evaluated_with_what_was_typed(modules, tmp_path):
    trial = {"structure": "encoder=mine:Talking,cross=mine:Talking", "train.learning_rate": 0.1}
    code, pool = sweep(tmp_path / "sweep", listed([trial]), by_rate)
    assert code == 0
    assert pool.commands[-1][-1] == "--allow_import=mine"


@pytest.mark.slow
def test_the_command_line_finds_it_on_pythonpath(modules):
    source = """
        import os, sys
        import launch
        code = launch.main(["launch.py", "options", sys.argv[1]])
        assert code == 0 and "mine" in sys.modules
        """
    command = [sys.executable, "-c", textwrap.dedent(source), f"{SPEC}:decoder=mine:Talking"]
    environment = {"PYTHONPATH": f"{modules}:{ROOT}", "PATH": "", "JAX_PLATFORMS": "cpu"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "--config.model.decoder.loudness=0.5 " in ran.stdout

"""The command line: what it writes where, and one line for each mistake."""

import functools
import gzip
import json
import os
import re
import shutil
import subprocess
import sys

import jax
import pytest

from attention.lab.commands import arguments
from attention.lab.data.tokenizer import train_tokenizer
from attention.lab.storage.metrics import read_metrics

REPORT = {"score", "metric", "loss", "split", "step", "examples", "bleu", "chrf", "signature"}
TEXT = "--config=experiments/text.py"


def mistake(ran, *parts):
    """Asserts exit code 2, nothing on stdout and one line on stderr, which has all parts."""
    assert (ran.code, ran.out) == (2, ""), ran
    *before, line = ran.err.splitlines()
    assert all(re.match("data: |model: |launch.py: warning: ", text) for text in before), ran.err
    assert line.startswith("launch.py: ")
    for part in parts:
        assert part in line
    return line


def contents(directory):
    """Every file with its bytes, but the lock."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def changed(corpus, to, **files):
    """A copy of the corpus with some files ("train_en") given other bytes, or removed (None)."""
    shutil.copytree(corpus, to)
    for name, content in files.items():
        path = to / name.replace("_", ".")
        path.unlink() if content is None else path.write_bytes(content)
    return f"--config.data.dir={to}"


@pytest.fixture(scope="module")
def opened(launched):
    """`launched` for commands that read runs which no test changes: each is opened once.

    So a program of `trained_run` is compiled, or traced, once for all these tests.
    """
    import attention.lab.runs.load

    kept = functools.cache(attention.lab.runs.load.load)

    def once(workdir, checkpoint="best", *, teacher=None, allow_import=()):
        return kept(str(workdir), checkpoint, teacher=teacher, allow_import=allow_import)

    def run(*arguments, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention.lab.runs.load, "load", once)
            return launched(*arguments, **options)

    return run


def test_train_leaves_a_whole_run_and_prints_what_evaluate_prints(launched, trained_run):
    workdir, ran = trained_run
    assert len(ran.out.splitlines()) == 1
    assert ran.report.keys() >= REPORT | {"sentences"}
    assert ran.report["score"] == ran.report["bleu"]
    found = {key: ran.report[key] for key in ("metric", "split", "step", "examples", "sentences")}
    assert found == {
        "metric": "bleu", "split": "test", "step": 20, "examples": 12, "sentences": 12
    }  # fmt: skip
    files = {path.name for path in workdir.iterdir()}
    assert files >= {"config.json", "tokenizer.model", "metrics.jsonl", "tb", "checkpoints"}
    assert (workdir / "plots" / "loss.png").stat().st_size > 1000
    assert len((workdir / "decodes" / "20.test.txt").read_text().split("\n")) == 13
    assert json.loads((workdir / "config.json").read_text())["model"]["size"] == 16
    rows = read_metrics(workdir)
    assert [row["step"] for row in rows if "train/loss" in row] == [5, 10, 15, 20]
    assert {key for row in rows for key in row} >= {"train/loss", "eval/loss", "eval/bleu"}
    again = launched("evaluate", f"--workdir={workdir}")
    assert (again.code, again.report) == (0, ran.report)


def test_what_was_read_skipped_and_cut_is_told_and_libraries_are_silent(trained_run):
    lines = trained_run[1].err.splitlines()
    assert lines[0].startswith(
        "data: 80 pairs read, 77 kept, 2 too long (over 8 tokens), 1 with a blank side"
    )
    known = re.compile(
        r"data: |model: |step \d+|loss curve: |test: |launch.py: warning: .* cut to 8 tokens$"
    )
    assert [line for line in lines if not known.match(line)] == []


@pytest.mark.slow
@pytest.mark.parametrize("which", ["latest", "average", "15"])
def test_evaluate_takes_any_checkpoint_and_split(opened, trained_run, which):
    run = f"--workdir={trained_run[0]}"
    found = opened("evaluate", run, f"--checkpoint={which}", "--split=valid")
    assert found.code == 0
    assert found.report["split"] == "valid"
    assert found.report["step"] == (15 if which == "15" else 20)


@pytest.mark.slow
def test_evaluate_reads_other_files_and_compares(opened, trained_run, corpus, tmp_path):
    workdir, ran = trained_run
    for language in ("en", "de"):
        text = (corpus / f"test.{language}").read_bytes()
        (tmp_path / f"news.{language}.gz").write_bytes(gzip.compress(text))
    here = [f"--data_dir={tmp_path}", "--split=news", f"--compare={workdir}"]
    found = opened("evaluate", f"--workdir={workdir}", *here)
    assert found.report["bleu"] == ran.report["bleu"]
    assert found.report["compare"]["workdir"] == str(workdir)
    assert found.report["compare"]["bleu"]["p_value"] == 1.0
    assert found.report["compare"]["bleu"]["baseline"] == found.report["bleu"]
    assert "chrf" in found.report["compare"]


@pytest.mark.slow
def test_evaluate_tells_the_expected_bleu_of_samples(opened, trained_run):
    run = f"--workdir={trained_run[0]}"
    found = [opened("evaluate", run, "--split=valid", "--samples=3").report for _ in range(2)]
    assert found[0] == found[1]
    assert found[0]["samples"] == 3
    assert 0 < found[0]["expected_bleu"] < 100
    other = opened("evaluate", run, "--split=valid", "--samples=2").report
    assert other["expected_bleu"] != found[0]["expected_bleu"]
    assert "expected_bleu" not in trained_run[1].report
    for number in (0, -1):
        mistake(opened("evaluate", run, f"--samples={number}"), f"samples is {number}; it needs")
    mistake(opened("evaluate", run, "--samples=few"), "flag --samples=few")


@pytest.mark.slow
def test_a_finished_run_is_only_evaluated_again(launched, tiny, trained_run):
    workdir, ran = trained_run
    before = contents(workdir)
    again = launched(*tiny, f"--workdir={workdir}")
    assert (again.code, again.report) == (0, ran.report)
    assert "resumed at step 20 of 20" in again.err
    after = contents(workdir)
    added = ("tb/", "plots/", "starts.jsonl")
    assert {name: after[name] for name in before if not name.startswith(added)} == {
        name: before[name] for name in before if not name.startswith(added)
    }
    starts = [json.loads(line) for line in (workdir / "starts.jsonl").read_text().splitlines()]
    assert [start["overrides"] == list(tiny[2:]) for start in starts] == [True, True]


@pytest.mark.slow
def test_inspect_draws_and_prints_the_translation(opened, trained_run):
    workdir = trained_run[0]
    ran = opened("inspect", f"--workdir={workdir}", "--text=a b c")
    assert ran.code == 0, ran.err
    assert ran.out.count("\n") == 1
    assert len(list((workdir / "plots").glob("*.png"))) >= 5
    mistake(opened("inspect", f"--workdir={workdir}", "--text= "), "text is blank")


@pytest.mark.slow
def test_expose_prints_a_table_and_draws_it(opened, trained_run):
    workdir = trained_run[0]
    ran = opened("expose", f"--workdir={workdir}")
    assert ran.code == 0, ran.err
    head, *rows = (line.split("\t") for line in ran.out.splitlines())
    assert head == ["position", "tokens", "loss after gold", "loss after own words",
                    "accuracy after gold", "accuracy after own words"]  # fmt: skip
    assert [int(row[0]) for row in rows] == list(range(1, 1 + len(rows)))
    assert rows[0][1] == "12"
    assert rows[0][2] == rows[0][3]
    assert (workdir / "plots" / "exposure.png").stat().st_size > 10_000
    mistake(opened("expose", f"--workdir={workdir}", "--split=nowhere"), "nowhere")


@pytest.fixture(scope="module")
def student(launched, opened, tiny, trained_run, tmp_path_factory):
    """A run that fills in, taught by `trained_run`, and the directory of the teacher's corpus."""
    path = tmp_path_factory.mktemp("student")
    folder = path / "distilled"
    ran = opened("distil", f"--workdir={trained_run[0]}", f"--target_dir={folder}", "--beam=1")
    assert ran.code == 0, ran.err
    ran = launched(
        *tiny, f"--workdir={path / 'run'}", f"--config.data.dir={folder}",
        "--config.task.kind=mask_predict", f"--config.data.vocabulary={folder / 'tokenizer.model'}",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return path / "run", folder


@pytest.mark.slow
def test_a_distilled_corpus_has_the_teacher_s_words(opened, student, trained_run, corpus):
    folder = student[1]
    for name in ("train.en", "valid.en", "valid.de", "test.en", "test.de"):
        assert (folder / name).read_text("utf-8") == (corpus / name).read_text("utf-8")
    teacher = f"--workdir={trained_run[0]}"
    source = (folder / "train.en").read_bytes()
    ran = opened("translate", teacher, "--beam=1", stdin=source)
    assert (folder / "train.de").read_text("utf-8") == ran.out
    again = opened("distil", teacher, f"--target_dir={folder}")
    mistake(again, f"{folder} has files already: name a new directory")


@pytest.mark.slow
def test_a_run_that_fills_in(opened, student, trained_run):
    workdir = f"--workdir={student[0]}"
    plain = opened("evaluate", workdir)
    taught = opened("evaluate", workdir, f"--teacher={trained_run[0]}")
    assert (plain.code, taught.code) == (0, 0), taught.err
    assert plain.report["loss"] == taught.report["loss"]
    ran = opened("translate", workdir, f"--teacher={trained_run[0]}", stdin=b"a b\n\nc\n")
    assert (ran.code, ran.out.count("\n")) == (0, 3), ran.err
    asked = b"a b\n\nc\n"
    many = opened("translate", workdir, "--beam=40", "--nbest=40", "--scores", stdin=asked)
    assert (many.code, many.out.count("\n")) == (0, 120), many.err
    assert many.out.split("\n")[39] == "-inf\t"  # there are fewer lengths
    assert opened("inspect", workdir, "--text=a b c").code == 0
    mistake(opened("expose", workdir), "fills targets in, and reads no words of its own")
    wrong = opened("evaluate", f"--workdir={trained_run[0]}", f"--teacher={student[0]}")
    mistake(wrong, f"teacher: {student[0]} fills targets in and cannot rank them; name a run")


@pytest.mark.slow
def test_a_teacher_of_another_vocabulary(launched, tiny, trained_run, corpus, tmp_path):
    shutil.copytree(trained_run[0], tmp_path / "other")
    text = "".join((corpus / f"train.{side}").read_text("utf-8") for side in ("en", "de"))
    text = text.translate(str.maketrans("abcdefghABCDEFGH", "ijklmnopIJKLMNOP"))
    model = train_tokenizer(text.splitlines(), 290)
    (tmp_path / "other" / "tokenizer.model").write_bytes(model)
    ran = launched("evaluate", f"--workdir={trained_run[0]}", f"--teacher={tmp_path / 'other'}")
    mistake(ran, "has another vocabulary than", "--config.data.vocabulary=")
    ran = launched(*tiny, f"--workdir={tmp_path / 'x'}", "--config.data.vocabulary=nowhere")
    mistake(ran, "config.data.vocabulary: there is no file nowhere; name a run's tokenizer.model")


def test_a_tag_may_be_empty_and_nothing_else():
    given = ["launch.py", "mix", "--tag="]
    rest = ["data_dir", "target_dir", "source_lang", "target_lang", "synthetic", "monolingual"]
    assert arguments.parse([*given, *(f"--{name}=x" for name in rest)]).given["tag"] == ""
    with pytest.raises(ValueError, match="mix needs a value for --monolingual"):
        arguments.parse([*given, *(f"--{name}=x" for name in rest[:-1]), "--monolingual="])


def test_help(launched):
    ran = launched("--help")
    assert ran.code == 0
    assert all(f"  {command}" in ran.out for command in arguments.COMMANDS)
    for command, about in arguments.COMMANDS.items():
        ran = launched(command, "--help")
        assert (ran.code, ran.err) == (0, "")
        assert about.help in ran.out
        assert all(f"\n  --{flag}" in ran.out for flag in about.flags)


COMMANDS = [
    (
        [],
        "needs one of train, evaluate, translate, inspect, sweep, options, distil, mix, expose",
    ),
    (["tran"], "got tran"),
    (["train", "evaluate"], "got train evaluate"),
    (["train"], "train needs a value for --config"),
    (["train", "--config="], "train needs a value for --config"),
    (["train", TEXT, "--workdir="], "train needs a value for --workdir"),
    (["train", "--config.seed=1"], "train needs a value for --config"),
    (["train", TEXT, "--beam=2"], "train has no flag --beam; its flags are --config, --workdir"),
    (["train", TEXT, "--workdirr=x"], "'workdirr'. Did you mean: workdir ?"),
    (["evaluate"], "evaluate needs a value for --workdir"),
    (["evaluate", "--workdir=x", "--config.seed=1"], "evaluate has no flag --config"),
    (["inspect", "--workdir=x"], "inspect needs a value for --text"),
    (["evaluate", "--workdir=nowhere"], "nowhere holds no run (no config.json): train one there"),
    (["translate", "--workdir=x", "--beam=two"], "flag --beam=two"),
    (["train", "--config=experiments/tex.py"], "there is no file experiments/tex.py"),
    (["train", "--config=README.md"], "README.md is no Python file"),
    (["train", "--config=attention/lab/commands/resolve.py"], "has no function get_config"),
]


@pytest.mark.parametrize(("arguments", "expected"), COMMANDS)
def test_a_wrong_command(launched, arguments, expected):
    mistake(launched(*arguments), expected)


ARGUMENTS = [
    ("encoder=sofmax", "config.model.encoder.name: 'sofmax'", "did you mean softmax?"),
    ("cross=local", "model.cross: Local cannot attend across two", "use Softmax"),
    ("encoder", "config.model.encoder.name: ''", "use one of"),
    ("encodr=softmax", "encodr=softmax: slots are encoder, decoder, cross", "mean encoder?"),
]


@pytest.mark.parametrize(("argument", "what", "remedy"), ARGUMENTS)
def test_a_wrong_argument_of_the_config(launched, tmp_path, argument, what, remedy):
    ran = launched("train", f"{TEXT}:{argument}", f"--workdir={tmp_path / 'run'}")
    mistake(ran, what, remedy)
    assert not (tmp_path / "run").exists()


def test_a_wrong_key_in_get_config(launched, tmp_path):
    experiment = tmp_path / "mine.py"
    source = "from experiments import base\ndef get_config():\n    return base.get_config({})\n"
    experiment.write_text(source.format("model=dict(sizee=3)"))
    ran = launched("train", f"--config={experiment}")
    mistake(ran, "config.model.sizee: unknown key; did you mean model.size?")
    experiment.write_text(source.format("model=dict(size='big')"))
    ran = launched("train", f"--config={experiment}", f"--workdir={tmp_path / 'run'}")
    mistake(ran, "config.model.size: 'big' cannot be used; use a whole number of at least 1")
    for line, expected in GET_CONFIG:
        experiment.write_text(
            "from experiments import base\n"
            f"def get_config():\n    config = base.get_config()\n    {line}\n    return config\n"
        )
        ran = launched("train", f"--config={experiment}", f"--workdir={tmp_path / 'run'}")
        mistake(ran, expected)
    assert not (tmp_path / "run").exists()


GET_CONFIG = [
    ("config.train.stepz = 3", "config.train.stepz: unknown key; did you mean train.steps?"),
    ("config.train.steps = 'a'", "config.train.steps: 'a' cannot be used; use a whole number"),
    ("config.train = {'steps': 3}", "set single keys, never a whole section"),
    ("config = 3", "returned int; it needs a ConfigDict"),
    ("config = config.to_dict()", "returned dict; it needs a ConfigDict"),
]

KEYS = [
    ("model.sizee=3", "model.sizee", "did you mean model.size?"),
    ("modell.size=3", "modell.size", "did you mean model.size?"),
    ("model.size.x=3", "the config has no model.size.x", "did you mean model.size?"),
    ("model.encoder.nam=softmax", "model.encoder.nam", "did you mean model.encoder.name?"),
    ("model.size", "model.size", "no value; use --config.model.size=VALUE"),
    ("model.encoder.name=sofmax", "'sofmax'", "use one of"),
    ("model.encoder=softmax", "model.encoder is a section", "--config.model.encoder.name="),
    ("model={'size':1}", "model is a section", "as in --config.model.layers=VALUE"),
    ("model.encoder.dropout_rate=1.5", "model.encoder.dropout_rate: 1.5", "in [0, 1)"),
    ("model.encoder.kernel=fast", "kernel 'fast' is unknown", "choose 'auto'"),
    ("train.steps=abc", "train.steps=abc", "a whole number of at least 1"),
    ("train.steps=1.5", "train.steps=1.5", "a whole number of at least 1"),
    ("train.steps=0", "train.steps: 0", "a whole number of at least 1"),
    ("model.tied=maybe", "model.tied=maybe", "true or false"),
    ("noise.k=x", "noise.k=x", "a number"),
    ("model.external_tokens=-1", "model.external_tokens: -1", "at least 0"),
    ("model.heads=3", "model.heads: 3 does not divide model.size 16", "use 2 or 4"),
    ("model.heads=0", "model.heads: 0", "at least 1"),
    ("model.dropout=-0.1", "model.dropout: -0.1", "in [0, 1)"),
    ("model.dropout=1", "model.dropout: 1.0", "in [0, 1)"),
    ("model.dropout=nan", "model.dropout: nan", "in [0, 1)"),
    ("train.learning_rate=nan", "train.learning_rate: nan", "at least 0"),
    ("train.learning_rate=inf", "train.learning_rate: inf", "at least 0"),
    ("train.learning_rate=-1", "train.learning_rate: -1.0", "at least 0"),
    ("train.warmup=20", "train.warmup: 20", "below train.steps 20"),
    ("train.label_smoothing=2", "train.label_smoothing: 2.0", "in [0, 1)"),
    ("train.dtype=float16", "train.dtype: float16", "use bfloat16 or float32"),
    ("train.dtype=float61", "train.dtype: 'float61'", "one of float32, bfloat16"),
    ("noise.rate=-0.5", "noise.rate: -0.5", "in [0, 1]"),
    ("noise.token_rate=1", "noise.token_rate: 1.0", "in [0, 1)"),
    ("noise.kind=sheduled", "noise.kind: 'sheduled'", "did you mean scheduled?"),
    ("decode.beam=0", "decode.beam: 0", "at least 1"),
    ("decode.beam=291", "decode.beam: 291", "use 1 to 290"),
    ("decode.valid_beam=0", "decode.valid_beam: 0", "at least 1"),
    ("data.vocab_size=100", "data.vocab_size: 100", "at least 261"),
    ("data.vocab_size=262", "data.vocab_size is 262", "need at least"),
    ("train.batch_tokens=7", "train.batch_tokens is 7", "needs at least 64"),
    ("mesh.data=99", "mesh.data: devices", "between 1 and"),
    ("data.target_lang=en", "data.target_lang: 'en'", "needs two"),
    ("data.kind=grammar", "is not read, since data.kind is grammar", "data.kind=text"),
    ("seed=-1", "seed: -1", "at least 0"),
    ("seed=1e12", "seed: 1000000000000", "below 2^31"),
    ("data.source_lang=../en", "language is '../en'", "part of a file's name"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "what", "remedy"), KEYS)
def test_a_wrong_key_or_value(launched, tiny, tmp_path, override, what, remedy):
    ran = launched(*tiny, f"--config.{override}", f"--workdir={tmp_path / 'run'}")
    mistake(ran, what, remedy)
    assert contents(tmp_path) == {}


FILES = [
    ({"train_en": b"a\nb\n", "train_de": b"A\n"}, "train.en has 2 lines and", "train.de has 1"),
    ({"valid_en": b"a\n"}, "valid.en has 1 lines and", "the counts must be equal"),
    ({"train_en": b"a\n\xff b\n"}, "train.en, line 2: byte 0xff", "convert the text to UTF-8"),
    ({"test_de": b"A\n\xc3\n"}, "test.de, line 2: byte 0xc3", "convert the text to UTF-8"),
    ({"train_en": b""}, "train.en: the file is empty", "one sentence a line"),
    ({"test_en": b""}, "test.en: the file is empty", "one sentence a line"),
    ({"train_de": None}, "has no train.de or train.de.gz: it has", "train.en"),
    ({"test_en": None, "test_de": None}, "has no test.en or test.en.gz", "valid.de, valid.en"),
    ({"train_en": b"a b c d e f g h\n", "train_de": b"A\n"}, "no pair is left", "1 too long"),
    ({"train_en": b"\n \n", "train_de": b"\n\n"}, "no sentence has text", "needs some"),
]


@pytest.mark.parametrize(("files", "what", "remedy"), FILES)
def test_wrong_files(launched, tiny, corpus, tmp_path, files, what, remedy):
    data_dir = changed(corpus, tmp_path / "data", **files)
    ran = launched(*tiny, data_dir, f"--workdir={tmp_path / 'run'}")
    mistake(ran, what, remedy)
    assert contents(tmp_path / "run") == {}


def test_no_data_directory(launched, tiny, tmp_path):
    ran = launched(*tiny, f"--config.data.dir={tmp_path / 'no'}", f"--workdir={tmp_path / 'run'}")
    mistake(ran, f"data directory {tmp_path / 'no'} does not exist")
    mistake(launched("train", TEXT), "config.data.dir: not set; use --config.data.dir=DIR")


@pytest.mark.slow
def test_a_missing_split_or_checkpoint_of_a_run(opened, trained_run, tmp_path):
    workdir = f"--workdir={trained_run[0]}"
    mistake(opened("evaluate", workdir, "--split=dev"), "has no dev.en or dev.en.gz: it has")
    mistake(opened("evaluate", workdir, f"--data_dir={tmp_path}"), "has no test.en or test.en.gz")
    expected = "no checkpoint of step 7; available in", ": 10, 15, 20"
    for command in ("evaluate", "translate"):
        mistake(opened(command, workdir, "--checkpoint=7"), *expected)
    mistake(opened("evaluate", workdir, "--checkpoint=bset"), "latest, best, average or a step")
    mistake(opened("evaluate", workdir, f"--compare={tmp_path}"), f"{tmp_path} holds no run")


@pytest.mark.parametrize("blocked", ["file", "below a file"])
def test_a_workdir_that_cannot_be_written(launched, tiny, tmp_path, blocked):
    (tmp_path / "run").write_text("mine")
    workdir = tmp_path / "run" / ("" if blocked == "file" else "deeper")
    ran = launched(*tiny, f"--workdir={workdir}")
    mistake(ran, f"workdir {workdir} cannot be made", "choose another --workdir")
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.slow
def test_a_workdir_of_another_config(launched, tiny, trained_run, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(trained_run[0], workdir)
    before = contents(workdir)
    other = [*tiny, f"--workdir={workdir}", "--config.seed=5"]
    ran = launched(*other, "--config.model.dropout=0.4")
    mistake(ran, "(model.dropout: 0.3 -> 0.4; seed: 0 -> 5)", "--on_change=continue or")
    assert contents(workdir) == before
    ran = launched(*other, "--on_change=no")
    mistake(ran, "on_change is 'no'; choose one of refuse, continue, restart")
    ran = launched(*other, "--on_change=continue", "--config.train.steps=22")
    assert (ran.code, ran.report["split"]) == (0, "test")
    assert "launch.py: warning: " in ran.err
    assert "resumed at step 20 of 22" in ran.err
    middle = contents(workdir)
    ran = launched(*tiny, f"--workdir={workdir}", "--on_change=restart")
    assert ran.code == 0
    assert "resumed" not in ran.err
    assert contents(tmp_path / "run.old.1") == middle
    assert max(row["step"] for row in read_metrics(workdir)) == 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "slots",
    [
        "encoder=graph,decoder=fixed",
        # tests/models/test_slots.py has them all, without the command line.
        *(
            pytest.param(slots, marks=pytest.mark.long)
            for slots in (
                "encoder=bigbird,decoder=local",
                "encoder=longformer,decoder=longformer",
                "encoder=global,decoder=per_head",
                "encoder=axial,decoder=grid",
                "encoder=strided,decoder=strided",
                "encoder=dilated,decoder=dilated",
            )
        ),
    ],
)
def test_attentions_by_slot_train_decode_and_translate(launched, tiny, tmp_path, slots):
    command, config, *rest = tiny
    few = [f"--config.train.{key}=6" for key in ("steps", "eval_every", "checkpoint_every")]
    ran = launched(command, f"{config}:{slots}", *rest, *few, f"--workdir={tmp_path / 'run'}")
    assert (ran.code, ran.report["split"]) == (0, "test"), ran.err
    ran = launched("translate", f"--workdir={tmp_path / 'run'}", stdin=b"a b c\n\nc\n")
    assert (ran.code, ran.out.count("\n")) == (0, 3)
    ran = launched("inspect", f"--workdir={tmp_path / 'run'}", "--text=a b c")
    assert ran.code == 0, ran.err


@pytest.mark.slow
def test_some_keys_may_change_when_a_run_goes_on(launched, tiny, trained_run, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(trained_run[0], workdir)
    may = ["train.steps=22", "train.log_every=1", "train.eval_every=11", "decode.beam=1"]
    ran = launched(*tiny, f"--workdir={workdir}", *(f"--config.{change}" for change in may))
    assert ran.code == 0, ran.err
    assert "warning" not in ran.err.replace("warning: 2 s", "")
    assert ran.err.count("resumed at step 20 of 22") == 1
    rows = [row["step"] for row in read_metrics(workdir) if "train/loss" in row]
    assert rows == [5, 10, 15, 20, 21, 22]


def test_a_failed_start_does_not_bind_the_workdir(launched, tiny, tmp_path):
    workdir = f"--workdir={tmp_path / 'run'}"
    mistake(launched(*tiny, workdir, "--config.train.batch_tokens=8"), "batch_tokens is 8")
    mistake(launched(*tiny, workdir, "--config.train.batch_tokens=9"), "batch_tokens is 9")


HOLD = """
import sys, time
from attention.lab.config import schema
from attention.lab.storage import directory
with directory.claimed(sys.argv[1], schema.defaults()):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_workdir_in_use(launched, tiny, trained_run, tmp_path):
    workdir = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(workdir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            ran = launched(*tiny, f"--workdir={workdir}")
            line = mistake(ran, f"workdir {workdir} is in use by process {holder.pid} on ")
            assert os.uname().nodename in line
        finally:
            holder.kill()


def test_a_vocabulary_larger_than_the_text_is_lowered_with_one_line(launched, tiny, tmp_path):
    wide = ["--config.data.vocab_size=5000", "--config.train.batch_tokens=8"]
    ran = launched(*tiny, *wide, f"--workdir={tmp_path / 'run'}")
    first, *_ = ran.err.splitlines()
    assert re.fullmatch(
        r"launch.py: warning: vocab_size is lowered from 5000 to \d+: .* no more pieces", first
    )
    assert "UserWarning" not in ran.err


def test_beams_above_the_vocabulary_that_the_text_supports(launched, tiny, tmp_path):
    wide = ["--config.data.vocab_size=5000", "--config.decode.beam=400"]
    ran = launched(*tiny, *wide, f"--workdir={tmp_path / 'run'}")
    assert ran.code == 2
    assert "config.decode.beam: 400 is not within the vocabulary; use 1 to" in ran.err
    assert contents(tmp_path) == {}


def test_a_bug_is_one_line_and_its_traceback_is_kept_in_the_workdir(
    launched, monkeypatch, tmp_path
):
    import attention.lab.runs.load

    monkeypatch.setattr(attention.lab.runs.load, "evaluate", lambda workdir: {}["of ours"])
    ran = launched("evaluate", f"--workdir={tmp_path}")
    log = tmp_path / "errors.log"
    line = f"launch.py: a fault of this program, KeyError: 'of ours'; traceback: {log}\n"
    assert (ran.code, ran.err) == (1, line)
    assert "Traceback (most recent call last)" in log.read_text()
    launched("evaluate", f"--workdir={tmp_path}")
    assert log.read_text().count("Traceback") == 2
    ran = launched("evaluate", "--workdir=nowhere")
    assert ran.code == 1
    assert "Traceback (most recent call last)" in ran.err
    assert ran.err.splitlines()[-1].endswith("KeyError: 'of ours'; traceback: above")


def test_a_mistake_shows_its_traceback_on_request(launched, monkeypatch):
    monkeypatch.setenv("ATTENTION_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in launched("evaluate", "--workdir=/no").err


def test_a_value_error_inside_a_jitted_step_is_ours(launched, tiny, tmp_path, monkeypatch):
    from attention.lab.training import noise

    def broken(*arguments, **options):
        raise ValueError("of ours, while the step was traced")

    monkeypatch.setattr(noise.TeacherForcing, "decoder_input", broken)
    ran = launched(*tiny, f"--workdir={tmp_path}")
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == (
        "launch.py: a fault of this program, ValueError: of ours, while the step was traced; "
        f"traceback: {tmp_path / 'errors.log'}"
    )
    assert "in broken" in (tmp_path / "errors.log").read_text()


def test_out_of_memory_is_one_line_with_a_remedy(launched, tiny, tmp_path, monkeypatch):
    import jax.errors

    import attention.lab.runs.train

    def full(*arguments, **options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(attention.lab.runs.train, "loop", full)
    ran = launched(*tiny, f"--workdir={tmp_path}")
    assert ran.code == 1
    assert "launch.py: out of memory: lower train.batch_tokens" in ran.err.splitlines()[-1]
    assert "RESOURCE_EXHAUSTED" in (tmp_path / "errors.log").read_text()


def test_options_lists_every_key(launched):
    ran = launched("options", TEXT, "--config.seed=1e2")
    assert ran.code == 0
    assert ran.out.startswith("--config.seed=100 ")
    assert "--config.model.cross.kernel=auto" in ran.out
    mistake(launched("options", TEXT, "--config.sed=1"), "did you mean seed?")


def test_a_split_cannot_lead_out_of_its_directory(opened, trained_run, tmp_path):
    for split in ("../test", "/etc/passwd", "a/b"):
        ran = opened("evaluate", f"--workdir={trained_run[0]}", f"--split={split}")
        mistake(ran, f"split is {split!r}")


def test_interrupted(launched, monkeypatch):
    import attention.lab.runs.load

    def interrupted(workdir):
        raise KeyboardInterrupt

    monkeypatch.setattr(attention.lab.runs.load, "evaluate", interrupted)
    ran = launched("evaluate", "--workdir=x")
    assert (ran.code, ran.err) == (130, "launch.py: interrupted\n")


def test_names_and_flags_reach_the_training(launched, monkeypatch, trained_run):
    import attention.lab.runs.train

    calls, says = [], []

    def train(config, workdir, *, said, **options):
        says.append((said["config"], said["overrides"]))
        calls.append((config["model"]["size"], config["noise"]["k"], workdir, options))
        return trained_run[1].report

    monkeypatch.setattr(attention.lab.runs.train, "train", train)
    spec = f"{TEXT}:encoder=softmax,cross=softmax"
    assert launched("--config.model.size=48", "train", spec, "--config.noise.k=2").code == 0
    assert launched("train", TEXT, "--workdir=a/b", "--on_change=continue").code == 0
    size = calls[1][0]
    assert calls == [
        (48, 2.0, "runs/text", {}),
        (size, None, "a/b", {"on_change": "continue"}),
    ]
    flags = ["--config.model.size=48", "--config.noise.k=2"]
    assert says == [(spec.removeprefix("--config="), flags), (TEXT.removeprefix("--config="), [])]


def test_compiled_programs_are_kept_in_the_cache_unless_the_user_says_where(launched, monkeypatch):
    set_to = {}
    monkeypatch.setattr(
        type(jax.config), "update", lambda _, name, value: set_to.update({name: value})
    )
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/mine")
    launched("evaluate", "--workdir=x")
    assert set_to == {}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    launched("evaluate", "--workdir=x")
    assert set_to["jax_compilation_cache_dir"] == "/somewhere/attention-jax/xla"


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_is_never_saved(launched, tiny, tmp_path):
    wild = ["train.learning_rate=1e30", "train.clip=0", "train.max_skipped=3", "train.warmup=0"]
    ran = launched(*tiny, *(f"--config.{w}" for w in wild), f"--workdir={tmp_path / 'run'}")
    assert ran.code == 1
    assert ran.out == ""
    assert re.fullmatch(
        r"launch.py: the loss or its gradient was not finite in 3 steps in a row, the last being "
        r"step \d+: lower train.learning_rate .*",
        ran.err.splitlines()[-1],
    )
    assert not list((tmp_path / "run" / "checkpoints").glob("[0-9]*"))


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_told(launched, tiny, trained_run, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(trained_run[0], workdir)
    ran = launched(*tiny, "--config.model.size=32", "--on_change=continue", f"--workdir={workdir}")
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith("launch.py: checkpoint 20 ")

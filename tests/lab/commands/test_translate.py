"""Translating a stream: one line for each line, as it arrives, whatever the bytes are."""

import functools
import io
import pathlib
import re
import subprocess
import sys

import pytest

from attention.lab.commands import translate as translating
from attention.lab.runs import load

pytestmark = pytest.mark.slow  # `make quick` has the others of this folder

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module", autouse=True)
def opened_once():
    """No test changes the run: to open it once is to compile once what all translate with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "load", functools.cache(load.load))
        yield


@pytest.fixture
def translate(launched, trained_run):
    """Translates bytes on the command line; asserts success."""

    def run(source, *arguments):
        ran = launched("translate", f"--workdir={trained_run[0]}", *arguments, stdin=source)
        assert ran.code == 0, ran.err
        return ran

    return run


def test_one_line_for_each_line_in_order(translate):
    texts = [b"a b c", b"", b"d e", b"  ", b"h"]
    ran = translate(b"\n".join(texts))
    lines = ran.out.split("\n")
    assert len(lines) == 6
    assert lines[5] == ""
    assert [bool(line) for line in lines[:5]] == [True, False, True, False, True]
    assert ran.err == ""
    backwards = translate(b"\n".join(texts[::-1]) + b"\n").out.split("\n")
    assert backwards[4::-1] == lines[:5]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (b"", 0),
        (b"\n", 1),
        (b"\n\n\n", 3),
        (b"a", 1),
        (b"a\n", 1),
        (b"a\r\n\r\n", 2),
        (b"\xef\xbb\xbf\n", 1),
        (b"\xef\xbb\xbfa\n", 1),
    ],
)
def test_lines_are_counted_right(translate, source, lines):
    assert translate(source, "--beam=1").out.count("\n") == lines


def test_marks_do_no_harm_and_split_nothing(translate):
    plain = translate(b"a b\na b\nc d\n", "--beam=1").out
    assert translate(b"\xef\xbb\xbfa b\r\na\0b\nc d\r\n", "--beam=1").out == plain
    odd = "a\u2028b\nc\u0085d\n\x0ce\x1cf\n".encode()
    assert translate(odd, "--beam=1").out.count("\n") == 3


def test_nbest_and_scores(translate):
    ran = translate(b"a b\n\nc\n", "--beam=3", "--nbest=2", "--scores")
    rows = [line.split("\t") for line in ran.out.split("\n")[:-1]]
    assert len(rows) == 6
    assert all(len(row) == 2 for row in rows)
    assert rows[2:4] == [["0.0000", ""]] * 2
    for first, second in ((0, 1), (4, 5)):
        assert float(rows[second][0]) <= float(rows[first][0]) < 0
        assert rows[first][1] != rows[second][1]
    plain = translate(b"a b\n\nc\n", "--beam=3", "--nbest=1")
    assert plain.out.split("\n") == [rows[0][1], "", rows[4][1], ""]


def test_an_over_long_line_is_cut_with_a_warning(translate):
    long = b"a b c d e f g h a b c d"
    ran = translate(b"a\n" + long + b"\n", "--beam=1")
    assert ran.err == "launch.py: warning: stdin, line 2: cut to 8 tokens\n"
    assert ran.out.split("\n")[1] == translate(b"a b c d e f g", "--beam=1").out[:-1]


def test_what_cannot_be_done_is_told(launched, trained_run):
    workdir = f"--workdir={trained_run[0]}"
    for arguments, expected in (
        (["--beam=0"], "beam: 0 is not within the vocabulary; use 1 to 290"),
        (["--beam=291"], "beam: 291 is not within the vocabulary; use 1 to 290"),
        (["--nbest=3"], "nbest: 3 is not possible with 2 beams; use 1 to 2"),
        (["--nbest=0"], "nbest: 0 is not possible with 2 beams; use 1 to 2"),
        (["--checkpoint=99"], "no checkpoint of step 99; available in"),
    ):
        ran = launched("translate", workdir, *arguments, stdin=b"a\n")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.count("\n") == 1
        assert ran.err.startswith(f"launch.py: {expected}")


def test_invalid_utf8_is_named_after_the_lines_before_it_are_answered(launched, trained_run):
    run = "translate", f"--workdir={trained_run[0]}", "--beam=1"
    ran = launched(*run, stdin=b"a\nb\n\xffc\nd\n")
    assert ran.code == 2
    assert ran.err == (
        "launch.py: stdin, line 3: byte 0xff at position 1 is not valid UTF-8: "
        "convert the text to UTF-8\n"
    )
    assert ran.out == launched(*run, stdin=b"a\nb\n").out


class Chunks(io.BytesIO):
    """A stream that gives one chunk at each read, as a pipe may."""

    def __init__(self, *chunks):
        super().__init__()
        self.chunks = list(chunks)

    def read1(self, size=-1):
        return self.chunks.pop(0) if self.chunks else b""


@pytest.mark.parametrize(
    ("chunks", "groups"),
    [
        ([], []),
        ([b"a\n", b"b\n"], [["a"], ["b"]]),
        ([b"a\nb\nc", b"d\n"], [["a", "b"], ["cd"]]),
        ([b"a", b"b", b"c"], [["abc"]]),
        ([b"a\n\n", b"\n"], [["a", ""], [""]]),
        ([b"\xef\xbb\xbf"], []),
        ([b"\xef\xbb", b"\xbfa\n\xef\xbb\xbfb"], [["a"], ["\ufeffb"]]),
        ([b"\xc3", b"\xa4\n"], [["ä"]]),
        ([b"\n", b"a"], [[""], ["a"]]),
    ],
)
def test_lines_are_grouped_as_they_arrive(chunks, groups):
    assert list(translating._in_groups(Chunks(*chunks), "stdin")) == groups


def test_groups_are_not_too_large():
    groups = list(translating._in_groups(io.BytesIO(b"a\n" * 1300), "stdin"))
    assert [len(group) for group in groups] == [512, 512, 276]


def process(workdir, *arguments):
    command = [sys.executable, "launch.py", "translate", f"--workdir={workdir}", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_a_slow_writer_is_answered_line_by_line_and_a_closed_pipe_ends_quietly(trained_run):
    with process(trained_run[0], "--beam=1") as translator:
        for line in (b"a b\n", b"c\n"):
            translator.stdin.write(line)
            translator.stdin.flush()
            assert translator.stdout.readline().endswith(b"\n")
        translator.stdout.close()  # as `| head -2` does
        translator.stdin.write(b"d\n")  # and stdin stays open
        translator.stdin.flush()
        assert translator.wait(timeout=300) == 0
        assert translator.stderr.read() == b""


@pytest.mark.slow
def test_any_locale(trained_run, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    monkeypatch.setenv("PYTHONUTF8", "0")
    with process(trained_run[0], "--beam=1") as translator:
        out, err = translator.communicate("ü\n".encode(), timeout=300)
    assert (translator.returncode, err) == (0, b"")
    assert re.fullmatch(r"[^\n]*\n", out.decode("utf-8"))

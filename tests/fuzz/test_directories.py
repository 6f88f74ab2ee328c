"""Workdirs whose files are anything at all."""

import json
import os
import tempfile
import warnings
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from attention.lab.config import schema
from attention.lab.storage.checkpoints import Checkpoints
from attention.lab.storage.directory import claimed, read_config
from attention.lab.storage.metrics import MetricsWriter, read_metrics
from tests.fuzz.attempts import THOUSANDS, attempt

JSON = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
)
ENTRIES = st.dictionaries(st.sampled_from(["step", "train/loss", "eval/bleu", "x"]), JSON)
LINES = st.one_of(
    st.binary(max_size=20),
    ENTRIES.map(lambda entry: json.dumps(entry).encode()),
    st.sampled_from([b'{"step": 3, "train/loss": 1.5}', b'{"step": 7}', b"[]", b"{", b"\xff", b""]),
)


def tree(directory):
    """Every path under a directory."""
    return {str(path.relative_to(directory)) for path in Path(directory).rglob("*")}


@given(st.lists(LINES, max_size=6), st.booleans(), st.integers(0, 8))
@THOUSANDS
def test_any_metrics_file_is_read_and_written_on(lines, whole, step):
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = b"\n".join(lines) + (b"\n" if whole else b"")
        Path(name, "metrics.jsonl").write_bytes(data)
        rows = read_metrics(name)
        assert all(isinstance(row["step"], int) for row in rows)
        with MetricsWriter(name, steps=10, resume_step=step) as writer:
            writer.write(step + 1, {"train/loss": 2.0})
        again = read_metrics(name)
        assert again[-1] == {"step": step + 1, "train/loss": 2.0}
        kept = [row for row in rows if row["step"] <= step]
        assert repr(again[:-1]) == repr(kept)  # repr: nan is itself there
        assert {path.split("/")[0] for path in tree(name)} == {"metrics.jsonl", "tb"}


@given(
    st.one_of(st.binary(max_size=40), ENTRIES.map(lambda e: json.dumps(e).encode())), st.booleans()
)
@THOUSANDS
def test_any_config_file_is_read_or_refused(data, stranger):
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(root, "run")
        path.mkdir()
        (path / ("metrics.jsonl" if stranger else "config.json")).write_bytes(data)
        found = attempt(read_config, path)
        assert isinstance(found, dict | ValueError | FileNotFoundError)

        def claim():
            with claimed(path, schema.defaults()):
                return "claimed"

        attempt(claim)
        assert tree(root) <= {"run", "run/lock", "run/config.json", "run/metrics.jsonl"}


STEPS = st.sampled_from(
    [
        "1",
        "5",
        "05",
        "-1",
        "1e3",
        "5.orbax-checkpoint-tmp-3",
        "damaged.5.1",
        "saving.5",
        "9" * 30,
        "x",
        "٣",
    ]
)
INSIDE = st.sampled_from(
    [
        *("SHA256SUMS", "state/_METADATA", "state/manifest.ocdbt", "notes.json", "x"),
        *(
            "_CHECKPOINT_METADATA",
            "state",
            "commit_success.txt",
        ),
    ]
)


@given(st.dictionaries(st.tuples(STEPS, INSIDE), st.binary(max_size=20), max_size=5), st.booleans())
@THOUSANDS
def test_any_checkpoint_directory_is_listed(files, read_only):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        directory = Path(root, "checkpoints")
        directory.mkdir()
        for (step, inside), data in files.items():
            path = directory / step / inside
            attempt(lambda path=path: path.parent.mkdir(parents=True, exist_ok=True))
            attempt(lambda path=path, data=data: path.write_bytes(data))

        def listed():
            with Checkpoints(directory, read_only=read_only) as checkpoints:
                return checkpoints.steps()

        found = attempt(listed)
        assert isinstance(found, Exception) or set(found) <= {1, 5, int("9" * 30)}
        assert os.listdir(root) == ["checkpoints"]  # orbax clears up inside in the background

"""What is written down of each start of a run."""

import json
import platform
import subprocess

import jax

from attention.lab.storage import provenance


def test_a_line_for_each_start(tmp_path):
    said = {"config": "experiments/text.py", "overrides": ["--config.seed=1"]}
    provenance.record(tmp_path, said)
    provenance.record(tmp_path, {})
    first, second = map(json.loads, (tmp_path / "starts.jsonl").read_text().splitlines())
    assert {name: first[name] for name in said} == said
    assert "config" not in second
    for line in (first, second):
        assert line["packages"]["jax"] == jax.__version__
        assert line["python"] == platform.python_version()
        assert len(line["devices"]) == jax.device_count()
        assert line["time"].endswith("+00:00")


def test_the_commit_is_that_of_the_source_or_none(monkeypatch):
    found = provenance.git_revision()
    command = ["git", "-C", provenance.__file__.rpartition("/")[0], "rev-parse", "HEAD"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert found is None if ran.returncode else found.rstrip("+") == ran.stdout.strip()

    def absent(*arguments, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(provenance.subprocess, "run", absent)
    assert provenance.git_revision() is None

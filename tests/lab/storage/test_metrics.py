"""metrics.jsonl, TensorBoard and progress."""

import io
import json

import numpy as np
import pytest

from attention.lab.storage.metrics import MetricsWriter, read_metrics


class Terminal(io.StringIO):
    def isatty(self):
        return True


def write(workdir, steps, stream=None, **options):
    with MetricsWriter(workdir, steps=10, stream=stream or io.StringIO(), **options) as writer:
        for step in steps:
            writer.log(step, {"train/loss": step / 3, "perf/step_seconds": 2.0})


def test_one_object_a_line_at_full_precision(tmp_path):
    value = float(np.float32(1) / np.float32(3))
    with MetricsWriter(tmp_path, steps=10, stream=io.StringIO()) as writer:
        writer.write(3, {"train/loss": value, "eval/bleu": np.float32(0.1)})
        text = (tmp_path / "metrics.jsonl").read_text()  # flushed at once
    assert json.loads(text) == {"step": 3, "train/loss": value, "eval/bleu": float(np.float32(0.1))}
    assert text.endswith("}\n")
    assert list((tmp_path / "tb").glob("events*"))


def test_what_is_not_finite_is_null(tmp_path):
    with MetricsWriter(tmp_path, steps=10, stream=io.StringIO()) as writer:
        writer.write(1, {"train/loss": float("nan")})
    assert read_metrics(tmp_path) == [{"step": 1, "train/loss": None}]


def test_resuming_drops_later_steps_and_a_torn_line(tmp_path):
    write(tmp_path, [1, 2, 3, 4])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "train/l')
    assert [m["step"] for m in read_metrics(tmp_path)] == [1, 2, 3, 4]
    write(tmp_path, [3, 4, 5], resume_step=2)
    assert [m["step"] for m in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]
    assert [p.name for p in tmp_path.glob("metrics*")] == ["metrics.jsonl"]


def test_starting_anew_drops_everything(tmp_path):
    write(tmp_path, [1, 2])
    write(tmp_path, [1])
    assert [m["step"] for m in read_metrics(tmp_path)] == [1]


def test_plain_lines_where_there_is_no_terminal(tmp_path):
    stream = io.StringIO()
    with MetricsWriter(tmp_path, steps=4000, stream=stream) as writer:
        metrics = {
            "train/loss": 2.5,
            "perf/tokens_per_second": 1543.21,
            "perf/step_seconds": 1.5,
        }
        writer.step(100, metrics)
        writer.log(100, metrics)
        writer.say("hello")
    assert stream.getvalue() == (
        "step 100/4000  loss 2.5000  1,543 tokens/s  1:37:30 left\nhello\n"
    )


def test_a_bar_on_a_terminal(tmp_path):
    stream = Terminal()
    with MetricsWriter(tmp_path, steps=10, resume_step=4, stream=stream) as writer:
        for step in (5, 6):
            writer.step(step, {"train/loss": 2.5, "perf/tokens_per_second": 10.0})
        writer.say("hello")
        assert writer._bar.n == 6
    text = stream.getvalue()
    assert "4/10" in text
    assert "left" in text
    assert "loss 2.5000  10 tokens/s" in text
    assert "hello\n" in text
    assert "step 5/10" not in text


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        MetricsWriter(tmp_path, steps=1)

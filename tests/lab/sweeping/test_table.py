"""Ranks, groups of seeds, and failures."""

import csv

import pytest

from attention.lab.sweeping.table import Row, markdown, ranked, spread, winner, write_csv

ROWS = [
    Row("a0", {"train.learning_rate": 1e-3, "seed": 0}, 30.0),
    Row("a1", {"train.learning_rate": 1e-3, "seed": 1}, 34.0),
    Row("b0", {"train.learning_rate": 2e-3, "seed": 0}, 33.0),
    Row("b1", {"train.learning_rate": 2e-3, "seed": 1}, None, "killed by signal 9"),
    Row("c0", {"train.learning_rate": 3e-3, "seed": 0}),
]


def test_groups_rank_by_their_mean_and_failures_come_last():
    groups = ranked(ROWS, "max")
    assert [group.mean for group in groups] == [33.0, 32.0, None]
    assert groups[1].deviation == pytest.approx(8**0.5)
    assert [spread(group) for group in groups] == ["33.00", "32.00 ± 2.83", ""]


def test_the_winner_is_the_best_trial_of_the_best_group():
    assert winner(ranked(ROWS, "max"), "max").name == "b0"
    assert winner(ranked(ROWS, "min"), "min").name == "a0"
    assert winner(ranked(ROWS[-1:], "max"), "max") is None


def test_markdown_has_the_ranks_the_winner_and_the_reasons():
    text = markdown(ranked(ROWS, "max"), "bleu", "b0", {"score": 31.5})
    lines = text.splitlines()
    assert lines[0] == "| rank | train.learning_rate | valid bleu | trials |"
    assert lines[2] == "| 1 | 0.002 | 33.00 | 1 of 2 |"
    assert lines[3] == "| 2 | 0.001 | 32.00 ± 2.83 | 2 of 2 |"
    assert "Winner: b0, 31.50 bleu on the test split." in lines
    assert "Failed: b1: killed by signal 9" in lines
    assert "Not run: c0" in lines


def test_csv_has_a_line_for_each_trial(tmp_path):
    write_csv(tmp_path / "results.csv", ranked(ROWS, "max"), "bleu")
    with (tmp_path / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["b0", "b1", "a0", "a1", "c0"]
    assert rows[0]["valid_bleu"] == "33.0"
    assert (rows[1]["state"], rows[1]["reason"]) == ("failed", "killed by signal 9")
    assert (rows[3]["seed"], rows[3]["mean"]) == ("1", "32.0")

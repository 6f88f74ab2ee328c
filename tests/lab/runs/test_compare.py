"""A comparison of two runs: which is the system, and which the baseline."""

from types import SimpleNamespace

from attention.lab.data.sources.pairs import Pairs
from attention.lab.runs import load

TEXTS = ("ein Hund läuft über die Wiese", "eine Frau liest ein Buch im Garten") * 4


def run_that_says(texts):
    """As much of a run as a comparison needs."""
    evaluator = SimpleNamespace(
        examples=lambda pairs: SimpleNamespace(source=pairs.source),
        translate=lambda *_: [[(text, 0.0)] for text in texts],
    )
    data = SimpleNamespace(source_lang="en", target_lang="de")
    experiment = SimpleNamespace(data=data, search=None)
    return SimpleNamespace(
        experiment=experiment, evaluator=evaluator, params={}, model_state={}, step=7
    )


def test_the_run_that_is_named_is_the_baseline():
    worse = run_that_says([text.replace("ein", "kein") for text in TEXTS])
    better = run_that_says(TEXTS)
    found = load._compare(better, list(TEXTS), worse, "other", Pairs(TEXTS, TEXTS))
    assert (found["workdir"], found["step"]) == ("other", 7)
    for metric in ("bleu", "chrf"):
        assert found[metric]["baseline"] < 90 < found[metric]["system"]

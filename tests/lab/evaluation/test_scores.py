"""BLEU and chrF++ by hand, against sacreBLEU's command, and by language."""

import math
import subprocess
import sys

import numpy as np
import pytest

from attention.lab.evaluation import scores
from attention.lab.evaluation.scores import corpus_scores, paired_bootstrap, sentence_bleu

REFERENCES = [
    "Ein Hund läuft über die grüne Wiese.",
    "Zwei Männer spielen Schach, und eine Frau sieht ihnen zu.",
    "Ein kleines Kind schläft.",
] * 5
WORSE = [line.replace("Ein ", "ein ").replace("die", "den") for line in REFERENCES]
BAD = ["Der Mann geht die Wiese.", "Zwei Frauen spielen .", "ein Kind"] * 5


def test_bleu_by_hand():
    # Of the words "the cat sat on a mat": 5/6, 3/5, 2/4 and 1/3 of the n-grams are right.
    found = corpus_scores(["the cat sat on a mat"], ["the cat sat on the mat"], "en")
    by_hand = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert math.isclose(found["bleu"], by_hand, rel_tol=1e-6)


def test_a_hypothesis_that_is_too_short_is_penalised():
    found = corpus_scores(["the cat sat on"], ["the cat sat on the mat"], "en")
    assert math.isclose(found["bleu"], 100 * math.exp(1 - 6 / 4), rel_tol=1e-6)


def test_equals_the_sacrebleu_command(tmp_path):
    (tmp_path / "reference").write_text("\n".join(REFERENCES) + "\n", encoding="utf-8")
    (tmp_path / "system").write_text("\n".join(WORSE) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "reference", "-i", "system", "-b", "-w", "6"]
    found = corpus_scores(WORSE, REFERENCES, "de")
    for metric, extra in (("bleu", []), ("chrf", ["--chrf-word-order", "2"])):
        result = subprocess.run(
            [*command, "-m", metric, *extra], cwd=tmp_path, capture_output=True, check=True
        )
        assert math.isclose(found[metric], float(result.stdout), abs_tol=1e-6)


def test_perfect_is_100_and_case_counts():
    found = corpus_scores(REFERENCES, REFERENCES, "de")
    assert math.isclose(found["bleu"], 100, rel_tol=1e-9)
    assert math.isclose(found["chrf"], 100, rel_tol=1e-9)
    assert corpus_scores([r.lower() for r in REFERENCES], REFERENCES, "de")["bleu"] < 90


def test_signatures_say_how():
    found = corpus_scores(REFERENCES, REFERENCES, "de")
    for part in ("nrefs:1", "case:mixed", "tok:13a", "smooth:exp", "version:"):
        assert part in found["signature"]
    for part in ("nrefs:1", "case:mixed", "nc:6", "nw:2", "version:"):
        assert part in found["chrf_signature"]


@pytest.mark.parametrize("language", ["zh", "ZH", "zh-CN", "zh_Hant"])
def test_chinese_is_scored_by_characters(language):
    # As words divided at spaces this would be two wrong words out of two.
    found = corpus_scores(["我昨天在公园里看到三只狗。"], ["我昨天在公园里看见三只狗。"], language)
    assert "tok:zh" in found["signature"]
    assert found["bleu"] > 60
    assert (
        corpus_scores(["我昨天在公园里看到三只狗。"], ["我昨天在公园里看见三只狗。"], "en")["bleu"]
        < 1
    )


@pytest.mark.parametrize(
    ("packages", "tokeniser"), [((), "char"), (("MeCab", "ipadic"), "ja-mecab")]
)
def test_japanese_takes_mecab_where_it_is_installed(monkeypatch, packages, tokeniser):
    monkeypatch.setattr(scores.importlib.util, "find_spec", lambda name: name in packages or None)
    assert scores._tokeniser("ja") == tokeniser


def test_empty_hypotheses_score_nothing_and_do_not_fail():
    found = corpus_scores([""] * 2, ["Ein Hund.", "Ein Kind."], "de")
    assert found["bleu"] == 0.0
    assert found["chrf"] == 0.0


def test_sentence_bleu_by_hand_and_by_language():
    said, gold = "Ein Hund läuft über den Weg.", "Ein Hund läuft über die grüne Wiese."
    # Words and the full stop: 7 against 8; 5, 3, 2 and 1 n-grams of 7, 6, 5 and 4 are right.
    shares = np.prod([5 / 7, 3 / 6, 2 / 5, 1 / 4]) ** 0.25
    expected = 100 * math.exp(1 - 8 / 7) * shares
    found = sentence_bleu([said, gold, ""], [gold] * 3, "de")
    np.testing.assert_allclose(found, [expected, 100, 0], rtol=1e-6)
    # Two words have no 3-grams, which are then left out; a count of 0 is smoothed.
    np.testing.assert_allclose(sentence_bleu(["Ein Hund"], ["Ein Hund"], "de"), [100], rtol=1e-6)
    assert 0 < sentence_bleu(["Ein Hund lief"], [gold], "de")[0] < 100
    chinese = sentence_bleu(["我喜欢狗。"], ["我喜欢猫。"], "zh")[0]
    assert chinese > 30 > sentence_bleu(["我喜欢狗。"], ["我喜欢猫。"], "de")[0]
    with pytest.raises(ValueError, match="counts differ: 1 hypotheses, 2 references"):
        sentence_bleu(["a"], ["a", "b"], "de")


@pytest.mark.parametrize(
    ("hypotheses", "references", "error", "message"),
    [
        (["a"], ["a", "b"], ValueError, "counts differ: 1 hypotheses, 2 references"),
        ([], [], ValueError, "no sentences"),
    ],
)
def test_a_mistake_is_named(hypotheses, references, error, message):
    with pytest.raises(error, match=message):
        corpus_scores(hypotheses, references, "de")


def test_paired_bootstrap_tells_a_worse_system_from_an_equal_one():
    found = paired_bootstrap(WORSE, BAD, REFERENCES, "de", samples=200)
    for metric in ("bleu", "chrf"):
        assert found[metric]["baseline"] == corpus_scores(WORSE, REFERENCES, "de")[metric]
        assert found[metric]["system"] == corpus_scores(BAD, REFERENCES, "de")[metric]
        assert found[metric]["p_value"] < 0.05
        assert np.isfinite([found[metric]["mean"], found[metric]["interval"]]).all()
        assert "bs:200" in found[metric]["signature"]
    same = paired_bootstrap(WORSE, WORSE, REFERENCES, "de", samples=200)
    assert same["bleu"]["p_value"] == same["chrf"]["p_value"] == 1.0
    assert found == paired_bootstrap(WORSE, BAD, REFERENCES, "de", samples=200)


def test_paired_bootstrap_wants_the_same_sentences():
    with pytest.raises(ValueError, match="15 baseline, 14 system, 15 references"):
        paired_bootstrap(WORSE, BAD[1:], REFERENCES, "de")


def test_sacrebleu_is_imported_only_to_score():
    code = "import attention.lab.evaluation.scores, sys; assert 'sacrebleu' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""BLEU (Papineni et al. 2002) and chrF++ (Popović 2017) of a corpus, by sacreBLEU (Post 2018)."""

import importlib.util
from collections.abc import Sequence
from typing import Any


def corpus_scores(
    hypotheses: Sequence[str], references: Sequence[str], target_lang: str
) -> dict[str, Any]:
    """Scores detokenised text against one reference a sentence, case mattering.

    BLEU counts n-grams of words up to 4 (smoothing "exp"), in words as sacreBLEU tokenises the
    target language. chrF++ counts n-grams of characters up to 6 and of words up to 2.

    Args:
      hypotheses: what the system wrote, detokenised.
      references: what it should have written, in the same order.
      target_lang: the language's code, such as "de", "zh" or "pt-BR".

    Returns:
      "bleu" and "chrf" from 0 to 100, and their sacreBLEU signatures "signature" and
      "chrf_signature".

    Raises:
      ValueError: counts differ, or there is no sentence.

    >>> scores = corpus_scores(["Ein Hund läuft."], ["Ein Hund läuft."], "de")
    >>> round(scores["bleu"]), round(scores["chrf"])
    (100, 100)
    """
    _check_counts(hypotheses=hypotheses, references=references)
    metrics = _metrics(target_lang)
    scores = {
        name: metric.corpus_score(list(hypotheses), [list(references)]).score
        for name, metric in metrics.items()
    }
    return scores | {
        "signature": str(metrics["bleu"].get_signature()),
        "chrf_signature": str(metrics["chrf"].get_signature()),
    }


def sentence_bleu(
    hypotheses: Sequence[str], references: Sequence[str], target_lang: str
) -> list[float]:
    """BLEU of each sentence by itself, from 0 to 100, as sacreBLEU has it.

    A count of 0 is smoothed ("exp"), and orders for which a sentence has too few words are left
    out ("effective order"). Arguments and errors are those of ``corpus_scores``.

    >>> [round(score) for score in sentence_bleu(["Ein Hund.", "Katze"], ["Ein Hund."] * 2, "de")]
    [100, 0]
    """
    from sacrebleu.metrics import BLEU

    _check_counts(hypotheses=hypotheses, references=references)
    metric = BLEU(tokenize=_tokeniser(target_lang), effective_order=True)
    return [
        float(metric.sentence_score(hypothesis, [reference]).score)
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]


def paired_bootstrap(
    baseline: Sequence[str],
    system: Sequence[str],
    references: Sequence[str],
    target_lang: str,
    *,
    samples: int = 1000,
) -> dict[str, dict[str, Any]]:
    """Tests whether two systems differ, by paired bootstrap resampling (Koehn 2004).

    Sentences are drawn with sacreBLEU's own seed, so that a comparison can be repeated.

    Args:
      baseline: what the system compared with wrote, detokenised.
      system: what the system of interest wrote, in the same order.
      references: what they should have written.
      target_lang: the language's code.
      samples: corpora drawn.

    Returns:
      Under "bleu" and "chrf": "baseline" and "system", their scores from 0 to 100; "p_value", how
      often resampling gives a difference this large by chance, 1 for equal scores; "mean", the
      system's over the resampled corpora; "interval", half the width of its 95% confidence
      interval; and sacreBLEU's "signature".

    Raises:
      ValueError: counts differ, or there is no sentence.
    """
    _check_counts(baseline=baseline, system=system, references=references)
    from sacrebleu.significance import PairedTest

    named = [("baseline", list(baseline)), ("system", list(system))]
    metrics = _metrics(target_lang)
    test = PairedTest(named, metrics, [list(references)], test_type="bs", n_samples=samples)
    signatures, scores = test()
    comparisons = {}
    # sacreBLEU answers under names of its own (BLEU, chrF2++), in the order of the metrics.
    for name, its_name in zip(metrics, signatures, strict=True):
        before, after = scores[its_name]
        # Of equal systems no sample is above the mean difference, 0, and sacreBLEU's p is near 0.
        p_value = 1.0 if before.score == after.score else float(after.p_value)
        comparisons[name] = {
            "baseline": float(before.score),
            "system": float(after.score),
            "p_value": p_value,
            "mean": float(after.mean),
            "interval": float(after.ci),
            "signature": str(signatures[its_name]),
        }
    return comparisons


def _metrics(target_lang: str) -> dict[str, Any]:
    from sacrebleu.metrics import BLEU, CHRF

    return {"bleu": BLEU(tokenize=_tokeniser(target_lang)), "chrf": CHRF(word_order=2)}


def _tokeniser(target_lang: str) -> str:
    """The name of sacreBLEU's tokeniser for a language: words for BLEU to count."""
    language = target_lang.lower().replace("_", "-").split("-")[0]
    if language == "zh":
        return "zh"
    if language == "ja":
        mecab = all(importlib.util.find_spec(name) for name in ("MeCab", "ipadic"))
        return "ja-mecab" if mecab else "char"
    return "13a"


def _check_counts(**texts: Sequence[str]) -> None:
    counts = {name: len(lines) for name, lines in texts.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(f"counts differ: {listed}; each sentence needs one of each")
    if 0 in counts.values():
        raise ValueError("there are no sentences to score; a split needs at least one")

"""A corpus of true pairs and of tagged, back-translated ones."""

import pytest

from attention.errors import DataError
from attention.lab.commands.mix import mix
from attention.lab.data.sources.text import read_parallel


@pytest.fixture
def corpus(tmp_path):
    for split, count in (("train", 3), ("valid", 2), ("test", 1)):
        for language in ("en", "de"):
            lines = [f"{split} {language} {number}\n" for number in range(count)]
            (tmp_path / f"{split}.{language}").write_text("".join(lines), "utf-8")
    (tmp_path / "mono.de").write_text("eins\nzwei\ndrei\n", "utf-8")
    (tmp_path / "back.en").write_text("one\n \nthree\n", "utf-8")
    return tmp_path


def mixed(corpus, **options):
    given = {"synthetic": corpus / "back.en", "monolingual": corpus / "mono.de"} | options
    return mix(corpus, corpus / "out", source_lang="en", target_lang="de", **given)


@pytest.mark.parametrize(("tag", "first"), [("<BT>", "<BT> one"), ("", "one")])
def test_tagged_pairs_come_after_the_true_ones(corpus, tag, first, capsys):
    folder = mixed(corpus, tag=tag)
    train = read_parallel(folder, "train", "en", "de")
    assert train.source[:4] == ("train en 0", "train en 1", "train en 2", first)
    assert train.target == ("train de 0", "train de 1", "train de 2", "eins", "drei")
    for split in ("valid", "test"):
        assert read_parallel(folder, split, "en", "de") == read_parallel(corpus, split, "en", "de")
    assert "3 true pairs and 2 back-translated ones in " in capsys.readouterr().err


def test_texts_of_unlike_length(corpus):
    (corpus / "back.en").write_text("one\n", "utf-8")
    with pytest.raises(ValueError, match="back.en has 1 lines and .*mono.de has 3; translate each"):
        mixed(corpus)


def test_a_directory_with_files_is_left_alone(corpus):
    mixed(corpus)
    with pytest.raises(DataError, match="out has files already: name a new directory"):
        mixed(corpus)


def test_a_text_that_is_missing(corpus):
    with pytest.raises(DataError):
        mixed(corpus, synthetic=corpus / "nowhere.en")


def test_one_language_is_no_pair(corpus):
    with pytest.raises(ValueError, match="source_lang and target_lang are both 'en'; a pair has"):
        mix(
            corpus, corpus / "out", source_lang="en", target_lang="en",
            synthetic=corpus / "back.en", monolingual=corpus / "mono.de",
        )  # fmt: skip

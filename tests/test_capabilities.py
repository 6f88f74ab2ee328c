"""The README's table of attentions is what they declare."""

import pathlib

import pytest

from attention import attentions, capabilities

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"


def rows():
    lines = capabilities.table().splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    names, _, *others = [line[2:-2].replace(r"\|", "¦").split(" | ") for line in lines]
    return [dict(zip(names, other, strict=True)) for other in others]


@pytest.mark.slow
def test_the_readme_is_current():
    text = README.read_text("utf-8")
    assert capabilities.put_into(text) == text, "python -m attention.capabilities README.md"


@pytest.mark.slow
def test_every_attention_is_there_and_says_all_of_itself():
    found = rows()
    assert [
        name for name in attentions.ATTENTIONS if f"`{name}`" not in {r["name"] for r in found}
    ] == []
    for row in found:
        assert not [column for column, cell in row.items() if not cell.strip()], row["name"]
        file = row["file"].partition("(")[2].rstrip(")")
        assert (README.parent / file).is_file()


def test_without_its_place_it_is_not_written():
    with pytest.raises(ValueError, match="has no <!-- capabilities --> with"):
        capabilities.put_into("a text")

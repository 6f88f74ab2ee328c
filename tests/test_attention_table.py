"""The table of attentions in docs/ is what they declare."""

import pathlib

import pytest

from attention.lab.build import attentions
from tools import attention_table

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "attentions.md"


def rows():
    lines = attention_table.table().splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    names, _, *others = [line[2:-2].replace(r"\|", "¦").split(" | ") for line in lines]
    return [dict(zip(names, other, strict=True)) for other in others]


@pytest.mark.slow
def test_the_page_is_current():
    text = PAGE.read_text("utf-8")
    assert attention_table.put_into(text) == text, (
        "python -m tools.attention_table docs/attentions.md"
    )


@pytest.mark.slow
def test_every_attention_is_there_and_says_all_of_itself():
    found = rows()
    assert [
        name for name in attentions.ATTENTIONS if f"`{name}`" not in {r["name"] for r in found}
    ] == []
    for row in found:
        assert not [column for column, cell in row.items() if not cell.strip()], row["name"]
        file = row["file"].partition("(")[2].rstrip(")")
        assert (PAGE.parent / file).is_file()


def test_without_its_place_it_is_not_written():
    with pytest.raises(ValueError, match="has no <!-- capabilities --> with"):
        attention_table.put_into("a text")

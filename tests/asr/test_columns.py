"""Columns of monospaced text: widths against rich's table of them, places of the cells by hand."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from asr.columns import LEFT_TO_RIGHT, columns, width


@pytest.mark.parametrize(
    "text",
    ["", "plain", "日本語", "한국어", "ＡＢ", "e\u0301te\u0301", "שָׁלוֹם", "Привет", "กำลัง", "a\u200cb", "😀", "ａ日b"],
)
def test_width_against_rich(text: str) -> None:
    assert width(text) == cell_len(text)


def test_cells_stand_under_each_other() -> None:
    text = columns({"a": ["one", "日本", "e\u0301"], "long name": ["eleven", "x", "y"], "": ["", "S", ""]})
    assert text.split("\n") == [
        "a          one    日本 e\u0301",
        "long name  eleven x    y",
        "                  S",
    ]


def test_every_cell_of_a_column_begins_at_the_same_place() -> None:
    rows = {"r": ["日本", "क्या", "c\u0327a", "zz"], "h": ["x", "yy", "日", "z"]}
    lines = columns(rows).split("\n")
    for cells in zip(*rows.values(), strict=True):
        places = [width(line[: line.index(cell)]) for line, cell in zip(lines, cells, strict=True)]
        assert len(set(places)) == 1


def test_long_rows_go_on_below() -> None:
    words = [f"word{k}" for k in range(50)]
    text = columns({"reference": words, "hypothesis": words}, wrap=60)
    blocks = text.split("\n\n")
    assert len(blocks) > 5
    assert all(len(line) <= 60 for line in text.split("\n"))
    for row, name in enumerate(["reference", "hypothesis"]):
        lines = [block.split("\n")[row] for block in blocks]
        assert all(line.startswith(name) for line in lines)
        assert [word for line in lines for word in line.split()[1:]] == words


def test_rows_fill_the_page_to_its_last_column() -> None:
    assert columns({"r": ["aa", "bb"]}, wrap=8) == "r  aa bb"
    assert columns({"r": ["aa", "bb"]}, wrap=7) == "r  aa\n\nr  bb"


def test_a_cell_wider_than_the_page_stands_whole_on_its_own() -> None:
    text = columns({"r": ["a", "b" * 80, "c"], "h": ["a", "b", "c"]}, wrap=40)
    assert [block.split("\n")[0] for block in text.split("\n\n")] == ["r  a", "r  " + "b" * 80, "r  c"]


@pytest.mark.parametrize(("longer", "shorter"), [("שלום", "של"), ("سلام", "سل")])
def test_words_from_right_to_left_keep_their_columns(longer: str, shorter: str) -> None:
    text = columns({"r": [longer, "a"], "h": [shorter, "b"]})
    assert text == f"r  {longer}{LEFT_TO_RIGHT} a\nh  {shorter}{LEFT_TO_RIGHT}   b"


def test_nothing_to_show() -> None:
    assert columns({"reference": [], "hypothesis": []}) == "reference\nhypothesis"

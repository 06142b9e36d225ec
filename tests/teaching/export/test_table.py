"""The table of items, read again by pandas."""

import io

import pandas
import pytest

from meddiff.teaching.export.quiz import read_quiz
from meddiff.teaching.export.table import COLUMNS, table_bytes
from tests.teaching.export.quiz_support import TITLE, items

# What OWASP says begins a formula (CSV injection), and the full-width signs that Excel takes for the same.
SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@pytest.fixture(scope="module")
def table(quiz) -> pandas.DataFrame:
    return pandas.read_csv(io.BytesIO(table_bytes(quiz)), encoding="utf-8-sig", keep_default_na=False, dtype=str)


def test_a_row_is_an_item_with_its_key_and_all_its_words(table, quiz):
    assert tuple(table.columns) == COLUMNS and len(table) == len(quiz.questions)
    for (_, row), question in zip(table.iterrows(), quiz.questions, strict=True):
        item = question.item
        assert (row["item"], row["stem"], row["answer"]) == (item.id, item.stem, question.answer)
        assert (
            tuple(row["cases"].splitlines()) == item.cases and tuple(row["teaching points"].splitlines()) == item.points
        )
        assert [row[f"choice {option.letter}"] for option in question.options] == [o.text for o in question.options]
    assert table["choice A"][1] == "胶质母细胞瘤" and table["tolerance_mm"][4] == "3.0"


def test_excel_is_told_the_encoding(quiz):
    assert table_bytes(quiz).startswith(b"\xef\xbb\xbf") and table_bytes(quiz).endswith(b"\r\n")


@pytest.mark.parametrize("sign", SIGNS)
def test_no_cell_is_a_formula(known, sign):
    item = items(known)[0].model_copy(update={"stem": f'{sign}HYPERLINK("http://x","y")', "author": f"{sign}1"})
    data = table_bytes(read_quiz(TITLE, [item], known.__getitem__))
    read = pandas.read_csv(io.BytesIO(data), encoding="utf-8-sig", keep_default_na=False, dtype=str)
    for cell in read.iloc[0]:
        assert not cell.startswith(SIGNS)
    assert read["stem"][0].startswith("'")

"""CSV cells that a spreadsheet would take for formulas, and Parquet columns of more than one type."""

import io

import pytest

from loadgen.report.export.csv_table import csv_text
from loadgen.report.export.export import _parquet

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_is_a_formula(text: str) -> None:
    written = csv_text([{"a": text, text: [text]}], ["a", text])
    assert written.count(f"'{text}") == 3


def test_numbers_and_other_texts_stay_as_they_are() -> None:
    row = {"a": -1, "b": -1.5e-9, "c": None, "d": "a=b", "e": [-1, 2], "f": True, "g": " x", "h": []}
    assert csv_text([row], list(row)) == "a,b,c,d,e,f,g,h\n-1,-1.5e-09,,a=b,-1 2,True, x,\n"


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([1, "word"], ["1", "word"]),
        (["word", None, 2.5], ["word", None, "2.5"]),
        ([True, 1], ["true", "1"]),
        ([True, "no"], ["true", "no"]),
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([2**60 + 1, 0.5], [float(2**60 + 1), 0.5]),
        ([2**70], [str(2**70)]),
        ([[1], "x"], ["[1]", "x"]),
        (["a\ud800"], ["a?"]),
        ([None, None], [None, None]),
        ([1, 2], [1, 2]),
    ],
)
def test_a_parquet_column_of_several_types_is_text(values: list[object], read: list[object]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(_parquet([{"key": value} for value in values])))
    assert table["key"].to_pylist() == read

"""Files of rows: encodings, ends of lines, one JSON array, and files that are no rows at all."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.load import file_rows
from loadgen.load.file_rows import SkippedRow, number_of, open_rows
from tests.memory import peak_bytes

TWO = [{"prompt": "Größe \u2028 and \x85 and \x0b"}, {"prompt": "😀"}]
LINES = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in TWO)


def values(path: Path) -> list[Any]:
    """The values; of a row that has none, why."""
    found = [row.value for row in open_rows(path, "dataset").rows()]
    return [str(value) if isinstance(value, SkippedRow) else value for value in found]


def places(path: Path) -> list[str]:
    return [row.place for row in open_rows(path, "dataset").rows()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.jsonl"


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines(file: Path, encoding: str, end: str) -> None:
    file.write_bytes(LINES.replace("\n", end).encode(encoding))
    assert values(file) == TWO
    assert places(file) == ["own.jsonl line 1", "own.jsonl line 2"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_array_is_as_many_lines(file: Path, encoding: str, indent: int | None) -> None:
    file.write_bytes(json.dumps(TWO, ensure_ascii=False, indent=indent).encode(encoding))
    assert values(file) == TWO


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_an_array_is_read_piece_by_piece(file: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    items = [{"a": [1.5, -2e3, True, None, 'x\\"\u00e9😀' * 5]}, 12345678, "word", None, [], {}, 1.25]
    for indent in (None, 1):
        file.write_text(json.dumps(items, indent=indent))
        monkeypatch.setattr(file_rows, "_PIECE_CHARACTERS", piece)
        assert values(file) == items


def test_a_large_array_takes_little_memory(file: Path) -> None:
    with file.open("w") as out:
        out.write("[" + ",\n".join(json.dumps({"prompt": "x" * 20_000}) for _ in range(1000)) + "]")

    def read() -> None:
        assert sum(1 for _ in open_rows(file, "dataset").rows()) == 1000

    assert peak_bytes(read) < file.stat().st_size / 2


def test_a_line_that_is_a_list_makes_no_array_of_the_file(file: Path) -> None:
    file.write_text('[1]\n{"prompt": "a"}\n')
    assert values(file) == [[1], {"prompt": "a"}]


def test_blank_lines_before_the_last_value_are_rows(file: Path) -> None:
    file.write_text("1\n\n \n2\n\n")
    assert values(file) == [1, "is empty", "is empty", 2]


def test_a_long_line(file: Path) -> None:
    file.write_text(json.dumps({"prompt": "x" * 5_000_000}) + "\n1\n")
    assert len(values(file)) == 2


def test_a_line_that_is_not_json_has_no_value(file: Path) -> None:
    file.write_bytes(b'{"a": 1}\n{"a": \n2\n')
    assert values(file) == [{"a": 1}, "is not JSON: expecting value at character 6", 2]


WRONG: list[tuple[bytes, str]] = [
    (b"1\n\xff\n", "own.jsonl line 2 is not text in UTF-8: it has byte 0xff"),
    (b'[1,\n"\xe9"]', "own.jsonl from line 1 on is not text in UTF-8: it has byte 0xe9"),
    (b"\xff\xfe1\x00\n", " is not text in UTF-16"),
    ("1\n".encode("utf-16") + b"\x00\xd8\n\x00", "own.jsonl line 2 is not text in UTF-16: it has half a character"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "own.jsonl line 1 is not text in UTF-8: it has byte 0x89"),
    (b'[{"a": 1}', "own.jsonl ends in line 1 before the end of its array: it is cut off"),
    (b'[{"a": 1},\n{"b": ', "own.jsonl entry 2 in line 2 is not JSON: expecting value"),
    (b'[{"a": 1}\n{"b": 1}]', "own.jsonl entry 2 in line 2 is not JSON: a comma or the end of the array is missing"),
    (b'[{"a":\n1}]\nmore', "own.jsonl line 2 has more after the end of the array"),
    (b"[1, NaN]", "own.jsonl entry 2 in line 1 has NaN, which is not a number in JSON"),
    (gzip.compress(b"1", mtime=0), " is compressed with gzip: unpack it with gunzip first"),
    (b"PAR1....PAR1", " is a Parquet file: write it as JSON Lines first"),
    (b"PK\x03\x04", " is a zip archive"),
    (b"\x28\xb5\x2f\xfd", " is compressed with zstd"),
]


@pytest.mark.parametrize(("content", "sentence"), WRONG, ids=[str(row[0][:16]) for row in WRONG])
def test_what_is_no_file_of_rows(file: Path, content: bytes, sentence: str) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        values(file)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in ((tmp_path, "is a directory"), (tmp_path / "pipe", "is not a regular file"), (tmp_path / "no", "no such file")):  # fmt: skip
        with pytest.raises(UsageError, match=f"cannot read the dataset .*: {why}"):
            values(path)


def test_numbers_may_be_words() -> None:
    assert [number_of(value) for value in (8, 8.0, "8", " 8.5 ")] == [8, 8, 8, 8.5]
    nothing: list[Any] = [None, True, "x", "", [], float("nan"), "inf", 10**400]
    assert [number_of(value) for value in nothing] == [None] * 8

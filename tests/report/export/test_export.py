"""Exports: the documents themselves, and tables whose cells say the same; in CSV no text is a formula."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.errors import NotFoundError, UsageError
from loadgen.importers.importing import read_sweep
from loadgen.load.shapes import ClosedLoop
from loadgen.report.export.results import _parquet, csv_text, export, run_row
from loadgen.store.repository import Store
from tests.report.documents import Document, fill, specs, sweep_row

SWEEP = "s261123-152901-4f2a"


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[Store, list[Document]]]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 4, requests_per_slot=4)
    documents = fill(tmp_path / "measured.db", sweep_row(SWEEP, planned), planned, failures=0.1)
    with Store.open(f"sqlite:///{tmp_path}/measured.db", read_only=True) as store:
        yield store, documents


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_json_is_the_document_of_a_run_and_a_sweep_holds_its_runs(filled: tuple[Store, list[Document]]) -> None:
    store, documents = filled
    run = json.loads(export(store, documents[1]["run_id"], "json"))
    sweep_of_run = run.pop("sweep")
    assert run == documents[1]
    sweep = json.loads(export(store, SWEEP[:4], "json"))
    assert (sweep["schema_version"], sweep["sweep_id"], sweep["runs"]) == (1, SWEEP, documents)
    assert sweep_of_run.items() <= sweep.items()


def test_csv_has_a_row_for_each_run_with_dotted_columns(filled: tuple[Store, list[Document]]) -> None:
    store, documents = filled
    rows = table(export(store, SWEEP, "csv"))
    assert [row["run_id"] for row in rows] == [document["run_id"] for document in documents]
    for row, document in zip(rows, documents, strict=True):
        assert float(row["ttft_s.p50"]) == document["ttft_s"]["p50"]
        assert row["ttft_s.p99"] == ""  # refused: empty, not 0
        assert row["spec.shape.concurrency"] == str(document["spec"]["shape"]["concurrency"])
        assert row["verdict.findings"].split(",") == [each["code"] for each in document["verdict"]["findings"]]


def test_a_row_has_the_figures_of_utilisation_where_they_are_known(filled: tuple[Store, list[Document]]) -> None:
    results = Path(__file__).resolve().parents[3] / "results"
    (run, *_) = read_sweep(results / "2026-11-26-h200-mixtral-8x7b-bf16-dummy-1024-256.json").runs
    row = run_row(run)
    assert row["s_mbu_ratio"] == pytest.approx(0.675, abs=0.001)
    assert row["bound_ratio"] == pytest.approx(0.667, abs=0.001)
    assert "s_mbu_ratio" not in table(export(filled[0], SWEEP, "csv"))[0]


def test_requests_are_one_row_each_with_their_arrivals(filled: tuple[Store, list[Document]]) -> None:
    store, documents = filled
    run_id = documents[0]["run_id"]
    rows = table(export(store, run_id, "csv", requests=True))
    records = store.records(run_id)
    assert len(rows) == len(records) == documents[0]["outcomes"]["planned"]
    for number, row in enumerate(rows):
        assert row["outcome"] == records[number].outcome.label
        assert [int(stamp) for stamp in row["arrival_ns"].split()] == records[number].arrival_ns.tolist()
    failed = next(row for row in rows if row["outcome"] == "http_error")
    assert (failed["output_tokens"], failed["arrival_ns"]) == ("", "")


def test_all_requests_of_a_sweep_name_their_run(filled: tuple[Store, list[Document]]) -> None:
    store, documents = filled
    requests = json.loads(export(store, SWEEP, "json", requests=True))["requests"]
    assert {row["run_id"] for row in requests} == {document["run_id"] for document in documents}


@pytest.mark.parametrize("simulated", [True, False])
def test_each_row_tells_whether_it_was_simulated(tmp_path: Path, simulated: bool) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    planned = specs([ClosedLoop(1)], (32,), 4, requests_per_slot=4)
    fill(tmp_path / "measured.db", sweep_row(SWEEP, planned, simulated=simulated), planned)
    with Store.open(f"sqlite:///{tmp_path}/measured.db", read_only=True) as store:
        for requests in (True, False):
            rows = table(export(store, SWEEP, "csv", requests))
            assert {row["simulated"] for row in rows} == {str(simulated)}
            read = parquet.read_table(io.BytesIO(export(store, SWEEP, "parquet", requests))).to_pylist()
            assert {row["simulated"] for row in read} == {simulated}


def test_an_unknown_id_is_named(filled: tuple[Store, list[Document]]) -> None:
    with pytest.raises(NotFoundError, match="s-none"):
        export(filled[0], "s-none", "json")
    with pytest.raises(NotFoundError, match="run 'r-none'"):
        export(filled[0], "r-none", "json")


def test_parquet_without_pyarrow_says_what_to_install(
    filled: tuple[Store, list[Document]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="pip install pyarrow"):
        export(filled[0], SWEEP, "parquet")


def test_parquet_holds_the_same_table(filled: tuple[Store, list[Document]]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    store, documents = filled
    read = parquet.read_table(io.BytesIO(export(store, SWEEP, "parquet"))).to_pylist()
    assert [row["ttft_s.p50"] for row in read] == [document["ttft_s"]["p50"] for document in documents]


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

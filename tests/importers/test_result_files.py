"""Files that are to be imported: what is taken from one, and each way in which one is refused, in a sentence."""

import copy
import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadgen.analysis.compare import compare
from loadgen.cli.tables.run import show_run
from loadgen.cli.tables.sweep import show_sweep
from loadgen.cli.tables.sweeps import sweeps_table
from loadgen.errors import UsageError
from loadgen.importers import file, importing, own
from loadgen.load.arrivals import Ramp
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop
from loadgen.report.export.results import run_document, run_row, sweep_document
from loadgen.report.pages.contexts import run_page, sweep_page
from loadgen.report.pages.rendering import render
from loadgen.report.pages.sweeps_list import sweeps_page
from loadgen.store.rows import SweepRow
from tests.report.documents import measured_run, specs, sweep_row
from tests.report.words.test_remote_lines import COST
from tests.report.words.test_server_words import account, gpu

Document = Any
measured: Any = own.measured
read_sweep: Any = importing.read_sweep  # whose documents these tests look into as they like
SWEEP = "s261123-152901-4f2a"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def a_sweep(repeats: int = 1) -> tuple[SweepRow, list[Document]]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 4, repeats, requests_per_slot=4)
    runs = [measured_run(spec, SWEEP, failures=0.1)[0] | {"server_died": False} for spec in planned]
    return sweep_row(SWEEP, planned, "evening"), runs


@pytest.fixture(scope="module")
def whole() -> Document:
    """A sweep's document, as it comes out of a file."""
    document: Document = json.loads(json.dumps(sweep_document(*a_sweep())))
    return document


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    def written(content: object) -> Path:
        path = tmp_path / "evening.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return written


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_sweep(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said.replace(str(path), "FILE")


def test_a_sweep_is_taken_as_it_is_and_marked(whole: Document, write: Any) -> None:
    path = write(whole)
    found = read_sweep(path)
    assert found.runs == whole["runs"]
    assert found.sweep.imported is not None
    assert (found.sweep.imported.file, len(found.sweep.imported.sha256)) == ("evening.json", 64)
    assert sweep_document(found.sweep, found.runs) | {"imported": None} == whole


def test_the_run_of_a_sweep_of_one_brings_its_sweep_along(write: Any) -> None:
    planned = specs([ClosedLoop(1)], (32,), 4, requests_per_slot=4)
    run = measured_run(planned[0], SWEEP)[0] | {"server_died": False}
    row = sweep_row(SWEEP, planned, "evening")
    alone = read_sweep(write(run_document(row, run)))
    together = read_sweep(write(sweep_document(row, [run])))
    assert alone.runs == together.runs == [run]
    assert sweep_document(alone.sweep, []) | {"imported": 0} == sweep_document(together.sweep, []) | {"imported": 0}


def test_the_mark_of_an_earlier_import_is_not_kept(whole: Document, write: Any) -> None:
    mark = {"file": "older.json", "sha256": "0" * 64, "imported_at": "2026-11-25T00:00:00+00:00"}
    marked = whole | {"imported": mark, "runs": [run | {"imported": mark} for run in whole["runs"]]}
    found = read_sweep(write(marked))
    assert found.runs == whole["runs"]
    assert found.sweep.imported is not None
    assert found.sweep.imported.file == "evening.json"


def test_other_encodings_that_shells_write(whole: Document, write: Any) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        assert read_sweep(write(json.dumps(whole).encode(encoding))).runs == whole["runs"]


def test_gzip_is_unpacked(whole: Document, write: Any) -> None:
    text = json.dumps(whole).encode()
    assert read_sweep(write(gzip.compress(text))).runs == whole["runs"]
    in_two_parts = gzip.compress(text[:1000]) + gzip.compress(text[1000:])
    assert read_sweep(write(in_two_parts)).runs == whole["runs"]


NO_JSON: list[tuple[bytes, str]] = [
    (b"", "FILE is not JSON: expecting value in line 1"),
    (b"<html>", "FILE is not JSON: expecting value in line 1"),
    (b'{"a":\n1,}', "FILE is not JSON: "),
    (b"\xff\xfe\x00\xd8\x00", "FILE is not JSON: it is no text in UTF-8"),
    (b"[" * 100_000, "FILE is no result: it is nested too deeply"),
    (b"[" * 50 + b"]" * 50, "FILE is no result: it is nested more than 40 levels deep"),
    (b'{"n": ' + b"9" * 10_000 + b"}", "FILE is no result: "),
    (b"[1, 2]", "FILE is JSON, but no result of loadgen: expected is what `loadgen export ID --format json` writes"),
    (gzip.compress(b"[1, 2]" * 99, mtime=0)[:-9], "FILE is a gzip file that was cut off: copy it again"),
    (gzip.compress(b"[1, 2]", mtime=0)[:10] + b"\xff" * 20, "FILE is a damaged gzip file: copy it again"),
    (b"\x1f\x8b", "FILE is a gzip file that was cut off: copy it again"),
    (gzip.compress(b"no JSON", mtime=0), "FILE is not JSON: expecting value in line 1"),
    (b'"text"', "FILE is JSON, but no result of loadgen"),
    (b'{"schema_version": 1, "sweeps": []}', "FILE is JSON, but no result of loadgen"),
    (b'{"schema_version": 1, "spec_hash": "x", "runs": []}', "FILE is JSON, but no result of loadgen"),
    (b'{"schema_version": 1, "run_id": "r1"}', "FILE is a run without its sweep, as loadgen once wrote it"),
    (
        b'{"schema_version": 1, "run_id": "r1", "sweep": {"sweep_id": "s1", "planned_runs": 4}}',
        "FILE is one run of the sweep s1: export and import the sweep, whole",
    ),
    (
        b'{"schema_version": 2, "sweep_id": "s1", "runs": []}',
        "FILE has schema_version 2 and this loadgen reads 1: upgrade loadgen",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), NO_JSON, ids=[str(row[0][:20]) for row in NO_JSON])
def test_what_is_no_result(write: Any, content: bytes, sentence: str) -> None:
    assert refusal(write(content)).startswith(sentence)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    assert refusal(tmp_path / "no.json") == "cannot read FILE: no such file or directory"
    assert refusal(tmp_path) == "cannot read FILE: is a directory"
    monkeypatch.setattr(file, "MAX_BYTES", 2**20)
    for content in (b" " * (2**20 + 1), gzip.compress(b" " * (2**20 + 1))):
        assert refusal(write(content)) == "FILE is larger than 1 MiB, which no sweep's result should be"


def changed(document: Document, place: str, value: object) -> Document:
    """The document with `value` at the place, as in `runs.0.ttft_s.p50`; without it where the value is `...`."""
    made: Any = copy.deepcopy(document)
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner = made
    for part in path:
        inner = inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    result: Document = made
    return result


CHANGES: list[tuple[str, object, str]] = [
    ("runs.1.verdict", ..., "FILE lacks runs[1].verdict: expected is what"),
    ("spec_hash", ..., "FILE lacks spec_hash: expected is what"),
    ("runs.0.elapsed_s", float("inf"), "FILE has something else at runs[0].elapsed_s: it must be"),
    ("planned_runs", 2**70, "FILE is no result: planned_runs is too large a number"),
    ("runs.0.ttft_s.p50", "fast", "FILE has something else at runs[0]"),
    ("runs.0.repeat", True, "FILE has something else at runs[0].repeat: it must be a whole number"),
    ("runs.0.spec.shape", {"kind": "spiral"}, "FILE has something else at runs[0].spec: it must be a spec that this"),
    ("status", "paused", "FILE has something else at status: it must be"),
    ("status", "running", f"FILE was written while the sweep {SWEEP} was running: export it again when it has ended"),
    ("runs", [], f"FILE has no run: the sweep {SWEEP} ended before its first one did"),
    ("runs.0.sweep_id", "s261123-000000-0000", "FILE has the run r261123-152907-"),
    ("runs.0.simulated", True, "FILE calls its sweep or the run r261123-152907-"),
    ("simulated", True, "FILE calls its sweep or the run r261123-152907-"),
    ("sweep_id", "../../etc", "FILE has something else at sweep_id: it must be an id like s261123-152901-4f2a"),
    ("runs.0.run_id", "<script>", "FILE has something else at runs[0].run_id: it must be an id"),
    ("name", "\x1b[2J", "FILE has something else at name: it must have no control characters"),
    ("runs.0.server.model", "a\ud800", "FILE has something else at runs[0].server.model: it must be a text"),
    ("runs.0.spec.load_label", "a\u202eb", "FILE has something else at runs[0].spec.load_label: it must have no"),
    ("runs.0.environment.\x1b[2J", 1, "FILE is no result: runs[0].environment.\ufffd[2J is a key with control"),
    ("name", "x" * 2000, "FILE has something else at name: it"),
    ("created_at", "yesterday", "FILE has something else at created_at: it must be a moment like"),
    ("runs.0.started_at", "0001-01-01T00:00:00+23:00", "FILE has something else at runs[0].started_at: it must be a"),
    ("runs.0.outcomes", {"ok": 3}, "FILE has something else at runs[0]: it must have planned and ok"),
    ("environment.memory_bytes", "much", "FILE has something else at environment: it must have a number or null for"),
]


@pytest.mark.parametrize(("place", "value", "sentence"), CHANGES, ids=[f"{row[0]}={row[1]!s:.12}" for row in CHANGES])
def test_what_is_wrong_in_a_result(whole: Document, write: Any, place: str, value: object, sentence: str) -> None:
    assert refusal(write(changed(whole, place, value))).startswith(sentence)


def test_a_number_that_is_none_is_null(whole: Document, write: Any) -> None:
    found = read_sweep(write(changed(whole, "runs.0.ttft_s.p50", float("nan"))))
    assert found.runs[0]["ttft_s"]["p50"] is None
    assert found.notes == ("runs[0].ttft_s.p50 is not a finite number and is null",)


@pytest.mark.parametrize(("key", "what"), [("run_id", "run_id"), ("hash", "spec.hash")])
def test_runs_are_each_their_own(whole: Document, write: Any, key: str, what: str) -> None:
    first, second = copy.deepcopy(whole["runs"])
    of_first, of_second = (first, second) if key == "run_id" else (first["spec"], second["spec"])
    of_second[key] = of_first[key]
    said = refusal(write(whole | {"runs": [first, second]}))
    assert said == f"FILE has 2 runs with the {what} {of_first[key]}: each has its own"


def test_a_servers_own_words_are_kept_readable(whole: Document, write: Any) -> None:
    garbage = [{"outcome": "http_error", "http_status": 500, "detail": "\x1b[31mno\x00\ud800\n", "requests": 1}]
    found = read_sweep(write(changed(whole, "runs.0.failures", garbage)))
    assert found.runs[0]["failures"][0]["detail"] == "\ufffd[31mno\ufffd\ufffd\n"


def with_surroundings(run: Document) -> Document:
    """The run with all that only some have: a far server that is paid for, its own account, its GPUs."""
    distance = {"network_rtt_s": run["ttft_s"], "proxy": True, "tls": "unverified"}
    more = {"server_account": account(), "gpu": gpu(), "prefix_cache_reset": True, "cost": COST}
    turns = [{"turn": 1, "requests": 2, "prompt_tokens_mean": None, "ttft_s": run["ttft_s"]}]
    launch = {
        "weights": "dummy",
        "overrides": {"port": 8123, "arguments": {"max-num-seqs": 64, "enforce-eager": None}},
        "gpus": [{"name": "NVIDIA H100 80GB HBM3"}],
        "startup_s": 61.5,
    }
    server = run["server"] | {"profile": "mixtral-tp1", "launch": launch}
    return run | more | {"client": run["client"] | distance, "by_turn": turns, "server": server}


def places(value: Any, way: str = "") -> Iterator[str]:
    """Every place of a document, from the outside in; of its distributions, which are all alike, only the first's inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield f"{way}{key}"
        if not (isinstance(inner, dict) and "p50" in inner and key != "ttft_s"):
            yield from places(inner, f"{way}{key}.")


class Unseen(Console):
    """Takes what is to be printed, made but not laid out, which would take most of the time."""

    def print(self, *_: object, **__: object) -> None:
        """Nothing."""


def look_at_all_of_it(sweep: SweepRow, runs: list[Document]) -> None:
    """Everything that is ever made of a stored sweep without its requests."""
    console = Unseen(width=120)
    show_sweep(console, sweep, runs)
    console.print(sweeps_table([sweep], NOW))
    sweep_page(sweep, runs, NOW)
    sweeps_page([sweep], NOW)
    for run in runs:
        run_row(run)
        show_run(console, run)
        run_page(run, None, NOW)
    usable = [run for run in runs if run["verdict"]["status"] != "invalid"]
    if usable:
        compare(usable, usable, anyway=True)


@pytest.mark.parametrize("value", [..., None, "word", [], {}, -7], ids=str)
def test_whatever_is_changed_is_refused_or_can_be_shown(whole: Document, value: object) -> None:
    """One change at every place of a document: nothing that gets in makes a table or a page fail."""
    one = whole | {"planned_runs": 1, "runs": [with_surroundings(whole["runs"][0])]}
    taken = 0
    for place in places(one):
        try:
            sweep, runs = measured(changed(one, place, value))
        except UsageError:
            continue
        taken += 1
        try:
            look_at_all_of_it(sweep, runs)
        except Exception as error:
            raise AssertionError(f"{place} = {value!r} was taken") from error
    assert taken > 10


def test_hostile_words_are_words_on_the_pages(whole: Document) -> None:
    for place in ("name", "runs.0.spec.load_label", "runs.0.server.url", "runs.0.verdict.findings"):
        value: object = "<script>alert(1)</script>"
        if place.endswith("findings"):
            value = [{"code": "<b>", "severity": "note", "message": "<i>", "hint": None}]
        sweep, runs = measured(changed(whole, place, value))
        html = render(sweep_page(sweep, runs, NOW)) + render(run_page(runs[0], None, NOW))
        assert [word for word in ("<script>alert", "<b>", "<i>") if word in html] == []


def test_loads_of_many_kinds_stand_in_one_table() -> None:
    """A limit on one run and none on another is nothing that loadgen plans, and may be in a file all the same."""
    shapes: list[LoadShape] = [
        OpenLoop(2.0, max_in_flight=4),
        OpenLoop(3.0),
        OpenLoop(4.0, ramp=Ramp(8.0, 10.0)),
        ClosedLoop(2),
    ]
    planned = specs(shapes, (32,), 4, requests_per_slot=1)
    runs = [measured_run(spec, SWEEP)[0] | {"server_died": False} for spec in planned]
    document = json.loads(json.dumps(sweep_document(sweep_row(SWEEP, planned), runs)))
    sweep, stored = own.measured(document)
    assert len(stored) == len(shapes)
    look_at_all_of_it(sweep, stored)

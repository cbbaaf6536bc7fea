"""The store as its callers see it: what went in comes out, by id or its beginning, in order, and nothing is half there."""

import math
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadgen.analysis.server.gpu import GpuSeries
from loadgen.engine.records.record import MISSING, Records
from loadgen.errors import ExitCode, NotFoundError, StoreError
from loadgen.load.shapes import OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.store.repository import Store
from loadgen.store.rows import ServerSample


def test_a_sweep_comes_back_as_it_was_with_its_runs_counted(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    sweep = make_sweep("s1")
    store.add_sweep(sweep)
    assert store.sweep("s1") == sweep
    for number, verdict in enumerate(["valid", "valid", "doubtful", "invalid"]):
        store.add_run("s1", make_document(f"r{number}", "s1", verdict=verdict), records)
    read = store.sweep("s1")
    assert (read.runs, read.valid, read.doubtful, read.invalid) == (4, 2, 1, 1)
    assert store.sweeps() == [read]


def test_sweeps_are_listed_newest_first(store: Store, make_sweep: Any) -> None:
    for sweep_id, created_at in [("s1", "2026-11-22"), ("s3", "2026-11-24"), ("s2", "2026-11-23")]:
        store.add_sweep(make_sweep(sweep_id, created_at))
    assert [sweep.sweep_id for sweep in store.sweeps()] == ["s3", "s2", "s1"]


def test_runs_come_back_as_documents_in_the_order_they_ran(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    store.add_sweep(make_sweep("s1"))
    store.add_sweep(make_sweep("s2"))
    documents = [make_document(run_id, "s1") for run_id in ("r9", "r1", "r5")]
    for document in documents:
        store.add_run("s1", document, records)
    store.add_run("s2", make_document("r0", "s2"), records)
    assert store.runs("s1") == documents
    assert list(store.runs("s1")[0]) == list(documents[0])  # keys in their order, for people
    assert store.run("r5") == documents[2]


def test_an_environment_is_stored_once(
    store: Store, make_sweep: Any, make_document: Any, records: Records, database_rows: Any
) -> None:
    store.add_sweep(make_sweep("s1"))
    for run_id in ("r1", "r2"):
        store.add_run("s1", make_document(run_id, "s1"), records)
    other = make_document("r3", "s1")
    other["environment"] = {"cpu_count": 64}
    store.add_run("s1", other, records)
    assert database_rows("SELECT count(*) FROM environment") == [(2,)]
    assert store.run("r3") == other
    assert "bench-1" not in str(database_rows("SELECT document FROM run"))


def test_the_run_table_has_what_lists_filter_by(
    store: Store, make_sweep: Any, make_document: Any, records: Records, database_rows: Any
) -> None:
    store.add_sweep(make_sweep("s1"))
    for run_id, shape in [("r1", None), ("r2", OpenLoop(2.5)), ("r3", Wave(8))]:
        store.add_run("s1", make_document(run_id, "s1", shape, seed=3), records)
    columns = (
        "run_id, shape_kind, concurrency, rate_per_s, input_tokens, output_tokens, endpoint, verdict_status, repeat"
    )
    assert database_rows(f"SELECT {columns} FROM run") == [
        ("r1", "closed_loop", 16, None, 128, 32, "completions", "valid", 3),
        ("r2", "open_loop", None, 2.5, 128, 32, "completions", "valid", 3),
        ("r3", "wave", 8, None, 128, 32, "completions", "valid", 3),
    ]
    hashes = database_rows("SELECT spec_hash, point_hash FROM run WHERE run_id = 'r1'")[0]
    document = store.run("r1")
    assert hashes == (document["spec"]["hash"], document["spec"]["point_hash"])
    assert hashes[0] != hashes[1]


def test_server_samples_come_back_in_order_without_what_is_no_number(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    samples = [
        ServerSample(5, {"vllm:num_requests_running": 3.0}),
        ServerSample(-7, {}),
        ServerSample(9_000_000_000, {"kept": 0.0, "dropped": float("nan"), "endless": float("inf")}),
    ]
    store.add_sweep(make_sweep("s1"))
    store.add_run("s1", make_document("r1", "s1"), records, samples)
    assert store.samples("r1") == [*samples[:2], ServerSample(9_000_000_000, {"kept": 0.0})]
    store.add_run("s1", make_document("r2", "s1"), records)
    assert store.samples("r2") == []


def test_gpu_readings_come_back_as_they_were(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    columns = {"at_ns": np.array([-5, 9], np.int64), "power_mw": np.array([MISSING, 412_000], np.int64)}
    gpus = [GpuSeries({"index": 1, "name": "H100"}, columns), GpuSeries({"index": 0, "name": "H100"}, columns)]
    store.add_sweep(make_sweep("s1"))
    store.add_run("s1", make_document("r1", "s1"), records, gpus=gpus)
    found = store.gpus("r1")
    assert [gpu.device for gpu in found] == [gpu.device for gpu in gpus]
    for gpu in found:
        assert {name: values.tolist() for name, values in gpu.columns.items()} == {
            name: values.tolist() for name, values in columns.items()
        }
    store.add_run("s1", make_document("r2", "s1"), records)
    assert store.gpus("r2") == []


def test_the_outline_comes_back_as_it_was_and_is_none_where_there_is_none(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    outline: Any = {
        "version": 1,
        "distributions": {"ttft_s": {"quantiles": [[0.0, 0.1], [1.0, None]]}},
        "over_time": None,
    }
    store.add_sweep(make_sweep("s1"))
    store.add_run("s1", make_document("r1", "s1"), records, outline=outline)
    store.add_run("s1", make_document("r2", "s1"), records)
    assert store.outline("r1") == outline
    assert store.outline("r2") is None


def test_an_id_may_be_cut_short_while_only_one_fits(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    for sweep_id in ("s1", "s12", "s19", "x_1", "xy1"):
        store.add_sweep(make_sweep(sweep_id))
    store.add_run("s1", make_document("r261123-9", "s1"), records)
    assert store.sweep("s12").sweep_id == "s12"
    assert store.sweep("s1").sweep_id == "s1"  # a full id wins over those that begin with it
    assert store.sweep("x_").sweep_id == "x_1"  # an underscore is no wildcard
    assert store.run("r26")["run_id"] == "r261123-9"
    assert len(store.records("r26")) == 3
    with pytest.raises(NotFoundError, match=r"several sweeps in the database begin with 's' \(s1, s12, s19\)"):
        store.sweep("s")


@pytest.mark.parametrize("method", ["sweep", "runs", "run", "records", "samples", "gpus", "outline"])
def test_an_unknown_id_is_named(store: Store, method: str) -> None:
    with pytest.raises(NotFoundError, match=r"there is no (run|sweep) 'q7' in the database: `loadgen list`"):
        getattr(store, method)("q7")


def test_status_and_resume(store: Store, make_sweep: Any) -> None:
    assert store.resumable("00112233aabbccdd") is None
    for day in (1, 2, 3):
        store.add_sweep(make_sweep(f"s{day}", f"2026-11-0{day}"))
    store.set_sweep_status("s3", "finished")
    store.set_sweep_status("s1", "failed")
    found = store.resumable("00112233aabbccdd")
    assert found is not None
    assert (found.sweep_id, found.status) == ("s2", "running")
    store.set_sweep_status("s2", "finished")
    found = store.resumable("00112233aabbccdd")
    assert found is not None
    assert (found.sweep_id, found.status) == ("s1", "failed")
    assert store.resumable("ffffffffffffffff") is None
    with pytest.raises(NotFoundError, match="no sweep 's9'"):
        store.set_sweep_status("s9", "finished")


def test_an_id_is_taken_once(store: Store, make_sweep: Any, make_document: Any, records: Records) -> None:
    store.add_sweep(make_sweep("s1"))
    store.add_run("s1", make_document("r1", "s1"), records)
    with pytest.raises(StoreError, match="sweep s1 is stored already"):
        store.add_sweep(make_sweep("s1"))
    with pytest.raises(StoreError, match="run r1 is stored already"):
        store.add_run("s1", make_document("r1", "s1"), records)
    with pytest.raises(NotFoundError, match="no sweep 's2'"):
        store.add_run("s2", make_document("r2", "s2"), records)
    assert len(store.runs("s1")) == 1


PLACES = ["elapsed_s", "requests_per_s", "ttft_s.p50", "client.cpu_ratio", "server_account.times.ttft_s.mean"]


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf"), object()])
@pytest.mark.parametrize("place", PLACES)
def test_a_figure_that_is_not_finite_costs_no_run_and_is_named(
    store: Store, make_sweep: Any, make_document: Any, records: Records, place: str, figure: Any
) -> None:
    document = make_document("r1", "s1")
    *path, last = place.split(".")
    part: Any = document
    for key in path:
        part[key] = dict(part.get(key) or {})
        part = part[key]
    part[last] = figure
    store.add_sweep(make_sweep("s1"))
    told = store.add_run("s1", document, records)
    (stored,) = store.runs("s1")
    assert stored == told
    found: Any = stored
    for key in place.split("."):
        found = found[key]
    assert found is None
    finding = next(each for each in stored["verdict"]["findings"] if each["code"] == "figure_not_finite")
    assert f": {place}." in finding["message"]
    assert stored["verdict"]["status"] != "valid"


def test_what_surrounds_a_run_costs_no_run_either(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    store.add_sweep(replace(make_sweep("s1"), server={"max_model_len": math.nan}, spec={"rate": [math.inf]}))
    document = make_document("r1", "s1") | {"environment": {"load": (math.nan, np.int64(3))}}
    deep: Any = math.nan
    for _ in range(5000):
        deep = [deep]
    samples = [ServerSample(0, {"a": math.nan, "b": 1.0})]
    outline: Any = {"over_time": [1.0, math.nan]}
    store.add_run("s1", document | {"server_timing": deep}, records, samples, outline=outline)
    (stored,) = store.runs("s1")
    assert stored["environment"] == {"load": [None, 3]}
    assert store.samples("r1") == [ServerSample(0, {"b": 1.0})]
    assert store.outline("r1") == outline | {"over_time": [1.0, None]}
    assert "outline.over_time[1]" in stored["verdict"]["findings"][0]["message"]
    assert (store.sweep("s1").server, store.sweep("s1").spec) == ({"max_model_len": None}, {"rate": [None]})


def test_two_writers_and_a_reader_take_turns(
    tmp_path: Path, make_sweep: Any, make_document: Any, records: Records
) -> None:
    url = f"sqlite:///{tmp_path}/measured.db"
    Store.open(url).close()
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            with Store.open(url) as store:
                store.add_sweep(make_sweep(f"s{name}"))
                for number in range(15):
                    store.add_run(f"s{name}", make_document(f"r{name}{number}", f"s{name}"), records)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        read_what_is_there(url)
    for writer in writers:
        writer.join()
    assert failures == []
    with Store.open(url, read_only=True) as store:
        assert [sweep.runs for sweep in store.sweeps()] == [15, 15]


def test_an_attempt_that_was_repeated_counts_with_its_latest(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    for sweep_id in ("s1", "s2"):
        store.add_sweep(make_sweep(sweep_id))
    store.add_run("s1", make_document("r1", "s1", seed=1, verdict="invalid"), records)
    store.add_run("s1", make_document("r2", "s1", seed=2), records)
    store.add_run("s1", make_document("r3", "s1", seed=1), records)
    store.add_run("s2", make_document("r4", "s2", seed=2), records)
    assert [run["run_id"] for run in store.runs("s1")] == ["r2", "r3"]
    assert [run["run_id"] for run in store.runs("s2")] == ["r4"]
    row = store.sweep("s1")
    assert (row.runs, row.valid, row.invalid) == (2, 2, 0)
    assert store.run("r1")["verdict"]["status"] == "invalid"


def read_what_is_there(url: str) -> None:
    with Store.open(url, read_only=True) as store:
        for sweep in store.sweeps():
            for document in store.runs(sweep.sweep_id):
                assert len(store.records(document["run_id"])) == 3  # never a run without its requests


def test_no_secret_can_reach_the_database(
    tmp_path: Path, make_sweep: Any, make_document: Any, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `RunSpec` holds the names of headers and of the key's variable, and has no field for their values."""
    monkeypatch.setenv("SERVER_KEY", "sk-very-secret")
    spec = RunSpec("http://h", "m", Wave(1), 1, 1, header_names=("Authorization",), api_key_env="SERVER_KEY")
    assert set(spec.to_json()) & {"headers", "api_key", "authorization", "token", "password"} == set()
    assert "sk-very-secret" not in str(spec.to_json())
    with Store.open(f"sqlite:///{tmp_path}/measured.db") as store:
        store.add_sweep(make_sweep("s1"))
        document = make_document("r1", "s1")
        document["spec"] |= spec.to_json()
        store.add_run("s1", document, records)
        assert store.run("r1")["spec"]["header_names"] == ["Authorization"]
    assert b"SERVER_KEY" in (tmp_path / "measured.db").read_bytes()
    assert os.environ["SERVER_KEY"].encode() not in (tmp_path / "measured.db").read_bytes()


def test_a_failure_of_the_store_is_a_matter_of_configuration() -> None:
    assert StoreError("").exit_code == NotFoundError("").exit_code == ExitCode.USAGE


def test_the_doctors_latest_result_of_a_host(store: Store) -> None:
    assert store.doctor_result("here") is None
    for host, summary in (("here", "first"), ("here", "second"), ("there", "third")):
        document: Any = {"host_hash": host, "measured_at": "2026-11-24T14:00:00+00:00", "summary": summary}
        store.add_doctor_result(document)
    found = store.doctor_result("here")
    assert found is not None
    assert found["summary"] == "second"


def test_sweeps_of_a_group_are_found_together_the_latest_attempt_of_each(store: Store, make_sweep: Any) -> None:
    failure = {"kind": "port_in_use", "sentence": "b did not start", "log": None}
    in_group = replace(make_sweep("s1"), group_id="g1", spec_hash="a")
    failed = replace(
        make_sweep("s2", "2026-11-24"), group_id="g1", spec_hash="b", status="failed", start_failure=failure
    )
    again = replace(make_sweep("s3", "2026-11-25"), group_id="g1", spec_hash="b", status="finished")
    alone = replace(make_sweep("s4", "2026-11-26"), spec_hash="a")
    for sweep in (in_group, failed, alone):
        store.add_sweep(sweep)
    assert store.sweep("s2") == failed
    assert [sweep.sweep_id for sweep in store.group("g")] == ["s1", "s2"]
    assert store.resumable("b", "g1") is None, "a server that did not start has left nothing to go on with"
    store.add_sweep(again)
    assert [sweep.sweep_id for sweep in store.group("g1")] == ["s1", "s3"]
    assert (resumable := store.resumable("a", "g1")) is not None
    assert resumable.sweep_id == "s1"
    assert (resumable := store.resumable("a")) is not None
    assert resumable.sweep_id == "s4"
    assert store.finished("b") is None
    assert store.finished("b", "g1") == again
    with pytest.raises(NotFoundError, match="there is no group 'g2'"):
        store.group("g2")


def test_a_sweeps_runs_are_counted_among_its_own_alone(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    for sweep_id in ("s1", "s2"):
        store.add_sweep(make_sweep(sweep_id))
        for number, verdict in enumerate(("valid", "doubtful")):
            store.add_run(
                sweep_id, make_document(f"r{sweep_id}{number}", sweep_id, seed=number, verdict=verdict), records
            )
    again = make_document("rs1again", "s1", seed=0, verdict="invalid")
    store.add_run("s1", again, records)
    one = store.sweep("s1")
    assert (one.runs, one.valid, one.doubtful, one.invalid) == (2, 0, 1, 1)
    assert [run["run_id"] for run in store.runs("s1")] == ["rs11", "rs1again"]
    assert [(sweep.sweep_id, sweep.runs) for sweep in store.sweeps()] == [("s2", 2), ("s1", 2)]

"""Results of evaluations: stored whole, found by their sweep and by their server, and carried along by exports."""

from dataclasses import replace

import pytest

from loadgen.errors import NotFoundError
from loadgen.store.accuracy import server_hash
from loadgen.store.repository import Store
from loadgen.store.rows import AccuracyRow, Evaluation
from tests.store.conftest import MakeSweep

SERVER = {
    "url": "http://127.0.0.1:8011",
    "model": "tiny",
    "name": "vLLM",
    "version": "0.32.0",
    "profile": "tiny-mixtral",
    "launch": {"arguments": {"seed": 0}, "model_hash": "sha256:1", "started_at": "2026-11-30T10:00:00+00:00"},
}


def result(
    task: str = "copy", sweep_id: str | None = None, evaluation_id: str = "a261130-1", **changed: object
) -> AccuracyRow:
    row = AccuracyRow(
        evaluation_id=evaluation_id,
        sweep_id=sweep_id,
        model="tiny",
        provenance="tiny",
        task=task,
        metric="exact_match",
        value=0.905,
        standard_error=0.0207,
        samples=200,
        shots=0,
        tool="lm-eval",
        tool_version="0.4.13",
        settings={"tasks": ["copy", "sort"], "limit": 200},
        measured_at="2026-11-30T17:00:00+00:00",
    )
    return replace(row, **changed)  # type: ignore[arg-type]


def test_an_evaluation_comes_back_as_it_was_added(store: Store) -> None:
    rows = (result("copy"), result("sort", standard_error=None, samples=None, shots=None, tool_version=None))
    store.add_evaluation(Evaluation(SERVER, rows, "für Elise"))
    assert store.evaluation("a261130") == Evaluation(SERVER, rows, "für Elise")
    with pytest.raises(NotFoundError, match="no evaluation 'a999'"):
        store.evaluation("a999")


def test_a_sweep_has_its_own_evaluations_and_those_of_its_server(store: Store, make_sweep: MakeSweep) -> None:
    ours, alike, other = make_sweep("s1"), make_sweep("s2"), make_sweep("s3")
    later = {**SERVER, "launch": {**SERVER["launch"], "started_at": "2026-11-30T11:00:00+00:00"}}  # type: ignore[dict-item]
    top_1 = {**SERVER, "launch": {**SERVER["launch"], "arguments": {"seed": 1}}}  # type: ignore[dict-item]
    for sweep, server in ((ours, SERVER), (alike, later), (other, top_1)):
        store.add_sweep(replace(sweep, server=server))
    assert store.sweep("s1").accuracy == ()
    store.add_evaluation(Evaluation(SERVER, (result(sweep_id="s1"),)))
    store.add_evaluation(Evaluation(top_1, (result(evaluation_id="a261130-2", value=0.2),)))
    assert [row.value for row in store.sweep("s1").accuracy] == [0.905]
    assert store.sweep("s2").accuracy == store.sweep("s1").accuracy  # of the same server, in an earlier start
    assert [row.value for row in store.sweep("s3").accuracy] == [0.2]
    assert store.evaluation("a261130-1").server == SERVER
    more = (result(evaluation_id="a261130-3", value=0.7), result("sort", evaluation_id="a261130-3", value=0.6))
    store.add_evaluation(Evaluation(SERVER, more))
    assert [(row.task, row.value) for row in store.sweep("s1").accuracy] == [("copy", 0.905), ("sort", 0.6)]
    assert [row.value for row in store.sweep("s2").accuracy] == [0.905, 0.7, 0.6]


def test_an_evaluation_of_an_unknown_sweep_is_refused_whole(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.add_evaluation(Evaluation(SERVER, (result(), result(sweep_id="s9"))))
    with pytest.raises(NotFoundError):
        store.evaluation("a261130-1")


def test_whether_a_sweep_is_evaluated_is_a_matter_of_tasks_and_server(store: Store, make_sweep: MakeSweep) -> None:
    store.add_sweep(replace(make_sweep("s1"), server=SERVER))
    store.add_evaluation(Evaluation(SERVER, (result(sweep_id="s1"),)))
    assert store.is_evaluated(["s0", "s1"], SERVER, ["copy", "sort"])  # type: ignore[arg-type]
    assert not store.is_evaluated(["s1"], SERVER, ["copy", "images"])  # type: ignore[arg-type]
    assert not store.is_evaluated(["s0"], SERVER, ["copy", "sort"])  # type: ignore[arg-type]
    assert not store.is_evaluated(["s1"], {**SERVER, "version": "0.33"}, ["copy", "sort"])  # type: ignore[typeddict-item]


def test_servers_that_loadgen_did_not_start_are_told_apart_by_their_address() -> None:
    outside = {"url": "http://127.0.0.1:1", "model": "m", "name": "vLLM", "version": "1"}
    assert server_hash(outside) != server_hash({**outside, "url": "http://127.0.0.1:2"})  # type: ignore[arg-type, typeddict-item]
    assert server_hash(SERVER) == server_hash({**SERVER, "url": "http://127.0.0.1:9"})  # type: ignore[arg-type, typeddict-item]


def test_results_come_along_with_an_imported_sweep(store: Store, make_sweep: MakeSweep) -> None:
    rows = (result(sweep_id="s1"), result("sort", evaluation_id="a261130-2", sweep_id="s-elsewhere"))
    sweep = replace(make_sweep("s1", status="finished"), server=SERVER, accuracy=rows)
    assert store.add_imported(sweep, [])
    assert not store.add_imported(sweep, [])  # it is there already
    found = store.sweep("s1").accuracy
    assert [(row.evaluation_id, row.sweep_id) for row in found] == [("a261130-1", "s1"), ("a261130-2", None)]
    store.add_imported(replace(sweep, sweep_id="s2"), [])
    assert len(store.sweep("s2").accuracy) == 2

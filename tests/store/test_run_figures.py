"""The figures of runs that the list of sweeps shows: copied when a run is stored, and filled in for runs of older databases."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from loadgen.engine.records.record import Records
from loadgen.store import schema
from loadgen.store.repository import Store
from loadgen.store.run_figures import read_figures

H200, A100 = {"name": "NVIDIA H200"}, {"name": "NVIDIA A100"}
NOTHING = dict.fromkeys(
    ("load_label", "output_tokens_per_s", "ttft_p50_s", "e2e_latency_p50_s", "gpu_count", "gpu_names")
)


def launched(*gpus: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
    return {"server": {"launch": {"gpus": list(gpus), "arguments": arguments}}}


def watched(*gpus: Mapping[str, Any], by: str = "processes") -> dict[str, Any]:
    return {"server": {}, "gpu": {"chosen_by": by, "devices": list(gpus)}}


@pytest.mark.parametrize(
    ("document", "figures"),
    [
        ({"output_tokens_per_s": 812.5}, {"output_tokens_per_s": 812.5}),
        ({"output_tokens_per_s": 0.0}, {"output_tokens_per_s": 0.0}),  # measured, and nothing came
        ({"output_tokens_per_s": None, "ttft_s": None}, {}),
        ({"ttft_s": {"p50": 0.02}, "e2e_latency_s": {"p50": 1}}, {"ttft_p50_s": 0.02, "e2e_latency_p50_s": 1.0}),
        ({"ttft_s": {"n": 0}, "e2e_latency_s": []}, {}),
        ({"output_tokens_per_s": "812", "ttft_s": {"p50": True}, "spec": {"load_label": 16}}, {}),
        ({"output_tokens_per_s": float("nan"), "ttft_s": {"p50": float("inf")}}, {}),
        ({"spec": {"load_label": "concurrency 16\x00"}}, {"load_label": "concurrency 16\ufffd"}),
        (launched(H200), {"gpu_count": 1, "gpu_names": ["NVIDIA H200"]}),
        (launched(H200, H200, H200, H200), {"gpu_count": 1, "gpu_names": ["NVIDIA H200"]}),
        (launched(H200, H200, **{"tensor-parallel-size": 2}), {"gpu_count": 2, "gpu_names": ["NVIDIA H200"] * 2}),
        (launched(A100, H200), {"gpu_count": 1, "gpu_names": ["NVIDIA A100", "NVIDIA H200"]}),  # which one is unknown
        (
            launched(H200, A100, **{"pipeline-parallel-size": 2}),
            {"gpu_count": 2, "gpu_names": ["NVIDIA A100", "NVIDIA H200"]},
        ),
        (launched({}, {}, **{"data-parallel-size": 2}), {"gpu_count": 2}),
        (launched(), {}),
        (watched(H200, H200), {"gpu_count": 2, "gpu_names": ["NVIDIA H200"] * 2}),
        (watched(H200, H200, by="all"), {}),
        (watched(H200, H200, by="all") | launched(A100), {"gpu_count": 1, "gpu_names": ["NVIDIA A100"]}),
        ({"server": "vLLM", "gpu": "H200"}, {}),
        ({"server": {"launch": {"gpus": ["H200"]}}}, {}),
        ({}, {}),
        (None, {}),
        (["damaged"], {}),
    ],
)
def test_a_figure_that_is_missing_or_no_number_is_null_and_never_zero(document: Any, figures: dict[str, Any]) -> None:
    assert read_figures(document) == NOTHING | figures


def test_figures_come_back_for_the_sweeps_asked_for_with_the_latest_attempt_of_each_run(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    for sweep_id in ("s1", "s2"):
        store.add_sweep(make_sweep(sweep_id))
    figures = {"output_tokens_per_s": 10.0, "ttft_s": {"p50": 0.5}} | watched(H200)
    store.add_run("s1", make_document("r1", "s1", seed=1) | {"output_tokens_per_s": 99.0, "interrupted": True}, records)
    store.add_run("s1", make_document("r2", "s1", seed=1, verdict="doubtful") | figures, records)
    store.add_run("s2", make_document("r3", "s2", seed=2), records)
    (run,) = store.run_figures(["s1"])
    assert (run.sweep_id, run.verdict_status, run.interrupted, run.shape_kind) == (
        "s1",
        "doubtful",
        False,
        "closed_loop",
    )
    assert (run.load_label, run.input_tokens, run.output_tokens) == ("concurrency 16", 128, 32)
    assert (run.output_tokens_per_s, run.ttft_p50_s, run.e2e_latency_p50_s) == (10.0, 0.5, None)
    assert (run.gpu_count, run.gpu_names) == (1, ["NVIDIA H200"])
    assert [each.sweep_id for each in store.run_figures()] == ["s1", "s2"]
    assert store.run_figures([]) == []
    assert store.run_figures([f"s{number}" for number in range(40_000)]) == store.run_figures()


def test_a_run_without_figures_is_listed_without_them(
    sqlite_store: Store, url: str, make_sweep: Any, make_document: Any, records: Records
) -> None:
    sqlite_store.add_sweep(make_sweep("s1"))
    sqlite_store.add_run("s1", make_document("r1", "s1"), records)
    with closing(sqlite3.connect(_path(url))) as connection, connection:
        connection.execute("DELETE FROM run_figures")
    (run,) = sqlite_store.run_figures(["s1"])
    assert (run.load_label, run.output_tokens_per_s, run.gpu_names) == (None, None, None)


def test_runs_of_an_older_database_are_filled_in_and_a_damaged_one_does_not_hinder(
    any_url: str, make_sweep: Any, make_document: Any, records: Records
) -> None:
    with Store.open(any_url) as store:
        store.add_sweep(make_sweep("s1"))
        for number in range(3):
            store.add_run("s1", make_document(f"r{number}", "s1") | {"output_tokens_per_s": 10.0 + number}, records)
        before = store.run_figures()
    engine = create_engine(any_url.split("?")[0])
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE run_figures"))
        damaged = "'{\"cut off'" if engine.dialect.name == "sqlite" else "'[]'"
        connection.execute(text(f"UPDATE run SET document = {damaged} WHERE run_id = 'r1'"))
        with Operations.context(MigrationContext.configure(connection)):
            ScriptDirectory(str(schema.MIGRATIONS)).get_revision("0013").module.upgrade()
    engine.dispose()
    with Store.open(any_url) as store:
        first, second, third = store.run_figures()
    assert (first, third) == (before[0], before[2])
    assert (second.output_tokens_per_s, second.load_label) == (None, None)


def test_a_figure_which_no_database_takes_is_null_next_to_the_run(
    store: Store, make_sweep: Any, make_document: Any, records: Records
) -> None:
    store.add_sweep(make_sweep("s1"))
    document = make_document("r1", "s1") | {"output_tokens_per_s": float("nan")}
    store.add_run("s1", document, records)
    (run,) = store.run_figures()
    assert run.output_tokens_per_s is None
    assert json.dumps(store.run("r1"), allow_nan=False)


def _path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///").split("?")[0])

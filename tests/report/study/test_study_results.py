"""What the store has of a study, on results that came with loadgen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.importers.importing import read_sweep
from loadgen.load.shapes import value_in_json
from loadgen.report.study.results import study_results
from loadgen.servers.profiles.profile_file import read_profile
from loadgen.store.repository import Store
from loadgen.study.study_file import StudyFile, read_study

RESULTS = Path(__file__).resolve().parents[3] / "results"
NAMES = ("deepseek-v2-lite", "qwen1.5-moe-a2.7b")
MINE = """\
title: Mine
question: Which is faster?
servers: [{profile: deepseek-v2-lite}]
loads: [{wave: [1, 128], lengths: [128]}]
claims:
  - {id: grows, place: here, says: It grows., compare: {kind: trend, axis: batch, direction: increases}}
  - id: faster
    place: here
    says: One is faster than the other.
    compare: {kind: ordering, points: [{model: deepseek-v2-lite}, {model: qwen1.5-moe-a2.7b}]}
  - {id: layers, place: here, says: It has 32 layers., compare: {kind: fact, model: mixtral-8x7b, facts: {layers: 32}}}
"""
OTHER = """\
title: Other
question: Another?
servers: [{profile: qwen1.5-moe-a2.7b}]
loads: [{wave: [1, 128], lengths: [128]}]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store.open(f"sqlite:///{tmp_path_factory.mktemp('store') / 'results.db'}")
    for name in NAMES:
        found = read_sweep(RESULTS / f"2026-11-30-h200-{name}-dummy-waves-128.json.gz")
        made.add_imported(found.sweep, found.runs)
    return made


def study(folder: Path, more: str = "") -> StudyFile:
    (folder / "other.yaml").write_text(OTHER)
    (folder / "mine.yaml").write_text(MINE + more)
    return read_study(str(folder / "mine.yaml"))


def test_verdicts_by_series(store: Store, tmp_path: Path) -> None:
    results = study_results(study(tmp_path), store)
    (series,) = results.by_series
    assert len(series.points) == 2
    assert {each.claim.id: each.verdict for each in series.judgements} == {
        "grows": "holds",
        "faster": "not_measured",
        "layers": "holds",
    }


def test_claims_may_compare_with_the_points_of_another_study(store: Store, tmp_path: Path) -> None:
    results = study_results(study(tmp_path, f"compared_with: [{tmp_path / 'other.yaml'}]\n"), store)
    (series,) = results.by_series
    assert len(series.points) == 2
    (faster,) = [each for each in series.judgements if each.claim.id == "faster"]
    assert len(faster.compared) == 2


def test_facts_need_no_measured_point(store: Store) -> None:
    results = study_results(read_study("fig01"), store)
    assert results.by_series == ()
    assert [each.verdict for each in results.unmeasured] == ["holds", "holds", "holds", "not_testable"]


def test_tiny_models_are_a_series_of_their_own_whose_verdicts_do_not_stand(store: Store, tmp_path: Path) -> None:
    found = read_sweep(RESULTS / "2026-11-30-h200-deepseek-v2-lite-dummy-waves-128.json.gz")
    tiny = read_profile("tiny-deepseekv2").profile
    launch: Any = {
        "model_source": tiny.model,
        "arguments": tiny.arguments,
        "environment": {},
        "gpus": [],
        "architecture": None,
    }
    server: Any = {**found.sweep.server, "model": tiny.request_model, "profile": tiny.name, "launch": launch}
    runs: list[Any] = [
        {
            **run,
            "run_id": run["run_id"].replace("r", "rt"),
            "server": server,
            "gpu": None,
            "spec": {**run["spec"], "input_tokens": 8, "output_tokens": 8},
        }
        for run in found.runs
        if value_in_json(run["spec"]["shape"]) in (1, 8)
    ]
    with Store.open(f"sqlite:///{tmp_path / 'tiny.db'}") as tiny_store:
        tiny_store.add_imported(replace(found.sweep, sweep_id="s-tiny", server=server, planned_runs=len(runs)), runs)
        results = study_results(study(tmp_path), tiny_store)
    (series,) = results.by_series
    assert series.series.provenance == "tiny"
    assert [(point.coordinates["model"], point.coordinates["batch"]) for point in series.points] == [
        ("deepseek-v2-lite", 1),
        ("deepseek-v2-lite", 128),
    ]
    assert series.count("holds") >= 1
    assert [each.judgement.verdict for each in results.standing] == ["not_measured", "not_measured", "holds"]

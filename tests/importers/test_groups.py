"""The JSON of a group of sweeps: each sweep with a result is one, also if its server did not start."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.importers.importing import read_sweep, read_sweeps
from loadgen.store.repository import Store

RESULTS = Path(__file__).resolve().parents[2] / "results"
FAILURE = {"kind": "out_of_gpu_memory", "sentence": "it does not fit", "log": None}


def sweep(name: str) -> Any:
    return json.loads(gzip.decompress((RESULTS / f"2026-11-30-h200-{name}-dummy-waves-2048.json.gz").read_bytes()))


def without_runs(document: Any, failure: object) -> Any:
    return {**document, "sweep_id": "s261130-000000-0000", "status": "failed", "runs": [], "start_failure": failure}


def group_file(folder: Path, *sweeps: Any) -> Path:
    path = folder / "group.json"
    path.write_text(json.dumps({"schema_version": 1, "group_id": "g261130-000000-0000", "sweeps": sweeps}))
    return path


def test_every_sweep_with_a_result_is_taken(tmp_path: Path) -> None:
    first, second = sweep("deepseek-v2-lite"), sweep("qwen1.5-moe-a2.7b")
    path = group_file(tmp_path, first, without_runs(first, FAILURE), without_runs(second, None), second)
    found = read_sweeps(path)
    assert [each.sweep.sweep_id for each in found] == [first["sweep_id"], "s261130-000000-0000", second["sweep_id"]]
    assert [len(each.runs) for each in found] == [len(first["runs"]), 0, len(second["runs"])]
    with Store.open(f"sqlite:///{tmp_path}/loadgen.db") as store:
        assert [store.add_imported(each.sweep, each.runs) for each in found] == [True] * 3
        assert [store.add_imported(each.sweep, each.runs) for each in found] == [False] * 3
        assert store.sweep("s261130-000000-0000").start_failure == FAILURE


def test_a_file_with_one_sweep_is_one(tmp_path: Path) -> None:
    path = RESULTS / "2026-11-30-h200-deepseek-v2-lite-dummy-waves-2048.json.gz"
    (found,) = read_sweeps(path)
    assert found.sweep.sweep_id == read_sweep(path).sweep.sweep_id


@pytest.mark.parametrize(
    ("sweeps", "sentence"),
    [
        ([], "group.json is a group of sweeps without a run"),
        ([without_runs(sweep("deepseek-v2-lite"), None)], "group.json is a group of sweeps without a run"),
        ([3], "group.json is JSON, but no result of loadgen"),
        ([{**sweep("deepseek-v2-lite"), "status": "running"}], "was written while the sweep .* was running"),
        ([without_runs(sweep("deepseek-v2-lite"), "no")], "group.json has something else at start_failure"),
    ],
)
def test_what_is_refused(tmp_path: Path, sweeps: list[Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_sweeps(group_file(tmp_path, *sweeps))

"""The dashboard's pages of studies, and their twins in JSON."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from loadgen.importers.importing import read_sweep
from loadgen.report.study.library import StudyLibrary
from loadgen.store.claim import claimed
from loadgen.store.repository import Store
from loadgen.store.sweep_progress import SweepsProgress
from loadgen.web.app import create_app

WAVE = Path(__file__).resolve().parents[2] / "results" / "2026-11-30-h200-deepseek-v2-lite-dummy-waves-128.json.gz"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    url = f"sqlite:///{tmp_path_factory.mktemp('studies') / 'measured.db'}"
    with Store.open(url) as store:
        found = read_sweep(WAVE)
        store.add_imported(found.sweep, found.runs)
    with TestClient(create_app(url)) as made:
        yield made


@pytest.mark.parametrize("path", ["/studies", "/studies/fig06", "/studies/table1", "/studies/claims"])
def test_each_page_has_a_twin_in_json(client: TestClient, path: str) -> None:
    page, twin = client.get(path), client.get(f"{path}.json")
    assert (page.status_code, twin.status_code) == (200, 200)
    assert f'href="{path}.json"' in page.text
    assert twin.json()["schema_version"] == 1


def test_the_index_leads_to_every_study(client: TestClient) -> None:
    page, twin = client.get("/studies").text, client.get("/studies.json").json()
    assert len(twin["studies"]) >= 19
    for each in twin["studies"]:
        assert f'href="/studies/{each["name"]}"' in page
    assert 'href="/studies" aria-current="page"' in page


def test_a_study_in_json_has_its_points_and_verdicts(client: TestClient) -> None:
    found = client.get("/studies/fig06.json").json()
    (series,) = found["series"]
    assert (series["key"], series["measured_points"]) == ("h200-dummy-routed", 7)
    first = series["points"][0]
    assert first["coordinates"]["batch"] == 1
    assert first["figures"]["paper.throughput_tokens_per_s"]["mean"] == pytest.approx(587.2, abs=0.1)
    assert first["figures"]["output_tokens_per_s"]["runs"] == 2
    assert {each["verdict"] for each in found["claims"]} >= {"not_testable", "not_measured"}
    assert len(series["claims"]) == len(found["claims"])
    assert found["sizes"] is None


def test_sizes_of_table_1_in_json(client: TestClient) -> None:
    found = client.get("/studies/table1.json").json()
    qwen3 = next(each for each in found["sizes"] if each["model"] == "Qwen3-30B-A3B")
    assert qwen3["sizes"]["hidden size"] == {
        "paper": "5,120",
        "real": "2,048",
        "counted": None,
        "verdict": "differs",
    }


def test_points_lead_to_their_sweeps(client: TestClient) -> None:
    found = client.get("/studies/fig06.json").json()
    sweep_id = found["series"][0]["points"][0]["sweep_ids"][0]
    assert f'href="/sweeps/{sweep_id}"' in client.get("/studies/fig06").text
    assert client.get(f"/sweeps/{sweep_id}").status_code == 200


def test_claims_by_verdict_and_study(client: TestClient) -> None:
    page = client.get("/studies/claims?verdict=holds&study=table1").text
    assert 'data-verdict="holds"' in page
    assert 'data-verdict="not_testable"' not in page
    assert 'data-study="fig06"' not in page


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/studies/fig99", 404, "There is no study &#39;fig99&#39;"),
        ("/studies/fig99.json", 404, "there is no study 'fig99'"),
        ("/studies/claims?verdict=true", 400, "Verdict is &#39;true&#39;"),
        ("/studies/claims?colour=red", 400, "&#39;colour&#39; that the page of claims does not know"),
    ],
)
def test_what_is_not_there_is_named(client: TestClient, path: str, status: int, sentence: str) -> None:
    said = client.get(path)
    assert said.status_code == status
    assert sentence in said.text


def test_before_anything_is_measured_studies_are_listed(tmp_path: Path) -> None:
    app = create_app(f"sqlite:///{tmp_path}/none.db")
    app.state.studies = StudyLibrary(lambda: ("fig06",))
    with TestClient(app) as client:
        assert "None of 148 points is measured or predicted yet." in client.get("/studies").text
        assert client.get("/studies/fig06.json").json()["series"] == []


def test_a_study_that_is_being_measured_says_so_and_shows_new_points(tmp_path: Path) -> None:
    url, found = f"sqlite:///{tmp_path / 'running.db'}", read_sweep(WAVE)
    app = create_app(url)
    app.state.studies = StudyLibrary(lambda: ("fig06", "table1"))
    elsewhere = {**found.sweep.environment, "host": {"name": "another-host"}}  # whose processes nobody sees here
    sweep = replace(found.sweep, status="running", planned_runs=14, imported=None, environment=elsewhere)
    with Store.open(url) as store, TestClient(app) as client:
        store.add_sweep(sweep)
        page = client.get("/studies/fig06").text
        assert "being measured" in page
        assert "0 of 14 runs" in page
        assert 'src="/static/live.js' in page
        assert "being measured" in client.get("/studies").text
        before = app.state.studies.shelf(store)
        store.set_sweep_status(sweep.sweep_id, "finished", 14)
        assert "being measured" not in client.get("/studies/fig06").text
        SweepsProgress(store).put(sweep.sweep_id, {"server_stage": "the next server: starting"})
        with claimed(sweep.sweep_id):  # by its group, until that ends
            assert "being measured" in client.get("/studies/fig06").text
        store.set_sweep_status(sweep.sweep_id, "interrupted", 14)
        page = client.get("/studies/fig06").text
        assert "being measured" not in page
        assert 'src="/static/live.js' not in page
        after = app.state.studies.shelf(store)
    assert after.study("fig06") is not before.study("fig06")
    assert after.study("table1") is before.study("table1")

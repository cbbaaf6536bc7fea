"""The dashboard's routes: each page, its JSON twin, its headers, and what it says when it cannot."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from loadgen.load.shapes import ClosedLoop
from loadgen.report.pages import assets
from loadgen.web.app import create_app
from tests.report.documents import Document, fill, specs, sweep_row

SWEEP = "s261123-152901-4f2a"


@pytest.fixture
def runs(tmp_path: Path) -> list[Document]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 4, requests_per_slot=4)
    return fill(tmp_path / "measured.db", sweep_row(SWEEP, planned, "a grid"), planned)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(f"sqlite:///{tmp_path}/measured.db")) as made:
        yield made


def test_the_list_links_each_sweep(client: TestClient, runs: list[Document]) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert f'href="/sweeps/{SWEEP}"' in page.text
    assert "2 / 2" in page.text


def test_each_page_has_a_twin_in_json(client: TestClient, runs: list[Document]) -> None:
    run_id = runs[0]["run_id"]
    for path in ("/sweeps", f"/sweeps/{SWEEP}", f"/runs/{run_id}"):
        twin = client.get(f"{path}.json")
        assert twin.status_code == 200
        assert twin.headers["content-type"].startswith("application/json")
        page = client.get("/" if path == "/sweeps" else path)
        assert page.status_code == 200
        assert f'href="{path}.json"' in page.text
    run = client.get(f"/runs/{run_id}.json").json()
    assert run.pop("sweep")["sweep_id"] == SWEEP
    assert run == runs[0]
    sweep = client.get(f"/sweeps/{SWEEP}.json").json()
    assert (sweep["schema_version"], sweep["sweep_id"], sweep["runs"]) == (1, SWEEP, runs)
    listed = client.get("/sweeps.json").json()
    assert (listed["schema_version"], listed["sweeps"][0]["sweep_id"], listed["sweeps"][0]["runs"]) == (1, SWEEP, 2)


def test_the_beginning_of_an_id_is_enough(client: TestClient, runs: list[Document]) -> None:
    assert client.get(f"/sweeps/{SWEEP[:6]}").status_code == 200
    assert client.get(f"/runs/{runs[0]['run_id'][:-1]}.json").status_code in (200, 404)  # 404 when both begin alike


@pytest.mark.parametrize("path", ["/sweeps/s-none", "/runs/r-none"])
def test_an_unknown_id_is_a_page_of_its_own_with_a_sentence(
    client: TestClient, runs: list[Document], path: str
) -> None:
    page = client.get(path)
    assert page.status_code == 404
    assert path.split("/")[-1] in page.text
    twin = client.get(f"{path}.json")
    assert twin.status_code == 404
    assert path.split("/")[-1] in twin.json()["error"]


def test_an_unknown_path_is_a_page_too(client: TestClient) -> None:
    page = client.get("/<script>alert(1)</script>")
    assert page.status_code == 404
    assert "<script>alert" not in page.text
    assert client.post("/").status_code == 405


def test_before_anything_was_measured_the_list_says_what_to_type(client: TestClient, tmp_path: Path) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "loadgen sweep --url" in page.text
    assert client.get("/sweeps.json").json() == {"schema_version": 1, "sweeps": []}
    assert client.get("/sweeps/s1").status_code == 404
    assert list(tmp_path.iterdir()) == []  # looking creates nothing


def test_a_file_that_is_no_database_is_said_and_not_a_crash(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "measured.db").write_text("no database at all, but long enough to be taken for one" * 100)
    page = client.get("/")
    assert page.status_code == 503
    assert "measured.db" in page.text


def test_looking_at_every_page_changes_nothing_in_the_database(
    client: TestClient, runs: list[Document], tmp_path: Path
) -> None:
    before = (tmp_path / "measured.db").read_bytes()
    for path in ("/", f"/sweeps/{SWEEP}", f"/runs/{runs[0]['run_id']}", "/sweeps.json"):
        client.get(path)
    assert (tmp_path / "measured.db").read_bytes() == before


def test_no_script_but_ours_and_nothing_from_elsewhere(client: TestClient, runs: list[Document]) -> None:
    for path in ("/", f"/sweeps/{SWEEP}", "/nowhere", "/sweeps.json", assets.static("style.css").href):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    page = client.get(f"/sweeps/{SWEEP}").text
    assert " onclick=" not in page
    assert " style=" not in page


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_page_that_would_load_scripts_from_a_network(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("name", [assets.VEGA, "style.css", "charts.js", "icon.svg"])
def test_static_files_are_kept_by_browsers_and_asked_for_once(client: TestClient, name: str) -> None:
    asset = assets.vega() if name == assets.VEGA else assets.static(name)
    first = client.get(asset.href)
    assert first.text == asset.text
    assert "immutable" in first.headers["cache-control"]
    again = client.get(asset.href, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_static_gives_out_no_other_file(client: TestClient) -> None:
    for name in ("layout.html", "..%2Flayout.html", "..%2F..%2Fpyproject.toml", "vega.js.map"):
        assert client.get(f"/static/{name}").status_code == 404


def test_every_asset_that_a_page_names_is_there(client: TestClient, runs: list[Document]) -> None:
    page = client.get(f"/runs/{runs[0]['run_id']}").text
    names = [part.split('"')[0] for part in page.replace('src="', 'href="').split('href="')[1:]]
    served = [name for name in names if name.startswith("/static/")]
    assert len(served) == 5
    assert {client.get(name).status_code for name in served} == {200}


def test_json_is_free_of_nan(client: TestClient, runs: list[Document]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(client.get(f"/sweeps/{SWEEP}.json").text, parse_constant=refuse)
    assert len(document["runs"]) == len(runs)


def test_pages_and_scripts_are_sent_compressed_to_whom_takes_them_so(client: TestClient, runs: list[Document]) -> None:
    for path in (f"/sweeps/{SWEEP}", assets.vega().href):
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        packed = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.text == plain.text
        assert int(packed.headers["content-length"]) < len(plain.content) / 2


def test_a_database_that_was_there_and_is_gone_is_an_error_and_not_an_empty_list(
    client: TestClient, runs: list[Document], tmp_path: Path
) -> None:
    assert client.get("/").status_code == 200
    for part in tmp_path.glob("measured.db*"):
        part.unlink()
    for path in ("/", "/sweeps.json", f"/sweeps/{SWEEP}", f"/compare?in={SWEEP}"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "is gone" in answer.text

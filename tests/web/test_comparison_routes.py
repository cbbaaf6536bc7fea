"""The comparison over HTTP: page, JSON and CSV of one address; what is wrong in it is a status and a sentence."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from loadgen.load.shapes import ClosedLoop
from loadgen.web.app import create_app
from tests.report.documents import fill, specs, sweep_row

HOSTILE = "</script><script>document.title='taken'</script>"
A, B = "s261123-152901-aaaa", "s261123-152902-bbbb"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    for sweep_id, model in ((A, HOSTILE), (B, "two")):
        planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 8, 2, requests_per_slot=4, model=model)
        fill(tmp_path / "m.db", sweep_row(sweep_id, planned, model), planned)
    with TestClient(create_app(f"sqlite:///{tmp_path}/m.db")) as made:
        yield made


def test_one_address_is_a_page_a_document_and_a_table(client: TestClient) -> None:
    query = f"in={A},{B}&y=ttft_s&baseline=two"
    page = client.get(f"/compare?{query}")
    assert page.status_code == 200
    assert "/compare.csv?" in page.text
    assert HOSTILE not in page.text
    found = client.get(f"/compare.json?{query}").json()
    assert found["view"]["baseline"] == "two"
    assert [each["sweep_id"] for each in found["chosen"]] == [A, B]
    lines = list(csv.DictReader(io.StringIO(client.get(f"/compare.csv?{query}").text)))
    assert len(lines) == len(found["cells"]) == 4
    assert float(lines[0]["mean"]) == found["cells"][0]["mean"]


def test_nothing_chosen_says_what_to_do(client: TestClient) -> None:
    page = client.get("/compare")
    assert page.status_code == 200
    assert "Nothing is chosen" in page.text
    assert "Nothing is chosen" in client.get("/compare?stat=p90").text
    assert "fits the filters" in client.get("/compare?q=nobody").text


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("in=s9", 404, "s9"),
        ("stat=p98", 400, "p98"),
        (f"in={A}&color=nothing", 400, "nothing"),
        ("<script>=1", 400, "does not know"),
    ],
)
def test_a_wrong_address_has_its_status_and_a_sentence(
    client: TestClient, query: str, status: int, sentence: str
) -> None:
    for path in ("/compare", "/compare.json"):
        answer = client.get(f"{path}?{query}")
        assert answer.status_code == status
        assert sentence in answer.text
        assert "<script>=1" not in answer.text


@pytest.mark.parametrize(
    ("asked", "baseline", "source", "in_view"),
    [
        ("", HOSTILE, "oldest_sweep", HOSTILE),
        ("&baseline=two", "two", "asked", "two"),
        ("&baseline=none", None, "none_asked", "none"),
    ],
)
def test_the_document_says_which_baseline_was_chosen_and_how(
    client: TestClient, asked: str, baseline: str | None, source: str, in_view: str
) -> None:
    found = client.get(f"/compare.json?in={A},{B}&y=ttft_s{asked}").json()
    assert (found["baseline"], found["baseline_source"], found["view"]["baseline"]) == (baseline, source, in_view)
    again = client.get("/compare.json", params=found["view"] | {"in": ",".join(found["view"]["in"])}).json()
    assert again["baseline"] == baseline
    assert [cell["ratio"] for cell in again["cells"]] == [cell["ratio"] for cell in found["cells"]]


def test_the_page_has_one_legend_and_says_inconclusive(client: TestClient) -> None:
    text = client.get(f"/compare?in={A},{B}&y=ttft_s&y=tpot_s").text
    assert text.count('aria-label="Legend"') == 1
    assert "inconclusive" in text
    assert "t tell" not in text

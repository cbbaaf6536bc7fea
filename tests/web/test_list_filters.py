"""The list of sweeps: filters and pages by the address alone, and the sweeps to be ticked for a comparison."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from loadgen.load.shapes import ClosedLoop
from loadgen.report.comparison.view import Filters
from loadgen.report.pages.sweeps_list import LINES_A_PAGE, sweeps_page
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from loadgen.web.app import create_app
from tests.report.documents import fill, specs, sweep_row

NOW = datetime(2026, 11, 23, 15, 32, 1, tzinfo=UTC)
A, B, EMPTY = "s261123-152901-aaaa", "s261123-152902-bbbb", "s261123-152903-cccc"
HOSTILE = "\"><script>alert('tag')</script>"


def tagged(sweep_id: str, model: str, *tags: str, created_at: str = "2026-11-23T15:29:01+00:00") -> SweepRow:
    row = sweep_row(sweep_id, specs([ClosedLoop(1)], (32,), 4, model=model), f"{model} on a server")
    return replace(row, spec=row.spec | {"tag": list(tags)}, created_at=created_at)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    path = tmp_path / "m.db"
    for sweep_id, model, tags in ((A, "mixtral", ("nightly", HOSTILE)), (B, "olmoe", ("nightly",))):
        fill(path, tagged(sweep_id, model, *tags), specs([ClosedLoop(1)], (32,), 4, requests_per_slot=4, model=model))
    with Store.open(f"sqlite:///{path}") as store:
        store.add_sweep(tagged(EMPTY, "mixtral", created_at="2026-11-20T00:00:00+00:00"))
    with TestClient(create_app(f"sqlite:///{path}")) as made:
        yield made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [B, A, EMPTY]),
        ("q=OLMOE", [B]),
        ("q=server+mixtral", [A, EMPTY]),
        ("model=mixtral", [A, EMPTY]),
        ("tag=nightly", [B, A]),
        ("since=2026-11-21", [B, A]),
        ("until=2026-11-21", [EMPTY]),
        ("model=mixtral&tag=nightly", [A]),
        ("q=nothing", []),
        ("q=&model=&since=", [B, A, EMPTY]),
    ],
)
def test_filters_stand_in_the_address_of_the_page_and_of_its_twin(
    client: TestClient, query: str, found: list[str]
) -> None:
    twin = client.get(f"/sweeps.json?{query}").json()
    assert [each["sweep_id"] for each in twin["sweeps"]] == found
    page = client.get(f"/?{query}")
    assert page.status_code == 200
    assert [each for each in (B, A, EMPTY) if f'href="/sweeps/{each}"' in page.text] == found


def test_what_has_runs_can_be_ticked_and_what_is_given_is_escaped(client: TestClient) -> None:
    page = client.get("/").text
    assert f'name="in" value="{A}"' in page
    assert f'name="in" value="{EMPTY}"' not in page
    assert HOSTILE not in page
    assert 'href="/?tag=nightly"' in page


def test_those_that_fit_can_be_compared_all_at_once(client: TestClient) -> None:
    page = client.get("/?tag=nightly").text
    assert "2 of 3 sweeps" in page
    assert 'href="/compare?tag=nightly"' in page
    chosen = client.get("/compare.json?tag=nightly").json()["chosen"]
    assert [each["sweep_id"] for each in chosen] == [B, A]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=monday", "Since is &#39;monday&#39;"),
        ("page=-1", "Page is"),
        ("page=x", "Page is"),
        ("modle=x", "did you mean &#39;model&#39;?"),
    ],
)
def test_a_filter_that_is_none_is_told(client: TestClient, query: str, said: str) -> None:
    answer = client.get(f"/?{query}")
    assert answer.status_code == 400
    assert said in answer.text


def test_a_page_holds_so_many_and_leads_to_the_next_with_its_filters() -> None:
    rows = [tagged(f"s261123-152901-{number:04d}", "mixtral", "t") for number in range(2 * LINES_A_PAGE + 1)]
    first, middle, last = (sweeps_page(rows, NOW, filters=Filters(tag="t"), page=page) for page in (1, 2, 3))
    assert [len(page.entries) for page in (first, middle, last)] == [LINES_A_PAGE, LINES_A_PAGE, 1]
    assert (first.newer, first.older) == ("", "/?tag=t&page=2")
    assert (middle.newer, middle.older) == ("/?tag=t", "/?tag=t&page=3")
    assert (last.newer, last.older) == ("/?tag=t&page=2", "")
    assert sweeps_page(rows, NOW, page=99).entries == sweeps_page(rows, NOW, page=3).entries
    assert sweeps_page([], NOW).entries == ()


def test_the_figures_of_a_page_are_read_by_one_query(client: TestClient) -> None:
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        page, twin = client.get("/").text, client.get("/sweeps.json").json()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert sum("run_figures" in statement for statement in asked) == 2
    assert "concurrency 1" in page
    assert [each["best_point"] is None for each in twin["sweeps"]] == [False, False, True]


def test_the_best_point_is_that_of_the_sweeps_own_document(client: TestClient) -> None:
    (first, *_) = client.get(f"/sweeps.json?q={A}").json()["sweeps"]
    (run,) = client.get(f"/sweeps/{A}.json").json()["runs"]
    assert first["best_point"]["output_tokens_per_s"] == pytest.approx(run["output_tokens_per_s"])
    assert first["best_point"]["ttft_p50_s"] == pytest.approx(run["ttft_s"]["p50"])
    assert first["best_point"]["load_label"] == run["spec"]["load_label"]

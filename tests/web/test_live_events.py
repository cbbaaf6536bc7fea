"""The events of a sweep's page: how it stands, until it ends, for a bounded number of watchers."""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loadgen.load.shapes import ClosedLoop
from loadgen.report.pages.live_view import live_view
from loadgen.store.claim import claimed
from loadgen.store.repository import Store
from loadgen.store.sweep_progress import SweepsProgress
from loadgen.web import live
from loadgen.web.app import create_app
from loadgen.web.dashboard_store import DashboardStore
from tests.report.documents import specs, sweep_row

SWEEP = "s261123-152901-4f2a"
SAID: Any = {
    "schema_version": 1,
    "runs": {"planned": 2, "at_most": False, "ended": 0},
    "server_stage": "tiny: loading weights",
    "run": None,
    "outcomes": {},
    "verdicts": {},
    "left_s": None,
    "trail": {"step_s": 2.0, "requests_per_s": [], "ttft_p50_s": []},
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/measured.db") as opened:
        opened.add_sweep(sweep_row(SWEEP, specs([ClosedLoop(1), ClosedLoop(2)]), status="running"))
        yield opened


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(live, "PERIOD_S", 0.01)
    monkeypatch.setattr(live, "_SHARED_S", 0.0)
    with TestClient(create_app(f"sqlite:///{tmp_path}/measured.db")) as made:
        yield made


def after_each_look(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """What happens between one look at the store and the next."""
    look, left = live._look, list(steps)

    def look_and_go_on(database: DashboardStore, sweep_id: str) -> live.Look:
        seen = look(database, sweep_id)
        if left:
            left.pop(0)()
        return seen

    monkeypatch.setattr(live, "_look", look_and_go_on)


def events_of(text: str) -> list[tuple[str, Any]]:
    blocks = [block for block in text.split("\n\n") if block.startswith("event: ")]
    return [(block.split("\n")[0][7:], json.loads(block.split("\ndata: ")[1])) for block in blocks]


def test_what_changes_is_told_until_the_sweep_ends(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_each_look(
        monkeypatch,
        lambda: SweepsProgress(store).put(SWEEP, SAID),
        lambda: None,
        lambda: store.set_sweep_status(SWEEP, "finished"),
    )
    answer = client.get(f"/sweeps/{SWEEP}/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    told = events_of(answer.text)
    assert [name for name, _ in told] == ["live", "live", "end"]  # what stayed as it was is not told again
    before, now, end = (document for _, document in told)
    assert (before["progress"], before["shown"]["rate"]) == (None, "–")
    assert now["progress"] == SAID
    assert now["shown"]["phase"] == "tiny: loading weights"
    assert now["simulated"] is False
    assert (end["status"], end["shown"]) == ("finished", None)
    assert client.app.state.watchers == 0  # type: ignore[attr-defined]


def test_silence_is_filled_so_that_nobody_takes_the_stream_for_dead(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_HEARTBEAT_S", 0.01)
    quiet = [lambda: None] * 3
    after_each_look(monkeypatch, *quiet, lambda: store.set_sweep_status(SWEEP, "failed"))
    assert "\n\n: still here\n\n" in client.get(f"/sweeps/{SWEEP}/events").text


def test_a_sweep_that_has_ended_says_so_at_once(client: TestClient, store: Store) -> None:
    store.set_sweep_status(SWEEP, "interrupted")
    SweepsProgress(store).put(SWEEP, SAID)  # by a process that was killed
    ((name, document),) = events_of(client.get(f"/sweeps/{SWEEP}/events").text)
    assert (name, document["status"], document["progress"]) == ("end", "interrupted", None)


def test_an_unknown_sweep_is_not_found(client: TestClient, store: Store) -> None:
    assert client.get("/sweeps/s-none/events").status_code == 404


def test_a_database_that_goes_away_ends_the_stream_with_a_sentence(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    after_each_look(monkeypatch, (tmp_path / "measured.db").unlink)
    name, document = events_of(client.get(f"/sweeps/{SWEEP}/events").text)[-1]
    assert name == "trouble"
    assert "there is no database" in document["error"]


def test_only_so_many_may_watch(client: TestClient, store: Store) -> None:
    client.app.state.watchers = live.MAX_WATCHERS  # type: ignore[attr-defined]
    answer = client.get(f"/sweeps/{SWEEP}/events")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"


def test_who_leaves_makes_room(store: Store, tmp_path: Path) -> None:
    state = SimpleNamespace(looks=live.Looks(DashboardStore(f"sqlite:///{tmp_path}/measured.db")), watchers=0)

    async def leave() -> None:
        request: Any = SimpleNamespace(app=SimpleNamespace(state=state))
        stream: Any = live._follow(request, await state.looks.at(SWEEP))
        await anext(stream)
        assert state.watchers == 1
        await stream.aclose()

    asyncio.run(leave())
    assert state.watchers == 0


def test_the_page_and_the_list_show_how_it_stands(client: TestClient, store: Store) -> None:
    SweepsProgress(store).put(SWEEP, SAID)
    page = client.get(f"/sweeps/{SWEEP}").text
    assert 'data-live-text="phase">tiny: loading weights<' in page
    assert f'data-events="/sweeps/{SWEEP}/events"' in page
    assert "<small>tiny: loading weights</small>" in client.get("/").text
    store.set_sweep_status(SWEEP, "finished")
    assert "data-live" not in client.get(f"/sweeps/{SWEEP}").text
    assert "loading weights" not in client.get("/").text


@pytest.mark.skipif(sys.platform != "linux", reason="a group that goes on is known on Linux only")
def test_the_list_shows_that_the_next_server_of_a_group_is_starting(client: TestClient, store: Store) -> None:
    """In the row of the sweep before it, which its group holds to its end."""
    store.set_sweep_status(SWEEP, "finished")
    SweepsProgress(store).put(SWEEP, SAID)
    assert "loading weights" not in client.get("/").text, "by a process that was killed"
    with claimed(SWEEP):
        page = client.get("/").text
    assert "<small>tiny: loading weights</small>" in page
    assert 'src="/static/live.js' in page


def test_every_name_in_the_page_is_a_name_in_the_events(client: TestClient, store: Store) -> None:
    page = client.get(f"/sweeps/{SWEEP}").text
    view = live_view(None, datetime.now(UTC))
    names = set(re.findall(r'data-live-(?:text|value|path)="(\w+)"', page))
    assert names == set(live.shown(view))


def test_all_who_watch_share_a_look(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SHARED_S", 60.0)
    looked: list[int] = []
    after_each_look(monkeypatch, *[lambda: looked.append(1)] * 9)
    looks = live.Looks(DashboardStore(f"sqlite:///{tmp_path}/measured.db"))

    async def watch() -> None:
        seen = await asyncio.gather(*(looks.at(SWEEP) for _ in range(5)))
        assert {each.sweep.sweep_id for each in seen} == {SWEEP}

    asyncio.run(watch())
    assert len(looked) == 1

"""A sweep as it goes: server-sent events for its page, until it ends.

Only reads, and once a second for each sweep however many watch it, so that nobody who watches disturbs what is watched.
Each look opens the store anew and closes it: a stream that lasts for hours holds nothing meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from loadgen.errors import LoadgenError
from loadgen.report.pages.live_view import LiveView, live_view
from loadgen.store.repository import Store
from loadgen.store.rows import ProgressRow, SweepRow
from loadgen.store.sweep_progress import SweepsProgress
from loadgen.web.answers import failure, sent_event
from loadgen.web.dashboard_store import DashboardStore

router = APIRouter()
MAX_WATCHERS = 32  # whoever is turned away loads the page again now and then
PERIOD_S = 1.0
_SHARED_S = 0.9 * PERIOD_S  # who comes a little later than another sees what it saw
_HEARTBEAT_S = 10.0


@dataclass(frozen=True, slots=True)
class Look:
    sweep: SweepRow
    progress: ProgressRow | None


class Looks:
    """The latest look at each sweep, which all who watch it share."""

    def __init__(self, database: DashboardStore) -> None:
        self._database = database
        self._latest: dict[str, tuple[float, asyncio.Task[Look]]] = {}

    async def at(self, sweep_id: str) -> Look:
        """The sweep of that id or beginning of an id, as it stood at most `PERIOD_S` ago. Raises `StoreError`, `NotFoundError`."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._latest = {
            each: (at_s, task)
            for each, (at_s, task) in self._latest.items()
            if now_s - at_s < _SHARED_S and task.get_loop() is loop
        }
        if sweep_id not in self._latest:
            task = asyncio.create_task(run_in_threadpool(_look, self._database, sweep_id))
            self._latest[sweep_id] = now_s, task
        return await asyncio.shield(self._latest[sweep_id][1])


def progress_of(store: Store, sweep: SweepRow) -> ProgressRow | None:
    """What the process that measures `sweep` said last; None where nothing is known."""
    return SweepsProgress(store).of([sweep.sweep_id]).get(sweep.sweep_id)


@router.get("/sweeps/{sweep_id}/events")
async def events(sweep_id: str, request: Request) -> Response:
    """How the sweep stands: `live` whenever something changed, `end` once it is not being measured any more.

    503 while too many are watching; 404 for an unknown sweep.
    """
    state = request.app.state
    if state.watchers >= MAX_WATCHERS:
        refused = failure(request, 503, "Too many watch", f"{MAX_WATCHERS} are watching already: try again later.")
        refused.headers["Retry-After"] = "10"
        return refused
    first = await state.looks.at(sweep_id)
    return StreamingResponse(
        _follow(request, first), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


def _look(database: DashboardStore, sweep_id: str) -> Look:
    with Store.open(database.url, read_only=True) as store:
        sweep = store.sweep(sweep_id)
        return Look(sweep, progress_of(store, sweep) if sweep.status == "running" else None)


async def _follow(request: Request, look: Look) -> AsyncIterator[str]:
    state = request.app.state
    state.watchers += 1
    try:
        said, quiet_s = "", 0.0
        while look.sweep.status == "running":
            text = sent_event("live", live_document(look))
            if text != said:
                said, quiet_s = text, 0.0
                yield text
            elif quiet_s >= _HEARTBEAT_S:
                quiet_s = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(PERIOD_S)
            quiet_s += PERIOD_S
            if await request.is_disconnected():
                return
            look = await state.looks.at(look.sweep.sweep_id)
        yield sent_event("end", live_document(look))
    except LoadgenError as error:
        yield sent_event("trouble", {"schema_version": 1, "error": str(error)})
    finally:
        state.watchers -= 1


def live_document(look: Look) -> dict[str, object]:
    """What an event carries: the sweep's state, its progress as it was told, and `shown`, the words of the page."""
    row = look.progress
    return {
        "schema_version": 1,
        "sweep_id": look.sweep.sweep_id,
        "status": look.sweep.status,
        "simulated": look.sweep.simulated,
        "runs_stored": look.sweep.runs,
        "updated_at": None if row is None else row.updated_at,
        "progress": None if row is None else row.document,
        "shown": None if look.sweep.status != "running" else shown(live_view(row, datetime.now(UTC))),
    }


def shown(view: LiveView) -> dict[str, object]:
    """The fields that the page's script puts where they belong, by the names that the template gives them."""
    words = asdict(view)
    for name in ("rates", "ttfts"):
        course = words.pop(name)
        words |= {name: course["path"], f"{name}_top": course["top"]}
    return words

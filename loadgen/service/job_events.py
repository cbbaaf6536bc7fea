"""How a job goes, as events that travel: from its process to the service as lines of JSON, and on to whoever follows it.

Runs are named by their position in the grid, which whoever has the spec can write out himself.
"""

import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from loadgen.analysis.document.run import RunDocument
from loadgen.engine.drive.driver import Progress
from loadgen.experiments import events
from loadgen.load.spec import RunSpec

Told = dict[str, Any]
"""An event: its name under `event`, and what it says."""

PASSING = ("phase", "progress")
"""Events of which only the latest says anything."""


def told(event: events.Event) -> Told | None:
    """The event in words that travel; None for one that no job has."""
    match event:
        case events.RouteChosen():
            return {"event": "way", "url": event.url, "insecure": event.insecure}
        case events.AskedAgain():
            return {"event": "asked_again", **asdict(event)}
        case events.SweepStarted():
            return {
                "event": "sweep",
                "sweep_id": event.sweep_id,
                "resumed": event.resumed,
                "kept_runs": event.kept,
                "planned_runs": len(event.runs),
                "server": event.server,
            }
        case events.NothingToResume():
            return {"event": "nothing_to_resume", "sweep_id": event.sweep_id}
        case events.PhaseStarted():
            label = event.run.load_label
            return {"event": "phase", "position": event.position, "phase": event.phase, "load_label": label}
        case events.PromptsNotFitted():
            return {"event": "prompts_not_fitted", "load_label": event.run.load_label}
        case events.RunProgressed():
            return {"event": "progress", **asdict(event.progress)}
        case events.SavingDelayed():
            return {"event": "note", "message": f"saving the run is tried again: {event.reason}"}
        case events.DiskSpaceShort():
            return {
                "event": "note",
                "message": f"{event.what} may need {event.needed_bytes:,} bytes, and {event.free_bytes:,} are free",
            }
        case events.DatabaseRestored():
            return {
                "event": "note",
                "message": f"the database {event.place} was deleted or moved: a copy of it is there again",
            }
        case events.RunEnded():
            return {
                "event": "run",
                "position": event.position,
                "run_id": event.document["run_id"],
                "verdict": event.document["verdict"]["status"],
                "took_s": event.took_s,
            }
    return None


def heard(event: Told, runs: Sequence[RunSpec], document: RunDocument | None) -> events.Event | None:
    """The event that was `told` of a job whose grid comes to `runs`; None for one that is not a sweep's.

    `document` is that of the run that a `run` event names.
    """
    match event:
        case {"event": "way", "url": url, "insecure": insecure}:
            return events.RouteChosen(url, None, insecure)
        case {"event": "asked_again", "url": url, "why": why, "wait_s": wait_s, "limit_s": limit_s}:
            return events.AskedAgain(url, why, wait_s, limit_s)
        case {"event": "sweep", "sweep_id": sweep_id, "resumed": resumed, "server": server, "kept_runs": kept_runs}:
            return events.SweepStarted(sweep_id, resumed, server, tuple(runs), kept_runs)
        case {"event": "nothing_to_resume", "sweep_id": sweep_id}:
            return events.NothingToResume(sweep_id)
        case {"event": "phase", "position": position, "phase": phase}:
            return events.PhaseStarted(position, runs[position - 1], phase)
        case {"event": "prompts_not_fitted", "load_label": load_label}:
            run = next((run for run in runs if run.load_label == load_label), None)
            return None if run is None else events.PromptsNotFitted(run)
        case {"event": "progress"}:
            known = Progress.__dataclass_fields__
            return events.RunProgressed(Progress(**{key: value for key, value in event.items() if key in known}))
        case {"event": "run", "position": position, "took_s": took_s} if document is not None:
            return events.RunEnded(position, runs[position - 1], document, took_s)
    return None


class Log:
    """What one attempt at a job has told so far, numbered. Of what passes only the latest is kept, so it stays small."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self._lasting: list[tuple[int, Told]] = []
        self._passing: dict[str, tuple[int, Told]] = {}
        self._number = 0
        self._lock = threading.Lock()

    def add(self, event: Told) -> None:
        with self._lock:
            self._number += 1
            if (name := event.get("event")) in PASSING:
                self._passing[name] = (self._number, event)
            else:
                self._lasting.append((self._number, event))

    def after(self, number: int) -> list[tuple[int, Told]]:
        """The events with a number above `number`, in order, as far as they are kept."""
        with self._lock:
            if self._number <= number:
                return []
            kept = [*self._lasting, *self._passing.values()]
        return sorted((each for each in kept if each[0] > number), key=lambda each: each[0])

"""How many bytes a sweep will need on disk: temporary files while a run lasts, and the database. Estimates, never measurements.

Against six runs on the simulator and the streams recorded of vLLM, of short and long replies,
chat, long prompts and three choices, they were 1.0 to 2 times what was needed; servers with several tokens a chunk need less.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from loadgen.load.disk import bulk_folder
from loadgen.load.schedule import planned_requests
from loadgen.load.spec import RunSpec
from loadgen.spec.size import body_bytes

_CHUNK_BYTES = 400  # of a response: one token's event with its framing, stamp and place
_RECORD_BYTES, _ARRIVAL_BYTES = 300, 30  # of a request and of each of its chunks: by worker, and in order
_RUN_STORED_BYTES = 40_000  # its document, its outline and a few samples
_REQUEST_STORED_BYTES, _ARRIVAL_STORED_BYTES = 160, 8


def spool_bytes(run: RunSpec) -> int | None:
    """What lies in temporary files at most while a run lasts; None where the number of requests depends on the server."""
    requests = planned_requests(run)
    if requests is None:
        return None
    each = body_bytes(run) + _RECORD_BYTES + _tokens(run) * (_CHUNK_BYTES + _ARRIVAL_BYTES)
    return requests * each


def database_bytes(run: RunSpec) -> int | None:
    """What a run takes of the database; None where the number of requests depends on the server."""
    requests = planned_requests(run)
    if requests is None:
        return None
    return _RUN_STORED_BYTES + requests * (_REQUEST_STORED_BYTES + _tokens(run) * _ARRIVAL_STORED_BYTES)


def most_spool_bytes(runs: Sequence[RunSpec]) -> int | None:
    """Of the run that needs most, since they come one after another; None where that of one is not known."""
    known = [each for run in runs if (each := spool_bytes(run)) is not None]
    return max(known, default=0) if len(known) == len(runs) else None


def sum_database_bytes(runs: Sequence[RunSpec]) -> int | None:
    """Of all runs; None where that of one is not known."""
    known = [each for run in runs if (each := database_bytes(run)) is not None]
    return sum(known) if len(known) == len(runs) else None


def short_places(runs: Sequence[RunSpec], database: Path | None) -> list[tuple[str, Path, int, int]]:
    """(what, its folder, the bytes that it needs, those free) for the temporary files and the database where room is short."""
    needed = [("the temporary files of a run", bulk_folder(), _known_max(runs))]
    if database is not None:
        needed.append(("the database", database.parent, sum(database_bytes(run) or 0 for run in runs)))
    found = [(what, folder, most, _free_bytes(folder)) for what, folder, most in needed]
    return [(what, folder, most, free) for what, folder, most, free in found if free is not None and free < most]


def _known_max(runs: Sequence[RunSpec]) -> int:
    return max((spool_bytes(run) or 0 for run in runs), default=0)


def _tokens(run: RunSpec) -> int:
    return run.output_tokens * run.workload.choices


def _free_bytes(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize

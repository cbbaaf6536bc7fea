"""From a file to a sweep that the store takes, marked with where it came from.

Which format a file has is decided here, by what its document looks like: ours, or that of another client.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.sweep import SweepDocument
from loadgen.errors import UsageError
from loadgen.importers import aiperf, guidellm, inference_perf, own, vllm_bench
from loadgen.importers.file import ResultFile, read_file, shown
from loadgen.importers.foreign import ForeignRun, sweep_of
from loadgen.store.rows import ImportMark, SweepRow


@dataclass(frozen=True, slots=True)
class FoundSweep:
    """A sweep of a file, ready for `Store.add_imported`."""

    sweep: SweepRow
    runs: list[RunDocument]
    notes: tuple[str, ...] = ()  # what the file has and could not be taken


@dataclass(frozen=True, slots=True)
class ForeignFormat:
    """How to know another client's file, and how to read it: its version and its runs."""

    tool: str
    is_one: Callable[[Any], bool]
    read: Callable[[Any, datetime], tuple[str | None, list[ForeignRun]]]


FORMATS = (
    ForeignFormat(vllm_bench.TOOL, vllm_bench.is_one, vllm_bench.read),
    ForeignFormat(guidellm.TOOL, guidellm.is_one, guidellm.read),
    ForeignFormat(aiperf.PREDECESSOR, aiperf.is_genai_perf, aiperf.read_genai_perf),  # which look like AIPerf's too
    ForeignFormat(aiperf.TOOL, aiperf.is_one, aiperf.read),
    ForeignFormat(inference_perf.TOOL, inference_perf.is_one, inference_perf.read),
)


def read_sweeps(path: Path, *, simulated: bool = False) -> tuple[FoundSweep, ...]:
    """The sweeps in the file at `path`: one, or those of a group that have a result. Otherwise as `read_sweep`."""
    file = read_file(path)
    sweeps = own.sweeps_of_group(file.document)
    if sweeps is None:
        return (_found(path, file, simulated=simulated),)
    if not sweeps:
        raise UsageError(f"{shown(path)} is a group of sweeps without a run")
    return tuple(_found(path, replace(file, document=each), simulated=simulated) for each in sweeps)


def read_sweep(path: Path, *, simulated: bool = False) -> FoundSweep:
    """The sweep in the file at `path`; `simulated`: another client measured the simulator, which its file does not tell. Raises UsageError in one sentence that names the file and what is wrong with it."""
    return _found(path, read_file(path), simulated=simulated)


def _found(path: Path, file: ResultFile, *, simulated: bool) -> FoundSweep:
    try:
        document = _foreign(file, simulated) or file.document
        sweep, runs = own.measured(document)
    except UsageError as error:
        raise UsageError(f"{shown(path)} {error}") from None
    tool, version = own.measured_by(document)
    mark = ImportMark(file.name, file.sha256, datetime.now(UTC).isoformat(), tool, version)
    notes = [f"{place} is not a finite number and is null" for place in file.not_finite]
    notes += [note for run in runs if (told := run.get("foreign")) is not None for note in told.get("notes", ())]
    return FoundSweep(replace(sweep, imported=mark), runs, tuple(dict.fromkeys(notes)))


def _foreign(file: ResultFile, simulated: bool) -> SweepDocument | None:
    """Another client's results as a sweep's document of ours; None where they are none of those that are known."""
    if vllm_bench.is_ours(file.document):
        raise UsageError("was exported from loadgen in the form of vllm bench: export it as json, and import that")
    known = next((each for each in FORMATS if each.is_one(file.document)), None)
    if known is None:
        return None
    try:
        version, runs = known.read(file.document, file.written_at)
    except ValidationError as error:
        expected = f"expected is a result of {known.tool}"
        raise UsageError(f"looks like a result of {known.tool} and {own.first(error, expected)}") from None
    except (ValueError, OverflowError, OSError):  # of moments that no calendar has
        raise UsageError(f"looks like a result of {known.tool} and has a moment that is none") from None
    marked = tuple(f"{place} is not a finite number and is null" for place in file.not_finite)
    runs = [replace(run, notes=(*marked, *run.notes)) for run in runs]
    return sweep_of(known.tool, version, file.name.removesuffix(".json"), runs, simulated=simulated)

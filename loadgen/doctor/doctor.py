"""`loadgen doctor`: the host, then the engine against a known truth, and one line that says how far to trust it here.

`host_hash` names the machine that a result is true of.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

from loadgen.analysis.document.doctor import DoctorDocument, DoctorLevelDocument, ExaminedHost, HostCheckDocument
from loadgen.analysis.document.run import DoctorLevel, DoctorNote
from loadgen.analysis.document.server import EnvironmentDocument
from loadgen.doctor.calibration import calibrate
from loadgen.doctor.host_checks import check_host
from loadgen.errors import ExitCode
from loadgen.load.spec import canonical_hash
from loadgen.servers.environment import environment


def host_hash() -> str:
    """Names this machine as far as the client's error depends on it: name, processors and kernel."""
    return canonical_hash(_host())


def examine(streams: Sequence[int], on_step: Callable[[str], None]) -> DoctorDocument:
    """The doctor's document. `on_step` hears what is being looked at. Raises what `calibrate` raises."""
    on_step("looking at this host")
    checks = check_host(max(streams))
    levels = calibrate(streams, lambda number: on_step(f"the engine against the simulator at {_streams(number)}"))
    return document_of(checks, levels)


def document_of(checks: list[HostCheckDocument], levels: list[DoctorLevelDocument]) -> DoctorDocument:
    """The host's lines and the levels as one document, with the summary line."""
    known = cast(EnvironmentDocument, environment())
    return {
        "schema_version": 1,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "loadgen_version": known["loadgen_version"],
        "git_commit": known["git_commit"],
        "host_hash": host_hash(),
        "host": _host(),
        "summary": summary_line(levels),
        "kept": not any(level["broken"] for level in levels),
        "checks": checks,
        "levels": levels,
    }


def _host() -> ExaminedHost:
    known = environment()
    return cast(ExaminedHost, {key: known[key] for key in ExaminedHost.__annotations__})


def exit_code(document: DoctorDocument) -> ExitCode:
    """4 when the client broke its promise at some number of streams; what the host's lines warn of alone is no failure."""
    return ExitCode.OK if document["kept"] else ExitCode.GATE_FAILED


def summary_line(levels: Sequence[DoctorLevelDocument]) -> str:
    """Fit to be put into a paper: the client's error at the most streams at which it kept its promise."""
    kept = [level for level in levels if not level["broken"]]
    shown = max(kept or levels, key=lambda level: level["streams"])
    name, ttft_s = "p99", shown["ttft_error_p99_s"]
    if ttft_s is None:
        name, ttft_s = "p50", shown["ttft_error_p50_s"]
    figures = [
        f"TTFT {name} {_ms(ttft_s)}",
        f"gap p99 {_ms(shown['gap_p99_error_s'])}",
        f"{shown['stamp_source']} stamps",
    ]
    line = f"client error at {_streams(shown['streams'])}: {', '.join(figures)}"
    broken = [level["streams"] for level in levels if level["broken"]]
    return line if not broken else f"{line}; not to be trusted at {', '.join(f'{each:,}' for each in broken)} streams"


def attached(document: DoctorDocument | None) -> DoctorNote | None:
    """What a run keeps of the doctor's last document for its host; None where there is none."""
    if document is None:
        return None
    levels: list[DoctorLevel] = [
        {
            "streams": level["streams"],
            "ttft_error_p50_s": level["ttft_error_p50_s"],
            "ttft_error_p99_s": level["ttft_error_p99_s"],
            "gap_p99_error_s": level["gap_p99_error_s"],
            "broken": level["broken"],
        }
        for level in document["levels"]
    ]
    return {
        "measured_at": document["measured_at"],
        "loadgen_version": document["loadgen_version"],
        "summary": document["summary"],
        "levels": levels,
    }


def _ms(value_s: float | None) -> str:
    return "not known" if value_s is None else f"{abs(value_s) * 1e3:.2g} ms"


def _streams(number: int) -> str:
    return "1 stream" if number == 1 else f"{number:,} streams"

"""`loadgen sweep --service`: the sweep is measured over there, and everything that is shown is as if it were measured here."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import typer

from loadgen.cli.console.terminal import Terminal, show_json, stdout
from loadgen.cli.progress.sweep import SweepProgress
from loadgen.cli.tables.sweep import show_sweep
from loadgen.errors import ExitCode, UsageError
from loadgen.experiments.events import NothingToResume
from loadgen.experiments.sweep_record import sweep_hash
from loadgen.experiments.sweep_request import read_request
from loadgen.load.spec import RunSpec
from loadgen.report.format import ordinal
from loadgen.service.documents import JobDocument
from loadgen.service.job_events import heard
from loadgen.service.service_client import JobError, ServiceClient, sweep_row
from loadgen.service.submission import REFUSED_KEYS
from loadgen.spec.runs import resolve


def submit(
    terminal: Terminal,
    values: Mapping[str, object],
    file: Path | None,
    *,
    service: str,
    token_env: str,
    as_json: bool,
    resume: bool,
) -> None:
    """Send it, follow it, show what came of it, and end with the exit code that it would have had here."""
    request = read_request({key: value for key, value in values.items() if value not in ([], ())}, file)
    for key, reason in REFUSED_KEYS.items():
        if request.values.get(key) or (request.variants is not None and key in ("profile", "matrix")):
            raise UsageError(f"{request.origin.name(key)} does not go with --service: it {reason}")
    if not request.names_server:
        raise UsageError("--service needs --url, which says which server is to be measured from there")
    runs = resolve(request.sweeps()[0].spec)
    with ServiceClient(service, os.environ, token_env) as client:
        with SweepProgress(terminal, resume=resume) as progress:
            job = _begin(client, request.values, sweep_hash(runs), progress, resume=resume)
            job = _follow(client, job, runs, progress)
        _show(terminal, client, job, as_json=as_json)
    if job.exit_code is not None and job.exit_code not in (ExitCode.OK, ExitCode.INVALID_RUN):
        raise JobError(f"the job {job.job_id} ended early: {job.message}", job.exit_code)
    if job.exit_code != ExitCode.OK:
        raise typer.Exit(ExitCode.INTERRUPTED if job.exit_code is None else job.exit_code)


def _begin(
    client: ServiceClient, values: Mapping[str, object], spec_hash: str, progress: SweepProgress, *, resume: bool
) -> JobDocument:
    """The job to follow: a new one, or with `resume` the latest of that grid that has not finished."""
    earlier = client.newest_of(spec_hash) if resume else []
    unfinished = next((job for job in earlier if job.status != "finished"), None)
    if unfinished is not None and unfinished.status not in ("queued", "running"):
        job = client.resume(unfinished.job_id)
    elif unfinished is not None:
        job = unfinished
    elif earlier:
        if earlier[0].sweep_id is not None:
            progress(NothingToResume(earlier[0].sweep_id))
        return earlier[0]
    else:
        job = client.submit(values)
    progress.say(f"job {job.job_id} at {client.url}, which measures one job at a time on {job.target}")
    return job


def _follow(client: ServiceClient, job: JobDocument, runs: Sequence[RunSpec], progress: SweepProgress) -> JobDocument:
    """The job at its end. Ctrl-C cancels it: once after the answers on their way, twice at once; a third time only we leave."""
    after: str | None = None
    interrupts = 0
    shown_place = ""
    while job.ended_at is None:
        try:
            for number, name, value in client.events(job.job_id, after):
                after = number or after
                if name == "job":
                    job = JobDocument(**value)
                    if (place := _queue_place(job)) and place != shown_place:
                        shown_place = place
                        progress.say(place)
                elif name == "note":
                    progress.say(value["message"])
                else:
                    document = client.run(value["run_id"]) if name == "run" else None
                    if (event := heard({"event": name, **value}, runs, document)) is not None:
                        progress(event)
        except KeyboardInterrupt:
            interrupts += 1
            if interrupts > 2:
                progress.say(f"the job {job.job_id} is left to itself: {client.url}/jobs shows it")
                raise
            with suppress(UsageError):  # it has just ended
                client.cancel(job.job_id)
            progress.say("cancelling the job" if interrupts == 1 else "ending it now; Ctrl-C again leaves it to itself")
    return job


def _queue_place(job: JobDocument) -> str:
    """What to say of a job that waits; nothing of one that is running, or that is the next to start."""
    if job.status != "queued" or job.waits_for_job_id is None or job.queue_position is None:
        return ""
    return f"{ordinal(job.queue_position)} in the queue of {job.target}, after the job {job.waits_for_job_id}"


def _show(terminal: Terminal, client: ServiceClient, job: JobDocument, *, as_json: bool) -> None:
    if job.sweep_id is None:
        return
    document = client.sweep(job.sweep_id)
    if as_json:
        show_json(document)
    elif document["runs"]:
        show_sweep(stdout(), sweep_row(document), document["runs"])
        terminal.note(f"saved over there as {job.sweep_id}; look closer at {client.url}/sweeps/{job.sweep_id}")

"""Where a series comes from: hosts, servers, GPUs, days, and the loadgen that measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.server.served_gpus import gpu_names
from loadgen.study.measured import MeasuredPoint

_COMMIT_DIGITS = 10


@dataclass(frozen=True, slots=True)
class SeriesSource:
    """The distinct values over all runs of a series, in order; what no run reports is absent."""

    runs: int
    hosts: tuple[str, ...]
    servers: tuple[str, ...]
    gpus: tuple[str, ...]
    days: tuple[str, ...]  # the first and the last, one if they are the same
    loadgen: tuple[str, ...]  # versions with commits
    sweep_ids: tuple[str, ...]
    on_one_gpu: tuple[str, ...] = ()  # models that the study plans over several GPUs, with their number


def source_of(points: Sequence[MeasuredPoint]) -> SeriesSource:
    runs = list({run["run_id"]: run for point in points for run in point.runs}.values())
    days = sorted({run["started_at"][:10] for run in runs})
    return SeriesSource(
        runs=len(runs),
        hosts=_distinct(_host(run) for run in runs),
        servers=_distinct(" ".join(filter(None, (run["server"]["name"], run["server"]["version"]))) for run in runs),
        gpus=_distinct(_gpus(run) for run in runs),
        days=tuple(dict.fromkeys((days[0], days[-1]))) if days else (),
        loadgen=_distinct(_loadgen(run) for run in runs),
        sweep_ids=_distinct(run["sweep_id"] for run in runs),
        on_one_gpu=on_one_gpu(points),
    )


def on_one_gpu(points: Iterable[MeasuredPoint]) -> tuple[str, ...]:
    """Return `mixtral-8x7b (planned over 2)` for each model that the study plans over several GPUs and one GPU served."""
    return _distinct(
        f"{point.point.variant.served.model} (planned over {gpus})"
        for point in points
        if (gpus := point.point.variant.planned_gpus) is not None
    )


def merged(sources: Iterable[SeriesSource]) -> SeriesSource:
    """One source of several, such as those of a series in each study. Runs that two studies share count twice."""
    each = list(sources)
    days = sorted(day for source in each for day in source.days)
    return SeriesSource(
        runs=sum(source.runs for source in each),
        days=tuple(dict.fromkeys((days[0], days[-1]))) if days else (),
        hosts=_distinct(host for source in each for host in source.hosts),
        servers=_distinct(server for source in each for server in source.servers),
        gpus=_distinct(gpus for source in each for gpus in source.gpus),
        loadgen=_distinct(release for source in each for release in source.loadgen),
        sweep_ids=_distinct(sweep_id for source in each for sweep_id in source.sweep_ids),
        on_one_gpu=_distinct(label for source in each for label in source.on_one_gpu),
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def _host(run: RunDocument) -> str:
    environment = run["environment"]
    parts = (environment["host"].get("name"), environment.get("cpu_model"))
    return ", ".join(str(part) for part in parts if part)


def _gpus(run: RunDocument) -> str:
    names = gpu_names({"server": run["server"], "gpu": run.get("gpu")}) or []
    return " + ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))


def _loadgen(run: RunDocument) -> str:
    environment = run["environment"]
    commit = str(environment.get("git_commit") or "")
    changed = "+" if commit.endswith("+") else ""
    words = (environment.get("loadgen_version"), commit[:_COMMIT_DIGITS] + changed if commit else "")
    return " ".join(str(word) for word in words if word)

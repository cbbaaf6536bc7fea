"""`study plan` as a table: the servers with their memory and time, those that differ in nothing shown on one row."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column
from rich.text import Text

from loadgen.cli.tables.style import numbers, plain_table
from loadgen.experiments.study.duration import Basis
from loadgen.experiments.study.study_plan import StudyPlan, VariantPlan
from loadgen.report.format import MISSING_FIGURE, number, plural, seconds
from loadgen.servers.profiles.memory_fit import GB
from loadgen.study.claims import Value
from loadgen.study.study_file import STUDIES, StudyFile


def study_plan_table(plan: StudyPlan) -> RenderableType:
    study = plan.file.study
    if not study.needs_server:
        return Text(
            f"{study.name} is arithmetic over {plural(len(study.models), 'model')} and needs no server; "
            f"`loadgen study report {_name(plan.file)}` shows it."
        )
    rows = tuple(_rows(plan.servers))
    table = plain_table(
        Column("server", overflow="fold", min_width=24),
        *numbers("GPUs", "weights", "KV", "fit", "starts", "points", "runs", "time", "GPU-h"),
    )
    for name, group in groupby(rows, key=lambda row: row.profile):
        under = tuple(group)
        shared = _shared_settings(under)
        if len(under) > 1:
            table.add_row(Text.assemble((name, "bold"), f", {_described(shared)}" if shared else ""))
        for row in under:
            label = Padding(row.label(shared), (0, 0, 0, 2)) if len(under) > 1 else row.full_label
            table.add_row(label, *_cells(row.servers))
    return Group(
        Text.assemble((study.title, "bold"), " on tiny models\n" if plan.is_tiny else f" on {plan.hardware.title}\n"),
        table,
        *(Text(line) for line in _legend(plan)),
        *(Text(line) for line in _waiting(rows)),
        *(Text(line, style="yellow") for line in _problems(rows)),
        Text(),
        Text(_summary(plan)),
        *(Text(line) for line in _on_record(plan)),
        *(Text(line) for line in _sources(plan)),
        Text("Nothing was started or sent."),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    servers: tuple[VariantPlan, ...]
    is_named_by_settings: bool  # no other row of its profile has the same

    @property
    def profile(self) -> str:
        return self.servers[0].variant.variant.name

    def label(self, shared: Mapping[str, object]) -> str:
        """What distinguishes the row from others of its profile that have the `shared` settings too."""
        settings = {name: values for name, values in _settings(self.servers).items() if name not in shared}
        if self.is_named_by_settings and settings:
            return _described(settings)
        return self.servers[0].variant.label.removeprefix(self.profile).strip() or self.profile

    @property
    def full_label(self) -> str:
        label = self.label({})
        return label if label == self.profile else f"{self.profile}: {label}"


def _rows(servers: Sequence[VariantPlan]) -> Iterator[_Row]:
    """Yield the servers by profile and memory, in order. Servers on one row differ in their settings alone."""
    alike: dict[object, list[VariantPlan]] = {}
    for each in servers:
        alike.setdefault(_figures(each), []).append(each)
    groups = [tuple(group) for group in alike.values()]
    whole = [part for group in groups for part in ([group] if _is_product(group) else [(each,) for each in group])]
    names = [(group[0].variant.variant.name, _described(_settings(group))) for group in whole]
    count = Counter(names)
    for group, name in zip(whole, names, strict=True):
        yield _Row(group, count[name] == 1)


def _figures(server: VariantPlan) -> tuple[object, ...]:
    """What servers on one row have in common."""
    memory = server.memory
    held = (
        None
        if memory is None
        else (memory.weights_bytes + memory.draft_weights_bytes, memory.kv_cache_bytes, memory.kv_bytes_per_token)
    )
    limits = server.gpus, server.max_num_seqs
    return server.variant.variant.name, limits, held, server.problems, server.runs, server.unknown


def _settings(servers: Iterable[VariantPlan]) -> dict[str, tuple[Value, ...]]:
    found: dict[str, dict[Value, None]] = {}
    for server in servers:
        for name, value in server.variant.settings.items():
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def _is_product(servers: Sequence[VariantPlan]) -> bool:
    """Whether they are every combination of their settings, so that a list of values for each describes them."""
    return prod(len(values) for values in _settings(servers).values()) == len(servers)


def _shared_settings(rows: Sequence[_Row]) -> dict[str, tuple[Value, ...]]:
    """The settings whose values are the same on all rows."""
    first, *others = [_settings(row.servers) for row in rows]
    return {name: values for name, values in first.items() if all(other.get(name) == values for other in others)}


def _described(settings: Mapping[str, tuple[Value, ...]]) -> str:
    """`ffn_size 1792, experts 8, top_k 1/2/4/8`."""
    return ", ".join(f"{name} {'/'.join(_value(value) for value in values)}" for name, values in settings.items())


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cells(servers: Sequence[VariantPlan]) -> tuple[str | Text, ...]:
    first = servers[0]
    memory = first.memory if _has_shown_memory(first) else None
    starts, runs = sum(each.starts for each in servers), sum(each.runs for each in servers)
    weights = None if memory is None else (memory.weights_bytes + memory.draft_weights_bytes) / GB
    kv_cache = None if memory is None else memory.kv_cache_bytes / GB
    return (
        str(first.gpus) if first.gpus else MISSING_FIGURE,
        MISSING_FIGURE if weights is None else f"{weights:.1f}",
        MISSING_FIGURE if kv_cache is None or kv_cache < 0 else f"{kv_cache:.1f}",
        MISSING_FIGURE if memory is None else number(first.sequences),
        str(starts),
        str(sum(len(each.points) for each in servers)),
        str(runs),
        *_times(servers),
    )


def _has_shown_memory(server: VariantPlan) -> bool:
    """Whether its memory matters: it is started, or is not for lack of memory."""
    return server.memory is not None and (server.starts > 0 or server.memory.problem is not None)


def _times(servers: Sequence[VariantPlan]) -> tuple[str | Text, str]:
    if not any(each.starts for each in servers):
        return Text("cannot run", style="yellow"), MISSING_FIGURE
    if any(each.estimated_s is None for each in servers):
        return "unknown", MISSING_FIGURE
    time_s = sum(each.estimated_s or 0.0 for each in servers)
    hours = sum(each.gpu_hours or 0.0 for each in servers)
    return ("≥ " if any(each.is_bound for each in servers) else "") + rounded(time_s), f"{hours:.2f}"


def _largest_batch(server: VariantPlan) -> int:
    """The most requests that a point has in flight at once; 0 if all arrive at a rate."""
    runs = [each.point.run for each in server.points]
    return max((run.concurrency or run.shape.batch_size or 0 for run in runs), default=0)


def _legend(plan: StudyPlan) -> Iterator[str]:
    if not any(map(_has_shown_memory, plan.servers)):
        return
    longest = max(each.longest_tokens for each in plan.servers)
    yield (
        "weights, KV: GB of each GPU, for the weights and left for the KV cache. "
        f"fit: requests of the longest point ({longest:,} tokens) that the KV cache holds at once."
    )


def _waiting(rows: Sequence[_Row]) -> Iterator[str]:
    """Servers whose KV cache is too small for the largest load: its requests take turns."""
    found: dict[str, list[VariantPlan]] = {}
    for row in rows:
        server = row.servers[0]
        batch = _largest_batch(server)
        if not server.runs:
            continue
        if server.sequences is not None and server.sequences < batch:
            sentence = f"{server.sequences} of the longest requests fit at once, of up to {batch}: the others wait"
            found.setdefault(sentence, []).extend(row.servers)
        if server.max_num_seqs is not None and server.max_num_seqs < batch:
            sentence = (
                f"max-num-seqs lets {server.max_num_seqs} requests run at once, of up to {batch}: the others wait"
            )
            found.setdefault(sentence, []).extend(row.servers)
    for sentence, servers in found.items():
        yield f"{_named(servers)}: {sentence}"


def _problems(rows: Sequence[_Row]) -> Iterator[str]:
    """Why servers or points cannot run, and why a time is not known: each reason once, with whom it concerns."""
    found: dict[str, list[VariantPlan]] = {}
    for row in rows:
        for problem in row.servers[0].problems:
            found.setdefault(problem, []).extend(row.servers)
    for problem, servers in found.items():
        points = [each for server in servers for each in server.points if each.problem == problem]
        whole = all(server.problem for server in servers)
        what = "cannot run" if whole else f"{plural(len(points), 'point')} cannot run"
        yield f"{_named(servers)}: {what}: {problem}"
    unknown: dict[str, list[VariantPlan]] = {}
    for row in rows:
        if row.servers[0].unknown is not None:
            unknown.setdefault(row.servers[0].unknown, []).extend(row.servers)
    for reason, servers in unknown.items():
        yield f"{_named(servers)}: unknown time: {reason}"


def _named(servers: Sequence[VariantPlan]) -> str:
    profiles = ", ".join(dict.fromkeys(each.variant.variant.name for each in servers))
    return profiles if len(servers) == 1 else f"{profiles} ({len(servers)} servers)"


def _summary(plan: StudyPlan) -> str:
    without = sum(1 for each in plan.points if not each.runs)
    points = plural(len(plan.points), "point") + (f" ({without:,} cannot run)" if without else "")
    amount = f"{points}; {plural(plan.starts, 'start')}, {plural(plan.runs, 'run')}"
    if not plan.runs:
        lacks_memory = any(each.memory is not None and each.memory.problem for each in plan.servers)
        hint = f" None of it can be measured on {plan.hardware.title}; name another with --hardware."
        return f"{amount}.{hint if lacks_memory else ''}"
    if plan.known_s is None or plan.known_gpu_hours is None:
        return f"{amount}; unknown time."
    least = "at least " if plan.is_bound else "about "
    time = f"{least}{rounded(plan.known_s)}, {plan.known_gpu_hours:,.2f} GPU-hours, warm-ups included"
    others = plan.starts - len(plan.known)
    rest = f", without the {plural(others, 'server')} of unknown time" if others else ""
    return f"{amount}; {time}{rest}."


def _on_record(plan: StudyPlan) -> Iterator[str]:
    """What other studies have measured of it, and what is left."""
    found = plan.on_record
    if found is None:
        return
    left = (
        f"the other {plural(found.runs, 'run')}, with {plural(plan.starts_left, 'start')}" if found.runs else "nothing"
    )
    yield f"{found.sentence}: `loadgen study run {_name(plan.file)}` measures {left}; with --again, all."


def _sources(plan: StudyPlan) -> Iterator[str]:
    """What the times rest on."""
    bases = Counter(each.duration.basis for each in plan.points if each.runs)
    words: Mapping[Basis, str] = {
        "earlier": "as on record",
        "predicted": "as predicted on record",
        "stated": "as the study states",
        "bound": "by the roofline, a lower bound",
    }
    parts = [f"{plural(bases[basis], 'point')} {text}" for basis, text in words.items() if bases[basis]]
    starts = Counter(each.start.basis for each in plan.servers if each.starts)
    assumed_s = next((each.start.seconds for each in plan.servers if each.start.basis == "assumed"), None)
    if starts["earlier"]:
        parts.append(f"{plural(starts['earlier'], 'start')} as on record")
    if starts["assumed"]:
        parts.append(f"{plural(starts['assumed'], 'start')} assumed to take {seconds(assumed_s)} each")
    if parts:
        yield f"Times: {'; '.join(parts)}."
    if plan.file.study.accuracy is not None and plan.starts:
        yield f"Each server is evaluated once ({', '.join(plan.accuracy_tasks)}), which is not in these times."
    if bases["bound"]:
        command = f"loadgen study predict {_name(plan.file)} --hardware {plan.hardware.name}"
        yield f"`{command}` gives estimates instead of lower bounds."


def _name(file: StudyFile) -> str:
    """How the next command names a study: by name if that finds it, else by path."""
    return file.study.name if file.path.parent in STUDIES.folders() else str(file.path)


def rounded(time_s: float) -> str:
    """A long duration, to minutes from five of them on, else to seconds."""
    return seconds(round(time_s / 60) * 60 if time_s >= 300 else round(time_s))

"""The runs that a comparison is of: of the ids in its address, or of the sweeps that its filters let through."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadgen.analysis.document.run import RunDocument
from loadgen.report.comparison.dimensions import Tags
from loadgen.report.comparison.view import Filters, View
from loadgen.report.run_selection import sweep_names
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow

MAX_SWEEPS = 50  # whose runs are read at once


@dataclass(frozen=True, slots=True)
class Chosen:
    """One thing that was chosen, with the id by which the address names it."""

    given: str
    label: str
    sweep: SweepRow
    runs: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, and its runs. `left_out` counts the sweeps that the filters let through beyond `MAX_SWEEPS`."""

    chosen: tuple[Chosen, ...]
    runs: tuple[RunDocument, ...]
    names: dict[str, str]  # of each sweep, by id; no two are the same
    tags: Tags
    left_out: int = 0


def tags_of(sweep: SweepRow) -> list[str]:
    tags = sweep.spec.get("tag")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []


def filtered(sweeps: Iterable[SweepRow], filters: Filters) -> list[SweepRow]:
    words = filters.q.lower().split()

    def passes(sweep: SweepRow) -> bool:
        said = (sweep.name, sweep.sweep_id, sweep.server.get("model"), sweep.server.get("profile"))
        text = " ".join(str(each) for each in said if each).lower()
        day = sweep.created_at[:10]
        return (
            all(word in text for word in words)
            and (not filters.profile or sweep.server.get("profile") == filters.profile)
            and (not filters.model or sweep.server.get("model") == filters.model)
            and (not filters.tag or filters.tag in tags_of(sweep))
            and (not filters.since or day >= filters.since)
            and (not filters.until or day <= filters.until)
        )

    return [sweep for sweep in sweeps if passes(sweep)]


def select(store: Store, view: View) -> Selection:
    """The runs that `view` names, each once, in the order named. Raises NotFoundError for an id that nothing has."""
    left_out = 0
    sweeps: list[SweepRow] = []
    chosen: list[Chosen] = []
    runs: dict[str, RunDocument] = {}
    documents: list[RunDocument]
    ids: Sequence[str] = view.ids
    listed: dict[str, SweepRow] = {}
    if not ids and view.filters.any:
        found = [sweep for sweep in filtered(store.sweeps(), view.filters) if sweep.runs]
        left_out = max(0, len(found) - MAX_SWEEPS)
        listed = {sweep.sweep_id: sweep for sweep in found[:MAX_SWEEPS]}
        ids = list(listed)
    for given in ids:
        if given.startswith("r"):
            run: RunDocument = store.run(given)
            sweep = store.sweep(run["sweep_id"])
            label = f"{sweep.name or sweep.sweep_id}, {run['spec']['load_label']}, repeat {run['repeat']}"
            chosen.append(Chosen(given, label, sweep, 1))
            found_here, documents = [sweep], [run]
        else:
            found_here = store.group(given) if given.startswith("g") else [listed.get(given) or store.sweep(given)]
            documents = []
            for sweep in found_here:
                of_sweep = store.runs(sweep.sweep_id)
                documents += of_sweep
                chosen.append(Chosen(given, sweep.name or sweep.sweep_id, sweep, len(of_sweep)))
        sweeps += found_here
        runs |= {run["run_id"]: run for run in documents if run["run_id"] not in runs}
    return Selection(
        chosen=tuple(chosen),
        runs=tuple(runs.values()),
        names=sweep_names(list({sweep.sweep_id: sweep for sweep in sweeps}.values())),
        tags={sweep.sweep_id: tags_of(sweep) for sweep in sweeps},
        left_out=left_out,
    )

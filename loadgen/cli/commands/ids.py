"""What a user may write for a sweep, a group or a run: an id, its unique beginning, a unique name, or `latest`."""

from typing import TYPE_CHECKING

from loadgen.errors import NotFoundError

if TYPE_CHECKING:
    from loadgen.analysis.document.run import RunDocument
    from loadgen.store.repository import Store
    from loadgen.store.rows import SweepRow


def full_id(store: "Store", given: str) -> str:
    """Return the full id that `given` stands for. A name wins over the beginning of an id.

    `latest` is the newest sweep with a run, if any has one. Raises NotFoundError.
    """
    if given == "latest":
        sweeps = store.sweeps()
        if not sweeps:
            raise NotFoundError(
                "there is no sweep in the database yet; 'loadgen sweep --help' says how to make one", place=store.place
            )
        return next((sweep for sweep in sweeps if sweep.runs), sweeps[0]).sweep_id
    named = [] if not given.strip() else [sweep for sweep in store.sweeps() if given in _names(sweep)]
    if any(given in (sweep.sweep_id, sweep.group_id) for sweep in named):
        return given
    if named:
        return _one_of(named, given, store)
    if given.startswith("r"):
        run: RunDocument = store.run(given)
        return run["run_id"]
    if given.startswith("g"):
        return str(store.group(given)[0].group_id)
    return store.sweep(given).sweep_id


def _names(sweep: "SweepRow") -> tuple[object, ...]:
    """The ids and names by which the sweep is found; those of one group share the name that was given to it."""
    return sweep.sweep_id, sweep.group_id, sweep.name, sweep.spec.get("name")


def _one_of(named: list["SweepRow"], given: str, store: "Store") -> str:
    if len(named) == 1:
        return named[0].sweep_id
    groups = {sweep.group_id for sweep in named}
    if len(groups) == 1 and (group_id := groups.pop()) is not None:
        return group_id
    ids = sorted({sweep.group_id or sweep.sweep_id for sweep in named}, reverse=True)
    shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
    raise NotFoundError(
        f"{len(ids)} results in the database have the name {given!r} ({shown}); give an id", place=store.place
    )

"""`loadgen import`: results that were measured elsewhere, from files into the database."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loadgen.cli.console.terminal import Terminal, show_json, warn
from loadgen.cli.flags import options
from loadgen.cli.flags.options import argument
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import ExitCode, LoadgenError
from loadgen.report.format import plural

if TYPE_CHECKING:
    from loadgen.importers.importing import FoundSweep
    from loadgen.store.repository import Store

_FLAGS = (
    Flag("simulated", "", "Another client measured the simulator, which its file does not tell.", type=bool, default=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Imported:
    """What became of one file; one entry of `imported` in the JSON."""

    file: str
    sha256: str
    sweep_id: str
    name: str
    simulated: bool
    runs: int
    was_there: bool

    @property
    def sentence(self) -> str:
        """`imported s261123-152901-4f2a (NAME, 3 runs) from FILE`."""
        simulated = " SIMULATED" if self.simulated else ""
        what = f"{self.sweep_id} ({self.name}{simulated}, {plural(self.runs, 'run')}) from {self.file}"
        return f"already there: {what}" if self.was_there else f"imported {what}"


@command(_FLAGS)
def import_results(
    terminal: Terminal,
    files: Annotated[list[Path], argument("FILE…", "What 'loadgen export' or another client wrote as JSON.")],
    *,
    simulated: bool,
    as_json: options.Json = False,
) -> None:
    """Take results that were measured elsewhere into the database, from the JSON of sweeps and runs.

    Results of vllm bench serve, GuideLLM, AIPerf, genai-perf and inference-perf are taken too, marked as measured by another client. For example: loadgen import results/*.json
    """
    from loadgen.importers.importing import read_sweeps
    from loadgen.store.repository import Store

    imported: list[_Imported] = []
    refused = False
    store: Store | None = None
    try:
        for path in files:
            try:
                sweeps = read_sweeps(path, simulated=simulated)
                store = store or terminal.open_to_write()  # not before there is something to put in
                imported += [_import(store, path, found) for found in sweeps]
                for note in dict.fromkeys(note for found in sweeps for note in found.notes):
                    terminal.note(f"{path.name}: {note}")
                terminal.announce()
            except LoadgenError as error:
                if len(files) == 1:
                    raise
                refused = True
                warn(str(error))
    finally:
        if store is not None:
            store.close()
    if as_json:
        show_json({"schema_version": 1, "imported": [asdict(each) for each in imported]})
    else:
        sys.stdout.writelines(f"{each.sentence}\n" for each in imported)
    if refused:
        raise typer.Exit(ExitCode.USAGE)


def _import(store: "Store", path: Path, found: "FoundSweep") -> _Imported:
    from loadgen.errors import StoreError
    from loadgen.importers.file import shown

    mark = found.sweep.imported
    assert mark is not None
    try:
        is_new = store.add_imported(found.sweep, found.runs)
    except StoreError as error:
        raise StoreError(f"{shown(path)} was not imported: {error}") from error
    return _Imported(
        shown(path),
        mark.sha256,
        sweep_id=found.sweep.sweep_id,
        name=found.sweep.name,
        simulated=found.sweep.simulated,
        runs=len(found.runs),
        was_there=not is_new,
    )

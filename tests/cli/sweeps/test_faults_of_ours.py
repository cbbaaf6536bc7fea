"""A fault of ours in what is made of a run costs that part of the result, and never the run: its finding says what to report."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loadgen.analysis import summary
from loadgen.analysis.checks import validity
from loadgen.cli.app import main
from loadgen.experiments import run as run_steps
from loadgen.experiments import run_document, sweep
from loadgen.experiments.run_document import MeasuredRun, SentRun, SweepContext, document_of
from loadgen.experiments.server_monitor import ServerMonitor
from loadgen.experiments.sweep_record import new_id
from loadgen.load.spec import RunSpec
from loadgen.servers.gpu.watch import GpuWatch
from loadgen.store.repository import Store
from loadgen.web.app import create_app
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback


def fail(*_: object, **__: object) -> Any:
    raise RuntimeError("an unforeseen value")


STAGES: tuple[tuple[Any, str, str], ...] = (
    (run_document, "summarise", "figures"),
    (summary, "measured_of", "outcomes"),
    (run_document, "measured_of", "measured"),
    (summary, "_outcomes", "outcomes"),
    (summary, "_failures", "failures"),
    (summary, "_tokens", "tokens"),
    (summary, "_window", "window"),
    (summary, "_outside", "first_wave"),
    (summary, "_concurrency", "concurrency"),
    (summary, "_rates", "rates"),
    (summary, "_lengths", "lengths"),
    (summary, "by_turn", "by_turn"),
    (summary, "rate_limit_facts", "rate_limits"),
    (summary, "client_facts", "client"),
    (summary, "distribution_of", "ttft_s"),
    (validity, "_apply", "the check errors"),
    (validity, "verdict_of", "verdict"),
    (run_document, "judge", "verdict"),
    (run_document, "outline", "outline"),
    (run_document, "cost_of", "cost"),
    (run_document, "fitted_by", "lengths"),
    (run_document, "environment", "environment"),
    (run_document, "server_account", "server_account"),
    (run_document, "readings_document", "server_readings"),
    (run_document, "gpu_account", "gpu"),
    (run_document, "_add_client", "client"),
    (ServerMonitor, "seen", "server"),
    (GpuWatch, "__exit__", "server"),
)


@pytest.fixture(scope="module")
def sent(point: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> SentRun:
    """A run that was sent once, from which documents may be made again and again."""
    kept: list[SentRun] = []

    def keep(context: SweepContext, run: RunSpec, sent: SentRun) -> MeasuredRun:
        kept.append(sent)
        return document_of(context, run, sent)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_steps, "document_of", keep)
        main(("run", *point, "--quiet", "--db", f"sqlite:///{tmp_path_factory.mktemp('sent')}/loadgen.db"))
    return kept[0]


@pytest.mark.parametrize(("owner", "name", "part"), STAGES)
def test_a_fault_costs_its_part_alone(
    cli: Cli,
    point: tuple[str, ...],
    sent: SentRun,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    part: str,
) -> None:
    def sent_before(context: SweepContext, _: object, run: RunSpec, **place: int) -> MeasuredRun:
        return document_of(context, run, replace(sent, run_id=new_id("r")))

    with monkeypatch.context() as broken:
        broken.setattr(owner, name, fail)
        if owner is not GpuWatch:  # whose fault is met while the server is watched
            broken.setattr(sweep, "measure", sent_before)
        said = cli("run", *point, "--json")
    assert said.measured, said.err
    document = said.json
    finding = next(each for each in document["verdict"]["findings"] if each["code"] == "figures_not_made")
    assert part in finding["message"]
    assert "RuntimeError: an unforeseen value, test_faults_of_ours.py:" in finding["message"]
    assert document["verdict"]["status"] == "doubtful"
    assert (document["outcomes"]["planned"], document["outcomes"]["ok"]) == (8, 8)
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        assert len(store.records(document["run_id"])) == 8
    assert cli("show", document["run_id"]).code == 0


@pytest.mark.parametrize("name", ["summarise", "measured_of", "judge"])
def test_what_is_left_of_a_result_is_shown_everywhere(
    cli: Cli, point: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = cli("run", *point, "--json").json
    with monkeypatch.context() as broken:
        broken.setattr(run_document, name, fail)
        document = cli("run", *point, "--json").json
    for command in (
        ("show", document["sweep_id"]),
        ("list",),
        ("report", document["sweep_id"], "-o", "report.html"),
        ("export", document["sweep_id"], "-o", "out.csv"),
        ("export", document["sweep_id"], "--requests", "-o", "requests.csv"),
        ("compare", whole["sweep_id"], document["sweep_id"]),
    ):
        shown = cli(*command)
        assert shown.code == 0, (command, shown.err)
    with TestClient(create_app("sqlite:///loadgen.db")) as pages:
        for page in ("/", f"/sweeps/{document['sweep_id']}", f"/runs/{document['run_id']}"):
            assert pages.get(page).status_code == 200
    assert cli("export", document["sweep_id"], "-o", "sweep.json").code == 0
    imported = cli("import", "sweep.json", "--db", "sqlite:///elsewhere.db")
    assert imported.code == 0, imported.err


def test_a_fault_of_the_display_costs_no_run(cli: Cli, point: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.cli.progress.sweep.SweepProgress.__call__", fail)
    said = cli("sweep", *point, "--repeats", "2")
    assert said.code == 1
    assert "an unforeseen value" in said.err
    (sweep,) = cli("list", "--json").json["sweeps"]
    assert (sweep["status"], sweep["runs"]) == ("finished", 2)

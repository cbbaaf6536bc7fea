"""A sweep over real sockets, and everything that can be read of it afterwards."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loadgen.engine.records.record import Outcome
from loadgen.servers.simulator import SimulatorProcess
from loadgen.store.repository import Store
from loadgen.web.app import create_app
from tests.cli.conftest import Cli, Said, run_in

pytestmark = pytest.mark.loopback

DISTRIBUTIONS = ("ttft_s", "ttft_from_send_s", "chunk_gap_s", "token_gap_s", "tpot_s", "e2e_latency_s")
# Whether a small run on a busy machine is valid is not the question here.
MEASURED = (0, 3)


def check_run_document(document: dict[str, Any]) -> None:
    """The contract of a run's JSON."""
    assert document["schema_version"] == 1
    for key in ("run_id", "sweep_id", "started_at", "elapsed_s", "environment", "method_version", "goodput_per_s"):
        assert key in document
    for key in DISTRIBUTIONS:
        assert set(document[key]) == {"n", "mean", "min", "p50", "p90", "p95", "p99", "max"}
    outcomes = dict(document["outcomes"])
    planned = outcomes.pop("planned")
    assert set(outcomes) == {outcome.label for outcome in Outcome}
    assert sum(outcomes.values()) == planned
    assert {"prompt", "output", "counted_by"} <= set(document["tokens"])
    assert {"stamp_source", "workers", "cpu_s", "cpu_ratio", "events", "loop_lag_s"} <= set(document["client"])
    assert document["verdict"]["status"] in ("valid", "doubtful", "invalid")
    for finding in document["verdict"]["findings"]:
        assert {"code", "message", "hint"} <= set(finding)
    assert document["spec"]["hash"] != document["spec"]["point_hash"] or document["spec"]["seed"] == 0
    assert document["server"]["dialect"] in ("vllm", "openai")


def test_a_run_shows_its_figures_and_is_on_record(cli: Cli, point: tuple[str, ...]) -> None:
    said = cli("run", *point)
    assert said.code in MEASURED
    assert "SIMULATED" in said.out
    assert "8 of 8 ok" in said.out
    for label in ("TTFT", "Token gap", "TPOT", "tokens/s", "counted by token ids"):
        assert label in said.out
    assert "SIMULATED" in said.err
    assert "loadgen report" in said.err
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        (sweep,) = store.sweeps()
        (document,) = store.runs(sweep.sweep_id)
        records = store.records(document["run_id"])
        samples = store.samples(document["run_id"])
        outline = store.outline(document["run_id"])
    assert (sweep.status, sweep.simulated, sweep.planned_runs) == ("finished", True, 1)
    assert document["tokens"] == {
        "prompt": 64,
        "output": 64,
        "counted_by": "token_ids",
        "hidden": 0,
        "hidden_requests": 0,
        "contradicted_requests": 0,
    }
    assert len(records) == 8
    assert outline is not None
    assert outline["distributions"]["ttft_s"]["n"] == document["ttft_s"]["n"]
    assert outline["over_time"] is not None
    assert sum(tokens or 0 for tokens in outline["over_time"]["output_tokens"]) == 64
    before, after = samples[0].values, samples[-1].values
    assert after["vllm:generation_tokens_total"] - before["vllm:generation_tokens_total"] == 64
    assert samples[0].at_ns < 0 < samples[-1].at_ns


def test_json_of_a_run_is_its_document_and_nothing_else(cli: Cli, point: tuple[str, ...]) -> None:
    said = cli("run", *point, "--json", "-q")
    assert said.err == ""
    check_run_document(said.json)
    assert cli("show", said.json["run_id"], "--json").json == said.json


@pytest.mark.parametrize(
    "load",
    [
        ("--wave", "4"),
        ("--rate", "100", "--requests", "10"),
        ("--rate", "100", "--arrivals", "constant", "--duration-s", "0.1", "--slo", "ttft_s=10"),
        ("--concurrency", "2", "--duration-s", "0.3"),
        ("--concurrency", "2", "--endpoint", "chat", "--requests", "4"),
        ("--concurrency", "2", "--warmup-requests", "0", "--requests", "4"),
    ],
    ids=" ".join,
)
def test_every_kind_of_load(cli: Cli, simulator: SimulatorProcess, load: tuple[str, ...]) -> None:
    server = ("--url", f"{simulator.url}/v1/", "--model", "simulated-moe")
    said = cli("run", *server, "--input-tokens", "16", "--output-tokens", "4", *load, "--json")
    assert said.code in MEASURED
    document = said.json
    check_run_document(document)
    outcomes = document["outcomes"]
    assert outcomes["ok"] > 0
    assert {"asked": 16, "mean": 16, "min": 16, "max": 16}.items() <= document["lengths"]["prompt_tokens"].items()
    assert {"asked": 4, "mean": 4, "min": 4, "max": 4}.items() <= document["lengths"]["output_tokens"].items()
    if "constant" in load:
        assert outcomes["planned"] == outcomes["ok"] == 10
        assert document["goodput_per_s"] is not None
    if "0.3" in load:
        assert document["elapsed_s"] == pytest.approx(0.3, abs=0.25)
    assert (document["paper"] is not None) == ("--wave" in load)


def test_warmup_and_measured_prompts_are_all_different(cli: Cli, simulator: SimulatorProcess) -> None:
    simulator.reset_truth()
    server = ("--url", simulator.url, "--model", "simulated-moe", "--input-tokens", "8", "--output-tokens", "2")
    cli("sweep", *server, "--concurrency", "2", "--requests", "4", "--repeats", "2", "-q")
    asked = [request for request in simulator.truth()["requests"] if request["request_id"]]  # not those that probe it
    assert len(asked) == 2 * (2 + 4)
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        documents = store.runs(store.sweeps()[0].sweep_id)
    assert len({document["spec"]["schedule_hash"] for document in documents}) == 2


@pytest.fixture(scope="module")
def measured_once(tmp_path_factory: pytest.TempPathFactory, point: tuple[str, ...]) -> tuple[Said, Path]:
    """Two points, two repeats, and the folder of their database."""
    folder = tmp_path_factory.mktemp("sweep")
    load = ("--concurrency", "1,2", "--repeats", "2", "--name", "evening")
    return run_in(folder, "sweep", *point, *load, "--json"), folder


@pytest.fixture
def sweep(measured_once: tuple[Said, Path], tmp_path: Path) -> Said:
    """What `measured_once` said; its database is here."""
    said, folder = measured_once
    shutil.copy(folder / "loadgen.db", tmp_path)
    return said


def test_json_of_a_sweep(sweep: Said) -> None:
    assert sweep.code in MEASURED
    document = sweep.json
    assert document["schema_version"] == 1
    assert (document["name"], document["status"], document["planned_runs"]) == ("evening", "finished", 4)
    for run in document["runs"]:
        check_run_document(run)
    order = [(run["repeat"], run["spec"]["seed"], run["spec"]["shape"]["concurrency"]) for run in document["runs"]]
    assert order == [(0, 0, 1), (0, 0, 2), (1, 1, 1), (1, 1, 2)]
    worst = {run["verdict"]["status"] for run in document["runs"]}
    assert sweep.code == (3 if "invalid" in worst else 0)
    assert [line.split()[0] for line in sweep.err.splitlines() if line[:1].isdigit()] == ["1/4", "2/4", "3/4", "4/4"]


def test_list_and_show(cli: Cli, sweep: Said) -> None:
    sweep_id = sweep.json["sweep_id"]
    listed = cli("list")
    assert sweep_id in listed.out
    assert "evening SIMULATED" in listed.out
    assert "4/4" in listed.out
    rows = cli("list", "--json").json["sweeps"]
    assert [(row["sweep_id"], row["runs"]) for row in rows] == [(sweep_id, 4)]
    for id in ("latest", sweep_id, sweep_id[:12]):
        shown = cli("show", id)
        assert shown.code == 0
        assert "SIMULATED" in shown.out
        assert sweep_id in shown.out
    assert cli("show", "latest", "--json").json == sweep.json
    run_id = sweep.json["runs"][2]["run_id"]
    assert run_id in cli("show", "latest").err
    assert "8 of 8 ok" in cli("show", run_id).out


@pytest.mark.parametrize("id", ["nope", "r999999-000000", "s999999"])
def test_an_unknown_id(cli: Cli, sweep: Said, id: str) -> None:
    for command in ("show", "export", "report"):
        said = cli(command, id)
        assert said.code == 2
        assert id in said.err
        assert said.err.count("\n") == 1


def test_a_sweep_has_one_json_form(cli: Cli, sweep: Said) -> None:
    sweep_id = sweep.json["sweep_id"]
    assert cli("show", sweep_id, "--json").json == sweep.json
    assert cli("export", sweep_id, "--format", "json").json == sweep.json
    with TestClient(create_app("sqlite:///loadgen.db")) as browser:
        assert browser.get(f"/sweeps/{sweep_id}.json").json() == sweep.json


def test_export(cli: Cli, sweep: Said, tmp_path: Path) -> None:
    exported = json.loads(cli("export", "latest", "--format", "json").out)
    assert [run["run_id"] for run in exported["runs"]] == [run["run_id"] for run in sweep.json["runs"]]
    rows = list(csv.DictReader(io.StringIO(cli("export", "latest", "--format", "csv").out)))
    assert [row["run_id"] for row in rows] == [run["run_id"] for run in sweep.json["runs"]]
    assert float(rows[0]["ttft_s.p50"]) == sweep.json["runs"][0]["ttft_s"]["p50"]
    said = cli("export", "latest", "--format", "csv", "--requests", "-o", "requests.csv")
    assert said.out == ""
    assert len((tmp_path / "requests.csv").read_text().splitlines()) == 1 + 4 * 8


def test_report(cli: Cli, sweep: Said, tmp_path: Path) -> None:
    assert cli("report", "latest", "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert sweep.json["sweep_id"] in page
    assert "SIMULATED" in page
    said = cli("report", "latest", "-o", "no/such/page.html")
    assert said.code == 2
    assert said.err == "loadgen: cannot write no/such/page.html: no such file or directory\n"


def test_a_plan_sends_nothing_and_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    flags = ("--url", "http://127.0.0.1:9", "--model", "m", "--concurrency", "1,2", "--input-tokens", "8")
    said = cli("sweep", *flags, "--output-tokens", "8", "--repeats", "2", "--plan")
    assert said.code == 0
    assert "4 runs" in said.out
    assert "Nothing was sent" in " ".join(said.out.split())
    planned = cli("sweep", *flags, "--output-tokens", "8", "--repeats", "2", "--plan", "--json").json
    assert [run["seed"] for run in planned["runs"]] == [0, 0, 1, 1]
    assert planned["estimated_s"] is None
    assert list(tmp_path.iterdir()) == []


def test_a_plan_knows_what_is_on_record(cli: Cli, sweep: Said, point: tuple[str, ...]) -> None:
    planned = cli("sweep", *point, "--concurrency", "1,2", "--plan", "--json").json
    latest = {run["spec"]["point_hash"]: run["elapsed_s"] for run in sweep.json["runs"][:2]}
    assert planned["estimated_s"] is not None
    assert planned["estimated_s"] > 0
    assert len(planned["runs"]) == len(latest) == 2


def test_a_spec_file(cli: Cli, simulator: SimulatorProcess, tmp_path: Path) -> None:
    text = f"url: {simulator.url}\nmodel: simulated-moe\nwave: [2, 4]\ninput_tokens: 8\noutput_tokens: 4\n"
    (tmp_path / "sweep.yaml").write_text(text)
    said = cli("sweep", "sweep.yaml", "--wave", "3", "--json")
    assert said.code in MEASURED
    assert [run["outcomes"]["planned"] for run in said.json["runs"]] == [3]


def test_what_a_spec_file_says_holds_where_a_repeatable_flag_is_absent(cli: Cli, tmp_path: Path) -> None:
    spec = "url: http://127.0.0.1:9\nmodel: m\nconcurrency: 1\ninput_tokens: 8\noutput_tokens: 8\ntag: [nightly]\n"
    (tmp_path / "s.yaml").write_text(f"{spec}header: {{X-Team: bench}}\n")
    planned = cli("sweep", str(tmp_path / "s.yaml"), "--plan", "--json").json
    assert planned["runs"][0]["header_names"] == ["x-team"]


def test_the_embedded_simulator(cli: Cli) -> None:
    flags = ("--concurrency", "2", "--requests", "4", "--input-tokens", "8", "--output-tokens", "4")
    said = cli("sweep", "--url", "simulator", *flags)
    assert said.code in MEASURED
    assert "SIMULATED" in said.out
    assert "simulated-moe" in said.out


def test_a_wrong_model_names_those_there_are(cli: Cli, simulator: SimulatorProcess) -> None:
    flags = ("--concurrency", "1", "--input-tokens", "8", "--output-tokens", "8")
    said = cli("run", "--url", simulator.url, "--model", "gpt-0", *flags)
    assert said.code == 2
    assert said.err == (
        f"loadgen: {simulator.url}/v1/completions does not serve the model 'gpt-0' (HTTP 404: The model `gpt-0` does not "
        "exist. Valid aliases: simulated-moe.); it lists 'simulated-moe'\n"
    )


def test_lengths_over_the_models_are_refused_before_anything_is_sent(
    cli: Cli, point: tuple[str, ...], simulator: SimulatorProcess
) -> None:
    simulator.reset_truth()
    said = cli("sweep", *point, "--input-tokens", "8,4000", "--output-tokens", "100")
    assert said.code == 2
    assert "4000 input + 100 output tokens are 4100, more than the 4096" in said.err
    assert simulator.truth()["requests"] == []
    assert not Path("loadgen.db").exists()


def test_an_invalid_run_is_code_3(cli: Cli, point: tuple[str, ...]) -> None:
    said = cli("run", *point, "--warmup-requests", "0", "--request-timeout-s", "0.001", "--json")
    assert said.code == 3
    assert said.json["outcomes"]["timeout"] == 8
    assert said.json["verdict"]["status"] == "invalid"
    assert said.json["ttft_s"]["p50"] is None


def test_a_warmup_that_nothing_answers_ends_the_sweep(cli: Cli, point: tuple[str, ...]) -> None:
    said = cli("run", *point, "--request-timeout-s", "0.001")
    assert said.code == 5
    assert "answered none of the 2 warm-up requests" in said.err
    assert cli("list", "--json").json["sweeps"][0]["status"] == "failed"

"""`loadgen search` against a server whose TTFT grows with the load: what it finds, keeps on record and refuses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.store.repository import Store
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback

LENGTHS = ("--input-tokens", "8", "--output-tokens", "2")
BOUNDS = ("--concurrency", "2:8", "--slo", "ttft_s=0.18")


@pytest.fixture(scope="module")
def laden() -> Iterator[tuple[str, ...]]:
    """With c callers the first token takes 5 + 50·(c − 1) ms: 155 ms with four of them, 205 ms with five."""
    with SimulatorProcess(SimulatorOptions(ttft_s=0.005, gap_s=0.001, ttft_per_running_s=0.05)) as process:
        yield ("--url", process.url, "--model", "simulated-moe", *LENGTHS)


def test_it_finds_the_edge_and_keeps_every_run(cli: Cli, laden: tuple[str, ...]) -> None:
    flags = (*laden, *BOUNDS, "--goodput-ratio", "0.8", "--repeats", "2", "--requests", "24")
    said = cli("search", *flags, "--json", "-q")
    assert said.measured, said.err
    found = said.json["search"]
    assert (found["load"], found["ended"]) == ("concurrency", "edge")
    assert (found["highest_met"]["load"], found["lowest_not_met"]["load"]) == (4, 5)
    assert "Highest load that met the SLO (TTFT ≤ 180 ms, for 80.0 % of requests): concurrency 4" in found["sentence"]
    assert "Lowest load that missed it: concurrency 5" in found["sentence"]
    assert sorted({run["spec"]["shape"]["concurrency"] for run in said.json["runs"]}) == [2, 4, 5, 6, 8]
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        (sweep,) = store.sweeps()
    assert (sweep.status, sweep.runs) == ("finished", sweep.planned_runs)
    assert sweep.runs == len(said.json["runs"])
    again = cli("search", *flags, "--resume")
    assert again.measured, again.err
    assert " ".join(found["sentence"].split()) in " ".join(again.out.split())
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        assert [each.sweep_id for each in store.sweeps()] == [sweep.sweep_id]


def test_its_result_is_kept_and_shown_everywhere(cli: Cli, laden: tuple[str, ...]) -> None:
    flags = (*laden, *BOUNDS, "--goodput-ratio", "0.8", "--repeats", "2", "--requests", "24")
    ended = cli("search", *flags)
    assert ended.measured, ended.err
    found = cli("show", "latest", "--json").json["search"]
    assert found["slo"] == {"ttft_s": 0.18}
    assert [probe["load"] for probe in found["probes"][:3]] == [2, 4, 8]
    assert all(probe["answer"] in ("met", "missed") for probe in found["probes"])
    assert {probe["repeat"] for probe in found["probes"]} == {0, 1}
    sentence = "Highest load that met the SLO (TTFT ≤ 180 ms, for 80.0 % of requests): concurrency 4"
    assert sentence in " ".join(cli("show", "latest").out.split())
    lines = [line for line in ended.err.splitlines() if "SLO " in line]
    assert len(lines) == len(found["probes"])
    assert "SLO met (100 %, need 80.0 %)" in lines[0]
    assert any("SLO missed" in line for line in lines)
    assert any("run 2 of this load" in line for line in lines)
    assert cli("report", "latest", "-o", "page.html").code == 0
    page = Path("page.html").read_text()
    tiles = page[page.index('class="highlights"') :]
    assert tiles.index("Highest load within the SLO") < tiles.index("Highest output")
    Path("search.json").write_bytes(cli("export", "latest").out.encode())
    assert cli("import", "search.json", "--db", "sqlite:///other.db").code == 0
    assert cli("show", "latest", "--json", "--db", "sqlite:///other.db").json["search"] == found


def test_its_runs_ask_for_the_only_model_that_the_server_lists(cli: Cli, simulator: SimulatorProcess) -> None:
    flags = ("--url", simulator.url, *LENGTHS, "--concurrency", "2:4", "--slo", "ttft_s=60", "--requests", "8")
    said = cli("search", *flags, "--repeats", "1", "--json", "-q")
    assert said.measured, said.err
    assert {run["spec"]["model"] for run in said.json["runs"]} == {"simulated-moe"}
    again = cli("search", *flags, "--repeats", "1", "--resume", "--json", "-q")
    assert [run["run_id"] for run in again.json["runs"]] == [run["run_id"] for run in said.json["runs"]]


def test_a_grid_has_no_search(cli: Cli, point: tuple[str, ...]) -> None:
    assert cli("run", *point).measured
    document = cli("show", "latest", "--json").json
    assert "search" in document
    assert document["search"] is None


def test_a_plan_sends_nothing(cli: Cli) -> None:
    said = cli("search", "--url", "http://127.0.0.1:9", "--model", "m", *LENGTHS, *BOUNDS, "--plan", "--json")
    assert said.code == 0, said.err
    assert [run["shape"]["concurrency"] for run in said.json["runs"]] == [2, 4, 8]
    assert said.json["search"]["max_runs"] == 20


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--concurrency", "1:8"), "--slo is missing"),
        (("--slo", "ttft_s=1"), "--concurrency LOW:HIGH or --rate LOW:HIGH"),
        (("--concurrency", "4", "--slo", "ttft_s=1"), "LOW:HIGH like 1:64, not 4"),
        (("--rate", "8:2", "--slo", "ttft_s=1"), "write the lower load first"),
        (("--rate", "1:2", "--concurrency", "1:2", "--slo", "ttft_s=1"), "exclude each other"),
        (("--rate", "1:2", "--slo", "ttft_s=1", "--max-runs", "0"), "--max-runs must be at least 1"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(cli: Cli, flags: tuple[str, ...], words: str) -> None:
    said = cli("search", "--url", "http://127.0.0.1:9", "--model", "m", *LENGTHS, *flags)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert len(said.err.splitlines()) == 1

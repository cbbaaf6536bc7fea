"""What a user sees of a server that misbehaves: one sentence or a verdict, the right exit code, and always an end."""

import pytest

from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("stall", 5, "no complete answer within 0.3 s"),
        ("endless-line", 5, ""),
        ("garbage", 5, "the body holds no event"),
        ("gzip", 5, "the answer is compressed (gzip)"),
        ("redirect", 2, "to https://elsewhere.example/v1/completions, which is not followed"),
        ("reset", 5, "the connection was lost within the answer"),
    ],
)
def test_a_server_that_answers_nothing_well_is_named_before_the_run(
    cli: Cli, point: tuple[str, ...], fault: str, code: int, words: str
) -> None:
    said = cli("run", *point, "--header", f"X-Fault={fault}", "--request-timeout-s", "0.3")
    assert said.code == code
    assert words in said.err
    assert "Traceback" not in said.err


def test_a_fault_now_and_then_is_in_the_verdict(cli: Cli) -> None:
    options = SimulatorOptions(ttft_s=0.005, gap_s=0.001, faults=("stall:every=4", "reset:every=5"))
    with SimulatorProcess(options) as simulator:
        load = ("--concurrency", "2", "--requests", "20", "--input-tokens", "8", "--output-tokens", "8")
        server = ("--url", simulator.url, "--model", "simulated-moe", "--request-timeout-s", "0.3")
        said = cli("run", *server, *load, "--warmup-requests", "0", "--json")
    assert said.code == 3
    outcomes = said.json["outcomes"]
    assert (outcomes["timeout"], outcomes["truncated"], outcomes["ok"]) == (5, 3, 12)
    assert sum(outcomes.values()) == 2 * outcomes["planned"]
    assert said.json["verdict"]["status"] == "invalid"
    assert "errors" in {finding["code"] for finding in said.json["verdict"]["findings"]}


def test_a_fault_that_there_is_not_is_a_matter_of_usage(cli: Cli) -> None:
    said = cli("simulate", "--port", "0", "--fault", "gremlins")
    assert said.code == 2
    assert "there is no fault 'gremlins'; choose one of early-role" in said.err
    said = cli("simulate", "--port", "0", "--fault", "stall:every=0")
    assert said.code == 2
    assert "write NAME or NAME:every=K, such as stall:every=10" in said.err


def test_the_faults_are_listed(cli: Cli) -> None:
    said = cli("simulate", "--fault", "list")
    assert said.code == 0
    assert "stall" in said.out

"""Several answers to each prompt, side by side: what is sent, what is measured of them, and when a request is ok."""

import pytest

from loadgen.servers.simulator import SimulatorProcess
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_each_choice_is_measured_and_all_are_counted(
    cli: Cli, simulator: SimulatorProcess, point: tuple[str, ...], endpoint: str
) -> None:
    simulator.reset_truth()
    said = cli("run", *point, "--endpoint", endpoint, "--choices", "3", "--warmup-requests", "0", "--json")
    document = said.json
    assert document["outcomes"]["ok"] == 8
    assert document["spec"]["workload"] == {"choices": 3}
    lengths = document["lengths"]["output_tokens"]
    assert (lengths["asked"], lengths["mean"], lengths["requests_off"]) == (24, 24.0, 0)
    assert (document["tokens"]["output"], document["tokens"]["counted_by"]) == (8 * 24, "token_ids")
    requests = document["window"]["requests"]
    assert document["token_gap_s"]["n"] == requests * 3 * 7
    assert document["tpot_s"]["p50"] < 3 * 0.001  # of one choice, of which the time is that of all
    # The server counts each choice, as vLLM does, and nobody else's are among them.
    account = document["server_account"]
    assert (account["requests_finished"], account["requests_sent"]) == (24, 8)
    assert not {"other_requests", "output_length_off"} & {each["code"] for each in document["verdict"]["findings"]}
    assert [each["output_tokens"] for each in simulator.truth()["requests"]][1:] == [24] * 8
    assert "3 choices each" in cli("show", document["run_id"]).out


def test_a_choice_that_never_came_is_missing(cli: Cli, point: tuple[str, ...]) -> None:
    """A server that answers with two where three were asked."""
    said = cli("run", *point, "--choices", "3", "--warmup-requests", "0", "--header", "X-Fault=two-choices", "--json")
    assert said.code == 3
    assert said.json["outcomes"]["truncated"] == 8
    assert said.json["failures"][0]["detail"] == "the stream ended without a finish_reason of 1 of its 3 choices"


def test_a_plan_counts_the_tokens_of_all(cli: Cli) -> None:
    server = ("--url", "http://127.0.0.1:9", "--model", "m", "--concurrency", "2", "--requests", "10")
    said = cli("sweep", *server, "--input-tokens", "8", "--output-tokens", "8", "--choices", "3", "--plan")
    assert "10 requests, 240 output tokens; prompts: 3 choices each" in " ".join(said.out.split())

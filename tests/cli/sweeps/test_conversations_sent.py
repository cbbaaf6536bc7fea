"""Conversations against the simulator, through a wire that is listened to: each turn holds what the server really said."""

import json
import re
from typing import Any

import pytest

from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.generation import reply_text
from tests.cli.conftest import Cli
from tests.servers.relays import listened_to

pytestmark = pytest.mark.loopback

TALK = ("--endpoint", "chat", "--concurrency", "2", "--turns", "3", "--input-tokens", "12", "--output-tokens", "6")


def bodies(heard: list[bytearray]) -> list[dict[str, Any]]:
    """The chat requests of the run that was measured, connection by connection."""
    found = []
    for said in heard:
        for head in re.finditer(rb"POST /v1/chat/completions .*?\r\n\r\n", bytes(said), re.DOTALL):
            length = int(re.search(rb"Content-Length: (\d+)", head[0], re.IGNORECASE)[1])  # type: ignore[index]
            found.append(json.loads(said[head.end() : head.end() + length]))
    return [body for body in found if body["max_tokens"] == 6]


def test_each_turn_holds_what_the_server_really_said(cli: Cli, simulator: SimulatorProcess) -> None:
    simulator.reset_truth()
    with listened_to(simulator.port) as (port, heard):
        said = cli(
            "run",
            *("--url", f"http://127.0.0.1:{port}", "--model", "simulated-moe", *TALK),
            *("--requests", "24", "--think-time-s", "0.02", "--warmup-requests", "0", "--json"),
        )
    document = said.json
    assert document["outcomes"]["ok"] == 24
    turns = [body["messages"] for body in bodies(heard)]
    assert sorted(len(messages) for messages in turns) == [1] * 8 + [3] * 8 + [5] * 8
    reply = {"role": "assistant", "content": reply_text(range(6))}
    firsts = {json.dumps(messages) for messages in turns if len(messages) == 1}
    assert len(firsts) == 8
    for messages in turns:
        assert [message["role"] for message in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]
        assert messages[1::2] == [reply] * (len(messages) // 2)
        assert json.dumps(messages[:1]) in firsts
        if len(messages) > 1:
            assert messages[:-2] in turns, "its history is what was sent before"
    # By the server's own count, a template's three tokens for each message and one for the answer among them.
    truth = [each["prompt_tokens"] for each in simulator.truth()["requests"] if each["output_tokens"] == 6]
    assert sorted(truth) == [12] * 8 + [12 + 9 + 11] * 8 + [12 + 2 * (9 + 11)] * 8


def test_what_a_run_tells_of_its_conversations(cli: Cli, simulator: SimulatorProcess) -> None:
    server = ("--url", simulator.url, "--model", "simulated-moe")
    said = cli("run", *server, *TALK, "--think-time-s", "0.1", "--requests", "30", "--workers", "2", "--json")
    document = said.json
    assert said.measured
    assert document["client"]["workers"] == 2
    assert document["spec"]["workload"] == {"sessions": {"turns": 3, "think_time_s": 0.1}}
    assert document["lengths"]["prompt_tokens"]["asked"] is None
    concurrency = document["concurrency"]
    assert concurrency["mean"] + concurrency["thinking_mean"] == pytest.approx(2, rel=0.05)
    assert document["client"]["send_delay_s"]["p50"] < 0.005
    # One template's tokens for each message and one for the answer, the new message and the answer before.
    assert [turn["prompt_tokens_mean"] for turn in document["by_turn"]] == [12, 32, 52]
    assert sum(turn["requests"] for turn in document["by_turn"]) == document["ttft_s"]["n"]
    shown = cli("show", document["run_id"]).out
    assert "conversations of 3 turns, 0.1 s to think" in shown
    by_turn = shown[shown.index("turn  requests  prompt tokens  TTFT p50, ms  TTFT max, ms") :]
    assert [line.split()[:3:2] for line in by_turn.splitlines()[2:5]] == [["1", "12.0"], ["2", "32.0"], ["3", "52.0"]]


def test_a_duration_ends_conversations_in_their_midst(cli: Cli, simulator: SimulatorProcess) -> None:
    server = ("--url", simulator.url, "--model", "simulated-moe")
    said = cli("run", *server, *TALK, "--think-time-s", "0.05", "--duration-s", "1", "--json")
    outcomes = said.json["outcomes"]
    assert outcomes["planned"] == outcomes["ok"] > 12


def test_failed_turns_drop_the_rest(cli: Cli) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.005, gap_s=0.001, faults=("close:every=5",))) as simulator:
        server = ("--url", simulator.url, "--model", "simulated-moe")
        said = cli("run", *server, *TALK, "--requests", "30", "--warmup-requests", "0", "--json")
    outcomes = said.json["outcomes"]
    assert outcomes["planned"] == 30 == sum(n for key, n in outcomes.items() if key != "planned")
    assert outcomes["truncated"] > 0
    assert outcomes["dropped"] > 0


def test_a_plan_counts_the_time_to_think(cli: Cli) -> None:
    server = ("--url", "http://127.0.0.1:9", "--model", "m")
    planned = cli("sweep", *server, *TALK, "--think-time-s", "10", "--requests", "24", "--plan", "--json").json
    assert (planned["estimated_s"], planned["runs"][0]["thinking_s"]) == (None, 4 * 2 * 10)
    said = cli("sweep", *server, *TALK, "--think-time-s", "10", "--requests", "24", "--repeats", "2", "--plan")
    shown = " ".join(said.out.split())
    assert shown.count("over 1 min 20 s") == 2
    assert "over 2 min 40 s, since users think; how much longer depends on the server" in shown


def test_conversations_of_completions_are_a_matter_of_usage(cli: Cli, point: tuple[str, ...]) -> None:
    said = cli("run", *point, "--turns", "2")
    assert said.code == 2
    assert said.err == "loadgen: --turns needs --endpoint chat, since a conversation is a list of messages\n"

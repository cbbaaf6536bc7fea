"""`loadgen compare` over sweeps on record: the table, the document, the gate, and refusals in a sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.load.shapes import ClosedLoop
from loadgen.store.repository import Store
from loadgen.store.rows import Evaluation
from tests.cli.conftest import Cli
from tests.report.documents import fill, measured_run, specs, sweep_row
from tests.store.test_accuracy_results import result

A, B, REAL = "s261123-100000-aaaa", "s261123-110000-bbbb", "s261123-120000-cccc"


@pytest.fixture(autouse=True)
def _on_record() -> None:
    """A and B are the same grid; REAL is of a real server."""
    planned = specs([ClosedLoop(4)], repeats=3)
    for sweep_id, simulated in ((A, True), (B, True), (REAL, False)):
        fill(Path("loadgen.db"), sweep_row(sweep_id, planned, simulated=simulated), planned)


def test_two_sweeps_are_shown_side_by_side(cli: Cli) -> None:
    said = cli("compare", A, B)
    assert said.code == 0, said.err
    for words in ("SIMULATED", "concurrency 4, 128 → 32 tokens", "3 runs each, paired by seed", "95.0 % interval"):
        assert words in said.out
    assert "TTFT p50 ms" in said.out
    assert "0 better · 0 worse" in said.out
    assert "inconclusive" in said.out


@pytest.fixture
def evaluated() -> None:
    """A has 0.905 of two tasks, B 0.1 of one of them; the other was put to it with examples."""
    rows = {
        A: (result("copy", A), result("sort", A)),
        B: (result("copy", B, evaluation_id="a2", value=0.1), result("sort", B, evaluation_id="a2", shots=5)),
    }
    with Store.open("sqlite:///loadgen.db") as store:
        for sweep_id, results in rows.items():
            store.add_evaluation(Evaluation(store.sweep(sweep_id).server, results))


@pytest.mark.usefixtures("evaluated")
def test_accuracy_is_compared_with_its_interval(cli: Cli, tmp_path: Path) -> None:
    said = cli("compare", A, B, "--metrics", "ttft_s")
    assert "Accuracy of B against A" in said.out
    (line,) = (line for line in said.out.splitlines() if line.strip().startswith("copy"))
    assert line.split() == "copy 0.905 (0.864 … 0.946) 0.100 (0.059 … 0.141) −0.805 −0.862 … −0.748 worse".split()
    assert "not asked of both in the same way: sort" in said.out
    assert "Differences between the servers" not in said.out  # both runs are of one
    (found,) = cli("compare", A, B, "--json").json["accuracy"]
    assert (found["tasks"], found["answer"]) == (["copy"], "worse")
    assert found["high"] == pytest.approx(-0.748, abs=1e-3)
    assert cli("report", A, B, "--compare", "-o", "both.html").code == 0
    page = (tmp_path / "both.html").read_text()
    assert f"Accuracy of {B} against {A}" in page
    assert "−0.862 … −0.748" in page


@pytest.mark.usefixtures("evaluated")
def test_that_one_of_both_was_not_evaluated_is_said(cli: Cli) -> None:
    said = cli("compare", A, REAL, "--anyway", "--metrics", "ttft_s")
    assert "B was not evaluated" in said.out
    assert "loadgen simulator 0.22.1" in said.out  # in which the servers differ


def test_without_an_evaluation_accuracy_is_not_mentioned(cli: Cli) -> None:
    assert "ccuracy" not in cli("compare", A, B).out
    assert cli("compare", A, B, "--json").json["accuracy"] == []


def test_the_document_has_every_figure_with_its_interval(cli: Cli) -> None:
    found = cli("compare", A, B, "--json", "--metrics", "ttft_s,output_tokens_per_s").json
    assert (found["schema_version"], found["a"]["id"], found["b"]["id"]) == (1, A, B)
    (point,) = found["points"]
    assert {figure["metric"] for figure in point["figures"]} == {"ttft_s", "output_tokens_per_s"}
    for figure in point["figures"]:
        assert (figure["change_ratio"], figure["low"], figure["high"]) == (0.0, 0.0, 0.0)
        assert (figure["answer"], figure["reason"]) == ("cant_tell", "small")


def test_the_gate_fails_only_when_something_is_worse(cli: Cli) -> None:
    slow = "s261123-130000-dddd"
    laden = specs([ClosedLoop(16)], repeats=3)
    fill(Path("loadgen.db"), sweep_row(slow, laden, simulated=True), laden)
    assert cli("compare", A, B, "--fail-if-worse").code == 0
    said = cli("compare", A, slow, "--anyway", "--fail-if-worse", "--metrics", "ttft_s")
    assert said.code == 4, said.out
    assert "compared although unlike: shape.concurrency (4 against 16)" in said.out
    assert cli("compare", slow, A, "--anyway", "--fail-if-worse", "--metrics", "ttft_s").code == 0


def test_the_gate_is_not_green_with_one_run_a_side(cli: Cli) -> None:
    sides = ("s261123-160000-aaaa", "s261123-170000-bbbb")
    for sweep_id, planned in zip(sides, (specs([ClosedLoop(4)]), specs([ClosedLoop(4)])), strict=True):
        fill(Path("loadgen.db"), sweep_row(sweep_id, planned, simulated=True), planned)
    said = cli("compare", *sides, "--fail-if-worse")
    assert said.code == 4
    (line,) = said.err.splitlines()
    assert line.startswith("loadgen: gate inconclusive: TTFT p50 at concurrency 4: one run on a side")
    assert "--repeats 3" in line
    assert "--allow-inconclusive" in line
    assert cli("compare", *sides, "--fail-if-worse", "--allow-inconclusive").code == 0
    assert cli("compare", *sides).code == 0
    assert cli("compare", *sides, "--json").json["gate"]["outcome"] == "inconclusive"
    assert cli("compare", *sides, "--allow-inconclusive").code == 2


def test_a_point_whose_prompts_have_no_stated_length_is_shown(cli: Cli) -> None:
    sides = ("s261123-140000-eeee", "s261123-150000-ffff")
    planned = [replace(spec, input_tokens=None) for spec in specs([ClosedLoop(4)])]
    for side in sides:
        documents = [measured_run(spec, side, simulated=True) for spec in specs([ClosedLoop(4)])]
        with Store.open("sqlite:///loadgen.db") as store:
            store.add_sweep(sweep_row(side, planned, simulated=True))
            for document, records in documents:
                document["spec"]["input_tokens"] = None
                store.add_run(side, document, records, ())
    said = cli("compare", *sides)
    assert said.code == 0, said.err
    assert "concurrency 4, – → 32 tokens" in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((A, A), "A and B are both"),
        ((A, REAL), "simulated (true against false)"),
        ((A, "s999"), "no sweep 's999'"),
        ((A, B, "--metrics", "speed"), "--metrics names 'speed'"),
        ((A, B, "--confidence", "1"), "--confidence must be"),
        ((A, B, "--smallest-change-ratio", "-1"), "--smallest-change-ratio must be"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    said = cli("compare", *arguments)
    assert said.code == 2
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""

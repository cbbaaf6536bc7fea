"""`loadgen moe experts` and `--experts`: counts of files, shown and compared; what is refused, in one sentence."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from loadgen.moe.expert_counts import StepSize, read_expert_counts
from loadgen.servers.simulator import SimulatorProcess
from tests.cli.conftest import Cli
from tests.report.charts.test_expert_charts import counts

STEPS = (StepSize(1, 10, 20), StepSize(8, 5, 18))


def written(name: str, rows: list[list[int]]) -> str:
    Path(name).write_text(json.dumps(counts(rows, STEPS).to_json()))
    return name


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_file_is_shown_by_layer(cli: Cli) -> None:
    said = cli("moe", "experts", written("a.json", [[5, 5, 0, 0], [10, 0, 0, 0]]))
    assert said.code == 0
    rows = lines(said.out)
    assert ["0", "2.000", "0.500", "0.500", "2", "0", "50.0%"] in rows
    assert ["1", "4.000", "0.000", "0.750", "3", "0", "100.0%"] in rows
    assert ["8", "5", "1.80", "3.60", "0.50"] in rows  # 18 in 5 steps of two layers; 4·(1 − (3/4)^8)


def test_two_files_are_compared_layer_by_layer(cli: Cli) -> None:
    even, uneven = written("a.json", [[5, 5], [5, 5]]), written("b.json", [[5, 5], [10, 0]])
    rows = lines(cli("moe", "experts", even, uneven).out)
    assert ["0", *("1.000", "1.000", "+0.000") * 2, "0.000", "0.000", "+0.000", "0.000"] in rows
    assert ["1", "1.000", "2.000", "+1.000", "1.000", "0.000", "-1.000", "0.000", "0.500", "+0.500", "0.500"] in rows


def test_the_json_has_counts_and_figures(cli: Cli) -> None:
    (document,) = cli("moe", "experts", written("a.json", [[9, 1]]), "--json").json["experts"]
    assert document["layers"] == [{"layer": 0, "counts": [9, 1]}]
    assert document["figures"][0]["max_over_mean"] == pytest.approx(1.8)


def test_counts_are_written_as_they_are_read(cli: Cli) -> None:
    source = written("a.json", [[9, 1]])
    assert cli("moe", "experts", source, "-o", "copy.json").code == 0
    assert read_expert_counts(Path("copy.json")).to_json() == read_expert_counts(Path(source)).to_json()


def test_two_heat_maps_are_drawn_next_to_each_other(cli: Cli) -> None:
    even, uneven = written("a.json", [[5, 5]]), written("b.json", [[10, 0]])
    assert cli("moe", "experts", even, uneven, "--plot", "both.svg").code == 0
    drawn = Path("both.svg").read_text()
    assert "a: m, " in drawn
    assert "b: m, " in drawn


CASES: list[tuple[list[str], str]] = [
    (["none.json"], "cannot read the expert counts none.json"),
    (["a.json", "a.json", "a.json"], "two counts are compared, and these are 3"),
    (["a.json", "a.json", "-o", "x.json"], "-o writes one file"),
    (["a.json", "--plot", "x.gif"], "x.gif must end in"),
    (["latest"], "measure something first"),
    (["--transformers"], "--transformers needs --checkpoint"),
    (["--transformers", "--checkpoint", "none", "--tasks", "copy"], "none has no config.json"),
    (["--transformers", "--url", "http://127.0.0.1:1"], "exclude each other"),
    (["--checkpoint", "moe"], "--checkpoint is for counting now; add --url URL or --transformers"),
    (["a.json", "--tasks", "copy"], "--tasks is for counting now"),
    (["a.json", "--transformers"], "leave the stored runs and files out"),
    (["--url", "http://127.0.0.1:1"], "--url needs --checkpoint"),
    (["--url", "http://127.0.0.1:1", "--checkpoint", "none"], "cannot read none/config.json"),
    (["--url", "http://127.0.0.1:1", "--checkpoint", "dense"], "has no experts"),
    (["--url", "http://127.0.0.1:1", "--checkpoint", "moe", "--model", "m"], "the prompts are missing"),
    (["--url", "http://127.0.0.1:1", "--checkpoint", "moe", "--model", "m", "--tasks", "x"], "there is no task 'x'"),
    (
        ["--transformers", "--checkpoint", "dense", "--tasks", "copy", "--python", sys.executable],
        "dense has no experts",
    ),
    (["--transformers", "--checkpoint", "moe", "--tasks", "copy", "--requests", "0"], "--requests must be at least 1"),
    (["--transformers", "--checkpoint", "moe", "--tasks", "copy", "--python", "none"], "there is no Python at none"),
]
MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "intermediate_size": 8,
    "vocab_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
}


@pytest.fixture
def checkpoints() -> None:
    written("a.json", [[9, 1]])
    dense = {key: value for key, value in MIXTRAL.items() if "experts" not in key} | {"model_type": "qwen3"}
    dense |= {"head_dim": 4}
    for name, config in (("moe", MIXTRAL), ("dense", dense)):
        Path(name).mkdir()
        Path(name, "config.json").write_text(json.dumps(config))


@pytest.mark.usefixtures("checkpoints")
@pytest.mark.parametrize(("arguments", "complaint"), CASES)
def test_bad_input_gets_one_sentence(cli: Cli, arguments: list[str], complaint: str) -> None:
    said = cli("moe", "experts", *arguments)
    assert said.code == 2
    assert complaint in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""
    assert not Path("x.json").exists()


@pytest.mark.usefixtures("checkpoints")
def test_an_environment_without_transformers_is_named(cli: Cli) -> None:
    """This Python has no torch."""
    said = cli("moe", "experts", "--transformers", "--checkpoint", "moe", "--tasks", "copy", "--python", sys.executable)
    assert said.code == 2
    assert "cannot count the experts of moe: ModuleNotFoundError" in said.err


@pytest.mark.loopback
def test_a_server_without_the_extension_is_told_before_anything_is_sent(cli: Cli, simulator: SimulatorProcess) -> None:
    said = cli("run", "--url", simulator.url, "--experts", "--concurrency", "1", "--requests", "1", "--output-tokens", "4", "--input-tokens", "8")  # fmt: skip
    assert said.code == 5
    assert "does not count experts" in said.err
    assert "plugins: [expert-counts]" in said.err
    assert not Path("loadgen.db").exists()

"""`loadgen run` against servers that tell their tokens in one way or another, or not at all."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer as Library
from tokenizers import models, pre_tokenizers

from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.options import Tells
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
@pytest.mark.parametrize(
    ("tells", "input_tokens", "counted_by"),
    [
        ("token_ids", 64, "token_ids"),
        ("token_ids", 1500, "usage"),
        ("usage", 64, "usage"),
        ("final", 64, "usage"),
        ("nothing", 64, "assumed"),
    ],
)
def test_the_best_source_that_the_server_has_is_used(
    cli: Cli, tells: Tells, input_tokens: int, counted_by: str, endpoint: str
) -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.002, gap_s=0.001, tells=tells)) as simulator:
        load = ("--concurrency", "2", "--requests", "8", "--input-tokens", str(input_tokens), "--output-tokens", "6")
        server = ("--url", simulator.url, "--model", "simulated-moe", "--endpoint", endpoint)
        document = cli("run", *server, *load, "--json").json
    known = counted_by != "assumed"
    assert document["outcomes"]["ok"] == 8
    assert document["tokens"]["counted_by"] == counted_by
    assert document["tokens"]["output"] == (48 if known else None)
    assert document["token_gap_s"]["n"] == (40 if known else 0)
    assert document["chunk_gap_s"]["n"] == 40
    assert document["tokens_per_chunk"]["max"] == (1 if known else None)
    codes = {finding["code"] for finding in document["verdict"]["findings"]}
    assert ("tokens_assumed" in codes) != known


def test_a_tokenizer_counts_where_the_server_does_not(cli: Cli, tmp_path: Path) -> None:
    library = Library(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()  # as the simulator counts
    library.save(str(tmp_path / "tokenizer.json"))
    load = ("--concurrency", "2", "--requests", "8", "--input-tokens", "8", "--output-tokens", "6")
    with SimulatorProcess(SimulatorOptions(ttft_s=0.002, gap_s=0.001, tells="nothing")) as simulator:
        server = ("--url", simulator.url, "--model", "simulated-moe", "--tokenizer", str(tmp_path))
        document = cli("run", *server, *load, "--json").json
    assert document["spec"]["tokenizer"] == str(tmp_path)
    assert (document["tokens"]["counted_by"], document["tokens"]["output"]) == ("tokenizer", 48)
    assert document["token_gap_s"]["n"] == 40


def test_a_tokenizer_that_is_not_there_is_refused_before_anything_is_sent(cli: Cli, point: tuple[str, ...]) -> None:
    Path("folder").mkdir()
    Path("folder/tokenizer.json").write_text("[]")
    said = cli("run", *point, "--tokenizer", "folder")
    assert said.code == 2
    assert "the tokenizer 'folder' cannot be loaded" in said.err
    assert not Path("loadgen.db").exists()

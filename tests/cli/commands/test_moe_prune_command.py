"""`loadgen moe prune`: what it writes and says, and each mistake in one sentence."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.checkpoints.small_checkpoints import EXPERTS, SMALL, TOP_K, write
from tests.cli.conftest import Cli


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "small-olmoe", SMALL["olmoe"])


def test_what_was_removed_is_told(cli: Cli, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "pruned"
    said = cli("moe", "prune", str(source), "-o", str(target), "--inter", "0.25")
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == (
        "6 of 8 experts stay in each layer (25 % removed), chosen by the L2 norm of their weights. Each token passes 2."
    )
    assert said.out.splitlines()[-1] == f"Written to {target}; serve it with: vllm serve {target}"
    assert said.err.splitlines()[:2] == [f"computing the norms of layer {layer} ({layer + 1} of 2)" for layer in (0, 1)]
    assert "writing model.safetensors (1 of 1)" in said.err


def test_json_is_the_document_of_the_folder(cli: Cli, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "pruned"
    said = cli(
        "moe",
        "prune",
        str(source),
        "-o",
        str(target),
        "--intra",
        "0.5",
        "--rule",
        "random",
        "--seed",
        "3",
        "--json",
        "-q",
    )
    assert said.err == ""
    assert said.json == json.loads((target / "pruning.json").read_text())
    assert said.json["seed"] == 3


def test_counts_choose_the_experts(cli: Cli, source: Path, tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    busy = [0, 9, 8, 7, 0, 0, 6, 0]
    counts.write_text(
        json.dumps(
            {
                "schema_version": 1,
                "model": "small-olmoe",
                "source": "transformers",
                "experts_per_token": TOP_K,
                "tokens": sum(busy) // TOP_K,
                "layers": [{"layer": layer, "counts": busy} for layer in (0, 1)],
            }
        )
    )
    said = cli(
        *("moe", "prune", str(source), "-o", str(tmp_path / "pruned"), "--inter", "0.5", "--rule", "frequency"),
        *("--counts", str(counts), "--json"),
    )
    assert said.json["kept_experts"] == [{"layer": layer, "experts": [1, 2, 3, 6]} for layer in (0, 1)]
    assert said.json["counts"] == {"model": "small-olmoe", "source": "transformers", "tokens": sum(busy) // TOP_K}


TABLE: list[tuple[tuple[str, ...], str]] = [
    ((), "one of --inter RATIO and --intra RATIO is needed, and not both"),
    (("--inter", "0.5", "--intra", "0.5"), "one of --inter RATIO and --intra RATIO is needed, and not both"),
    (("--inter", "half"), "invalid value for '--inter'"),
    (("--inter", "50"), "--inter is a share between 0 and 1, such as 0.25, not 50"),
    (("--inter", "0.9"), f"inter-pruning of 0.9 leaves 1 of {EXPERTS} experts, and each token passes {TOP_K}"),
    (("--inter", "0.5", "--rule", "best"), "invalid value for '--rule': 'best' is not one of"),
    (("--inter", "0.5", "--rule", "frequency"), "--rule frequency needs --counts FILE"),
    (("--inter", "0.5", "--rule", "frequency", "--counts", "nowhere.json"), "cannot read the expert counts nowhere.json"),
    (("--inter", "0.5", "-o", ""), "-o DIR is missing"),
    (("--inter", "0.5", "--rule", "random", "--seed", "-1"), "--seed is a whole number of at least 0, not -1"),
    (("--inter", "0.5", "--seed", "4"), "--seed is for --rule random, not for --rule norm"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "sentence"), TABLE, ids=[" ".join(flags) or "nothing" for flags, _ in TABLE])
def test_each_mistake_is_one_sentence(
    cli: Cli, source: Path, tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    said = cli("moe", "prune", str(source), "-o", str(tmp_path / "pruned"), *flags)
    assert said.code == 2
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("pruned")] == []


def test_a_checkpoint_must_be_named(cli: Cli) -> None:
    said = cli("moe", "prune", "", "-o", "pruned", "--inter", "0.5")
    assert (said.code, "CHECKPOINT is empty; name the folder" in said.err) == (2, True)


def test_a_file_on_the_way_to_the_target_is_named(cli: Cli, source: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    said = cli("moe", "prune", str(source), "-o", str(tmp_path / "taken" / "pruned"), "--inter", "0.5")
    assert (said.code, f"{tmp_path / 'taken'} is a file; name another folder" in said.err) == (2, True)


def test_a_target_must_be_named(cli: Cli, source: Path) -> None:
    said = cli("moe", "prune", str(source), "--inter", "0.5")
    assert said.code == 2
    assert "-o DIR is missing" in said.err


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_of_a_command_that_is_ended(ending: signal.Signals, tmp_path: Path) -> None:
    """The pipe of its progress is full at the first line, so that it is in the middle when the signal comes."""
    source, target = write(tmp_path / "source", SMALL["olmoe"], shards=3), tmp_path / "pruned"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * 4096)
    os.set_blocking(writing, True)
    command = [sys.executable, "-m", "loadgen.cli", "moe", "prune", str(source), "-o", str(target), "--inter", "0.5"]
    command += ["--rule", "random"]  # which says nothing before it writes
    process = subprocess.Popen(command, stderr=writing, preexec_fn=_with_ctrl_c)
    os.close(writing)
    deadline_s = time.monotonic() + 30
    while not target.with_name("pruned.part").exists():
        assert time.monotonic() < deadline_s
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(ending)
    os.read(reading, 1 << 20)
    assert process.wait(30) == 130
    os.close(reading)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def _with_ctrl_c() -> None:
    """A shell's background jobs, and what they start, ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

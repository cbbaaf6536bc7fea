"""A study on tiny models and a real vLLM: killed while a server starts and in the middle of a run, completed, and reported."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from loadgen.analysis.figure_table import FIGURES
from loadgen.servers.launcher.state import ServerState, read_state
from loadgen.store.repository import Store
from loadgen.study.measured import measured_points, series_of
from loadgen.study.points import points_of
from loadgen.study.study_file import read_study
from loadgen.study.tiny import TINY_MODELS, at_tiny_scale
from loadgen.study.variants import variants_of
from tests.real.command import Command
from tests.real.left_behind import MEASURED, database, ended, finished_runs, in_group_of, server_in, wait_until
from tests.real.vllm_server import ROOT, skip_without_vllm

pytestmark = pytest.mark.vllm

ONLY = ("--only", "model=olmoe-1b-7b", "--only", "top_k=8", "--only", "batch=1,16", "--only", "length=128")
STUDY = ("study", "run", "quick", "--scale", "tiny", "--repeats", "2", *ONLY)
PLANNED = 2 * (2 + 2)
NOTHING_HIDDEN = {"hidden": 0, "hidden_requests": 0, "contradicted_requests": 0}


def kill(process: "subprocess.Popen[str]", server: ServerState) -> None:
    """`kill -9` a command; the server that it started must end with it."""
    process.kill()
    process.communicate(timeout=30)
    deadline_s = time.monotonic() + 30
    while in_group_of(server) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert in_group_of(server) == []


def foreign_peers(process: "subprocess.Popen[str]") -> set[str]:
    """The addresses other than this machine's to which a command and all that it started are connected."""
    found: set[str] = set()
    parent = psutil.Process(process.pid)
    for one in (parent, *parent.children(recursive=True)):
        try:
            found |= {each.raddr.ip for each in one.net_connections("inet") if each.raddr}
        except psutil.Error:
            continue
    return {address for address in found if not address.startswith("127.") and address != "::1"}


def test_a_study_that_is_killed_twice_is_completed_and_reported(command: Command, tmp_path: Path) -> None:
    first = command(*STUDY)
    wait_until(lambda: (state := read_state(tmp_path)) is not None and state.server is not None, first)
    wait_until(lambda: len(in_group_of(server_in(tmp_path))) >= 2, first)
    kill(first, server_in(tmp_path))
    assert finished_runs(database(tmp_path)) == 0

    second = command(*STUDY, "--resume")
    peers: set[str] = set()

    def has_measured() -> bool:
        peers.update(foreign_peers(second))
        return finished_runs(database(tmp_path)) >= 2

    wait_until(has_measured, second)
    kill(second, server_in(tmp_path))
    assert peers == set()
    kept = finished_runs(database(tmp_path))
    assert 2 <= kept < PLANNED

    said = ended(command(*STUDY, "--resume"), *MEASURED)
    assert f"of {PLANNED - kept}" in said
    with Store.open(database(tmp_path), read_only=True) as store:
        assert [(sweep.name, sweep.status) for sweep in store.sweeps()] == [
            ("quick: tiny-olmoe with num_experts_per_tok 8", "interrupted")
        ] * 2
        runs = [run for sweep in store.sweeps() for run in store.runs(sweep.sweep_id)]
    assert len({(run["sweep_id"], run["spec"]["hash"]) for run in runs}) == len(runs) == PLANNED
    for run in runs:
        tokens = run["outcomes"]["ok"] * run["spec"]["output_tokens"]
        assert run["tokens"]["output"] == run["server_account"]["output_tokens"] == tokens > 0
        assert run["tokens"].items() >= (NOTHING_HIDDEN | {"counted_by": "token_ids"}).items()

    page = tmp_path / "quick.html"
    ended(command("study", "report", "quick", "-o", str(page)), 0)
    assert "TINY MODEL" in page.read_text()


@pytest.mark.parametrize(
    ("name", "only", "profile"),
    [
        ("fig14", ("experts_run=loop", "batch=1", "length=1024"), "tiny-mixtral-unfused"),
        ("fig12", ("draft=1.7B", "draft_tokens=3", "input_tokens=128"), "trained-mixtral-draft-large"),
    ],
)
def test_a_study_runs_what_the_tiny_model_stands_for(
    command: Command, tmp_path: Path, name: str, only: tuple[str, ...], profile: str
) -> None:
    chosen = [word for each in only for word in ("--only", each)]
    ended(command("study", "run", name, "--scale", "tiny", "--repeats", "1", *chosen), *MEASURED)
    with Store.open(database(tmp_path), read_only=True) as store:
        (sweep,) = store.sweeps()
        (run,) = store.runs(sweep.sweep_id)
    file = read_study(name)
    (measured,) = measured_points(points_of(file, at_tiny_scale(variants_of(file))), [run])
    assert {key: str(measured.coordinates[key]) for key in dict(each.split("=") for each in only)} == dict(
        each.split("=") for each in only
    )
    assert run["server"].get("profile") == profile
    launch = run["server"].get("launch") or {}
    assert launch.get("plugins") == (["expert-loop"] if name == "fig14" else None)
    assert (FIGURES["acceptance_ratio"].read(run) is not None) is (name == "fig12")


def test_a_pruned_model_of_a_study_is_made_and_served(command: Command, tmp_path: Path) -> None:
    made = ROOT / ".pruned-models" / "tiny-olmoe-inter-0.5-norm"
    shutil.rmtree(made, ignore_errors=True)
    coordinates = ("model=olmoe-1b-7b", "pruning=inter", "pruning_ratio=0.5", "top_k=4")
    only = [word for each in coordinates for word in ("--only", each)]
    said = ended(command("study", "run", "fig11", "--scale", "tiny", "--repeats", "1", *only), *MEASURED)
    assert f"pruning .tiny-models/tiny-olmoe to {made.relative_to(ROOT)}" in said
    assert json.loads((made / "config.json").read_text())["num_experts"] == 8
    with Store.open(database(tmp_path), read_only=True) as store:
        (run,) = [run for sweep in store.sweeps() for run in store.runs(sweep.sweep_id)]
    assert (run["server"].get("launch") or {}).get("model_source") == str(made.relative_to(ROOT))
    assert run["outcomes"]["ok"] == 5
    assert series_of(run).provenance == "tiny"


def test_the_table_of_tiny_models_is_what_the_script_makes() -> None:
    skip_without_vllm()
    for tiny in TINY_MODELS.values():
        config = json.loads((ROOT / ".tiny-models" / tiny.profile / "config.json").read_text())
        counts = {config[key] for key in ("num_experts", "num_local_experts", "n_routed_experts") if key in config}
        assert counts == {tiny.experts}
        assert config[tiny.ffn_key] == tiny.ffn_size

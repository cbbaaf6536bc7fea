"""What is known without starting anything: GPUs, programs, models, states of the machine."""

import os
import struct
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.servers.gpu.sources import GpuDevice
from loadgen.servers.gpu.watch import visible_with
from loadgen.servers.launcher import preflight
from loadgen.servers.launcher.failure import FailureKind, StartFailure
from loadgen.servers.launcher.processes import Process, descendants, process
from loadgen.servers.launcher.provenance import engine_says, model_identity
from loadgen.servers.launcher.state import ServerState, new_log, read_state, state_folder, write_state
from loadgen.servers.launcher.variant import find_program, release_of
from tests.servers.launcher.launches import fake_launch, write_program

H100 = [
    GpuDevice(index, f"GPU-{index}f", "NVIDIA H100 80GB HBM3", 81559 * 2**20, 700.0, "570.86") for index in range(4)
]


@pytest.mark.parametrize(
    ("chosen", "count"), [("0", 1), ("0,1", 2), ("", 0), ("-1", 0), ("7", 0), ("GPU-0f,GPU-3f", 2), (None, 4)]
)
def test_hidden_gpus_do_not_count(chosen: str | None, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    additions = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}
    assert len(visible_with(additions, H100)) == count


@pytest.mark.parametrize(
    ("found", "hidden", "said"),
    [
        ([], None, "fake needs 4 GPUs and found none"),
        (H100[:1], None, "fake needs 4 GPUs and found 1"),
        (H100, "0,1", r"fake needs 4 GPUs and found 2 \(of 4; CUDA_VISIBLE_DEVICES hides the others\)"),
    ],
)
def test_too_few_gpus_are_told_before_all_else(
    found: list[GpuDevice], hidden: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "installed_gpus", lambda: found)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    environment = {} if hidden is None else {"CUDA_VISIBLE_DEVICES": hidden}
    launch = replace(fake_launch(), gpus=4, argv=("no-such-program",), environment=environment)
    with pytest.raises(StartFailure, match=f"^{said}$") as failed:
        preflight.check(launch)
    assert failed.value.kind == FailureKind.TOO_FEW_GPUS
    assert failed.value.exit_code == 5


def test_a_missing_engine_is_told() -> None:
    with pytest.raises(StartFailure, match="there is no program 'no-such-program' on PATH; install it") as failed:
        preflight.check(replace(fake_launch(), argv=("no-such-program", "serve")))
    assert failed.value.kind == FailureKind.NO_ENGINE


def test_a_missing_folder_of_a_model_is_told_and_an_id_is_left_to_the_engine(tmp_path: Path) -> None:
    launch = fake_launch()
    with pytest.raises(
        StartFailure, match=r"serves the model in '\./nowhere', and there is no such folder; .* --model PATH"
    ) as failed:
        preflight.check(replace(launch, model_source="./nowhere"))
    assert failed.value.kind == FailureKind.MISSING_MODEL
    preflight.check(replace(launch, model_source=str(tmp_path)))
    preflight.check(replace(launch, model_source="mistralai/Mixtral-8x7B-v0.1"))


@pytest.mark.parametrize(
    ("source", "where"),
    [
        (".tiny-models/gone", "`make vllm-cpu` makes the tiny ones"),
        ("./trained_models/gone", "loadgen's repository has"),
    ],
)
def test_of_a_folder_of_ours_the_message_says_where_it_comes_from(source: str, where: str) -> None:
    with pytest.raises(StartFailure, match=rf"there is no such folder \({where}"):
        preflight.check(replace(fake_launch(), model_source=source))


def test_a_program_tells_its_release(tmp_path: Path) -> None:
    script = write_program(tmp_path / "tool", "#!/bin/sh\necho tool 1.2.3rc1\n")
    assert find_program(str(script)) == script
    assert release_of(script, "tool") == "1.2.3rc1"
    script.write_text("#!/bin/sh\nexit 1\n")
    assert release_of(script, "tool") is None
    assert find_program(str(tmp_path / "none")) is None


def test_the_python_of_a_script_tells_the_release_of_its_package(tmp_path: Path) -> None:
    script = write_program(tmp_path / "pytest", f"#!{sys.executable}\n")
    assert release_of(script, "pytest") == pytest.__version__


def checkpoint(folder: Path, header: bytes, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + weights)
    return folder


def test_a_checkpoint_is_known_by_its_shapes(tmp_path: Path) -> None:
    one = model_identity(str(checkpoint(tmp_path / "a", b'{"x":1}', b"11")), None)
    same = model_identity(str(checkpoint(tmp_path / "b", b'{"x":1}', b"22")), None)
    other = model_identity(str(checkpoint(tmp_path / "c", b'{"x":2}', b"11")), None)
    longer = model_identity(str(checkpoint(tmp_path / "d", b'{"x":1}', b"111")), None)
    assert one == same
    assert len({identity["model_hash"] for identity in (one, other, longer)}) == 3
    assert one["model_hash"].startswith("sha256:")
    assert "header of each" in one["model_hash_covers"]


def test_a_model_of_the_hub_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--org--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0123abc")
    (folder / "snapshots" / "0123abc").mkdir(parents=True)
    assert model_identity("org/model", None) == {"model_revision": "0123abc"}
    assert model_identity("org/model", "0123abc") == {"model_revision": "0123abc"}
    assert model_identity("org/model", "v2") == {}
    assert model_identity("org/other", None) == {}
    assert model_identity(None, None) == {}


def test_the_engines_own_account_is_kept() -> None:
    log = (
        "(APIServer pid=1) INFO 11-26 12:00:00 [api_utils.py:286] non-default args: {'port': 8031}\n"
        "(EngineCore pid=2) INFO 11-26 12:00:00 [core.py:134] Initializing a V1 LLM engine (v0.32.0) with config: model='x', dtype=bf16\n"
        "(EngineCore pid=2) INFO 11-26 12:00:00 [kv_cache_utils.py:2328] GPU KV cache size: 32,768 tokens, Maximum concurrency for 2,048 tokens per request: 16.00x\n"
        "(EngineCore pid=2) INFO 11-26 12:00:00 [fused_moe.py:1090] Using configuration from /v/E=8,N=14336,device_name=NVIDIA_H200.json for MoE layer.\n"
    )
    assert engine_says(log) == {
        "non_default_arguments": "{'port': 8031}",
        "engine_config": "model='x', dtype=bf16",
        "kv_cache": "32,768 tokens, Maximum concurrency for 2,048 tokens per request: 16.00x",
        "expert_kernel": "configuration from /v/E=8,N=14336,device_name=NVIDIA_H200.json",
    }
    untuned = "WARNING 11-26 12:00:00 [fused_moe.py:1100] Using default MoE config. Performance might be sub-optimal! Config file not found at /v/x.json\n"
    assert engine_says(untuned) == {"expert_kernel": "default MoE config"}


def test_the_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    state = ServerState(
        *("p", "http://x", "m", "chat", "f", "/x.log", "2026-11-26T17:00:00+00:00"),
        cleanup=("docker", "rm"),
        facts={"argv": ["a"]},
    ).with_end("died", 3)
    write_state(tmp_path / "new", state)
    assert read_state(tmp_path / "new") == state
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["server.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"profile": "x"}'])
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    assert read_state(tmp_path) is None
    (tmp_path / "server.json").write_text(text)
    assert read_state(tmp_path) is None


def test_the_place_of_the_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LOADGEN_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert state_folder() == Path("/home/somebody/.local/state/loadgen")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert state_folder() == Path("/state/loadgen")
    monkeypatch.setenv("LOADGEN_STATE_DIR", "/mine")
    assert state_folder() == Path("/mine")
    assert new_log(tmp_path, "p") != new_log(tmp_path, "p")


def test_this_process_is_read_from_the_table() -> None:
    me = process(os.getpid())
    assert me is not None
    assert (me.pid, me.parent, me.group) == (os.getpid(), os.getppid(), os.getpgrp())
    assert process(2**22 + 1) is None


def test_descendants_are_found_at_any_depth() -> None:
    def one(pid: int, parent: int) -> Process:
        return Process(pid, parent, 1, 1, 0, False)

    table = {pid: one(pid, parent) for pid, parent in ((2, 1), (3, 2), (4, 3), (5, 1), (6, 9))}
    assert descendants([2], table) == {3, 4}
    assert descendants([1], table) == {2, 3, 4, 5}
    assert descendants([], table) == set()

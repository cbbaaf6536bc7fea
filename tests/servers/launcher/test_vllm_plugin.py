"""How a started vLLM finds the plug-ins, and that a start without their effect fails."""

import ast
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.servers.launcher import variant
from loadgen.servers.launcher.failure import FailureKind, StartFailure
from loadgen.servers.launcher.start import start
from loadgen.servers.launcher.variant import launch_of
from loadgen.servers.profiles.plugins import FOLDER, PLUGINS, found_by_vllm, without_effect
from loadgen.servers.profiles.schema import ServerProfile
from tests.servers.launcher.launches import fake_launch

OTHER = "class UnquantizedFusedMoEMethod:\n    def apply(self, layer, x, router_logits): ..."
FITTING = """
class UnquantizedFusedMoEMethod:
    def apply(self, layer, x, topk_weights, topk_ids): ...
    @classmethod
    def register_oot(cls, other): assert other.kind == "loop" and not hasattr(cls, "other"); cls.other = other
"""
"""vLLM's method for experts, of a release before the plug-in's and of one that it knows, as far as it is looked at."""

MODULES = sorted((FOLDER / "loadgen_vllm").glob("*.py"))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("VLLM_PLUGINS", raising=False)


def test_the_folder_stands_before_what_is_on_the_path_already(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_by_vllm({}) == {"PYTHONPATH": str(FOLDER)}
    monkeypatch.setenv("PYTHONPATH", "/ours")
    assert found_by_vllm({}) == {"PYTHONPATH": f"{FOLDER}{os.pathsep}/ours"}
    assert found_by_vllm({"PYTHONPATH": "/its"}) == {"PYTHONPATH": f"{FOLDER}{os.pathsep}/its"}


@pytest.mark.parametrize(
    ("allowed", "now"), [("", "loadgen"), ("other", "other,loadgen"), ("loadgen", None), ("other,loadgen", None)]
)
def test_a_list_of_allowed_plugins_gets_ours(allowed: str, now: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_by_vllm({"VLLM_PLUGINS": allowed}).get("VLLM_PLUGINS") == now
    monkeypatch.setenv("VLLM_PLUGINS", allowed)
    assert found_by_vllm({}).get("VLLM_PLUGINS") == now


def test_the_entry_point_is_found_in_the_folder() -> None:
    (distribution,) = importlib.metadata.distributions(path=[str(FOLDER)])
    (point,) = distribution.entry_points
    assert (distribution.name, point.group, point.value) == (
        "loadgen-vllm",
        "vllm.general_plugins",
        "loadgen_vllm.entry:load",
    )
    assert (FOLDER / "loadgen_vllm" / "entry.py").is_file()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_it_imports_nothing_of_loadgen(module: Path) -> None:
    """vLLM's environment has none of loadgen's dependencies."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    assert names <= set(sys.stdlib_module_names) | {"torch", "vllm"}


MOE = "vllm/model_executor/layers/fused_moe"
KNOWN = {
    "torch/__init__.py": "Tensor = None",
    "torch/nn/functional.py": "linear = silu = None",
    f"{MOE}/activation.py": "MoEActivation = None",
}


def loaded(folder: Path, modules: dict[str, str], **variables: str) -> "subprocess.CompletedProcess[str]":
    """The entry point as an environment of such modules, which hold as much of torch and vLLM as is imported, runs it."""
    for name, text in {
        "vllm/__init__.py": "__version__ = '0.9.2'",
        "vllm/config.py": "get_current_vllm_config = None",
        **modules,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, "-c", "from loadgen_vllm.entry import load; load(); load()"]
    environment = os.environ | {"PYTHONPATH": f"{FOLDER}{os.pathsep}{folder}"} | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("variables", "modules", "said"),
    [
        ({}, {}, ""),
        ({"LOADGEN_VLLM_EXPERTS": "loop"}, {}, "plug-in expert-loop does not know how vLLM 0.9.2 runs experts; take vLLM 0.26 to 0.32"),
        ({"LOADGEN_VLLM_EXPERTS": "gather"}, KNOWN | {f"{MOE}/unquantized_fused_moe_method.py": OTHER}, "plug-in expert-gather does not know"),
        ({"LOADGEN_VLLM_EXPERTS": "loop"}, KNOWN | {f"{MOE}/unquantized_fused_moe_method.py": FITTING}, ""),
        ({"LOADGEN_VLLM_EXPERTS": "fast"}, {}, "LOADGEN_VLLM_EXPERTS is 'fast'; it must be loop or gather"),
        ({"LOADGEN_VLLM_KERNELS": "untuned"}, {}, "plug-in untuned-kernels does not know"),
        ({"LOADGEN_VLLM_KERNELS": "untuned"}, {f"{MOE}/fused_moe.py": ""}, "plug-in untuned-kernels does not know"),
        ({"LOADGEN_VLLM_KERNELS": "untuned"}, {f"{MOE}/fused_moe.py": "get_moe_configs = None"}, ""),
    ],
)  # fmt: skip
def test_a_release_that_is_built_otherwise_is_refused_in_a_sentence(
    tmp_path: Path, variables: dict[str, str], modules: dict[str, str], said: str
) -> None:
    done = loaded(tmp_path, modules, **variables)
    assert done.returncode == bool(said), done.stderr
    last = done.stderr.strip().splitlines()[-1:]
    assert said in "".join(last)
    assert "No module named" not in done.stderr  # which would be taken for a Python without vLLM


def test_only_a_profile_that_asks_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variant, "find_program", lambda name: None)
    plain = ServerProfile.model_validate({"name": "it", "description": "it", "model": "m", "needs": {"gpus": 0}})
    launch = launch_of(plain)
    assert (launch.environment, launch.plugins, "plugins" in launch.resolved) == ({}, (), False)
    asked = launch_of(plain.model_copy(update={"plugins": ("expert-gather",)}))
    assert asked.environment == {"LOADGEN_VLLM_EXPERTS": "gather", "PYTHONPATH": str(FOLDER)}
    assert asked.argv[-1] == "--enforce-eager"
    assert (asked.plugins, asked.resolved["plugins"]) == (("expert-gather",), ["expert-gather"])
    assert asked.fingerprint != launch.fingerprint


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_is_in_use_when_the_log_says_so(plugin: str) -> None:
    announced = f"(EngineCore pid=104) loadgen plug-in {plugin} is in use\n"
    assert without_effect((plugin,), announced) == ()
    assert without_effect((plugin,), "INFO: Application startup complete.\n") == (plugin,)
    assert without_effect((), "") == ()


@pytest.mark.loopback
def test_a_server_without_its_plugin_is_ended_and_told(tmp_path: Path) -> None:
    launch = replace(fake_launch(), plugins=("expert-loop",))
    with pytest.raises(StartFailure, match="started without its plug-in expert-loop") as failed:
        start(launch, say=_nothing, folder=tmp_path)
    assert failed.value.kind == FailureKind.BAD_ARGUMENT


_nothing: Callable[[str], None] = lambda stage: None  # noqa: E731

"""The profiles that come with loadgen: all that are promised, none that cannot hold what it says."""

import re
import shlex
from pathlib import Path

import pytest

from loadgen.moe.models import model
from loadgen.servers.profiles.checks import findings
from loadgen.servers.profiles.command import argv
from loadgen.servers.profiles.profile_file import profile_names, read_profile
from loadgen.spec.parse import profile_sweep
from loadgen.spec.runs import resolve

ROOT = Path(__file__).resolve().parents[3]
PROMISED = """
mixtral-tp1 mixtral-tp2 mixtral-tp4 mixtral-pp2 mixtral-pp4 mixtral-tp4-ep mixtral-pp4-ep mixtral-dp4-ep mixtral-fp16 mixtral-fp8
mixtral-unfused mixtral-unfused-gather mixtral-eager mixtral-tuned mixtral-untuned tiny-mixtral-unfused tiny-mixtral-unfused-gather
qwen1.5-moe-a2.7b qwen3-30b-a3b qwen3-30b-a3b-draft-0.6b qwen3-30b-a3b-draft-1.7b qwen3-30b-a3b-draft-4b qwen3-30b-a3b-draft-8b
qwen3-30b-a3b-ngram qwen3-30b-a3b-draft-1.7b-synthetic
deepseek-v2-lite phi-3.5-moe olmoe-tp1 olmoe-tp2 olmoe-tp4 olmoe-tp4-ep deepseek-vl2-tiny deepseek-vl2-small deepseek-vl2
llama-4-scout-tp4 llama-4-scout-tp8 cerebras-llama-4-scout cerebras-gpt-oss-120b molmoe-1b
external-openai external-sglang external-llama.cpp simulated simulated-saturating simulated-cerebras simulated-mixtral-h100
tiny-mixtral tiny-mixtral-tp2 tiny-qwen3moe tiny-olmoe tiny-deepseekv2 tiny-qwen2moe tiny-phimoe
trained-mixtral-draft-small trained-mixtral-draft-large trained-mixtral-ngram
trained-mixtral trained-mixtral-unbalanced trained-deepseek trained-deepseek-unbalanced trained-draft-small trained-draft-large trained-vision trained-vision-top1
olmoe-dummy olmoe-fp8-dummy mixtral-dummy mixtral-fp8-dummy mixtral-skeleton
""".split()
NOT_OF_THE_PAPER = ("external", "simulated", "tiny", "trained", "cerebras-gpt", "mixtral-dp4")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from the checkout, whose folder of profiles would stand in for the shipped one."""
    monkeypatch.chdir(tmp_path)


def test_all_that_are_promised_are_there_and_no_more() -> None:
    assert set(profile_names()) == set(PROMISED)


@pytest.mark.parametrize("name", profile_names(abstract=True))
def test_nothing_but_a_missing_folder_is_found_without_a_vllm(name: str) -> None:
    found = findings(read_profile(name), None, None)
    assert [finding for finding in found if finding.severity == "error"] == []
    unchecked = [finding.message for finding in found if finding.severity == "unchecked"]
    assert all("a folder that is not here" in message for message in unchecked)


@pytest.mark.parametrize("name", profile_names())
def test_its_grid_can_be_measured(name: str) -> None:
    runs = resolve(profile_sweep(read_profile(name)))
    assert runs
    assert {run.model for run in runs} == {read_profile(name).profile.request_model}


@pytest.mark.parametrize("name", profile_names())
def test_it_says_what_the_paper_measured(name: str) -> None:
    if name.startswith(NOT_OF_THE_PAPER):
        return
    expected = "Reference|reference" if name.endswith("-dummy") else "[Tt]he paper"
    assert re.search(expected, read_profile(name).profile.notes or "")


def test_every_model_of_table_1_has_a_profile() -> None:
    served = {read_profile(name).profile.architecture for name in profile_names()}
    assert served >= {
        *("mixtral-8x7b", "qwen1.5-moe-a2.7b", "qwen3-30b-a3b", "deepseek-v2-lite", "phi-3.5-moe", "olmoe-1b-7b"),
        *("deepseek-vl2-tiny", "deepseek-vl2-small", "deepseek-vl2", "llama-4-scout"),
    }
    assert model("qwen3-8b").id == "Qwen/Qwen3-8B"


@pytest.mark.parametrize(
    ("name", "release", "words"),
    [
        ("mixtral-tp4-ep", "0.32.0", "--tensor-parallel-size 4 --enable-expert-parallel"),
        ("mixtral-pp4", "0.32.0", "--pipeline-parallel-size 4"),
        ("mixtral-dp4-ep", "0.32.0", "--data-parallel-size 4 --enable-expert-parallel"),
        ("mixtral-fp8", "0.32.0", "--tensor-parallel-size 2 --quantization fp8_per_tensor"),
        ("mixtral-fp8", "0.26.0", "--quantization fp8"),
        ("mixtral-fp8-dummy", "0.26.0", "--quantization fp8"),
        ("deepseek-vl2", "0.32.0", """--limit-mm-per-prompt '{"image":1}'"""),
        (
            "qwen3-30b-a3b-draft-1.7b",
            "0.32.0",
            """--speculative-config '{"method":"draft_model","model":"Qwen/Qwen3-1.7B","num_speculative_tokens":3}'""",
        ),
    ],
)
def test_a_variant_is_its_flags(name: str, release: str, words: str) -> None:
    assert words in shlex.join(argv(read_profile(name).profile, release))
    assert "--no-enable-prefix-caching" in argv(read_profile(name).profile, release)

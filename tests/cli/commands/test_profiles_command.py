"""`loadgen profiles`: what it prints, and the exit code of each finding. No vLLM is looked at here."""

import json
from pathlib import Path

import pytest

from loadgen.cli.app import main
from loadgen.errors import ExitCode

BAD_KEY = "description: d\nmodel: m\nneeds: {gpus: 0}\nlancher: local\n"
BAD_MODEL = "description: d\nmodel: mistralai/Mixtral-8x7B\narchitecture: mixtral-8x7b\nneeds: {gpus: 0}\n"
BAD_GRID = "extends: simulated\ndescription: d\nsweep: {concurrency: [1, 0]}\n"
BAD_FLAG = "extends: simulated\ndescription: d\narguments: {ttft: 1}\n"
BAD_VALUE = "extends: simulated\ndescription: d\narguments: {ttft-s: soon}\n"
FOLDER_AWAY = "description: d\nmodel: ./away\nneeds: {gpus: 0}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory away from any vLLM."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["profiles", *arguments])
    return code, capsys.readouterr().out


def test_the_list_has_every_profile_that_can_be_reached(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = answer(capsys, "list")
    assert code == ExitCode.OK
    assert "mixtral-tp4 " in printed
    assert "4 × 80 GB" in printed
    assert "mixtral-8x7b " not in printed
    rows = json.loads(answer(capsys, "list", "--json")[1])["profiles"]
    assert {"name": "simulated", "launcher": "simulator"}.items() <= next(
        row for row in rows if row["name"] == "simulated"
    ).items()


def test_a_profile_is_shown_with_its_command_and_its_model(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = answer(capsys, "show", "qwen3-30b-a3b")
    assert code == ExitCode.OK
    words = " ".join(printed.split())
    for fact in (
        "vllm serve Qwen/Qwen3-30B-A3B --served-model-name qwen3-30b-a3b --host 127.0.0.1 --port 8000",
        "VLLM_NO_USAGE_STATS=1",
        "layers 48, of which 0 dense",
        "experts 8 of 128 with FFN size 768",
        "routed experts 28,991,029,248",
        "FFN size of an expert 13,824 768 +1700% ✗",
        "tensor 2 30.5 15.6",
        "Figures 3 and 17: with Mixtral the most accurate",
    ):
        assert fact in words


def test_the_same_as_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(answer(capsys, "show", "deepseek-v2-lite", "--json")[1])
    assert document["schema_version"] == 1
    assert document["argv"][:3] == ["vllm", "serve", "deepseek-ai/DeepSeek-V2-Lite"]
    model = document["model"]
    assert (model["layers"], model["dense_layers"], model["attention"]["kind"]) == (27, 1, "MLA")
    assert model["experts"] == {
        "experts": 64,
        "top_k": 6,
        "ffn_size": 1408,
        "shared_experts": 2,
        "shared_ffn_size": 2816,
    }
    assert model["parameters"]["total"] == 15_706_484_224
    assert model["distinct_experts_per_step"]["16"] == pytest.approx(50.7, abs=0.1)
    assert model["per_gpu"][0]["weights_bytes"]["bf16"] == 2 * model["parameters"]["total"]
    tensor_8 = next(row for row in model["per_gpu"] if row["tensor"] == 8)
    assert tensor_8["kv_cache_bytes_per_token"]["bf16"] == model["per_gpu"][0]["kv_cache_bytes_per_token"]["bf16"]
    assert document["memory"]["problem"] is None


@pytest.mark.parametrize(
    "name", ["molmoe-1b", "cerebras-gpt-oss-120b", "external-sglang", "simulated", "tiny-mixtral", "vllm"]
)
def test_each_kind_of_profile_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "show", name)[0] == ExitCode.OK


def test_a_layout_that_cannot_be_is_shown_as_unknown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "odd.yaml").write_text("extends: mixtral-tp2\ndescription: d\narguments: {tensor-parallel-size: 3}\n")
    code, printed = answer(capsys, "show", "odd.yaml")
    assert code == ExitCode.OK
    assert "cannot be split evenly over 3" in " ".join(printed.split())


def test_all_of_them_pass_and_no_vllm_is_said_to_be_missing(capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = answer(capsys, "check")
    assert code == ExitCode.OK
    assert "no mistake" in printed
    assert "no vLLM is installed here" in printed
    assert answer(capsys, "check", "--strict", "simulated")[0] == ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BAD_KEY, "unknown key 'lancher' in bad.yaml line 4; did you mean 'launcher'?"),
        (
            BAD_MODEL,
            "'model' in bad.yaml line 2 is 'mistralai/Mixtral-8x7B', which is neither a folder here nor the id of",
        ),
        (BAD_FLAG, "'arguments' in bad.yaml line 3: `loadgen simulate` says: No such option: --ttft"),
        (BAD_VALUE, "'arguments' in bad.yaml line 3: `loadgen simulate` says: Invalid value for '--ttft-s': "),
        (BAD_GRID, "'concurrency' in bad.yaml line 3 must be at least 1, not 0"),
    ],
)
def test_a_mistake_is_told_and_fails(
    text: str, sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yaml").write_text(text)
    code, printed = answer(capsys, "check", "simulated", "bad.yaml", "--json")
    assert code == ExitCode.USAGE
    document = json.loads(printed)
    assert document["vllm"] is None
    results = {result["name"]: result for result in document["profiles"]}
    assert results["simulated"] == {"name": "simulated", "status": "ok", "findings": []}
    assert results["bad"]["status"] == "error"
    assert results["bad"]["findings"][0]["message"].startswith(sentence)


def test_what_could_not_be_looked_at_fails_only_when_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "away.yaml").write_text(FOLDER_AWAY)
    code, printed = answer(capsys, "check", "away.yaml")
    assert code == ExitCode.OK
    assert "not checked: 'model' in away.yaml line 2 is ./away, a folder that is not here" in " ".join(printed.split())


def test_a_vllm_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles", "check", "simulated", "--vllm", "absent"]) == ExitCode.USAGE
    assert "there is no vLLM at absent" in capsys.readouterr().err

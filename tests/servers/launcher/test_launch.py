"""What is started, as data: from a profile, with overrides, told without secrets; in a container as well."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.servers.launcher import compose, variant
from loadgen.servers.launcher.variant import Overrides, launch_of
from loadgen.servers.profiles.schema import ServerProfile
from loadgen.servers.redaction import shown_words
from tests.servers.launcher.launches import fake_launch

ROOT = Path(__file__).resolve().parents[3]
PROFILE = {
    "name": "mixtral",
    "description": "Mixtral",
    "model": "mistralai/Mixtral-8x7B-v0.1",
    "served_model_name": "mixtral",
    "revision": "abc",
    "arguments": {"max-model-len": 4224, "enable-prefix-caching": False, "load-format": "dummy"},
    "environment": {"A": "b", "HF_TOKEN": "hf_secret"},
    "needs": {"gpus": 4, "gpu_memory_gb": 80},
    "readiness": {"timeout_s": 60},
}


def profile(**changes: object) -> ServerProfile:
    return ServerProfile.model_validate(PROFILE | changes)


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOADGEN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("VLLM_TAG", raising=False)
    monkeypatch.setattr(variant, "find_program", lambda name: None)


def test_a_profile_becomes_a_launch() -> None:
    launch = launch_of(profile())
    assert launch.argv == (
        *("vllm", "serve", "mistralai/Mixtral-8x7B-v0.1", "--served-model-name", "mixtral", "--revision", "abc"),
        *("--host", "127.0.0.1", "--port", "8000", "--max-model-len", "4224", "--no-enable-prefix-caching"),
        *("--load-format", "dummy"),
    )
    assert (launch.url, launch.model, launch.gpus) == ("http://127.0.0.1:8000", "mixtral", 4)
    assert (launch.weights, launch.readiness_timeout_s) == ("dummy", 60)
    assert launch.shown_environment == {"A": "b", "HF_TOKEN": "…"}
    assert launch.resolved["overrides"] == {}


def test_the_command_line_changes_a_profile_and_that_is_recorded() -> None:
    overrides = Overrides.parse(
        8011, "/models/m", ["max-model-len=2048", "load-format=", "--x={a: 1}", "dtype=2026-01-01"]
    )
    launch = launch_of(profile(served_model_name=None), overrides)
    assert launch.url == "http://127.0.0.1:8011"
    assert launch.model == "mistralai/Mixtral-8x7B-v0.1"  # what requests say stays
    assert launch.model_source == "/models/m"
    assert launch.weights == "real"
    assert "--revision" not in launch.argv
    assert launch.argv[-5:] == ("--no-enable-prefix-caching", "--x", '{"a":1}', "--dtype", "2026-01-01")
    assert launch.resolved["overrides"] == {
        "port": 8011,
        "model": "/models/m",
        "arguments": {"max-model-len": 2048, "load-format": None, "x.a": 1, "dtype": "2026-01-01"},
    }


def test_what_differs_between_releases_is_overridden_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variant, "find_program", lambda name: Path("/opt/bin/vllm"))
    monkeypatch.setattr(variant, "release_of", lambda program, distribution: "0.26.0")
    special = [{"releases": "<0.27", "arguments": {"quantization": "fp8", "max-model-len": 1024}}]
    launch = launch_of(profile(for_releases=special), Overrides.parse(None, None, ["max-model-len=99"]))
    assert launch.argv[0] == "/opt/bin/vllm"
    assert launch.argv[launch.argv.index("--max-model-len") + 1] == "99"
    assert launch.argv[launch.argv.index("--quantization") + 1] == "fp8"
    with pytest.raises(UsageError, match=r"profile 'mixtral' is for vllm >=0\.27, and here is 0\.26\.0"):
        launch_of(profile(releases=">=0.27"))


@pytest.mark.parametrize(
    ("argument", "said"),
    [("max-model-len", "is not KEY=VALUE"), ("=3", "is not KEY=VALUE"), ("port=1", "use --port"), ("host=x", "the profile's host")],
)  # fmt: skip
def test_an_argument_that_cannot_be_is_named(argument: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Overrides.parse(None, None, [argument])


def test_an_external_server_has_no_command_and_takes_no_changes() -> None:
    theirs = ServerProfile.model_validate(
        {
            "name": "theirs",
            "description": "x",
            "model": "m",
            "launcher": "external",
            "url": "https://api.example.com",
            "endpoint": "chat",
        }
    )
    launch = launch_of(theirs)
    assert launch.argv == ()
    assert (launch.kind, launch.url, launch.endpoint) == ("external", "https://api.example.com", "chat")
    with pytest.raises(UsageError, match="nothing of it can be changed here"):
        launch_of(theirs, Overrides(port=1))


def test_an_abstract_profile_is_not_served() -> None:
    with pytest.raises(UsageError, match="only there to be extended"):
        launch_of(profile(abstract=True))


def test_keys_and_tokens_are_not_shown() -> None:
    words = [
        "vllm",
        "serve",
        "m",
        "--api-key",
        "one",
        "--hf-token=two",
        "--max-num-batched-tokens",
        "2048",
        "--port",
        "8000",
    ]
    assert shown_words(words) == [
        *("vllm", "serve", "m", "--api-key", "…", "--hf-token=…", "--max-num-batched-tokens", "2048", "--port", "8000")
    ]
    launch = launch_of(profile(arguments={"api-key": "one"}))
    assert launch.resolved["arguments"] == {"api-key": "…"}


def test_a_fingerprint_tells_launches_apart() -> None:
    launch = fake_launch()
    assert launch.fingerprint == replace(launch, readiness_timeout_s=1, resolved={"a": 1}).fingerprint
    others = [
        replace(launch, argv=(*launch.argv, "x")),
        replace(launch, environment={"A": "b"}),
        replace(launch, url="http://x"),
    ]
    assert len({launch.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_a_container_gets_the_profiles_command(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    environment = {"PRICE": "$5"}
    launch = launch_of(profile(launcher="compose", model=str(model), environment=environment, port=8011, revision=None))
    ((path, text),) = launch.files.items()
    assert launch.argv == (
        *("docker", "compose", "-f", str(compose.compose_file()), "-f", path, "up", "--no-deps", "--no-color"),
        *("--no-log-prefix", "--exit-code-from", "vllm", "vllm"),
    )
    assert launch.cleanup[-4:] == ("rm", "--stop", "--force", "vllm")
    assert launch.environment == {"LOADGEN_VLLM_PORT": "8011", "VLLM_TAG": compose.TAG}
    assert launch.url == "http://127.0.0.1:8011"
    assert (launch.weights, launch.gpus) == ("dummy", 4)
    service = json.loads(text)["services"]["vllm"]
    assert service["entrypoint"] == ["vllm", "serve"]
    assert service["command"][:7] == [
        str(model),
        "--served-model-name",
        "mixtral",
        "--host",
        "0.0.0.0",
        "--port",
        "8000",
    ]
    assert service["environment"] == {"PRICE": "$$5"}
    assert service["volumes"][0]["source"] == service["volumes"][0]["target"] == str(model)


def test_the_compose_file_and_the_code_name_the_same_image_and_variables() -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert f"image: vllm/vllm-openai:${{{compose.TAG_VARIABLE}:-{compose.TAG}}}" in text
    assert f"${{{compose.PORT_VARIABLE}:-8000}}:{compose.PORT_INSIDE}" in text
    assert f"\n  {compose.SERVICE}:\n" in text


@pytest.mark.skipif(
    subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0
    if shutil.which("docker")
    else True,
    reason="Docker's compose plugin is not installed",
)
def test_the_compose_file_is_clean() -> None:
    for profiles in ([], ["--profile", "measure", "--profile", "postgres", "--profile", "prometheus"]):
        command = ["docker", "compose", "-f", str(ROOT / "compose.yaml"), *profiles, "config", "--quiet"]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (said.returncode, said.stderr) == (0, "")

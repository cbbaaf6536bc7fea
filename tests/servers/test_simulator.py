"""The simulator on real sockets: what it answers, when, and what it says of it."""

import json
import os
import re
import signal
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess

pytestmark = pytest.mark.loopback

TTFT_S, GAP_S = 0.010, 0.002
MS = 1_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(SimulatorOptions(ttft_s=TTFT_S, gap_s=GAP_S, max_model_len=4096)) as simulator:
        yield simulator


@pytest.fixture
def client(server: SimulatorProcess) -> Iterator[httpx2.Client]:
    server.reset_truth()
    with httpx2.Client(base_url=server.url, trust_env=False, timeout=10) as client:
        yield client


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "simulated-moe", "prompt": [11, 12, 13], "max_tokens": 4, "ignore_eos": True, **fields}


def chat(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "how are you"}]
    return {"model": "simulated-moe", "messages": messages, "max_completion_tokens": 4, **fields}


def chunks(response: httpx2.Response) -> list[dict[str, Any]]:
    lines = [event.removeprefix("data: ") for event in response.text.split("\n\n") if event]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def wire(path: str, document: dict[str, Any], *headers: str) -> bytes:
    body = json.dumps(document).encode()
    head = [f"POST {path} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(body)}"]
    return ("\r\n".join([*head, *headers]) + "\r\n\r\n").encode() + body


def connect(server: SimulatorProcess) -> socket.socket:
    return socket.create_connection((server.options.host, server.port), timeout=5)


def read_until(client: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        part = client.recv(65536)
        assert part, f"closed after {data!r}"
        data += part
    return data


def scrape(client: httpx2.Client) -> dict[str, float]:
    """Series to value; of the labels only the finish reason is kept."""
    found: dict[str, float] = {}
    for line in client.get("/metrics").text.splitlines():
        match = re.fullmatch(
            r'vllm:(\w+)\{engine="0",(?:finished_reason="(\w+)",)?model_name="simulated-moe"\} (\S+)', line
        )
        if match:
            found[match[1] + (f".{match[2]}" if match[2] else "")] = float(match[3])
    return found


def becomes(client: httpx2.Client, name: str, value: float) -> bool:
    """Whether the series has that value now, or within twenty seconds."""
    deadline_s = time.monotonic() + 20
    while scrape(client)[name] != value and time.monotonic() < deadline_s:
        time.sleep(0.005)
    return scrape(client)[name] == value


def test_it_says_what_it_is(client: httpx2.Client) -> None:
    models = client.get("/v1/models")
    assert models.headers["server"] == "loadgen-simulator"
    (model,) = models.json()["data"]
    assert (model["id"], model["owned_by"], model["max_model_len"]) == ("simulated-moe", "loadgen-simulator", 4096)
    assert client.get("/version").json()["simulator"] is True
    assert client.get("/health").content == b""


def test_completions_stream(client: httpx2.Client) -> None:
    response = client.post(
        "/v1/completions",
        json=completion(stream=True, return_token_ids=True, stream_options={"include_usage": True}),
    )
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["transfer-encoding"] == "chunked"
    *tokens, usage = chunks(response)
    assert len(tokens) == 4
    assert tokens[0]["choices"][0]["prompt_token_ids"] == [11, 12, 13]
    assert usage["usage"] == {"prompt_tokens": 3, "total_tokens": 7, "completion_tokens": 4}


def test_chat_streams_the_role_first(client: httpx2.Client) -> None:
    role, *tokens = chunks(client.post("/v1/chat/completions", json=chat(stream=True)))
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["finish_reason"] for chunk in tokens] == [None, None, None, "length"]


def test_whole_answers(client: httpx2.Client) -> None:
    text = client.post("/v1/completions", json=completion()).json()
    message = client.post("/v1/chat/completions", json=chat()).json()
    assert len(text["choices"][0]["text"].split()) == text["usage"]["completion_tokens"] == 4
    assert len(message["choices"][0]["message"]["content"].split()) == message["usage"]["completion_tokens"] == 4


def test_tokenize_agrees_with_usage(client: httpx2.Client) -> None:
    for path, document in (
        ("/v1/completions", completion(prompt="one two three four")),
        ("/v1/chat/completions", chat()),
    ):
        counted = client.post("/tokenize", json=document).json()
        assert counted["max_model_len"] == 4096
        assert counted["count"] == len(counted["tokens"])
        assert client.post(path, json=document).json()["usage"]["prompt_tokens"] == counted["count"]


@pytest.mark.parametrize(
    ("method", "path", "document", "status"),
    [
        ("POST", "/v1/completions", completion(model="nope"), 404),
        ("POST", "/v1/completions", completion(max_tokens=0), 400),
        ("POST", "/v1/completions", completion(prompt=[1] * 5000), 400),
        ("POST", "/v1/chat/completions", chat(stream_options={"include_usage": True}), 400),
        ("POST", "/tokenize", {"model": "nope", "prompt": "x"}, 404),
    ],
)
def test_refusals_reach_the_client(
    client: httpx2.Client, method: str, path: str, document: dict[str, Any], status: int
) -> None:
    response = client.request(method, path, json=document)
    assert response.status_code == response.json()["error"]["code"] == status


def test_paths_methods_and_media_types(client: httpx2.Client) -> None:
    assert client.get("/v1/nope").json() == {"detail": "Not Found"}
    wrong = client.get("/v1/completions")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    plain = client.post("/v1/completions", content=b"{}", headers={"content-type": "text/plain"})
    assert plain.status_code == 400
    assert "Unsupported Media Type" in plain.json()["error"]["message"]
    assert client.post("/v1/completions", content=b"{", headers={"content-type": "application/json"}).status_code == 400


def test_each_token_leaves_when_it_is_due(client: httpx2.Client, server: SimulatorProcess) -> None:
    for _ in range(10):
        client.post("/v1/completions", json=completion(max_tokens=20, stream=True), headers={"x-request-id": "mine"})
    truth = server.truth()
    assert truth["stamp_source"] == ("kernel" if sys.platform == "linux" else "read")
    assert len(truth["requests"]) == 10
    medians_ns = []
    for request in truth["requests"]:
        assert request["id"].startswith("cmpl-")
        assert request["request_id"] == "mine"
        assert (request["prompt_tokens"], request["output_tokens"]) == (3, 20)
        assert len(request["sent_ns"]) == 20
        lateness_ns = [
            sent_ns - request["arrival_ns"] - round((TTFT_S + token * GAP_S) * 1e9)
            for token, sent_ns in enumerate(request["sent_ns"])
        ]
        assert min(lateness_ns) >= 0
        medians_ns.append(statistics.median(lateness_ns))
    assert min(medians_ns) < 0.5 * MS  # the best of ten: other work on this machine is not the simulator's


def test_the_truth_is_on_this_hosts_monotonic_clock(client: httpx2.Client, server: SimulatorProcess) -> None:
    before_ns = time.monotonic_ns()
    client.post("/v1/completions", json=completion())
    after_ns = time.monotonic_ns()
    (request,) = server.truth()["requests"]
    assert before_ns < request["arrival_ns"] < request["sent_ns"][0] < after_ns
    assert len(request["sent_ns"]) == 1  # one write for the whole answer, when its last token was due
    assert request["sent_ns"][0] - request["arrival_ns"] >= round((TTFT_S + 3 * GAP_S) * 1e9)


def test_the_head_leaves_with_the_first_token(server: SimulatorProcess) -> None:
    with connect(server) as client:
        started_ns = time.monotonic_ns()
        client.sendall(wire("/v1/completions", completion(stream=True)))
        first = client.recv(65536)
        assert time.monotonic_ns() - started_ns >= TTFT_S * 1e9
        assert first.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"data: {" in first


def test_connections_are_kept_and_requests_in_a_row_are_answered_in_order(server: SimulatorProcess) -> None:
    with connect(server) as client:
        for _ in range(2):
            client.sendall(wire("/v1/completions", completion(stream=True)))
            assert b"connection: close" not in read_until(client, b"0\r\n\r\n")
        client.sendall(wire("/tokenize", {"prompt": "a"}) + wire("/tokenize", {"prompt": "a b"}))
        answers = read_until(client, b'"count":2')
        assert answers.index(b'"count":1') < answers.index(b'"count":2')


def test_a_request_may_arrive_in_pieces(server: SimulatorProcess) -> None:
    with connect(server) as client:
        for byte in wire("/tokenize", {"prompt": "a b c"}):
            client.send(bytes([byte]))
        assert b'"count":3' in read_until(client, b"}")


def test_connection_close_is_honoured(server: SimulatorProcess) -> None:
    with connect(server) as client:
        client.sendall(wire("/v1/completions", completion(stream=True), "connection: close"))
        answer = read_until(client, b"0\r\n\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert client.recv(1) == b""


def test_what_is_not_http_is_refused_and_the_server_lives(server: SimulatorProcess, client: httpx2.Client) -> None:
    with connect(server) as stranger:
        stranger.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert read_until(stranger, b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert stranger.recv(1) == b""
    assert client.get("/health").status_code == 200


PHASES = ("request_queue_time", "request_prefill_time", "request_decode_time", "request_time_per_output_token")


def test_metrics_count_exactly(client: httpx2.Client) -> None:
    before = scrape(client)
    client.post("/v1/completions", json=completion(stream=True, max_tokens=5))
    client.post("/v1/chat/completions", json=chat())
    client.post("/v1/completions", json=completion(stream=True, max_tokens=2, n=3))
    grown = {name: value - before[name] for name, value in scrape(client).items() if not name.endswith("_seconds_sum")}
    assert grown == {
        **{f"{name}_seconds_count": 2 + 3 for name in ("time_to_first_token", "e2e_request_latency", *PHASES)},
        "inter_token_latency_seconds_count": 4 + 0 + 3 * 1,
        "num_preemptions_total": 0,
        "num_requests_running": 0,
        "num_requests_waiting": 0,
        "kv_cache_usage_perc": 0,
        "prefix_cache_queries_total": 3 + 7 + 3 * 3,
        "prefix_cache_hits_total": 0,
        "prompt_tokens_total": 3 + 7 + 3 * 3,
        "generation_tokens_total": 5 + 4 + 3 * 2,
        "request_success_total.stop": 0,
        "request_success_total.length": 2 + 3,
        "request_success_total.abort": 0,
        "request_success_total.error": 0,
    }


def test_a_client_that_hangs_up_frees_its_place(client: httpx2.Client, server: SimulatorProcess) -> None:
    aborted = scrape(client)["request_success_total.abort"]
    with connect(server) as leaving:
        leaving.sendall(wire("/v1/completions", completion(stream=True, max_tokens=4000)))
        read_until(leaving, b"data: {")
        assert scrape(client)["num_requests_running"] == 1
    assert becomes(client, "num_requests_running", 0)
    after = scrape(client)
    assert after["kv_cache_usage_perc"] == 0
    assert after["request_success_total.abort"] == aborted + 1
    (request,) = server.truth()["requests"]
    assert 0 < len(request["sent_ns"]) < 4000


def test_places_are_given_first_come_first_served() -> None:
    options = SimulatorOptions(ttft_s=1.0, gap_s=0.01, max_running=1)
    with (
        SimulatorProcess(options) as server,
        httpx2.Client(base_url=server.url, trust_env=False) as watcher,
        connect(server) as one,
        connect(server) as two,
        connect(server) as three,
    ):
        for waiting, client in enumerate((one, two, three)):
            client.sendall(wire("/v1/completions", completion(stream=True, max_tokens=3)))
            assert becomes(watcher, "num_requests_waiting", waiting)
        assert scrape(watcher)["num_requests_running"] == 1
        two.close()  # waits, and leaves: the third takes the place when the first is done
        read_until(three, b"0\r\n\r\n")
        first, second, third = server.truth()["requests"]
    assert first["start_ns"] == first["arrival_ns"]
    assert second["start_ns"] is None
    assert second["sent_ns"] == []
    assert third["start_ns"] == first["start_ns"] + 1020 * MS  # the due time of the first one's last token


def test_company_slows_a_request_down() -> None:
    options = SimulatorOptions(ttft_s=0.3, gap_s=0.001, gap_per_running_s=0.05)  # both are there for most of it
    with SimulatorProcess(options) as server, httpx2.Client(base_url=server.url, trust_env=False) as client:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: client.post("/v1/completions", json=completion(stream=True)), range(2)))
        alone, accompanied = server.truth()["requests"]
    assert (300 + 3 * 1) * MS <= alone["sent_ns"][-1] - alone["arrival_ns"] < (300 + 3 * 51) * MS
    assert accompanied["sent_ns"][-1] - accompanied["arrival_ns"] >= (300 + 3 * 51) * MS


def test_the_truth_is_bounded_and_can_be_reset() -> None:
    options = SimulatorOptions(ttft_s=0, gap_s=0, truth_requests=2)
    with SimulatorProcess(options) as server, httpx2.Client(base_url=server.url, trust_env=False) as client:
        ids = [client.post("/v1/completions", json=completion()).json()["id"] for _ in range(3)]
        assert [request["id"] for request in server.truth()["requests"]] == ids[1:]
        server.reset_truth()
        assert server.truth()["requests"] == []


def test_a_slow_reader_gets_every_byte() -> None:
    tokens = 1_000_000  # some 12 MB, more than the buffers of both sockets hold
    options = SimulatorOptions(ttft_s=0, gap_s=0, max_model_len=2 * tokens)
    with SimulatorProcess(options) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect((server.options.host, server.port))
        document = completion(max_tokens=tokens, return_token_ids=True)
        client.sendall(wire("/v1/completions", document, "connection: close"))
        head, _, body = read_until(client, b"\r\n\r\n").partition(b"\r\n\r\n")
        parts = [body]
        while parts[-1]:
            parts.append(client.recv(1 << 20))
    body = b"".join(parts)
    assert f"content-length: {len(body)}" in head.decode()
    assert len(json.loads(body)["choices"][0]["token_ids"]) == tokens


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps arrivals in the kernel")
def test_a_request_arrives_when_the_kernel_has_it_not_when_it_is_read() -> None:
    with SimulatorProcess(SimulatorOptions(ttft_s=0.2)) as server, connect(server) as client:
        read_health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
        client.sendall(read_health)
        read_until(client, b"\r\n\r\n")
        os.kill(server.pid, signal.SIGSTOP)
        before_ns = time.monotonic_ns()
        client.sendall(wire("/v1/completions", completion(stream=True)))
        after_ns = time.monotonic_ns()
        time.sleep(0.1)
        os.kill(server.pid, signal.SIGCONT)
        read_until(client, b"0\r\n\r\n")
        (request,) = server.truth()["requests"]
    slack_ns = 50_000  # the two clocks are read one after the other
    assert before_ns - slack_ns <= request["arrival_ns"] <= after_ns + slack_ns

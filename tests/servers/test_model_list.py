"""Lists of models in every form that servers give them, and what surrounds an endpoint that works."""

from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.load.spec import Endpoint
from loadgen.servers.endpoint import list_models, probe
from loadgen.servers.model_list import did_you_mean, names_shown, read_models
from tests.servers.odd_endpoint import OddEndpoint, Refusal, listed, odd_endpoint

HTML = b"<!doctype html><html><body>Welcome</body></html>"


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, ("a", "b")),
        ([{"id": "a"}], ("a",)),
        (["a", "b"], ("a", "b")),
        ({"models": [{"name": "a", "model": "b"}]}, ("a",)),
        ({"object": "list", "data": None, "models": [{"model": "a"}]}, ("a",)),
        ({"data": [{"id": 7}, None, 3, [], {"id": ""}, {"id": "a"}]}, ("a",)),
        ({"data": [{"id": "a"}, {"id": "a"}]}, ("a",)),
        ({"data": []}, ()),
        ({"data": {"id": "a"}}, None),
        ({"data": "a"}, None),
        ({}, None),
        (None, None),
        ("a", None),
        (3, None),
    ],
)
def test_the_names_in_a_list(document: Any, names: tuple[str, ...] | None) -> None:
    models = read_models(document)
    assert (None if models is None else tuple(model.name for model in models)) == names


@pytest.mark.parametrize(
    ("entry", "owner", "max_model_len"),
    [
        ({"owned_by": "vllm", "max_model_len": 100}, "vllm", 100),
        ({"owned_by": None, "max_model_len": None}, "", None),
        ({"owned_by": ["x"], "max_model_len": "100"}, "", None),
        ({"max_model_len": True}, "", None),
        ({"max_model_len": -1}, "", None),
        ({"max_model_len": 1e9}, "", None),
    ],
)
def test_odd_values_in_an_entry_are_unknown(entry: dict[str, Any], owner: str, max_model_len: int | None) -> None:
    models = read_models([{"id": "a", **entry}])
    assert models is not None
    assert (models[0].owner, models[0].max_model_len) == (owner, max_model_len)


def test_many_names_are_cut_short_and_a_near_one_is_offered() -> None:
    names = tuple(f"vendor/model-{number}" for number in range(20))
    assert names_shown(names).endswith("'vendor/model-7' and 12 more")
    assert did_you_mean("vendor/modle-3", names) == "; did you mean 'vendor/model-3'?"
    assert did_you_mean("zzz", names) == ""


SURROUNDINGS: list[tuple[dict[str, Refusal], str | None]] = [
    ({}, "HTTP 404"),
    ({"/v1/models": (401, {})}, "HTTP 401"),
    ({"/v1/models": (403, {"detail": "no"})}, "HTTP 403"),
    ({"/v1/models": (405, b"")}, "HTTP 405"),
    ({"/v1/models": (429, {})}, "HTTP 429"),
    ({"/v1/models": (500, {})}, "HTTP 500"),
    ({"/v1/models": (502, b"bad gateway")}, "HTTP 502"),
    ({"/v1/models": (301, b"")}, "HTTP 301"),
    ({"/v1/models": (200, HTML)}, "is no list of models"),
    ({"/v1/models": (200, HTML), "/models": (200, HTML)}, "is no list of models"),
    ({"/v1/models": (200, b"")}, "is no list of models"),
    ({"/v1/models": (200, {"data": 3})}, "is no list of models"),
    ({"/v1/models": (200, {"data": []})}, "is empty"),
    ({"/v1/models": (200, [])}, "is empty"),
    (listed("m:latest"), "it lists 'm:latest'"),
    (listed(*(f"x{number}" for number in range(50_000))), "and 49992 more"),
    ({"/v1/models": (200, b"[" * 200_000)}, "is no list of models"),
    ({"/v1/models": (200, b'{"data": [{"id": "m"}' + b" " * (33 << 20))}, "is no list of models"),
    (listed("m"), None),
    ({"/models": (200, ["m"])}, None),
]


@pytest.mark.loopback
def test_an_endpoint_whose_other_pages_are_not_compressed_as_they_say_is_found() -> None:
    endpoint = OddEndpoint(headers=(("Content-Encoding", "gzip"),))
    with odd_endpoint(endpoint) as url:
        facts = probe(url, "m", (), endpoint="chat")
    assert facts.completions_url("chat") == f"{url}/v1/chat/completions"
    assert facts.model_list_problem is not None


@pytest.mark.loopback
@pytest.mark.parametrize(("pages", "problem"), SURROUNDINGS, ids=range(len(SURROUNDINGS)))
def test_an_endpoint_that_works_is_found_whatever_surrounds_it(pages: dict[str, Refusal], problem: str | None) -> None:
    endpoint = OddEndpoint(pages=pages)
    with odd_endpoint(endpoint) as url:
        facts = probe(url, "m", (), endpoint="chat")
    if problem is None:
        assert facts.model_list_problem is None
    else:
        assert facts.model_list_problem is not None
        assert problem in facts.model_list_problem
        assert facts.completions_url("chat") == f"{url}/v1/chat/completions"
    assert facts.dialect == "openai"


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("base", "path", "kind"),
    [
        ("", "/v1/chat/completions", "chat"),
        ("", "/chat/completions", "chat"),
        ("", "/completions", "completions"),
        ("/openai", "/openai/v1/chat/completions", "chat"),
        ("/openai", "/openai/chat/completions", "chat"),
        ("/api/paas/v4", "/api/paas/v4/chat/completions", "chat"),
        ("/v1beta/openai", "/v1beta/openai/chat/completions", "chat"),
        ("/openai/deployments/NAME", "/openai/deployments/NAME/chat/completions", "chat"),
        ("/openai/deployments/NAME", "/openai/deployments/NAME/v1/completions", "completions"),
        ("/a/b/c/d", "/a/b/c/d/v1/completions", "completions"),
    ],
)
@pytest.mark.parametrize(
    "elsewhere", [None, (200, HTML), (404, HTML), (405, {"detail": "Method Not Allowed"}), (302, b"")]
)
def test_a_base_path_is_found_without_a_list(base: str, path: str, kind: Endpoint, elsewhere: Refusal | None) -> None:
    others = [f"{base}/v1/{end}" for end in ("chat/completions", "completions")]
    others += [f"{base}/{end}" for end in ("chat/completions", "completions")]
    endpoint = OddEndpoint(paths=(path,), pages={} if elsewhere is None else dict.fromkeys(others, elsewhere))
    with odd_endpoint(endpoint) as url:
        assert probe(url + base, "m", (), endpoint=kind).completions_url(kind) == url + path


VERSION, TOKENIZE = {"/version": (200, {"version": "0.5.1"})}, {"/tokenize": (200, {"count": 1, "max_model_len": 9})}


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("pages", "dialect"),
    [
        (listed("m", owner="vllm") | VERSION, "vllm"),
        (listed("m", owner="vllm"), "vllm"),
        (listed("other", owner="vllm") | VERSION, "vllm"),
        (VERSION | TOKENIZE, "vllm"),
        (VERSION | {"/metrics": (200, b"vllm:num_requests_running 0\n")}, "vllm"),
        (VERSION, "openai"),
        (VERSION | {"/tokenize": (200, {"tokens": [1]})}, "openai"),
        (VERSION | TOKENIZE | {"/metrics": (200, b"sglang:num_running_reqs 0\n")}, "openai"),
        (VERSION | {"/metrics": (200, b"tgi_request_count 0\n")}, "openai"),
        (TOKENIZE, "openai"),
        (listed("m", owner="sglang") | VERSION | TOKENIZE, "openai"),
        (listed("m", owner="llamacpp") | VERSION, "openai"),
        (listed("m", owner="library") | VERSION, "openai"),
        (listed("m", owner="lmdeploy") | VERSION, "openai"),
        ({"/version": (200, {"version": "1", "engine": "tgi"})} | TOKENIZE, "openai"),
        ({"/version": (200, {"version": {"major": 1}})} | TOKENIZE, "vllm"),
        ({"/version": (200, HTML)}, "openai"),
    ],
)
def test_only_vllm_is_taken_for_vllm(pages: dict[str, Refusal], dialect: str) -> None:
    with odd_endpoint(OddEndpoint(pages=pages)) as url:
        facts = probe(url, "m", (), endpoint="chat")
    assert facts.dialect == dialect
    assert facts.version is None or isinstance(facts.version, str)


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ({}, r"--model is missing and there is no list of models at .*/v1/models \(HTTP 404\); say which"),
        ({"/v1/models": (403, {})}, r"HTTP 403"),
        ({"/v1/models": (200, HTML)}, r"is no list of models"),
        ({"/v1/models": (200, {"data": []})}, r"is no list of models"),
    ],
)
def test_without_a_list_the_model_must_be_named(pages: dict[str, Refusal], said: str) -> None:
    with odd_endpoint(OddEndpoint(pages=pages)) as url, pytest.raises(UsageError, match=said):
        list_models(url, ())


@pytest.mark.loopback
@pytest.mark.parametrize(
    "pages", [listed("a"), {"/models": (200, ["a"])}, {"/v1/models": (200, {"models": [{"name": "a"}]})}]
)
def test_the_listed_models(pages: dict[str, Refusal]) -> None:
    with odd_endpoint(OddEndpoint(pages=pages)) as url:
        assert list_models(url, ()) == ("a",)

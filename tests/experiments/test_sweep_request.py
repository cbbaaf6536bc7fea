"""Flags and files against a profile's grid, which servers they name, and how often each is started."""

from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import Interrupted, LoadgenError, ServerError, UsageError
from loadgen.experiments.group import Failed, GroupResult, _starts
from loadgen.experiments.sweep import SweepResult
from loadgen.experiments.sweep_request import PlannedSweep, SweepRequest, read_request
from loadgen.servers.launcher.failure import FailureKind, StartFailure

PROFILE = """
description: a simulator
launcher: simulator
engine: loadgen-simulator
model: simulated-moe
port: 8123
endpoint: chat
limits: {requests_per_minute: 600}
sweep:
  concurrency: [1, 16]
  input_tokens: [128, 1024]
  output_tokens: 128
  requests: 64
  repeats: 2
"""


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles `a` and `b` in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "server_profiles"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.yaml").write_text(PROFILE)
    return folder


def only(wanted: SweepRequest) -> PlannedSweep:
    (part,) = wanted.sweeps()
    return part


def test_a_profile_alone_is_its_grid_on_its_server() -> None:
    spec = only(read_request({"profile": "a"})).spec
    assert (spec.url, spec.model, spec.endpoint) == ("http://127.0.0.1:8123", "simulated-moe", "chat")
    assert (spec.concurrency, spec.input_tokens, spec.repeats) == ([1, 16], [128, 1024], 2)
    assert spec.requests_per_minute == 600


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"concurrency": "4"}, {"concurrency": [4], "input_tokens": [128, 1024], "requests": 64}),
        ({"rate": "2"}, {"concurrency": None, "rate": [2.0], "requests": 64}),
        ({"wave": "8"}, {"concurrency": None, "wave": [8], "requests": None}),
        ({"duration_s": "20"}, {"concurrency": [1, 16], "requests": None, "duration_s": 20.0}),
        ({"input_tokens": "32", "repeats": "1"}, {"input_tokens": [32], "repeats": 1}),
        ({"requests_per_minute": "60"}, {"requests_per_minute": 60}),
        ({"model": "other"}, {"model": "other"}),
    ],
)
def test_what_is_asked_takes_the_place_of_the_grid(given: dict[str, object], kept: dict[str, object]) -> None:
    spec = only(read_request({"profile": "a", **given})).spec
    assert {key: getattr(spec, key) for key in kept} == kept


VLLM = "description: a vLLM\nmodel: m\nneeds: {gpus: 0}\nsweep: {concurrency: 1, input_tokens: 8, output_tokens: 8}\n"


def test_experts_are_counted_by_a_plug_in_that_the_server_is_started_with(profiles: Path) -> None:
    (profiles / "v.yaml").write_text(VLLM)
    (profiles / "w.yaml").write_text(VLLM + "plugins: [expert-counts]\n")
    plain, added, own = (
        only(read_request(given)).variant
        for given in ({"profile": "v"}, {"profile": "v", "experts": True}, {"profile": "w", "experts": True})
    )
    assert plain is not None
    assert added is not None
    assert own is not None
    assert "worker-extension-cls" not in str(plain.launch().argv)
    assert "--worker-extension-cls" in added.launch().argv
    assert added.launch().plugins == ("expert-counts",)
    assert added.label == "v with plugins expert-counts"
    assert own.label == "w"


def test_experts_of_a_server_that_takes_no_plug_in_cannot_be_counted() -> None:
    variant = only(read_request({"profile": "a", "experts": True})).variant
    assert variant is not None
    with pytest.raises(UsageError, match="profile 'a' takes no plug-in"):
        variant.launch()


def test_a_price_by_the_hour_counts_the_gpus_of_the_profile(profiles: Path) -> None:
    paid = "price: {usd_per_gpu_hour: 3}\nneeds: {gpus: 4, gpu_memory_gb: 80}\n"
    (profiles / "paid.yaml").write_text("extends: a\ndescription: paid\nlauncher: local\n" + paid)
    assert only(read_request({"profile": "paid"})).spec.price == {"usd_per_gpu_hour": 3, "gpus": 4}


def test_a_header_that_the_server_wants_must_be_given(profiles: Path) -> None:
    (profiles / "far.yaml").write_text(
        "description: far\nlauncher: external\nmodel: m\nurl: http://far\nheader_names: [X-Team]\n"
        "sweep: {concurrency: 1, input_tokens: 8, output_tokens: 8}\n"
    )
    with pytest.raises(
        UsageError, match="the server of far wants the header X-Team; give it with --header X-Team=VALUE"
    ):
        read_request({"profile": "far"}).sweeps()
    assert only(read_request({"profile": "far", "header": ["x-team=blue"]})).spec.header == {"x-team": "blue"}


def test_a_mistake_in_the_grid_is_named_by_its_line_and_one_in_a_flag_by_the_flag(profiles: Path) -> None:
    (profiles / "a.yaml").write_text(PROFILE.replace("repeats: 2", "repeats: 0"))
    with pytest.raises(UsageError, match=r"^\'repeats\' in server_profiles/a\.yaml line 14 "):
        read_request({"profile": "a"}).sweeps()
    with pytest.raises(UsageError, match=r"^--repeats "):
        read_request({"profile": "a", "repeats": "-1"}).sweeps()


def test_a_flag_that_names_a_server_goes_before_all_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("url: http://x\nmodel: m\nconcurrency: 1\ninput_tokens: 8\noutput_tokens: 8\n")
    assert only(read_request({}, file)).spec.model == "m"
    spec = only(read_request({"profile": "a"}, file)).spec
    assert (spec.url, spec.model, spec.concurrency) == ("http://127.0.0.1:8123", "simulated-moe", [1])
    file.write_text("profile: [a, b]\nconcurrency: 1\n")
    assert [part.spec.concurrency for part in read_request({}, file).sweeps()] == [[1], [1]]
    assert read_request({"url": "http://x"}, file).variants is None


def test_a_matrix_has_every_combination_and_null_takes_away(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("matrix: {profile: 'a,b', arguments: {x: [1, null], y: [[1, 2], [3]]}}\n")
    wanted = read_request({}, file)
    assert wanted.variants is not None
    assert [variant.label for variant in wanted.variants][:3] == [
        "a with x 1, y [1, 2]",
        "a with x 1, y [3]",
        "a with y [1, 2] without x",
    ]
    assert len(wanted.variants) == 8
    file.write_text("matrix: {profile: a, arguments: {x: [1, 1]}}\n")
    with pytest.raises(UsageError, match=r"^'matrix' in spec\.yaml line 1 lists a with x 1 twice"):
        read_request({}, file)


def test_all_of_a_part_in_one_start_or_interleaved() -> None:
    parts = read_request({"profile": "a,b", "repeats": "2"}).sweeps()
    assert list(_starts(parts, False)) == [(0, None), (1, None)]
    each = [(0, {0}), (1, {0}), (0, {1}), (1, {1})]
    assert [(at, set(repeats or ())) for at, repeats in _starts(parts, True)] == each


def failure(kind: FailureKind) -> StartFailure:
    return StartFailure(kind, "a did not start")


@pytest.mark.parametrize(
    ("verdicts", "failures", "stopped_by", "code"),
    [
        (["valid"], [], None, 0),
        (["valid", "invalid"], [], None, 3),
        (["doubtful"], [failure(FailureKind.KV_CACHE_TOO_SMALL)], None, 0),
        (["invalid"], [failure(FailureKind.OUT_OF_GPU_MEMORY)], None, 3),
        ([], [failure(FailureKind.OUT_OF_GPU_MEMORY)], None, 5),
        (["valid"], [failure(FailureKind.OUT_OF_MEMORY), failure(FailureKind.UNKNOWN_FLAG)], None, 5),
        (["invalid"], [ServerError("died")], None, 5),
        (["valid"], [UsageError("too long")], None, 2),
        (["valid"], [failure(FailureKind.DIED)], Interrupted("stopped"), 130),
    ],
)
def test_the_exit_code_of_a_group(
    verdicts: list[str], failures: list[LoadgenError], stopped_by: LoadgenError | None, code: int
) -> None:
    documents: Any = tuple({"verdict": {"status": verdict}} for verdict in verdicts)
    sweeps = (SweepResult("s1", len(documents), documents, None),)
    result = GroupResult("g1", sweeps, tuple(Failed("a", error) for error in failures), stopped_by)
    assert result.exit_code == code

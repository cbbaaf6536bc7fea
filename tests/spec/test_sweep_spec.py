"""From flags to resolved runs: grids, order, seeds, defaults, hashes, and the sentence for each mistake."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.inputs import Origin
from loadgen.load.arrivals import Ramp
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.spec.parse import make_spec
from loadgen.spec.runs import grid_hash, resolve, resolved_warmup_requests
from loadgen.spec.sweep_spec import SweepSpec

GIVEN: dict[str, object] = {
    "url": "http://127.0.0.1:8000",
    "model": "m",
    "concurrency": "1,4",
    "input_tokens": "8",
    "output_tokens": "16",
}
LENGTHS_OF_THE_TRACE: dict[str, object] = {"concurrency": None, "input_tokens": None, "output_tokens": None}
OPEN: dict[str, object] = {"concurrency": None, "rate": "2"}


def spec(**changes: object) -> SweepSpec:
    values = {**GIVEN, **changes}
    return make_spec({key: value for key, value in values.items() if value is not None}, Origin())


def test_repeats_are_outermost_and_count_the_seed_up() -> None:
    runs = resolve(spec(input_tokens="8,32", repeats="2", seed="5"))
    order = [(run.seed, run.input_tokens, run.concurrency) for run in runs]
    grid = [(8, 1), (8, 4), (32, 1), (32, 4)]
    assert order == [(5, *point) for point in grid] + [(6, *point) for point in grid]


def test_repeats_of_a_point_share_its_hash_and_nothing_else_does() -> None:
    runs = resolve(spec(repeats=3))
    assert len({run.hash for run in runs}) == 6
    assert len({run.point.hash for run in runs}) == 2


LENGTHS: dict[str, object] = {"input_tokens": None, "output_tokens": None}


@pytest.mark.parametrize("lengths", ["8,32/16", [8, "32/16"], [[8, 8], [32, 16]]])
def test_paired_lengths_are_one_axis(lengths: object) -> None:
    runs = resolve(spec(**LENGTHS | {"lengths": lengths}))
    order = [(run.input_tokens, run.output_tokens, run.concurrency) for run in runs]
    assert order == [(8, 8, 1), (8, 8, 4), (32, 16, 1), (32, 16, 4)]


def test_each_shape() -> None:
    assert [run.shape for run in resolve(spec())] == [ClosedLoop(1), ClosedLoop(4)]
    opened = resolve(spec(concurrency=None, rate="0.5,2", arrivals="constant"))
    assert [run.shape for run in opened] == [OpenLoop(0.5, "constant"), OpenLoop(2.0, "constant")]
    assert [run.shape for run in resolve(spec(concurrency=None, wave="3"))] == [Wave(3)]


@pytest.mark.parametrize(
    ("changes", "requests"),
    [
        ({"concurrency": "1"}, 32),
        ({"concurrency": "16"}, 128),
        ({"concurrency": "16", "requests": "20"}, 20),
        ({"concurrency": "16", "duration_s": "5"}, None),
        ({"concurrency": None, "rate": "4"}, 120),
        ({"concurrency": None, "wave": "7"}, None),
    ],
)
def test_requests_by_default(changes: dict[str, object], requests: int | None) -> None:
    assert resolve(spec(**changes))[0].requests == requests


@pytest.mark.parametrize(
    ("changes", "requests"),
    [
        ({"concurrency": "16"}, 16),
        ({"concurrency": "16", "warmup_requests": "0"}, 0),
        ({"concurrency": None, "wave": "7"}, 7),
        ({"concurrency": None, "rate": "0.2"}, 1),
        ({"concurrency": None, "rate": "1000"}, 64),
    ],
)
def test_warmup_by_default(changes: dict[str, object], requests: int) -> None:
    assert resolved_warmup_requests(resolve(spec(**changes))[0]) == requests


def test_a_file_and_flags_of_the_same_meaning_have_the_same_hash() -> None:
    typed = spec(concurrency=[1, 4], input_tokens=8, output_tokens=[16], slo={"ttft_s": 0.5})
    assert grid_hash(resolve(typed)) == grid_hash(resolve(spec(slo="ttft_s=0.5")))


@pytest.mark.parametrize(
    "changes",
    [{"model": "n"}, {"seed": "1"}, {"concurrency": "1,5"}, {"repeats": "2"}, {"endpoint": "chat"}, {"choices": "2"}],
)
def test_whatever_changes_the_runs_changes_the_hash(changes: dict[str, object]) -> None:
    assert grid_hash(resolve(spec(**changes))) != grid_hash(resolve(spec()))


def test_a_single_choice_is_a_plain_run() -> None:
    assert grid_hash(resolve(spec(choices="1"))) == grid_hash(resolve(spec()))
    assert "choices" not in spec(choices="1").to_json()
    assert spec(choices="2").to_json()["choices"] == 2
    (run, _) = resolve(spec(choices="2"))
    assert RunSpec.from_json(run.to_json()) == run


@pytest.mark.parametrize("choices", ["0", "129", "1.5"])
def test_the_number_of_choices_has_bounds(choices: str) -> None:
    with pytest.raises(UsageError, match="--choices must be"):
        spec(choices=choices)


def test_the_name_and_the_spelling_of_the_url_do_not_change_the_hash() -> None:
    other = spec(name="again", url="http://127.0.0.1:8000/v1/")
    assert grid_hash(resolve(other)) == grid_hash(resolve(spec()))


def test_the_simulator_has_a_model_of_its_own() -> None:
    assert spec(url="simulator", model=None).model == "simulated-moe"
    assert spec(url="simulator").model == "m"


def test_only_an_open_loop_has_arrivals_on_record() -> None:
    assert "arrivals" not in spec().to_json()
    assert "arrivals" not in spec(concurrency=None, wave="4").to_json()
    assert spec(concurrency=None, rate="1").to_json()["arrivals"] == "poisson"
    assert spec(concurrency=None, rate="1", burstiness="2").to_json()["arrivals"] == "gamma"


def test_only_a_ramp_has_a_strategy_on_record() -> None:
    assert "ramp_strategy" not in spec(**OPEN).to_json()
    assert spec(**OPEN, ramp_to="4").to_json()["ramp_strategy"] == "linear"


def test_at_most_so_many_in_flight() -> None:
    (run,) = resolve(spec(**OPEN, max_in_flight="8"))
    assert run.shape == OpenLoop(2.0, max_in_flight=8)
    assert run.load_label == "2 requests/s poisson, at most 8 in flight"
    assert RunSpec.from_json(run.to_json()) == run
    (ramp,) = resolve(spec(**OPEN, max_in_flight="8", ramp_to="4"))
    assert isinstance(ramp.shape, OpenLoop)
    assert ramp.shape.max_in_flight == 8


def test_a_burstiness_makes_arrivals_gamma() -> None:
    assert [run.shape for run in resolve(spec(**OPEN, burstiness="0.5"))] == [OpenLoop(2.0, "gamma", 0.5)]


@pytest.mark.parametrize(
    ("changes", "over_s", "requests"),
    [
        ({"duration_s": "10"}, 10.0, None),
        ({"requests": "66"}, 6.0, 66),
        ({}, 30.0, 330),
        ({"ramp_strategy": "exponential", "duration_s": "10"}, 10.0, None),
    ],
)
def test_a_ramp_lasts_as_long_as_the_run(changes: dict[str, object], over_s: float, requests: int | None) -> None:
    (run,) = resolve(spec(**OPEN, ramp_to="20", **changes))
    assert run.shape == OpenLoop(
        2.0, "poisson", None, Ramp(20.0, over_s, "exponential" if "ramp_strategy" in changes else "linear")
    )
    assert run.requests == requests
    assert RunSpec.from_json(run.to_json()) == run


TRACE = "".join(
    f'{{"offset_s": {offset_s}, "prompt_tokens": {tokens}, "output_tokens": 4}}\n'
    for offset_s, tokens in ((0, 10), (1, 20), (4, 90))
)


def trace_spec(folder: Path, **changes: object) -> SweepSpec:
    path = folder / "t.jsonl"
    path.write_text(TRACE)
    return spec(**LENGTHS_OF_THE_TRACE, trace=str(path), **changes)


def test_a_trace_is_replayed_at_each_time_scale_with_its_own_mean_lengths(tmp_path: Path) -> None:
    runs = resolve(trace_spec(tmp_path, time_scale="1,0.5"))
    assert [run.shape.rate_per_s for run in runs if isinstance(run.shape, OpenLoop)] == [0.5, 1.0]
    assert {(run.requests, run.duration_s, run.input_tokens, run.output_tokens) for run in runs} == {(3, None, 40, 4)}
    assert [RunSpec.from_json(run.to_json()) for run in runs] == runs


@pytest.mark.parametrize("changes", [{"requests": "2"}, {"duration_s": "4"}])
def test_a_trace_is_cut_by_number_or_by_time(tmp_path: Path, changes: dict[str, object]) -> None:
    (run,) = resolve(trace_spec(tmp_path, **changes))
    assert (run.requests, run.duration_s, run.input_tokens) == (2, None, 15)


def test_the_hash_of_a_replay_follows_the_content_of_its_trace(tmp_path: Path) -> None:
    replay = trace_spec(tmp_path)
    before = grid_hash(resolve(replay))
    (tmp_path / "t.jsonl").write_text(TRACE.replace("90", "91"))
    assert grid_hash(resolve(replay)) != before


def test_more_requests_than_a_trace_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--requests is 4, and the trace t.jsonl has 3; leave it out"):
        resolve(trace_spec(tmp_path, requests="4"))


def test_secrets_stay_out_of_the_record_and_of_repr() -> None:
    secret = spec(header=["X-Team=tops3cret"], api_key_env="KEY")
    assert secret.secret_headers({"KEY": "k3y"}) == (("X-Team", "tops3cret"), ("Authorization", "Bearer k3y"))
    recorded = json.dumps([secret.to_json(), *(run.to_json() for run in resolve(secret))]) + repr(secret)
    assert "tops3cret" not in recorded
    assert "k3y" not in recorded
    assert "x-team" in recorded


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"concurrency": "0"}, "--concurrency must be at least 1, not 0"),
    ({"concurrency": "1,x"}, "--concurrency must be a whole number, not x"),
    ({"concurrency": ""}, "--concurrency must list at least one value"),
    ({"concurrency": "1,,2"}, "--concurrency has no value beside one of its commas; write the list like 1,2,4"),
    ({"rate": "1,", "concurrency": None}, "--rate has no value beside one of its commas"),
    ({"concurrency": "4,4"}, "--concurrency lists 4 twice"),
    ({"concurrency": None}, "no load is given"),
    ({"rate": "1"}, "--concurrency and --rate exclude each other"),
    ({"concurrency": None, "rate": "0"}, "--rate must be greater than 0, not 0"),
    ({"concurrency": None, "rate": "inf"}, "--rate must be a number, not inf"),
    ({"input_tokens": "-1"}, "--input-tokens must be at least 1, not -1"),
    ({"input_tokens": None}, "--input-tokens is missing"),
    ({"output_tokens": None}, "--output-tokens is missing"),
    ({"lengths": "8"}, "--lengths and --input-tokens exclude each other"),
    (LENGTHS | {"lengths": "8/"}, "--lengths has 8/; write tokens like 128, or of prompt and reply like 1024/128"),
    (LENGTHS | {"lengths": "8/0"}, "--lengths must be at least 1, not 0"),
    (LENGTHS | {"lengths": "8,8"}, "--lengths lists 8 twice"),
    (LENGTHS | {"lengths": "8", "prefix_tokens": "8"}, "--prefix-tokens is 8 and counts as part of the prompt"),
    ({"url": None}, "--url is missing; say where"),
    ({"url": "localhost:8000"}, "'localhost:8000' is not a URL"),
    ({"model": " "}, "--model is empty"),
    ({"endpoint": "embeddings"}, "--endpoint must be 'completions' or 'chat', not embeddings"),
    ({"requests": "2"}, "--requests is 2, fewer than a concurrency of 4"),
    ({"requests": "8", "duration_s": "3"}, "--requests and --duration-s exclude each other"),
    ({"duration_s": "3", "warmup_requests": "0"}, "--duration-s needs a warm-up"),
    ({"concurrency": None, "wave": "3", "requests": "3"}, "--requests does not go with --wave"),
    ({"arrivals": "constant"}, "--arrivals needs --rate"),
    (OPEN | {"arrivals": "weibull"}, "--arrivals must be 'constant', 'poisson' or 'gamma', not weibull"),
    (OPEN | {"arrivals": "gamma"}, "--arrivals gamma needs --burstiness"),
    (OPEN | {"arrivals": "constant", "burstiness": "2"}, "--burstiness needs --arrivals gamma, not constant"),
    (OPEN | {"burstiness": "0"}, "--burstiness must be greater than 0, not 0"),
    (OPEN | {"ramp_strategy": "linear"}, "--ramp-strategy needs --ramp-to R"),
    (OPEN | {"ramp_to": "2"}, "--ramp-to is 2, the rate at the start"),
    ({"ramp_to": "2"}, "--ramp-to needs --rate; requests of --concurrency have no arrival process"),
    ({"burstiness": "2"}, "--burstiness needs --rate"),
    ({"max_in_flight": "2"}, "--max-in-flight needs --rate or --trace: --concurrency says by itself"),
    (OPEN | {"max_in_flight": "0"}, "--max-in-flight must be"),
    (OPEN | {"max_in_flight": "2", "workers": "3"}, "--workers is 3, more than --max-in-flight 2"),
    ({"prefix_groups": "2"}, "--prefix-groups needs --prefix-tokens"),
    ({"prefix_tokens": "8"}, "--prefix-tokens is 8 and counts as part of the prompt, which has 8 tokens"),
    (
        {"prefix_tokens": "4", "range_ratio": "0.5"},
        "--prefix-tokens is 4 and counts as part of the prompt, which has 4",
    ),
    ({"dataset": "d.jsonl"}, "--input-tokens does not go with --dataset"),
    ({"dataset": "d.jsonl", "input_tokens": None, "prefix_tokens": "4"}, "--prefix-tokens does not go with --dataset"),
    ({"range_ratio": "1"}, "--range-ratio must be less than 1, not 1"),
    ({"image": "512x512"}, "--image needs --endpoint chat"),
    ({"image": "512", "endpoint": "chat"}, "--image must be width x height in pixels like 512x512"),
    ({"image": "9000x1", "endpoint": "chat"}, "--image must be width x height"),
    ({"images_per_request": "2"}, "--images-per-request needs --image"),
    ({"time_scale": "2"}, "--time-scale needs --trace FILE"),
    ({"trace": "t.jsonl"}, "--concurrency and --trace exclude each other"),
    ({"trace": "t.jsonl", "concurrency": None}, "--input-tokens does not go with --trace"),
    (LENGTHS_OF_THE_TRACE | {"trace": "t.jsonl", "arrivals": "constant"}, "--arrivals needs --rate"),
    ({"workers": "2"}, "--workers is 2, more than 1 callers"),
    ({"slo": "speed=1"}, "--slo names 'speed'"),
    ({"slo": "ttft_s=0"}, "--slo must be greater than 0, not 0"),
    ({"slo": "ttft_s"}, "--slo must be given as NAME=VALUE"),
    ({"seed": "-1"}, "--seed must be at least 0, not -1"),
    ({"seed": True}, "--seed must not be true"),
    ({"concurrency": [True]}, "--concurrency must be numbers"),
    ({"header": ["no equals"]}, "--header must be given as NAME=VALUE"),
    ({"header": ["a b=c"]}, "--header has no legal name before its '='"),
    ({"header": ["Content-length=4"]}, "--header Content-length is refused: loadgen sets it"),
    ({"header": ["Transfer-Encoding=chunked"]}, "--header Transfer-Encoding is refused"),
    ({"header": ["connection=close"]}, "--header connection is refused"),
    ({"header": ["X-Request-ID=1"]}, "--header X-Request-ID is refused"),
    ({"header": ["x-a=1", "X-A=2"]}, "--header gives X-A twice"),
    ({"header": ["x-a=1", "x-a=2"]}, "--header gives x-a twice"),
    ({"header": ["authorization=Basic x"], "api_key_env": "K"}, "--header Authorization and --api-key-env exclude"),
    ({"api_key_env": "sk-1234"}, "--api-key-env takes the name of an environment variable, not the key itself"),
]


@pytest.mark.parametrize(("changes", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_mistakes_are_named(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        spec(**changes)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"header": {"X-Key": "s3cret\r\nX-Other: 1"}},
        {"header": ["Authorization: Bearer s3cret"]},
        {"header": ["Authorization: Bearer s3cret=="]},
        {"header": {"X-Key": ["s3cret"]}},
        {"url": "http://user:s3cret@h"},
        {"url": ["http://user:s3cret@h"]},
        {"api_key_env": "sk-s3cret"},
        {"api_key_env": ["s3cret"]},
    ],
)
def test_what_may_be_secret_is_not_repeated_in_its_complaint(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        spec(**changes)
    assert "s3cret" not in str(caught.value)


def test_headers_that_a_user_may_replace() -> None:
    headers = ["Host=h", "User-Agent=u", "Accept=*/*", "Content-Type=application/json", "Authorization=Basic x"]
    assert len(spec(header=headers).secret_headers({})) == 5


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}, {"KEY": "two\nlines"}])
def test_a_key_that_is_not_there_is_named_by_its_variable(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="variable KEY"):
        spec(api_key_env="KEY").secret_headers(environ)

"""Files that versions of other clients wrote, each run for 12 or 16 requests against the simulator and cut down to what is read.

Genai-perf's is what its own exporter wrote of made-up latencies, as its perf_analyzer is not to be had as a package.

The figures next to each are what that client printed. Every file is then damaged in many ways: a figure becomes null or a
sentence says what is wrong, and nothing comes out empty without a word.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.importers import importing

DATA = Path(__file__).resolve().parent / "data" / "real"
FILES = sorted(path.name for path in DATA.glob("*.json"))
Document = Any
read_sweep: Any = importing.read_sweep  # whose documents these tests look into as they like


@dataclass(frozen=True, slots=True)
class Printed:
    """What a client printed at the end of its run: counts, milliseconds, and rates per second."""

    file: str
    load: str
    ok: int
    failed: int
    ttft_ms: float
    tpot_ms: float | None  # None: ours is left out, as the file kept a sample of its requests
    requests_per_s: float
    output_per_s: float
    total_per_s: float | None  # None: it did not print one
    lengths: tuple[int, int]  # asked, where the file has that; else achieved
    endpoint: str = "completions"
    version: str | None = None
    window: str = "whole_run"
    is_dated: bool = True


PRINTED = (
    Printed("guidellm-0.2.1-constant.json", "20 requests/s constant", 12, 0, 389.3, 7.0, 10.69, 84.7, 369.8, (32, 8)),
    Printed("guidellm-0.3.1-warmup.json", "concurrency 2", 12, 0, 56.9, 9.9, 15.43, 122.1, 341.9, (32, 8), window="without_warmup_and_cooldown"),
    Printed("guidellm-0.3.1-faults.json", "concurrency 2", 12, 4, 65.0, None, 13.18, 104.4, 291.2, (32, 8)),
    Printed("guidellm-0.4.0-concurrent.json", "concurrency 2", 12, 0, 68.7, 9.6, 14.0, 119.8, 370.5, (32, 8), "chat"),
    Printed("guidellm-0.5.4-faults.json", "concurrency 2", 12, 4, 52.9, None, 15.35, 131.9, 408.0, (32, 8), "chat", "0.5.4"),
    Printed("guidellm-0.6.1-concurrent.json", "concurrency 2", 12, 0, 59.0, 9.9, 14.9, 128.4, 397.3, (32, 8), "chat", "0.6.1"),
    Printed("aiperf-0.1.1-rate.json", "15 requests/s poisson", 12, 4, 67.09, 4.18, 11.83, 189.24, None, (32, 8), "chat"),
    Printed("aiperf-0.2.0.json", "concurrency 3", 12, 0, 57.03, 4.69, 21.33, 341.22, None, (32, 8), "chat"),
    Printed("aiperf-0.4.0-rate.json", "15 requests/s poisson", 16, 0, 52.15, 4.71, 13.53, 216.46, None, (32, 8), version="0.4.0"),
    Printed("aiperf-0.8.0-gamma.json", "15 requests/s gamma (burstiness 2)", 12, 0, 52.38, 4.60, 19.32, 309.17, None, (32, 8), version="0.8.0"),
    Printed("genai-perf-0.0.16.json", "concurrency 3", 12, 0, 52.02, 9.97, 21.5, 172.0, None, (32, 8), "chat", is_dated=False),
    Printed("vllm-0.8.5-plain.json", "concurrency 4", 12, 0, 57.63, 10.10, 30.75, 246.03, 984.14, (24, 8)),
    Printed("vllm-0.9.2-faults.json", "20 requests/s poisson", 12, 4, 53.15, 10.06, 9.91, 79.27, 317.08, (24, 8)),
    Printed("vllm-0.11.0-plain.json", "concurrency 4", 12, 0, 52.83, 10.03, 32.16, 257.28, 1029.10, (24, 8)),
)  # fmt: skip


def run_of(name: str) -> Document:
    (run,) = read_sweep(DATA / name).runs
    return run


def test_every_file_has_its_row() -> None:
    assert sorted(row.file for row in PRINTED) == FILES


@pytest.mark.parametrize("row", PRINTED, ids=lambda row: row.file)
def test_what_is_read_is_what_was_printed(row: Printed) -> None:
    run = run_of(row.file)
    assert (run["spec"]["load_label"], run["spec"]["model"]) == (row.load, "simulated-moe")
    assert (run["spec"]["input_tokens"], run["spec"]["output_tokens"]) == row.lengths
    assert (run["spec"]["endpoint"], run["foreign"]["version"]) == (row.endpoint, row.version)
    assert (run["outcomes"]["ok"], run["outcomes"].get("failed", 0)) == (row.ok, row.failed)
    assert run["window"]["rule"] == row.window
    assert run["ttft_from_send_s"]["mean"] * 1e3 == pytest.approx(row.ttft_ms, abs=0.06)
    if row.tpot_ms is None:
        assert run["tpot_s"] is None
    else:
        assert run["tpot_s"]["mean"] * 1e3 == pytest.approx(row.tpot_ms, abs=0.06)
    assert run["requests_per_s"] == pytest.approx(row.requests_per_s, abs=0.06)
    assert run["output_tokens_per_s"] == pytest.approx(row.output_per_s, abs=0.06)
    if row.total_per_s is not None:
        assert run["total_tokens_per_s"] == pytest.approx(row.total_per_s, abs=0.06)
    assert run["started_at"].startswith("2026-11-30T08:") or not row.is_dated
    assert 0.3 < run["elapsed_s"] < 1.3


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("aiperf")])
def test_tokens_in_and_out_are_told_or_made_of_the_rest(name: str) -> None:
    """Prompts had 32 tokens and replies 16 by its own tokenizer, so both together are three times the output."""
    run = run_of(name)
    assert run["total_tokens_per_s"] == pytest.approx(3 * run["output_tokens_per_s"], rel=1e-5)
    assert (run["tokens"]["prompt"], run["tokens"]["output"]) == (
        32 * run["outcomes"]["ok"],
        16 * run["outcomes"]["ok"],
    )


def test_genai_perf_is_not_taken_for_its_successor(tmp_path: Path) -> None:
    document = json.loads((DATA / "genai-perf-0.0.16.json").read_text())
    assert run_of("genai-perf-0.0.16.json")["foreign"]["tool"] == "genai-perf"
    document["input_config"]["perf_analyzer"]["stimulus"] = {"request_rate": 15.0}
    found = read_damaged(tmp_path, document)
    assert not isinstance(found, str)
    assert found.runs[0]["spec"]["load_label"] == "15 requests/s constant"
    assert found.notes == ("its failed requests are not in the file",)


def test_a_burst_at_the_start_is_named() -> None:
    assert ["at once (initial_burst)" in note for note in read_sweep(DATA / "guidellm-0.2.1-constant.json").notes] == [
        True
    ]
    assert read_sweep(DATA / "guidellm-0.6.1-concurrent.json").notes == ()


def numbers(document: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all numbers, outside of the requests."""
    if isinstance(document, dict):
        return [
            found for key, value in document.items() if key != "requests" for found in numbers(value, (*place, key))
        ]
    if isinstance(document, list):
        return [found for key, value in enumerate(document[:2]) for found in numbers(value, (*place, key))]
    return [place] if isinstance(document, int | float) and not isinstance(document, bool) else []


def put(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The document with `value` at `place`."""
    *above, last = place
    holder = document
    for key in above:
        holder = holder[key]
    holder[last] = value
    return document


def every(value_of: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for place in numbers(document):
            holder = document
            for key in place:
                holder = holder[key]
            put(document, place, value_of(holder))

    return change


def keys(document: Any) -> list[tuple[Any, ...]]:
    """The places of all keys of objects, in the first entry of each list."""
    if isinstance(document, dict):
        below = [(key, *rest) for key, value in document.items() for rest in keys(value)]
        return [(key,) for key in document] + below
    if isinstance(document, list):
        return [(number, *rest) for number, value in enumerate(document[:1]) for rest in keys(value)]
    return []


def only_failures(document: Any) -> None:
    """No request ended well, wherever that is counted."""
    for key, value in (("completed", 0), ("failed", 12)):
        if key in document:
            document[key] = value
    for holder in (document, document.get("records") or {}):
        if "request_count" in holder:
            failed = holder["request_count"]["avg"] + (holder.get("error_request_count") or {"avg": 0})["avg"]
            holder["error_request_count"] = holder["request_count"] | {"avg": failed}
            holder["request_count"] = holder["request_count"] | {"avg": 0}
    for benchmark in document.get("benchmarks", []):
        for totals in (
            benchmark.get("request_totals"),
            benchmark.get("run_stats", {}).get("requests_made"),
            benchmark["metrics"].get("request_totals"),
        ):
            if totals:
                totals |= {"successful": 0, "errored": totals["total"]}
        benchmark["requests"]["successful"] = []


def nothing(document: Any) -> None:
    document["added_by_a_later_version"] = {"figures": [1, None, "x", {"deep": [1.5]}]}


DAMAGE: dict[str, Callable[[Any], None]] = {
    "a key of a later version": nothing,
    "every number NaN": every(lambda number: float("nan")),
    "every number null": every(lambda number: None),
    "every number infinite": every(lambda number: float("inf")),
    "every number a word": every(lambda number: "fast"),
    "every number in a list": every(lambda number: [number]),
    "every number true": every(lambda number: True),
    "every number negative": every(lambda number: -abs(number) - 1),
    "every number zero": every(lambda number: 0),
    "every number an object": every(lambda number: {}),
    "only failures": only_failures,
}


def read_damaged(folder: Path, content: Any) -> Any:
    """What is read of it, or the sentence that refuses it."""
    path = folder / "damaged.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    try:
        return read_sweep(path)
    except UsageError as error:
        said = str(error)
        assert said.startswith(str(path))
        assert "\n" not in said
        return said


def assert_sound(found: Any | str, *, whole: Any) -> None:
    """Refused in a sentence, or as many runs as there were, each empty place of which is told."""
    if isinstance(found, str):
        return
    assert len(found.runs) == len(whole.runs)
    for run, before in zip(found.runs, whole.runs, strict=True):
        lost = [key for key in ("ttft_from_send_s", "tpot_s", "requests_per_s") if before[key] and not run[key]]
        assert not lost or found.notes or not run["outcomes"]["ok"], lost
        assert run["verdict"]["status"] in ("doubtful", "invalid")


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_damaged_figures(tmp_path: Path, name: str, damage: str) -> None:
    document = json.loads((DATA / name).read_text())
    DAMAGE[damage](document)
    assert_sound(read_damaged(tmp_path, document), whole=read_sweep(DATA / name))


ODD_VALUES: tuple[Any, ...] = (float("nan"), None, "1.5", "fast", [], {})


@pytest.mark.parametrize("name", FILES)
def test_one_damaged_number_at_each_place(tmp_path: Path, name: str) -> None:
    text = (DATA / name).read_text()
    whole = read_sweep(DATA / name)
    for number, place in enumerate(numbers(json.loads(text))):
        value = ODD_VALUES[number % len(ODD_VALUES)]
        found = read_damaged(tmp_path, put(json.loads(text), place, value))
        if isinstance(found, str):
            continue
        for key in ("ttft_from_send_s", "requests_per_s", "output_tokens_per_s"):
            if whole.runs[0][key] and not found.runs[0][key]:
                assert found.notes or value is None, (place, key)


@pytest.mark.parametrize("name", FILES)
def test_one_missing_key_at_a_time(tmp_path: Path, name: str) -> None:
    text = (DATA / name).read_text()
    for place in keys(json.loads(text))[::2]:
        document = json.loads(text)
        holder = document
        for key in place[:-1]:
            holder = holder[key]
        del holder[place[-1]]
        found = read_damaged(tmp_path, document)
        assert isinstance(found, str) or found.runs


@pytest.mark.parametrize("name", FILES)
def test_other_bytes_of_the_same_file(tmp_path: Path, name: str) -> None:
    text = (DATA / name).read_text()
    whole = read_sweep(DATA / name)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-32"):
        found = read_damaged(tmp_path, text.encode(encoding))
        assert not isinstance(found, str)
        assert found.runs[0]["ttft_from_send_s"] == whole.runs[0]["ttft_from_send_s"]
    for share in (0, 1, len(text) // 3, len(text) - 3):
        assert isinstance(read_damaged(tmp_path, text[:share].encode()), str)
    refused: list[Any] = [[], {}, None, 5, "text", {"benchmarks": []}, {"runs": json.loads(text)}, b"\x1f\x8b\x08\0\0"]
    for other in refused:
        assert isinstance(read_damaged(tmp_path, other), str)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("guidellm")])
def test_several_benchmarks_are_several_runs(tmp_path: Path, name: str) -> None:
    document = json.loads((DATA / name).read_text())
    document["benchmarks"] *= 3
    found = read_damaged(tmp_path, document)
    assert not isinstance(found, str)
    assert [run["repeat"] for run in found.runs] == [0, 1, 2]
    assert isinstance(read_damaged(tmp_path, document | {"benchmarks": []}), str)
    assert isinstance(read_damaged(tmp_path, document | {"benchmarks": [None]}), str)


STRATEGY = ("benchmarks", 0, "config", "strategy")
OLDER_STRATEGY = ("benchmarks", 0, "args", "strategy")


@pytest.mark.parametrize("value", [None, "fast", [], float("nan"), 0])
@pytest.mark.parametrize(
    ("name", "place", "lacking"),
    [
        ("guidellm-0.2.1-constant.json", (*OLDER_STRATEGY, "rate"), "no rate that can be read for its load 'constant'"),
        ("guidellm-0.3.1-faults.json", (*OLDER_STRATEGY, "streams"), "no number of streams"),
        ("guidellm-0.6.1-concurrent.json", (*STRATEGY, "streams"), "no number of streams"),
        ("aiperf-0.1.1-rate.json", ("input_config", "loadgen", "request_rate"), "no rate that can be read"),
        ("aiperf-0.8.0-gamma.json", ("input_config", "loadgen", "request_rate"), "no rate that can be read"),
        ("aiperf-0.2.0.json", ("input_config", "loadgen", "concurrency"), "no concurrency that can be read"),
        ("genai-perf-0.0.16.json", ("input_config", "perf_analyzer", "stimulus", "concurrency"), "no concurrency"),
    ],
)
def test_no_other_load_is_claimed(tmp_path: Path, name: str, place: tuple[Any, ...], lacking: str, value: Any) -> None:
    said = read_damaged(tmp_path, put(json.loads((DATA / name).read_text()), place, value))
    assert isinstance(said, str)
    assert lacking in said


@pytest.mark.parametrize("value", ["fast", [], {}])
def test_a_request_rate_that_is_no_number_is_not_taken_for_infinity(tmp_path: Path, value: Any) -> None:
    document = json.loads((DATA / "vllm-0.9.2-faults.json").read_text())
    said = read_damaged(tmp_path, document | {"request_rate": value})
    assert "no request rate that can be read" in str(said)


def test_a_load_that_is_not_known_is_named(tmp_path: Path) -> None:
    document = json.loads((DATA / "guidellm-0.6.1-concurrent.json").read_text())
    found = read_damaged(tmp_path, put(document, (*STRATEGY, "type_"), "replay"))
    assert not isinstance(found, str)
    assert found.runs[0]["spec"]["shape"]["kind"] == "wave"
    assert found.notes == ("its load 'replay' is not known here and is shown as one wave",)


def test_aiperf_without_a_load_has_one_caller(tmp_path: Path) -> None:
    document = json.loads((DATA / "aiperf-0.2.0.json").read_text())
    del document["input_config"]["loadgen"]["concurrency"]
    found = read_damaged(tmp_path, document)
    assert not isinstance(found, str)
    assert found.runs[0]["spec"]["load_label"] == "concurrency 1"


@pytest.mark.parametrize(
    ("name", "change", "null"),
    [
        ("vllm-0.11.0-plain.json", {"output_throughput": -5.0}, "output_tokens_per_s"),
        ("vllm-0.11.0-plain.json", {"request_throughput": -1}, "requests_per_s"),
        ("aiperf-0.2.0.json", {"request_throughput": {"unit": "requests/sec", "avg": -3.0}}, "requests_per_s"),
    ],
)
def test_a_figure_below_nothing_is_null(tmp_path: Path, name: str, change: Document, null: str) -> None:
    found = read_damaged(tmp_path, json.loads((DATA / name).read_text()) | change)
    assert not isinstance(found, str)
    assert found.runs[0][null] is None
    assert [
        note for note in found.notes if note.startswith(f"{null} is -") and note.endswith("less than 0, and is null")
    ]


def test_a_statistic_below_nothing_is_null(tmp_path: Path) -> None:
    document = json.loads((DATA / "vllm-0.11.0-plain.json").read_text()) | {"mean_ttft_ms": -5.0, "duration": -1.0}
    found = read_damaged(tmp_path, document)
    assert not isinstance(found, str)
    assert (found.runs[0]["ttft_s"]["mean"], found.runs[0]["elapsed_s"]) == (None, 0.0)
    assert found.runs[0]["ttft_s"]["p50"] == pytest.approx(0.0515, abs=0.0001)
    assert "ttft_s.mean is -0.005, less than 0, and is null" in found.notes

"""Traces of three sets of columns, sorted, scaled and cut; what is wrong with one is told by its line."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.spec import RunSpec
from loadgen.load.trace import Trace, read_trace

OWN = '{"offset_s": 4.5, "prompt_tokens": 30, "output_tokens": 3}\n\n{"offset_s": 2, "prompt_tokens": 10, "output_tokens": 1, "user": "x"}\n{"offset_s": 2.5, "prompt_tokens": 20, "output_tokens": 2}\n'
MOONCAKE = '{"timestamp": 2000, "input_length": 10, "output_length": 1, "hash_ids": [0]}\n{"timestamp": 2500, "input_length": 20, "output_length": 2}\n{"timestamp": 4500, "input_length": 30, "output_length": 3}\n'
BURSTGPT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n2,GPT-4,10,1,11,API log\n2.5,ChatGPT,20,2,22,API log\n4.5,GPT-4,30,3,33,API log\n"


def written(folder: Path, text: str, name: str = "burst.jsonl") -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def trace_of(folder: Path, text: str, name: str = "burst.jsonl") -> Trace:
    return read_trace(written(folder, text, name))


@pytest.mark.parametrize(
    ("text", "name"),
    [(OWN, "own.jsonl"), (MOONCAKE, "mooncake.jsonl"), (BURSTGPT, "BurstGPT.csv"), ("\ufeff" + BURSTGPT, "bom.CSV")],
)
def test_each_set_of_columns_gives_the_same_trace(tmp_path: Path, text: str, name: str) -> None:
    trace = trace_of(tmp_path, text, name)
    assert trace.source.name == name
    assert trace.offsets_s.tolist() == [0.0, 0.5, 2.5]
    assert trace.prompt_tokens.tolist() == [10, 20, 30]
    assert trace.output_tokens.tolist() == [1, 2, 3]


def test_the_hash_follows_the_content_and_not_the_name(tmp_path: Path) -> None:
    here, there = trace_of(tmp_path, OWN), trace_of(tmp_path, OWN, "other.jsonl")
    assert here.source.hash == there.source.hash
    assert here.source.hash != trace_of(tmp_path, OWN.replace("30", "31")).source.hash


def test_a_replay_is_scaled_and_cut(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, OWN)
    assert trace.offsets_ns(0.5, 3).tolist() == [0, 250_000_000, 1_250_000_000]
    assert trace.offsets_ns(2.0, 2).tolist() == [0, 1_000_000_000]
    assert trace.requests_within(1.0, 2.5) == 2
    assert trace.requests_within(0.5, 2.5) == 3
    assert trace.longest(3) == (30, 3)
    assert trace.longest(2) == (20, 2)
    shape = trace.replay(0.5, 3)
    assert shape.rate_per_s == pytest.approx(2 / 1.25)
    assert shape.label == "trace burst.jsonl × 0.5, 1.6 requests/s"


def test_a_schedule_has_the_lengths_and_moments_of_its_trace(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, OWN)
    spec = RunSpec("http://127.0.0.1:1/v1", "m", trace.replay(2.0, 3), 20, 2, requests=3)
    schedule = build(spec, 3, prompt_seed="x", form=RequestForm("vllm"), trace=trace)
    assert schedule.offsets_ns is not None
    assert schedule.offsets_ns.tolist() == [0, 1_000_000_000, 5_000_000_000]
    assert schedule.prompt_tokens.tolist() == [10, 20, 30]
    assert schedule.output_tokens.tolist() == [1, 2, 3]
    bodies = [body.decode() for body in schedule.bodies]
    assert [f'"max_tokens":{tokens},' in body for body, tokens in zip(bodies, (1, 2, 3), strict=True)] == [True] * 3
    assert build(replace(spec, seed=4), 3, prompt_seed="x", form=RequestForm("vllm"), trace=trace).hash == schedule.hash


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("", "t.jsonl", "has no requests; write one on each line"),
        ("Timestamp,Request tokens,Response tokens\n", "t.csv", "has no requests"),
        ("{}\n", "t.jsonl", "t.jsonl line 1 does not have the columns of a request; known are offset_s, prompt_tokens"),
        ("nonsense\n{\n", "t.jsonl", "has no requests in any of its 2 rows: t.jsonl line 1 is not JSON: "),
        ("[1]\n", "t.jsonl", "t.jsonl entry 1 in line 1 is not an object"),
        (OWN.replace("4.5", '"soon"'), "t.jsonl", "t.jsonl line 1: offset_s must be a number, not soon"),
        (OWN.replace("4.5", "NaN"), "t.jsonl", "t.jsonl line 1 has NaN, which is not a number in JSON"),
        (OWN.replace("20", "-1"), "t.jsonl", "t.jsonl line 4: prompt_tokens must be a whole number of at least 1, not -1"),
        (OWN.replace("20", "2.5"), "t.jsonl", "t.jsonl line 4: prompt_tokens must be a whole number of at least 1, not 2.5"),
        (OWN.replace("20", "true"), "t.jsonl", "t.jsonl line 4: prompt_tokens must be a number, not True"),
        (BURSTGPT + "9,GPT-4,many,1\n", "t.csv", "t.csv line 5: Request tokens must be a number, not many"),
        (BURSTGPT + "9,GPT-4,\udcff,1\n", "t.csv", "t.csv line 5 is not text in UTF-8: it has byte 0xff"),
        (BURSTGPT + "9," + "x" * 200_000 + ",1,1\n", "t.csv", "is not CSV: field larger than field limit"),
        ("null\n[]\n", "t.jsonl", "has no requests in any of its 2 rows: t.jsonl line 1 is not an object"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_line(tmp_path: Path, text: str, name: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        trace_of(tmp_path, text, name)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


ODD = (
    "",
    '{"offset_s": 3, "prom',
    "null",
    "8",
    "[1]",
    "{}",
    '{"offset_s": 3}',
    *(OWN.splitlines()[0].replace("30", each) for each in ("0", "null", '""', '"NaN"')),
)


@pytest.mark.parametrize("row", ODD)
def test_a_row_that_asks_for_nothing_is_skipped_and_counted(tmp_path: Path, row: str) -> None:
    first, last = OWN.splitlines()[2:4]
    trace = trace_of(tmp_path, f"{first}\n{row}\n{last}\n\n")
    assert (len(trace), trace.source.skipped_rows) == (2, 1)
    assert (trace.source.first_skipped or "").startswith("burst.jsonl line 2 ")
    spec = RunSpec("http://h", "m", trace.replay(1.0, 2), 20, 2, requests=2)
    assert spec.file_notes == (f"1 row was skipped in burst.jsonl, the first because {trace.source.first_skipped}",)
    assert RunSpec.from_json(spec.to_json()) == spec
    whole = replace(trace, source=replace(trace.source, skipped_rows=0, first_skipped=None))
    assert replace(spec, shape=whole.replay(1.0, 2)).hash == spec.hash


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("text", "name"),
    [
        (BURSTGPT.replace("\n", "\r\n"), "t.csv"),
        (BURSTGPT.replace(",", ";"), "t.csv"),
        (BURSTGPT.replace(",", "\t"), "t.csv"),
        (BURSTGPT.replace("ChatGPT", "a\u2028b\x85c"), "t.csv"),
        (BURSTGPT.replace("ChatGPT", '"a\nb"'), "t.csv"),
        (OWN.replace('"x"', '"a\u2028b\x85c"'), "t.jsonl"),
        (OWN.replace("20", '"20"').replace("2.5", "2.5e0"), "t.jsonl"),
        ("[" + ",".join(filter(None, OWN.splitlines())) + "]", "t.json"),
    ],
)
def test_tables_that_programs_write(tmp_path: Path, text: str, name: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    assert read_trace(path).prompt_tokens.tolist() == [10, 20, 30]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the trace .*nowhere.jsonl: no such file"):
        read_trace(tmp_path / "nowhere.jsonl")


def test_requests_of_one_moment_have_no_rate(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, OWN.replace("4.5", "2"))
    with pytest.raises(UsageError, match=r"the first 2 requests of the trace burst.jsonl come all at one moment"):
        trace.replay(1.0, 2)

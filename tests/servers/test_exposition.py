"""What is read of a page of metrics, whatever stands on it."""

import pytest

from loadgen.servers.exposition import Values, read, stale_gauges, summed

TYPES = "# TYPE vllm:busy gauge\n# TYPE vllm:made_total counter\n# TYPE vllm:wait_seconds histogram\n"


def values(page: str, model: str | None = None) -> Values:
    return summed(read(TYPES + page), model)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("vllm:busy 3", 3.0),
        ("  vllm:busy\t5\r", 5.0),
        ("vllm:busy{} 4", 4.0),
        ('vllm:busy{a="b"}3', 3.0),
        ('vllm:busy{a="b",} 3', 3.0),
        ('vllm:busy{a="b,c} d",e="f\\"g\\\\"} 2', 2.0),
        ("vllm:busy 1 1700000000", 1.0),
        ("vllm:busy 1 -5", 1.0),
        ("vllm:busy 1.5e+03", 1500.0),
        ("vllm:busy .5", 0.5),
        ('vllm:busy{e="0"} 1\nvllm:busy{e="0"} 1', 1.0),
        ('vllm:busy{e="0"} 1\nvllm:busy{e="1"} 2', 3.0),
    ],
)
def test_a_sample_is_read_in_every_spelling(line: str, value: float) -> None:
    told = values(line + "\n")
    assert (told.values, told.unusable, told.malformed_lines) == ({"vllm:busy": value}, frozenset(), 0)


def test_an_exemplar_is_no_part_of_the_value() -> None:
    told = values('# TYPE vllm:seen counter\nvllm:seen_total{a="b"} 7 1.7e9 # {trace_id="x y"} 0.5 1.7e9\n# EOF\n')
    assert told.values == {"vllm:seen_total": 7.0}


@pytest.mark.parametrize(
    "text", ["NaN", "-nan", "+Inf", "-inf", "Infinity", "1e400", "1e19", "1e308\nvllm:busy{e='0'} 1"]
)
def test_what_is_no_finite_number_is_not_usable(text: str) -> None:
    told = values(f"vllm:busy {text}\nvllm:made_total 4\n")
    assert (told.values, told.unusable) == ({"vllm:made_total": 4.0}, frozenset({"vllm:busy"}))


@pytest.mark.parametrize(
    "line",
    [
        "0,16",
        "0x10",
        "",
        "1_000",
        "1 2 3",
        "5\u20286",
        "\u0663",
        "five",
        "{a=b} 3",
        '{a="b" 3',
        '{a="b} 3',
        "NaN NaN x",
    ],
)
def test_a_malformed_line_costs_itself_alone(line: str) -> None:
    told = values(f"vllm:busy{'' if line.startswith('{') else ' '}{line}\nvllm:made_total 4\n")
    assert (told.values, told.unusable, told.malformed_lines) == ({"vllm:made_total": 4.0}, frozenset({"vllm:busy"}), 1)


def test_a_line_of_many_blanks_is_no_work() -> None:
    read_values = values("vllm:busy" + " " * 1_000_000 + "3 three\nvllm:made_total 2\n")  # else it would take hours
    assert (read_values.values, read_values.malformed_lines) == ({"vllm:made_total": 2.0}, 1)


def test_a_counter_below_zero_or_twice_with_two_values_is_not_usable() -> None:
    for page in ("vllm:made_total -1\n", 'vllm:made_total{e="0"} 1\nvllm:made_total{e="0"} 2\n'):
        assert (values(page).values, values(page).unusable) == ({}, frozenset({"vllm:made_total"}))


def test_a_type_that_is_missing_is_told_by_the_name() -> None:
    told = summed(read('vllm:x_total 1\nvllm:y 2\nvllm:z_seconds_bucket{le="+Inf"} 3\nvllm:z_seconds_sum 4\n'))
    assert told.values == {
        "vllm:x_total": 1.0,
        "vllm:y": 2.0,
        'vllm:z_seconds_bucket{le="+Inf"}': 3.0,
        "vllm:z_seconds_sum": 4.0,
    }


def test_a_share_of_several_processes_is_that_of_the_busiest_and_of_several_engines_the_mean() -> None:
    lines = [("0", 1, 0.2), ("0", 2, 0.6), ("0", 3, float("nan")), ("1", 4, 0.2)]
    page = "".join(f'vllm:kv_usage{{engine="{engine}",pid="{pid}"}} {share}\n' for engine, pid, share in lines)
    assert summed(read(page)).values == pytest.approx({"vllm:kv_usage": 0.4})


def test_a_gauge_that_stands_still_while_anothers_moves_is_of_a_process_that_has_ended() -> None:
    pages = [read(f'vllm:kv_usage{{pid="1"}} 0.9\nvllm:kv_usage{{pid="2"}} {share}\n') for share in (0.1, 0.2)]
    stale = stale_gauges(pages)
    assert [summed(page, stale=stale).values for page in pages] == [{"vllm:kv_usage": 0.1}, {"vllm:kv_usage": 0.2}]
    assert stale_gauges(pages[:1]) == frozenset()


def test_of_several_models_the_measured_one_counts() -> None:
    page = 'vllm:made_total{model_name="a"} 1\nvllm:made_total{model_name="b"} 2\nvllm:made_total 4\n'
    assert values(page, "b").values == {"vllm:made_total": 6.0}
    assert values(page, "alias").values == {}
    assert values('vllm:made_total{model_name="a"} 1\n', "alias").values == {"vllm:made_total": 1.0}


BUCKETS = '{name}_bucket{{e="0",le="0.1"}} 2\n{name}_bucket{{e="0",le="+Inf"}} 3\n'.replace(
    "{name}", "vllm:wait_seconds"
)


@pytest.mark.parametrize(
    "more",
    ['vllm:wait_seconds_bucket{e="1",le="+Inf"} 3', 'vllm:wait_seconds_bucket{e="1",le="x"} 3', 'vllm:wait_seconds_bucket{e="0",le="0.2"} NaN'],
    ids=["a bucket that one engine lacks", "a bound that is no number", "a count that is no number"],
)  # fmt: skip
def test_a_histogram_with_a_bucket_that_cannot_be_used_is_left_out(more: str) -> None:
    page = BUCKETS.replace("{{", "{").replace("}}", "}") + more + "\nvllm:wait_seconds_sum 1\n"
    told = values(page)
    assert [name for name in told.values if "_bucket" in name] == []
    assert any(name.startswith("vllm:wait_seconds_bucket") for name in told.unusable)


def test_when_a_process_began_is_no_figure() -> None:
    told = values('process_start_time_seconds 5\n# TYPE vllm:made_created gauge\nvllm:made_created{e="0"} 7\n')
    assert (told.values, told.identity) == ({}, {"process_start_time_seconds": 5.0, 'vllm:made_created{e="0"}': 7.0})


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<html>vllm:busy 1</html>",
        "\ufeff\n <!doctype html>\nvllm:busy 1\n",
        "{",
        "\x00" * 1000,
        "#" * 1000,
        "# TYPE\n# TYPE x\n",
    ],
)
def test_a_page_that_is_something_else_gives_nothing(page: str) -> None:
    assert summed(read(page)) == Values({})

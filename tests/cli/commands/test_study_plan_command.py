"""`loadgen study plan`: a table that a terminal of 100 columns shows, one JSON document, and a sentence for each mistake."""

import pytest

from loadgen.study.study_file import study_names
from tests.cli.conftest import Cli


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("name", study_names())
def test_every_plan_fits_100_columns(cli: Cli, name: str) -> None:
    said = cli("study", "plan", name)
    assert (said.code, said.err) == (0, "")
    assert max(len(line) for line in said.out.splitlines()) <= 100
    assert ("Nothing was started or sent." in said.out) == (name not in ("table1", "fig01"))


def test_servers_that_differ_in_nothing_shown_are_one_row(cli: Cli) -> None:
    lines = cli("study", "plan", "fig07").out.splitlines()
    assert " mixtral-skeleton, top_k 1/2/4/8" in {line.rstrip() for line in lines}
    rows = [line.split() for line in lines if line.startswith("   ffn_size")]
    assert len(rows) == 16
    assert rows[0][:9] == ["ffn_size", "1792,", "experts", "8", "4", "3.6", "69.3", "516", "4"]
    text = " ".join(lines)
    assert "mixtral-skeleton (8 servers): cannot run: it does not fit (bf16, tensor 4)" in text
    assert "64 points (12 cannot run); 52 starts, 156 runs; at least" in text


def test_a_cache_that_is_too_small_for_the_largest_load_is_named(cli: Cli) -> None:
    text = " ".join(cli("study", "plan", "fig06").out.split())
    assert "qwen1.5-moe-a2.7b: 55 of the longest requests fit at once, of up to 128: the others wait" in text
    assert "the others wait" not in cli("study", "plan", "fig07").out


def test_hardware_with_too_little_memory_is_named(cli: Cli) -> None:
    text = " ".join(cli("study", "plan", "fig13", "--only", "profile=mixtral-tp1").out.split())
    assert "3 points (3 cannot run); 0 starts, 0 runs. None of it can be measured on NVIDIA H100 SXM5 80GB" in text
    without = cli("study", "plan", "fig15", "--only", "profile=molmoe-1b").out
    assert "None of it" not in without
    assert "KV: GB of each GPU" not in without  # its servers are not started, whatever the memory


@pytest.mark.parametrize("name", ["table1", "fig01"])
def test_arithmetic_needs_no_server(cli: Cli, name: str) -> None:
    assert f"{name} is arithmetic over" in cli("study", "plan", name).out
    document = cli("study", "plan", name, "--json").json
    assert (document["needs_server"], document["servers"], document["gpu_hours"]) == (False, [], 0)


def test_unknown_times_are_told_apart_from_the_known(cli: Cli) -> None:
    text = " ".join(cli("study", "plan", "fig12").out.split())
    assert "without the 25 servers of unknown time" in text
    assert "(25 servers): unknown time: acceptance of drafted tokens" in text


def test_the_document(cli: Cli) -> None:
    document = cli(
        "study", "plan", "fig06", "--hardware", "NVIDIA H200", "--only", "batch=1,4", "--repeats", "5", "--json"
    ).json
    assert document["schema_version"] == 1
    assert document["hardware"]["name"] == "h200"
    assert (document["points"], document["runs"], document["starts"]) == (40, 200, 2)
    assert document["servers"][0]["points"][0]["coordinates"]["batch"] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fig6",), "there is no study 'fig6'; did you mean 'fig06'?"),
        (("fig06", "--hardware", "h300"), "there is no accelerator 'h300'; known accelerators: a100, h100, h200, mi300x, cs3"),
        (("fig06", "--only", "modle=x"), "unknown coordinate 'modle' in --only; did you mean 'model'?"),
        (("fig06", "--only", "colour=x"), "unknown coordinate 'colour' in --only; known coordinates: model, profile, precision"),
        (("fig06", "--only", "batch=3"), "no point of the study has batch 3; known values: 1, 4, 8, 16, 32, 64, 128"),
        (("fig03", "--only", "output_tokens=1", "--only", "load=closed_loop"), "no point of the study has output_tokens 1 and load closed_loop together"),
        (("fig06", "--only", "batch"), "--only 'batch' is not KEY=VALUE"),
        (("fig06", "--hardware", "cs3"), "--hardware cs3: vLLM does not run on Cerebras CS-3 (WSE-3); known accelerators: a100, h100, h200, mi300x"),
        (("fig06", "--repeats", "0"), "--repeats must be at least 1, not 0"),
    ],
)  # fmt: skip
def test_mistakes(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    said = cli("study", "plan", *arguments)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err


def test_a_study_that_evaluates_its_servers_says_on_what(cli: Cli) -> None:
    assert "Each server is evaluated once (paper), which is not in these times." in cli("study", "plan", "fig17").out
    tiny = cli("study", "plan", "fig17", "--scale", "tiny").out
    assert "Each server is evaluated once (built-in)" in " ".join(tiny.split())
    assert "evaluated" not in cli("study", "plan", "fig03").out
    assert "accuracy: paper, before the load" in cli("study", "show", "fig17").out

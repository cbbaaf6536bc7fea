"""`loadgen study predict`: what it saves and says, and the errors of predictions of measured runs."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

RESULTS = Path(__file__).resolve().parents[3] / "results"
FEW = ("--only", "load=wave", "--only", "length=128", "--only", "batch=1,4")


def test_two_accelerators_are_two_series_of_simulated_points(cli: Cli) -> None:
    said = cli("study", "predict", "fig06", "--hardware", "h100,NVIDIA H200", *FEW, "--json")
    assert said.code == 0
    assert [(each["study"], each["hardware"]["name"]) for each in said.json["predictions"]] == [
        ("fig06", "h100"),
        ("fig06", "h200"),
    ]
    assert [(each["points"], each["predicted"]) for each in said.json["predictions"]] == [(4, 4), (4, 4)]
    assert "loadgen study report fig06 -o fig06.html" in said.err
    assert "new database" in said.err
    sweeps = cli("list", "--json").json["sweeps"]
    assert {sweep["simulated"] for sweep in sweeps} == {True}
    assert {sweep["sweep_id"] for sweep in sweeps} == {
        sweep_id for each in said.json["predictions"] for sweep_id in each["sweep_ids"]
    }


def test_a_plan_takes_its_times_from_predictions_on_record(cli: Cli) -> None:
    cli("study", "predict", "fig06", *FEW, "-q")
    plan = cli("study", "plan", "fig06", *FEW, "--json").json
    assert {point["basis"] for server in plan["servers"] for point in server["points"]} == {"predicted"}
    assert plan["estimated_is_bound"] is False


def test_one_line_for_each_study_and_why_points_are_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    said = cli("study", "predict", "fig13", "fig04", "--only", "profile=mixtral-tp1", "-q")
    assert (said.code, said.out) == (2, "")
    assert "fig04: no point of the study has profile mixtral-tp1; known values: deepseek-vl2-tiny" in said.err
    said = cli(
        "study", "predict", "fig07", "--only", "experts=32", "--only", "top_k=1", "--only", "ffn_size=1792,14336"
    )
    assert said.code == 0
    text = " ".join(said.out.split())
    assert "fig07 NVIDIA H100 SXM5 80GB 2 1 1 0" in text
    assert "fig07: 1 point not predicted (mixtral-skeleton" in text
    assert "no run of this accelerator has been compared" in text
    assert max(len(line) for line in said.out.splitlines()) <= 100


def test_what_a_prediction_does_not_have_is_said_once(cli: Cli) -> None:
    said = cli("study", "predict", "fig18", "--hardware", "h100,h200", "--only", "batch=1")
    assert said.code == 0
    text = " ".join(said.out.split())
    assert text.count("fig18: accuracy is not predicted: a prediction makes no replies") == 1
    parts = cli("study", "predict", "fig12", "--only", "input_tokens=128", "--json")
    assert parts.code == 0
    (study,) = parts.json["predictions"]
    assert (study["points"], study["predicted"], study["figures_left_out"]) == (26, 5, {})
    reasons = {each["label"]: each["sentence"] for each in study["left_out"]}
    assert len(reasons) == 21
    assert "what ngram drafts depends on the text" in next(reasons[label] for label in reasons if "ngram" in label)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("fig4",), 2, "there is no study 'fig4'; did you mean 'fig04'?"),
        (("table1",), 2, "the study table1 is arithmetic, with nothing to predict"),
        (("fig12", "--only", "draft=n-gram"), 2, "nothing was predicted, for the reasons that are given with each study"),
        (("fig13", "--only", "profile=mixtral-tp1"), 5, "no server fits the memory of NVIDIA H100 SXM5 80GB"),
        (("fig06", "--hardware", "h100,h300"), 2, "there is no accelerator 'h300'; known accelerators: a100, h100"),
        (("fig06", "--only", "batch=5"), 2, "fig06: no point of the study has batch 5; known values: 1, 4, 8"),
        (("--check", "fig06"), 2, "--check takes result files, and fig06 is a study; for example: --check results/*.json"),
        (("fig06", "--hardware", "h100,cs3"), 2, "--hardware cs3: vLLM does not run on Cerebras CS-3"),
        (("--check", "fig06", "--only", "batch=1"), 2, "--check compares every run in the files; leave --only out"),
        ((), 2, "missing argument"),
    ],
)  # fmt: skip
def test_mistakes(cli: Cli, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    said = cli("study", "predict", *arguments)
    assert said.code == code
    assert sentence in said.err.replace("'NAME…'", "")
    assert "Traceback" not in said.err


def test_the_errors_of_predictions_are_printed_and_nothing_is_saved(cli: Cli, tmp_path: Path) -> None:
    file = str(RESULTS / "2026-11-30-h200-deepseek-v2-lite-dummy-waves-2048.json.gz")
    said = cli("study", "predict", "--check", file, "--json")
    assert (said.code, said.err) == (0, "")
    (row,) = said.json["rows"]
    assert (row["model"], row["load"], row["runs"], row["fitted"]) == ("deepseek-v2-lite", "wave", 4, False)
    assert row["median"]["throughput"] < 0.1
    assert "held out" in cli("study", "predict", "--check", file).out
    assert not (tmp_path / "loadgen.db").exists()

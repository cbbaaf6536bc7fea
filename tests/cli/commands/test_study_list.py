"""`loadgen study list`: every study with its servers, and files with mistakes."""

from pathlib import Path

from loadgen.study.study_file import read_study, study_names
from loadgen.study.variants import variants_of
from tests.cli.conftest import Cli


def test_it_counts_the_servers_of_every_matrix(cli: Cli) -> None:
    rows = {row["name"]: row for row in cli("study", "list", "--json").json["studies"]}
    assert rows.keys() == set(study_names())
    for name in ("fig06", "fig07", "fig11", "fig14", "table1"):
        assert rows[name]["servers"] == len(variants_of(read_study(name)))
    assert list(rows)[:3] == ["table1", "fig01", "fig03"]


def test_a_file_with_a_mistake_does_not_hide_the_others(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text("titel: Mine\n")
    said = cli("study", "list")
    assert said.code == 2
    assert "Throughput over batch size and length" in said.out
    assert "unknown key 'titel' in " in said.err
    assert "did you mean 'title'?" in said.err


def test_show_lists_the_coordinates_that_only_takes(cli: Cli) -> None:
    coordinates = cli("study", "show", "fig10", "--json").json["coordinates"]
    assert coordinates["precision"] == ["fp16", "fp8"]
    assert coordinates["batch"] == [1, 16, 32, 64, 128]
    lines = [" ".join(line.split()) for line in cli("study", "show", "fig10").out.splitlines()]
    assert "precision fp16, fp8" in lines
    assert "expert_parallel false" in lines
    assert cli("study", "plan", "fig10", "--only", "expert_parallel=false").code == 0
    assert cli("study", "show", "table1", "--json").json["coordinates"] == {}


def test_a_study_shows_its_repeats_and_the_kind_of_each_claim(cli: Cli) -> None:
    shown = cli("study", "show", "fig06").out
    assert "repeats: 3, each with a seed of its own" in shown
    kinds = {words[0]: " ".join(words[2:4]) for words in map(str.split, shown.splitlines()) if len(words) > 3}
    assert kinds["fig06-batch-linear"].startswith("scaling ")
    assert kinds["s3.2-batches"] == "not testable"

"""A study file: what it says, what it takes from another one, and the sentence for each mistake."""

from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.servers.profiles.layout import UNIFORM_ROUTING
from loadgen.study.points import points_of
from loadgen.study.study_file import read_study
from loadgen.study.variants import variants_of

STUDY = """
title: Mine
question: Does it hold?
servers:
  - profile: olmoe-tp1
    matrix: {top_k: {argument: hf-overrides.num_experts_per_tok, values: [8, 1]}}
loads:
  - {wave: [1, 16], lengths: [128]}
panels:
  - {title: T, y: output_tokens_per_s, x: batch}
claims:
  - {id: a, place: here, says: More is more, compare: {kind: trend, axis: batch, direction: increases}}
"""


def written(folder: Path, text: str, name: str = "mine") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


@pytest.fixture(autouse=True)
def in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_its_points_are_each_load_on_each_server_of_the_matrix(tmp_path: Path) -> None:
    file = read_study(written(tmp_path, STUDY))
    points = points_of(file, variants_of(file))
    assert [(point.coordinates["top_k"], point.coordinates["batch"]) for point in points] == [
        (8, 1),
        (8, 16),
        (1, 1),
        (1, 16),
    ]
    assert {point.coordinates["model"] for point in points} == {"olmoe-1b-7b"}
    assert {point.coordinates["length"] for point in points} == {128}


def test_made_up_weights_are_another_argument_of_the_same_variant(tmp_path: Path) -> None:
    file = read_study(written(tmp_path, STUDY))
    real, dummy = variants_of(file), variants_of(file, weights="dummy")
    assert dummy[0].variant.overrides.arguments["load-format"] == "dummy"
    assert [each.served.identity for each in real] == [each.served.identity for each in dummy]
    assert UNIFORM_ROUTING.items() <= dummy[0].variant.served.profile.environment.items()


def test_models_of_a_folder(tmp_path: Path) -> None:
    file = read_study(written(tmp_path, STUDY))
    with pytest.raises(UsageError, match=r"there is no folder .*olmoe-1b-7b; put the model there"):
        variants_of(file, models=tmp_path)
    (tmp_path / "olmoe-1b-7b").mkdir()
    assert variants_of(file, models=tmp_path)[0].variant.served.profile.model == str(tmp_path / "olmoe-1b-7b")
    assert variants_of(file, models=tmp_path)[0].served.model == "olmoe-1b-7b"


def test_values_of_a_matrix_may_have_names_of_their_own(tmp_path: Path) -> None:
    named = STUDY.replace("values: [8, 1]", "values: {0: null, 0.5: 4}")
    file = read_study(written(tmp_path, named))
    variants = variants_of(file)
    assert [each.coordinates["top_k"] for each in variants] == [0, 0.5]
    assert [each.served.coordinates["top_k"] for each in variants] == [8, 4]


def test_points_of_another_study(tmp_path: Path) -> None:
    written(tmp_path, STUDY)
    other = f"title: Other\nquestion: And so?\npoints_of: {tmp_path / 'mine.yaml'}\n"
    file = read_study(written(tmp_path, other, "other"))
    assert len(points_of(file, variants_of(file))) == 4
    assert file.study.claims == ()


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("title: Mine\n", "title: Mine\nname: x\n", "unknown key 'name' in mine.yaml line 3; a study is called as its file"),
        ("question", "qestion", "unknown key 'qestion' in mine.yaml line 3; did you mean 'question'?"),
        ("kind: trend", "kind: tend", "'claims.0.compare.kind' in mine.yaml line 12 is 'tend'; did you mean 'trend'?"),
        ("kind: trend, ", "", "'claims.0.compare' in mine.yaml line 12 lacks 'kind'"),
        ("axis: batch, ", "", "'claims.0.compare' in mine.yaml line 12 lacks 'axis'"),
        ("axis: batch, ", "axes: batch, ", "unknown key 'claims.0.compare.axes' in mine.yaml line 12; did you mean 'axis'?"),
        ("kind: trend, axis: batch, direction: increases", "kind: fact, model: olmo, facts: {layers: 1}", "'claims.0.compare.model' in mine.yaml line 12: there is no model 'olmo'"),
        ("kind: trend, axis: batch, direction: increases", "kind: fact, model: olmoe-1b-7b, facts: {layers: x}", "'claims.0.compare' in mine.yaml line 12 has 'layers' 'x', which must be a whole number"),
        ("y: output_tokens_per_s", "y: output_token_per_s", "unknown figure 'output_token_per_s' at 'panels.0.y' in mine.yaml line 10; did you mean 'output_tokens_per_s'?"),
        ("y: output_tokens_per_s", "y: e2e_s", "unknown figure 'e2e_s' at 'panels.0.y' in mine.yaml line 10; did you mean 'e2e_latency_s'?"),
        ("y: output_tokens_per_s", "y: colour", "unknown figure 'colour' at 'panels.0.y' in mine.yaml line 10; known figures: ttft_s, "),
        ("loads:\n  - {wave: [1, 16], lengths: [128]}\n", "", "'loads' in mine.yaml is missing; say what to send"),
        ("title: Mine\n", "title: Mine\npoints_of: fig06\n", "'servers' in mine.yaml line 5 and 'points_of' in mine.yaml line 3 exclude each other"),
        ("id: a", "id: A b", "'claims.0.id' in mine.yaml line 12"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_file_and_line(tmp_path: Path, before: str, after: str, sentence: str) -> None:
    assert before in STUDY
    with pytest.raises(UsageError) as caught:
        read_study(written(tmp_path, STUDY.replace(before, after)))
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("profile: olmoe-tp1", "profile: olmo-tp1", "'servers.0.profile' in mine.yaml line 5: there is no server profile 'olmo-tp1'; did you mean"),
        ("wave: [1, 16]", "wave: [1, 16], rate: 3", "'rate' in mine.yaml line 8 and 'wave' in mine.yaml line 8 exclude each other"),
        ("wave: [1, 16]", "wave: [0]", "'wave' in mine.yaml line 8 must be at least 1, not 0"),
        ("values: [8, 1]", "values: [8, 65]", "'servers.0.matrix.top_k.values' in mine.yaml line 6"),
    ],
)  # fmt: skip
def test_mistakes_in_what_it_asks_for(tmp_path: Path, before: str, after: str, sentence: str) -> None:
    assert before in STUDY
    file = read_study(written(tmp_path, STUDY.replace(before, after)))
    with pytest.raises(UsageError) as caught:
        points_of(file, variants_of(file))
    assert str(caught.value).startswith(sentence)


def test_a_name_that_no_study_has() -> None:
    with pytest.raises(UsageError, match="there is no study 'tabel1'; did you mean 'table1'"):
        read_study("tabel1")


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("profile: olmoe-tp1", "profile: vllm", "'servers.0.profile' in .* line 5: 'vllm' is only there to be extended; `loadgen profiles list`"),
        ("wave: [1, 16], lengths: [128]", "wave: [1, 16]", "'loads.0' in .* does not say how long prompts and replies are; add lengths"),
    ],
)  # fmt: skip
def test_servers_and_loads_that_cannot_be_measured(tmp_path: Path, right: str, wrong: str, sentence: str) -> None:
    file = read_study(written(tmp_path, STUDY.replace(right, wrong)))
    with pytest.raises(UsageError, match=sentence):
        points_of(file, variants_of(file))


def test_a_study_needs_servers_or_models(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'servers' in .* is missing; name profiles to start"):
        read_study(written(tmp_path, "title: Mine\nquestion: Does it hold?\n"))


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("title: Mine\n", "", r"^'title' in mine.yaml is missing$"),
        ("values: [8, 1]", "values: []", r"'servers.0.matrix.top_k.values' in mine.yaml line 6 must not be empty$"),
        ("x: batch}", "x: batch, statistic: p77}", r"'panels.0.statistic' in mine.yaml line 10 must be 'mean', .* or 'max', not p77"),
    ],
)  # fmt: skip
def test_values_that_no_study_can_have(tmp_path: Path, right: str, wrong: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_study(written(tmp_path, STUDY.replace(right, wrong)))


@pytest.mark.parametrize(
    ("argument", "axis", "sentence"),
    [
        ("hf-override.num_experts_per_tok", "top_k", "'servers.0.matrix.top_k' in mine.yaml line 6 is 1 for a server whose top_k is 8: 'hf-override.num_experts_per_tok' does not set it"),
        ("hf-overrides.num_experts_per_tok", "k", ""),
    ],
)  # fmt: skip
def test_an_argument_that_changes_nothing_is_refused(tmp_path: Path, argument: str, axis: str, sentence: str) -> None:
    text = STUDY.replace("hf-overrides.num_experts_per_tok", argument).replace("{top_k: {", f"{{{axis}: {{")
    file = read_study(written(tmp_path, text))
    if not sentence:
        assert len(variants_of(file)) == 2
        return
    with pytest.raises(UsageError, match=sentence):
        variants_of(file)


def test_sizes_that_no_model_can_have_are_a_mistake_of_the_server(tmp_path: Path) -> None:
    file = read_study(written(tmp_path, STUDY.replace("values: [8, 1]", "values: [999]")))
    with pytest.raises(
        UsageError,
        match=r"^'servers.0.matrix.top_k.values' in mine.yaml line 6: each token would pass 999 of 64 experts, more than there are$",
    ):
        variants_of(file)


@pytest.mark.parametrize(
    ("given", "shown"),
    [("m/mine.yaml", "m/mine.yaml"), ("./m/mine.yaml", "m/mine.yaml"), ("mine", "studies/mine.yaml")],
)
def test_a_file_is_named_with_its_folder(tmp_path: Path, given: str, shown: str) -> None:
    for folder in ("m", "studies"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text(STUDY.replace("question", "qestion"))
    with pytest.raises(UsageError, match=f"^unknown key 'qestion' in {shown} line "):
        read_study(given)


def test_a_file_elsewhere_is_named_by_its_whole_path(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "mine.yaml"
    elsewhere.write_text("")
    with pytest.raises(UsageError, match=f"^{elsewhere} is empty"):
        read_study(str(elsewhere))

"""A profile from its files: extending, search path, and every mistake with its file, its line and the nearest key."""

from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.servers.profiles.profile_file import profile_names, read_profile

BASE = """\
description: a model
model: some/model
arguments:
  max-model-len: 4224
  enable-prefix-caching: false
  speculative-config: {method: ngram, num_speculative_tokens: 3}
environment: {A: 1, B: two}
needs: {gpus: 1, gpu_memory_gb: 80}
"""
CHILD = """\
extends: parent-of-tests
description: the same over two GPUs
arguments:
  tensor-parallel-size: 2
  enable-prefix-caching:
  speculative-config: {num_speculative_tokens: 5}
environment: {A: null}
needs: {gpus: 2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder of profiles of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server_profiles").mkdir()
    (tmp_path / "server_profiles" / "parent-of-tests.yaml").write_text(BASE)
    return tmp_path / "server_profiles"


def test_mappings_merge_nulls_take_away_and_the_rest_replaces(folder: Path) -> None:
    (folder / "child.yaml").write_text(CHILD)
    profile = read_profile("child").profile
    assert profile.name == "child"
    assert profile.description == "the same over two GPUs"
    assert profile.model == "some/model"
    assert profile.arguments == {
        "max-model-len": 4224,
        "speculative-config": {"method": "ngram", "num_speculative_tokens": 5},
        "tensor-parallel-size": 2,
    }
    assert profile.environment == {"B": "two"}
    assert (profile.needs.gpus, profile.needs.gpu_memory_gb) == (2, 80) if profile.needs else False


def test_a_key_is_where_it_stands_and_that_may_be_in_the_other_file(folder: Path) -> None:
    (folder / "child.yaml").write_text(CHILD)
    origin = read_profile("child").origin
    assert (
        origin.name("arguments.tensor-parallel-size")
        == "'arguments.tensor-parallel-size' in server_profiles/child.yaml line 4"
    )
    assert (
        origin.name("arguments.max-model-len")
        == "'arguments.max-model-len' in server_profiles/parent-of-tests.yaml line 4"
    )
    assert origin.name("sweep") == "'sweep' in server_profiles/child.yaml"


def test_names_are_of_profiles_to_be_served(folder: Path) -> None:
    (folder / "an-abstract-one.yaml").write_text("abstract: true\narguments: {seed: 0}\n")
    (folder / "child.yaml").write_text("extends: an-abstract-one\n" + BASE.replace("arguments:", "arguments:\n  a: 1"))
    assert {"parent-of-tests", "child"} <= set(profile_names())
    assert "an-abstract-one" not in profile_names()
    assert "an-abstract-one" in profile_names(abstract=True)
    assert read_profile("child").profile.abstract is False
    assert read_profile("child").profile.arguments["seed"] == 0


def test_the_working_directory_goes_before_what_came_with_loadgen(folder: Path) -> None:
    shipped = profile_names()[0]
    (folder / f"{shipped}.yaml").write_text(BASE)
    assert read_profile(shipped).profile.model == "some/model"


def test_a_path_is_taken_as_it_is(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere.yaml"
    elsewhere.write_text(CHILD)
    assert read_profile(str(elsewhere)).profile.arguments["max-model-len"] == 4224
    with pytest.raises(UsageError, match=r"cannot read the server profile .*absent\.yaml: No such file"):
        read_profile("absent.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BASE + "lancher: local\n", "unknown key 'lancher' in server_profiles/it.yaml line 9; did you mean 'launcher'?"),
        (BASE.replace("gpu_memory_gb", "gpu_memory"), "unknown key 'needs.gpu_memory' in server_profiles/it.yaml line 8; did you mean 'gpu_memory_gb'?"),
        (BASE + "launcher: remote\n", "'launcher' in server_profiles/it.yaml line 9 must be 'local', 'compose', 'external' or 'simulator', not remote"),
        (BASE + "port: 0\n", "'port' in server_profiles/it.yaml line 9 must be at least 1, not 0"),
        (BASE + "releases: '0.27 or so'\n", "'releases' in server_profiles/it.yaml line 9 must be a set of versions like"),
        (BASE + "name: other\n", "unknown key 'name' in server_profiles/it.yaml line 9; a profile is called as its file is"),
        (BASE + "readiness: {timeout_s: soon}\n", "'readiness.timeout_s' in server_profiles/it.yaml line 9 must be a number, not soon"),
        (BASE.replace("max-model-len", "--max-model-len"), "'arguments.--max-model-len' in server_profiles/it.yaml line 4 names the flag '--max-model-len'; write it without its dashes"),
        (BASE.replace("max-model-len: 4224", "port: 8001"), "'arguments.port' in server_profiles/it.yaml line 4 is a key of the profile itself: say 'port' beside 'arguments'"),
        (BASE.replace("description: a model\n", ""), "'description' in server_profiles/it.yaml is missing; say in a line"),
        (BASE.replace("model: some/model\n", ""), "'model' in server_profiles/it.yaml is missing; say what is served"),
        (BASE.replace("needs: {gpus: 1, gpu_memory_gb: 80}\n", ""), "'needs' in server_profiles/it.yaml is missing; say what the server runs on, such as 'needs: {gpus: 1, gpu_memory_gb: 80}'"),
        (BASE.replace(", gpu_memory_gb: 80", ""), "'needs' in server_profiles/it.yaml line 8 lacks 'gpu_memory_gb'"),
        (BASE + "url: http://x\n", "'url' in server_profiles/it.yaml line 9 needs 'launcher: external'"),
        (BASE + "launcher: external\nurl: http://x\n", "'arguments' in server_profiles/it.yaml line 3 is of no use"),
        ("description: d\nmodel: m\nlauncher: external\n", "'url' in server_profiles/it.yaml is missing; say where the external server is"),
        (BASE + "sweep: {url: x}\n", "'sweep.url' in server_profiles/it.yaml line 9 is a key of the profile itself"),
        ("extends: parent-of-test\n", "'extends' in server_profiles/it.yaml line 1: there is no server profile 'parent-of-test'; did you mean 'parent-of-tests'?"),
        ("extends: [a, b]\n", "'extends' in server_profiles/it.yaml line 1 must name one other profile"),
        ("extends: it\n", "'extends' in server_profiles/it.yaml line 1 goes in a circle: it → it"),
        ("extends: parent-of-tests\ndescription: d\nneeds: {gpus: -1}\n", "'needs.gpus' in server_profiles/it.yaml line 3 must be at least 0, not -1"),
        ("extends: parent-of-tests\ndescription: d\nneeds: {gpu_memory_gb: null}\n", "'needs' in server_profiles/it.yaml line 3 lacks 'gpu_memory_gb'"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_file_line_and_nearest_key(folder: Path, text: str, sentence: str) -> None:
    (folder / "it.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_profile("it")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_mistake_of_the_extended_file_is_told_with_that_files_line(folder: Path) -> None:
    (folder / "parent-of-tests.yaml").write_text(BASE + "lancher: local\n")
    (folder / "child.yaml").write_text(CHILD)
    with pytest.raises(UsageError, match=r"unknown key 'lancher' in server_profiles/parent-of-tests\.yaml line 9"):
        read_profile("child")


def test_a_name_that_is_not_there_is_told_with_the_nearest(folder: Path) -> None:
    with pytest.raises(UsageError, match="there is no server profile 'parent-of-tets'; did you mean 'parent-of-tests'"):
        read_profile("parent-of-tets")
    with pytest.raises(UsageError, match="there is no server profile 'qqqq'; `loadgen profiles list` shows"):
        read_profile("qqqq")

"""Plug-ins of a profile: what each adds to the command and the variables, and the mistakes that are named."""

from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.servers.profiles.command import arguments, environment
from loadgen.servers.profiles.plugins import PLUGINS
from loadgen.servers.profiles.profile_file import read_profile
from loadgen.servers.profiles.schema import ForReleases, ServerProfile

ROOT = Path(__file__).resolve().parents[3]
PLAIN = "description: it\nmodel: some/model\nneeds: {gpus: 0}\n"


def test_a_plugin_adds_its_variables_and_arguments_below_the_profiles_own() -> None:
    plain = ServerProfile(name="it", model="some/model")
    gather = plain.model_copy(update={"plugins": ("expert-gather",)})
    assert (environment(plain), arguments(plain)) == ({}, {})
    assert environment(gather) == {"LOADGEN_VLLM_EXPERTS": "gather"}
    assert arguments(gather) == {"enforce-eager": True}
    own = gather.model_copy(
        update={
            "arguments": {"enforce-eager": False},
            "environment": {"LOADGEN_VLLM_EXPERTS": "loop"},
            "for_releases": (ForReleases(releases="<0.27", arguments={"enforce-eager": None}),),
        }
    )
    assert environment(own) == {"LOADGEN_VLLM_EXPERTS": "loop"}
    assert arguments(own) == {"enforce-eager": False}
    assert arguments(own, "0.26.0") == {}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("plugins: [expert-lop]", "names 'expert-lop', which is no plug-in of loadgen; did you mean 'expert-loop'?"),
        ("plugins: [expert-loop, expert-gather]", "has 'expert-loop' and 'expert-gather', which exclude each other; keep one"),
        ("plugins: [expert-loop]\nlauncher: compose", "is for vLLM on this machine"),
        ("plugins: [expert-loop]\nengine: sglang", "is for vLLM on this machine"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "it.yaml"
    path.write_text(PLAIN + line + "\n")
    with pytest.raises(UsageError) as refused:
        read_profile(str(path))
    assert f"'plugins' in {path} line 4 {sentence}" in str(refused.value)


def test_the_document_lists_them_with_what_each_adds() -> None:
    page = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
    table = page.split("\n### Plug-ins\n", 1)[1].split("\n### ", 1)[0]
    rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
    assert list(rows) == list(PLUGINS)
    for name, plugin in PLUGINS.items():
        added = [f"{key}={value}" for key, value in plugin.environment.items()]
        added += [
            f"{key}: {str(value).lower() if isinstance(value, bool) else value}"
            for key, value in plugin.arguments.items()
        ]
        assert rows[name].endswith(f"| {', '.join(f'`{each}`' for each in added)} |")

"""A profile and what is changed of it: on record and back, beside a running server, without its secrets."""

import json
from pathlib import Path

import pytest

from loadgen.servers.launcher.state import ServerState
from loadgen.servers.launcher.variant import Overrides, Variant

PROFILE = "description: a simulator\nlauncher: simulator\nmodel: m\nport: 8123\narguments: {gap-s: 0.01}\n"
CHANGED = Overrides(8200, None, {"gap-s": 0.002, "jitter-ratio": None})


@pytest.fixture(autouse=True)
def _profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server_profiles").mkdir()
    (tmp_path / "server_profiles" / "a.yaml").write_text(PROFILE)
    (tmp_path / "mine.yaml").write_text(PROFILE)


def running(variant: Variant) -> ServerState:
    facts = dict(variant.launch().resolved)
    return ServerState(variant.name, variant.url, "m", "completions", "", None, "now", facts=facts)


@pytest.mark.parametrize("source", ["a", "mine.yaml"])
@pytest.mark.parametrize("overrides", [Overrides(), CHANGED])
def test_a_variant_comes_back_from_the_record_and_from_a_running_server(source: str, overrides: Overrides) -> None:
    variant = Variant.of(source, overrides)
    for again in (Variant.from_json(variant.to_json()), Variant.of_running(running(variant))):
        assert (again.to_json(), again.profile, again.url) == (variant.to_json(), variant.profile, variant.url)
    assert variant.is_of(running(variant))
    assert not variant.is_of(running(Variant.of(source, Overrides(9000))))


def test_a_pruned_model_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    card = {"source": "trained-mixtral", "kind": "inter", "ratio": 0.5, "rule": "norm"}
    (tmp_path / "half" / "pruning.json").write_text(json.dumps({"schema_version": 1, **card}))
    assert Variant.of("a", Overrides(model="half")).launch().resolved["pruned"] == card
    (tmp_path / "half" / "pruning.json").write_text("{")
    assert "pruned" not in Variant.of("a", Overrides(model="half")).launch().resolved


def test_a_variant_is_told_by_what_is_changed() -> None:
    assert Variant.of("a").to_json() == {"profile": "a"}
    assert Variant.of("a").label == "a"
    assert Variant.of("a", CHANGED).label == "a with port 8200, gap-s 0.002 without jitter-ratio"
    assert Variant.of("a", CHANGED).url == "http://127.0.0.1:8200"
    assert Variant.of("a").identity != Variant.of("a", CHANGED).identity


def test_a_plug_in_that_is_added_stays_on_record(tmp_path: Path) -> None:
    (tmp_path / "server_profiles" / "v.yaml").write_text("description: a vLLM\nmodel: m\nneeds: {gpus: 0}\n")
    variant = Variant.of("v").with_plugin("expert-counts")
    assert Variant.from_json(variant.to_json()) == variant
    assert variant.with_plugin("expert-counts") == variant
    assert variant.served.profile.plugins == ("expert-counts",)


def test_a_key_is_not_on_record_and_so_cannot_start_the_server_again() -> None:
    variant = Variant.of("a", Overrides(arguments={"api-key": "sk-secret"}))
    assert "sk-secret" not in str(variant.to_json()) + str(dict(variant.launch().resolved)) + variant.label
    assert "sk-secret" in variant.launch().argv
    assert not variant.has_secrets
    assert Variant.from_json(variant.to_json()).has_secrets

"""The facts of the host: there, plain JSON, and no secret among them."""

import json

import pytest

import loadgen
from loadgen.servers.environment import environment


def test_the_facts_are_there() -> None:
    facts = environment()
    assert facts["loadgen_version"] == loadgen.__version__
    assert facts["cpu_count"] >= 1
    assert facts["memory_bytes"] > 2**20
    assert set(facts) == {
        "host",
        "python",
        "loadgen_version",
        "git_commit",
        "cpu_model",
        "cpu_count",
        "cpu_governor",
        "memory_bytes",
        "kernel",
        "packages",
    }
    assert facts["packages"]["numpy"]


def test_the_variables_of_the_process_are_not_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "s3cret-v4lue")
    environment.cache_clear()
    assert "s3cret-v4lue" not in json.dumps(environment(), allow_nan=False)

"""In what compared servers differ."""

from typing import Any

from loadgen.report.words.server_differences import server_differences
from tests.report.documents import server

HASH = "sha256:0123456789abcdef"
WHOLE = {
    "model_source": "trained_models/trained-mixtral",
    "model_hash": HASH,
    "plugins": ["expert-counts"],
    "arguments": {"max-num-seqs": 64, "hf-overrides": {"num_experts_per_tok": 2}},
}
PRUNED = {"source": "trained-mixtral", "kind": "inter", "ratio": 0.5, "rule": "norm"}


def launched(**launch: Any) -> Any:
    return server() | {"launch": launch}


def test_what_differs_is_a_row_and_what_is_alike_is_not() -> None:
    other = {**WHOLE, "model_source": "half", "model_hash": "sha256:fedcba9876543210", "pruned": PRUNED}
    other |= {"plugins": [], "arguments": {"max-num-seqs": 64, "hf-overrides": {"num_experts_per_tok": 1}, "seed": 1}}
    found = server_differences([launched(**WHOLE), launched(**other)], ["whole", "half"])
    assert found is not None
    assert found.columns == ("fact", "whole", "half")
    assert found.rows == (
        ("model folder", "trained_models/trained-mixtral", "half"),
        ("hash of the checkpoint", "0123456789ab", "fedcba987654"),
        ("pruned", "–", "inter 0.5 by norm"),
        ("plug-ins", "expert-counts", "–"),
        ("--hf-overrides.num_experts_per_tok", "2", "1"),
        ("--seed", "–", "1"),
    )


def test_servers_that_are_alike_have_no_table_whatever_their_addresses() -> None:
    elsewhere = launched(**WHOLE) | {"url": "http://127.0.0.1:9000"}
    assert server_differences([launched(**WHOLE), elsewhere], ["A", "B"]) is None


def test_arguments_are_not_compared_with_those_of_a_server_that_was_not_started_here() -> None:
    found = server_differences([launched(**WHOLE), server()], ["A", "B"])
    assert found is not None
    assert [label for label, *_ in found.rows] == ["model folder", "hash of the checkpoint", "plug-ins"]
    assert {row[2] for row in found.rows} == {"–"}

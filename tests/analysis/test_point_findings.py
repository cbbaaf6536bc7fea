"""Repeats of one load point that lie far apart are told, as no run can."""

from typing import Any

import pytest

from loadgen.analysis.point_findings import findings_of, point_documents


def run(number: int, tokens_per_s: float | None, point: str = "p", kind: str = "closed_loop", **more: Any) -> Any:
    return {
        "run_id": f"r{number}",
        "sweep_id": "s",
        "spec": {"point_hash": point, "load_label": "concurrency 8", "shape": {"kind": kind}},
        "verdict": {"status": "valid", "findings": []},
        "output_tokens_per_s": tokens_per_s,
        "e2e_latency_s": None,
    } | more


INVALID: dict[str, Any] = {"verdict": {"status": "invalid", "findings": []}}


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ([run(0, 2469.0), run(1, 2069.0), run(2, 1362.0)], "81% in output tokens/s at concurrency 8."),
        ([run(0, 9505.0, kind="wave"), run(1, 20854.0, kind="wave")], "119% in output tokens/s"),
        ([run(0, 100.0), run(1, 109.9)], None),
        ([run(0, 100.0), run(1, 111.0)], "11%"),
        ([run(0, 100.0)], None),
        ([], None),
        ([run(0, 100.0), run(1, None)], None),
        ([run(0, 100.0), run(1, 0.0)], None),
        ([run(0, 100.0), run(1, 300.0, **INVALID)], None),
        ([run(0, 100.0), run(1, 300.0, interrupted=True)], None),
        ([run(0, 100.0), run(1, 300.0, point="q")], None),
        ([run(0, 100.0), run(1, 300.0, sweep_id="t")], None),
        ([run(0, 100.0), run(1, 150.0), run(2, 1.0, point="q"), run(3, 3.0, point="q")], "200%"),
        ([run(0, 1.0, kind="open_loop"), run(1, 9.0, kind="open_loop")], None),
        ([run(n, 1.0, kind="open_loop", e2e_latency_s={"p50": p50}) for n, p50 in enumerate((1.0, 1.5))], "50% in median"),
    ],
)  # fmt: skip
def test_repeats_that_differ_are_a_finding_of_the_point(runs: list[Any], told: str | None) -> None:
    found = [finding for finding in findings_of(runs) if finding.code == "repeats_differ"]
    assert [told in finding.message for finding in found if told] == ([True] if told else [])
    assert len(found) == (told is not None)
    assert all(each["verdict"]["status"] in ("valid", "invalid") for each in runs)


def test_each_point_says_how_far_its_repeats_lie_apart() -> None:
    runs = [run(0, 100.0), run(1, 105.0), run(2, 1.0, point="q"), run(3, 3.0, point="q"), run(4, 1.0, point="one")]
    first: Any
    second: Any
    first, second = point_documents(runs)
    assert (first["spread_ratio"], first["findings"], first["run_ids"]) == (pytest.approx(0.05), [], ["r0", "r1"])
    assert (second["spread_ratio"], second["findings"][0]["code"]) == (pytest.approx(2.0), "repeats_differ")

"""Limits per minute from flags to runs, and the sentence for each mistake."""

import pytest

from loadgen.errors import UsageError
from loadgen.experiments.estimate import workers_for
from loadgen.load.rate_limits import RateLimits
from loadgen.load.spec import RunSpec
from loadgen.spec.runs import resolve
from tests.spec.test_sweep_spec import OPEN, spec


def test_limits_are_part_of_what_a_run_is() -> None:
    (plain, _), (limited, _) = resolve(spec()), resolve(spec(requests_per_minute="60", tokens_per_minute="9000"))
    assert limited.rate_limits == RateLimits(60, 9000)
    assert limited.hash != plain.hash
    assert limited.load_label == "concurrency 1, at most 60 requests and 9,000 tokens per minute"
    assert RunSpec.from_json(limited.to_json()) == limited
    assert "requests_per_minute" not in plain.to_json(), "so that hashes of before stay what they were"
    assert spec(requests_per_minute="60").to_json()["requests_per_minute"] == 60


def test_one_process_alone_keeps_a_limit() -> None:
    (many, *_) = resolve(spec(concurrency="4000"))
    (limited, *_) = resolve(spec(concurrency="4000", requests_per_minute="60"))
    assert (workers_for(many, 16), workers_for(limited, 16)) == (8, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"requests_per_minute": "0"}, "--requests-per-minute must be"),
        ({"concurrency": "4", "requests_per_minute": "60", "workers": "2"}, "--workers is 2, and --requests-per-minute can be kept by one"),
        ({"concurrency": "4", "tokens_per_minute": "900", "workers": "2"}, "--workers is 2, and --tokens-per-minute can be kept by one"),
        ({"tokens_per_minute": "23"}, "a request of 24 tokens, prompt and answer together, is more than --tokens-per-minute 23"),
        ({"tokens_per_minute": "39", "choices": "2"}, "a request of 40 tokens, prompt and answer together, is more than --tokens-per-minute 39"),
        ({"concurrency": None, "wave": "8", "requests_per_minute": "7"}, "is more than --requests-per-minute 7 lets go at once"),
        ({"concurrency": None, "wave": "8", "tokens_per_minute": "100"}, "of 192 tokens, prompt and answer together, is more than"),
        (OPEN | {"tokens_per_minute": "90", "image": "8x8", "endpoint": "chat"}, "--tokens-per-minute does not go with --image"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused_before_anything_is_sent(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(spec(**changes))
    assert message in str(caught.value)


def test_one_worker_is_no_mistake() -> None:
    assert resolve(spec(requests_per_minute="60", workers="1"))

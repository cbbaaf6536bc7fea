"""Values that are a mistake are refused before anything is sent, by a table that the documents show."""

from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.inputs import Origin
from loadgen.spec.bounds import BOUNDS
from loadgen.spec.parse import make_spec
from loadgen.spec.sweep_spec import SweepSpec

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
POINT = {"url": "http://h:1", "model": "m", "concurrency": "1", "input_tokens": "8", "output_tokens": "8"}
OPEN = {key: value for key, value in POINT.items() if key != "concurrency"} | {"rate": "1"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (POINT | {"price": "usd_per_gpu_hour=1e308"}, "--price usd_per_gpu_hour is 1e+308"),
        (POINT | {"price": "usd_per_gpu_hour=inf"}, "--price"),
        (POINT | {"price": "usd_per_gpu_hour=nan"}, "--price"),
        (POINT | {"price": "usd_per_gpu_hour=2,gpus=1e300"}, "--price gpus"),
        (POINT | {"price": "usd_per_million_input_tokens=1e300"}, "--price"),
        (POINT | {"request_timeout_s": "1e300"}, "--request-timeout-s is 1e+300; give 0.001 to 604,800 seconds"),
        (POINT | {"request_timeout_s": "inf"}, "--request-timeout-s"),
        (POINT | {"request_timeout_s": "nan"}, "--request-timeout-s"),
        (POINT | {"request_timeout_s": "1e-300"}, "--request-timeout-s"),
        (POINT | {"output_tokens": "99999999999"}, "--output-tokens is 99,999,999,999; give 1 to 100,000,000 tokens"),
        (
            POINT | {"output_tokens": "9" * 400},
            "--output-tokens is a number of 400 digits; give 1 to 100,000,000 tokens",
        ),
        (POINT | {"output_tokens": "8,99999999999"}, "--output-tokens is 99,999,999,999"),
        (POINT | {"input_tokens": "1" + "0" * 30}, "--input-tokens"),
        (POINT | {"concurrency": "99999999999"}, "--concurrency"),
        (POINT | {"repeats": "99999999999"}, "--repeats"),
        (POINT | {"warmup_requests": "1000000000"}, "--warmup-requests"),
        (POINT | {"workers": "1000000000"}, "--workers"),
        (POINT | {"prefix_tokens": "4", "prefix_groups": "1000000000"}, "--prefix-groups"),
        (POINT | {"duration_s": "1e300"}, "--duration-s"),
        (POINT | {"duration_s": "1e-300"}, "--duration-s"),
        (POINT | {"slo": "ttft_s=1e300"}, "--slo ttft_s"),
        (POINT | {"slo": "ttft_s=nan"}, "--slo"),
        (POINT | {"requests_per_minute": "1" + "0" * 30}, "--requests-per-minute"),
        (POINT | {"turns": "99999999", "endpoint": "chat"}, "--turns"),
        (POINT | {"turns": "2", "endpoint": "chat", "think_time_s": "1e300"}, "--think-time-s"),
        (POINT | {"range_ratio": "nan"}, "--range-ratio"),
        (OPEN | {"rate": "1e300"}, "--rate"),
        (OPEN | {"rate": "1e-300"}, "--rate"),
        (OPEN | {"ramp_to": "1e300"}, "--ramp-to"),
        (OPEN | {"burstiness": "1e-300"}, "--burstiness"),
        (OPEN | {"max_in_flight": "1" + "0" * 30}, "--max-in-flight"),
        (POINT | {"requests": "9" * 400}, "--requests is a number of 400 digits"),
        (POINT | {"concurrency": 16**5000}, "--concurrency is a number of thousands of digits"),
        (POINT | {"concurrency": 10**4000}, "--concurrency is a number of 4001 digits"),
        (POINT | {"concurrency": [1, -(10**4000)]}, "--concurrency"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_absurd_value_is_refused_by_name(values: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_spec(values, Origin())
    assert words in str(refused.value)


def test_the_ends_themselves_are_taken() -> None:
    assert make_spec(POINT | {"request_timeout_s": "604800", "output_tokens": "100000000"}, Origin()).repeats == 1


def test_every_number_of_a_spec_has_bounds_or_a_type_that_has_them() -> None:
    by_type = {"range_ratio", "choices", "seed", "image", "keep_replies"}
    numeric = {
        name
        for name, field in SweepSpec.model_fields.items()
        if any(word in str(field.annotation) for word in ("int", "float"))
    }
    assert numeric - by_type - BOUNDS.keys() == set()


def test_the_document_has_the_table() -> None:
    rows = "\n".join(f"| `--{key.replace('_', '-')}` | {bounds} |" for key, bounds in BOUNDS.items())
    assert rows in DOCUMENT.read_text()

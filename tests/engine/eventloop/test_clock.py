"""Wall-clock stamps become monotonic ones, whatever the offset did in between."""

import numpy as np

from loadgen.engine.eventloop import clock
from loadgen.engine.eventloop.clock import WallClock

EPOCH_NS = 1_795_000_000_000_000_000  # a wall clock of today: float64 would lose a quarter of a microsecond here


def wall_clock(samples: list[tuple[int, int]]) -> WallClock:
    feed = iter(samples)
    made = WallClock(lambda: next(feed))
    for _ in samples[1:]:
        made.sample()
    return made


def test_a_slewing_offset_is_interpolated_to_the_nanosecond() -> None:
    offset_ns = EPOCH_NS - 5_000_000_000
    # In one second of wall time the offset grew by 50 µs.
    made = wall_clock([(EPOCH_NS, offset_ns), (EPOCH_NS + 1_000_000_000, offset_ns + 50_000)])
    stamps = np.array([EPOCH_NS, EPOCH_NS + 500_000_000, EPOCH_NS + 1_000_000_000], dtype=np.int64)
    assert made.to_monotonic(stamps).tolist() == [5_000_000_000, 5_499_975_000, 5_999_950_000]
    assert made.largest_step_ns == 50_000


def test_outside_the_samples_the_nearest_offset_holds() -> None:
    made = wall_clock([(EPOCH_NS, 1_000)])
    assert made.to_monotonic(np.array([EPOCH_NS - 7, EPOCH_NS + 7], dtype=np.int64)).tolist() == [
        EPOCH_NS - 1_007,
        EPOCH_NS - 993,
    ]
    assert made.largest_step_ns == 0


def test_a_sample_taken_after_a_question_counts_in_the_next() -> None:
    samples = iter([(EPOCH_NS, 1_000), (EPOCH_NS + 10, 1_010)])
    made, stamps = WallClock(lambda: next(samples)), np.array([EPOCH_NS + 10], dtype=np.int64)
    assert made.to_monotonic(stamps).tolist() == [EPOCH_NS - 990]
    made.sample()
    assert made.to_monotonic(stamps).tolist() == [EPOCH_NS - 1_000]


def test_a_step_is_seen() -> None:
    made = wall_clock([(EPOCH_NS, 0), (EPOCH_NS + 10, 3), (EPOCH_NS + 20, -2_000_000)])
    assert made.largest_step_ns == 2_000_003


def test_the_real_offset_is_tight_and_utc_is_now() -> None:
    made = WallClock()
    now_ns = clock.monotonic_ns()
    made.sample()
    assert made.largest_step_ns < 100_000
    assert made.to_utc(now_ns).startswith("20")
    assert made.to_utc(now_ns).endswith("+00:00")

"""Figures as people read them: no figure is a dash, never 0, and digits mean what they say."""

from datetime import UTC, datetime

import pytest

from loadgen.report.format import (
    ago,
    figure,
    flat,
    milliseconds,
    number,
    percent,
    plural,
    seconds,
    setting,
    size,
    timestamp,
)

NOW = datetime(2026, 11, 23, 15, 30, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (512, "512"),
        (12_345.6, "12,346"),
        (51.62, "51.6"),
        (28.0, "28.0"),
        (0.21349, "0.213"),
        (0.0000123, "0.000012"),
        (99.96, "100"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_missing_figure_is_a_dash_in_every_form() -> None:
    assert {
        number(None),
        milliseconds(None),
        percent(None),
        seconds(None),
        size(None),
        timestamp(None),
        figure(None, "s"),
    } == {"–"}


def test_durations_are_milliseconds_in_tables_and_rates_are_left_alone() -> None:
    assert figure(0.0516, "s") == "51.6"
    assert figure(0.995, "ratio") == "99.5 %"
    assert figure(3204.2, "tokens/s") == "3,204"


def test_a_setting_is_as_short_as_it_was_written() -> None:
    assert [setting(value) for value in (1.0, 0.5, 1024, 131072)] == ["1", "0.5", "1,024", "131,072"]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2026-11-23T15:29:55+00:00", "just now"),
        ("2026-11-23T15:29:01+00:00", "59 s ago"),
        ("2026-11-23T15:27:00+00:00", "3 min ago"),
        ("2026-11-23T13:30:00Z", "2 h ago"),
        ("2026-11-22T15:00:00+00:00", "yesterday"),
        ("2026-11-03T15:00:00", "20 days ago"),
        ("some day", "some day"),
    ],
)
def test_how_long_ago(at: str, text: str) -> None:
    assert ago(at, NOW) == text


def test_a_page_that_is_kept_says_when_and_not_how_long_ago() -> None:
    assert ago("2026-11-23T16:29:55+01:00", None) == "2026-11-23 15:29:55 UTC"


def test_long_durations_and_sizes() -> None:
    assert [seconds(value) for value in (4.25, 192.4, 7500.0)] == ["4.25 s", "3 min 12 s", "2 h 5 min"]
    assert [size(value) for value in (512, 181_403_648, 137_438_953_472)] == ["512 B", "173 MiB", "128 GiB"]
    assert [plural(count, "run") for count in (0, 1, 1200)] == ["0 runs", "1 run", "1,200 runs"]


def test_nested_facts_become_pairs_in_their_own_order() -> None:
    document = {"host": {"name": "a", "gpu": None}, "loud": True, "names": ["x", "y"], "none": [], "share": 0.25}
    assert flat(document) == (
        ("host.name", "a"),
        ("host.gpu", "–"),
        ("loud", "yes"),
        ("names", "x, y"),
        ("none", "–"),
        ("share", "0.25"),
    )

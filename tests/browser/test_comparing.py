"""Comparing, as a person does it: two sweeps ticked, split, another percentile, a baseline, a run opened, the table sorted and taken away."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import FIRST, HOSTILE_ONE, SECOND, settle

pytestmark = [pytest.mark.browser, pytest.mark.loopback]


def test_from_the_list_to_a_link_that_shows_the_same(
    dashboard: str, page: Any, open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page.goto(dashboard)
    page.get_by_label("Compare night of the 23rd").check()
    page.get_by_label("Compare day after").check()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?**")
    assert page.locator(".chips li").count() == 2
    settle(page, 5)

    page.get_by_label("Split by", exact=True).select_option(label="Input tokens")
    page.wait_for_url("**facet=input_tokens**")
    settle(page, 10)
    page.get_by_label("Statistic", exact=True).select_option("p90")
    page.wait_for_url("**stat=p90**")
    assert "TTFT p90" in page.locator("main").inner_text()
    page.get_by_label("Baseline", exact=True).select_option("mixtral-8x7b")
    page.wait_for_url("**baseline=mixtral-8x7b**")
    assert page.get_by_role("heading", name="Against mixtral-8x7b").is_visible()
    assert "olmoe-1b-7b" in page.get_by_role("region", name="Matrix of changes").inner_text()
    settle(page, 4)  # where a run has values enough for its p90
    picture(page, "compare-chosen")

    other = open_page()
    other.goto(page.url)
    settle(other, 4)
    assert other.locator("main").inner_text() == page.locator("main").inner_text()


def test_one_legend_stands_for_all_charts_and_a_saved_drawing_has_its_own(
    dashboard: str, page: Any, tmp_path: Path
) -> None:
    page.goto(f"{dashboard}compare?in={FIRST},{SECOND}&y=output_tokens_per_s&y=ttft_s")
    settle(page, 2)
    assert page.get_by_role("region", name="Legend").locator("li .symbol").count() == 2
    assert page.locator(".plot .role-legend").count() == 0
    with page.expect_download() as waiting:
        page.locator(".vega-actions a", has_text="SVG").first.click()
    waiting.value.save_as(tmp_path / "chart.svg")
    saved = (tmp_path / "chart.svg").read_text()
    assert "role-legend" in saved
    assert ">olmoe-1b-7b</text>" in saved


def test_another_baseline_turns_the_ratios_round(dashboard: str, page: Any) -> None:
    def ratios() -> list[float]:
        page.locator("details.behind summary").first.click()
        page.wait_for_selector("details.behind[open] table")
        cells = page.locator("table.sortable tbody tr td").all_inner_texts()
        return [
            float(text.removesuffix("×").replace(",", "")) for text in cells if text.endswith("×") and "…" not in text
        ]

    page.goto(f"{dashboard}compare?in={FIRST},{SECOND}&y=output_tokens_per_s&y=ttft_s&baseline=mixtral-8x7b")
    before = ratios()
    page.get_by_label("Baseline", exact=True).select_option("olmoe-1b-7b")
    page.wait_for_url("**baseline=olmoe-1b-7b**")
    after = ratios()
    assert len(before) == len(after) > 0
    for one, other in zip(before, after, strict=True):
        assert one * other == pytest.approx(1, rel=0.02)


def test_the_table_sorts_and_leads_to_its_runs(dashboard: str, page: Any) -> None:
    page.goto(f"{dashboard}compare?in={FIRST}&y=ttft_s&color=input_tokens")
    head = page.get_by_role("columnheader", name="mean (ms)")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    column = (
        page.locator("table.sortable thead th").all_inner_texts().index("mean (ms) ▲" if False else head.inner_text())
    )
    read = [
        float(row.locator("td").nth(column).inner_text().replace(",", ""))
        for row in page.locator("table.sortable tbody tr").all()
    ]
    assert read == sorted(read)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    page.locator("table.sortable tbody a").first.click()
    page.wait_for_url("**/runs/r*")
    assert page.get_by_role("heading", name="Latencies").is_visible()


def test_the_table_is_taken_away_as_csv(dashboard: str, page: Any, tmp_path: Path) -> None:
    page.goto(f"{dashboard}compare?in={FIRST},{SECOND}&y=ttft_s")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download as CSV").click()
    waiting.value.save_as(tmp_path / "table.csv")
    lines = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert len(lines) == 12
    assert {line["metric"] for line in lines} == {"ttft_s"}
    assert all(float(line["mean"]) > 0 for line in lines)


def test_why_a_run_counts_for_nothing_is_a_key_or_a_hover_away(dashboard: str, page: Any) -> None:
    page.goto(f"{dashboard}compare?in={HOSTILE_ONE}&y=ttft_s")
    struck = page.locator("tr.invalid").first
    assert "line-through" in struck.locator("td").nth(1).evaluate("cell => getComputedStyle(cell).textDecorationLine")
    why = struck.locator(".why")
    assert not why.locator(".tip").is_visible()
    why.focus()
    assert why.locator(".tip").is_visible()
    assert why.locator(".tip").inner_text() == "Made invalid by hand."


def test_invalid_runs_come_as_crosses_when_they_are_asked_for(dashboard: str, page: Any) -> None:
    page.goto(f"{dashboard}compare?in={HOSTILE_ONE}&y=ttft_s")
    page.locator("summary", has_text="Scales and runs").click()
    page.get_by_label("invalid runs too").check()
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**all=1**")
    assert "drawn as crosses" in page.locator("main").inner_text()


def test_a_wrong_word_in_the_address_is_a_sentence(dashboard: str, browser: Any) -> None:
    page = browser.new_page()
    assert page.goto(f"{dashboard}compare?in={FIRST}&colour=model").status == 400
    assert "did you mean 'color'" in page.locator("main").inner_text()
    page.close()

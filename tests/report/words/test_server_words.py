"""The server, its own account and its GPUs, as people read them."""

import shlex
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest

from loadgen.load.shapes import ClosedLoop
from loadgen.report.pages.contexts import run_page, sweep_page
from loadgen.report.pages.rendering import render
from loadgen.report.pages.sweeps_list import sweeps_page
from loadgen.report.words.server import (
    _CHOSEN,
    account_facts,
    account_table,
    bounds,
    failure_kind,
    gpu_facts,
    has_dummy_weights,
    launch_command,
    served_line,
    server_name,
)
from tests.report.documents import Document, measured_run, outlined, server, specs, sweep_row

NOW = datetime(2026, 11, 26, tzinfo=UTC)
H100 = {"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 85520809984, "driver": "570"}


def launched(weights: str = "dummy", **launch: Any) -> Document:
    facts = {"weights": weights, "overrides": {}, "gpus": [H100, H100], "startup_s": 61.4, **launch}
    return server() | {"profile": "mixtral-tp2", "launch": facts}


def test_dummy_weights_stand_beside_the_name() -> None:
    assert server_name(launched()) == "vLLM 0.22.1, dummy weights"
    assert server_name(launched("real")) == "vLLM 0.22.1"
    assert not has_dummy_weights(server())


def test_what_was_started_and_changed_is_one_line() -> None:
    overrides = {"port": 8123, "arguments": {"max-num-seqs": 64, "enforce-eager": None}}
    assert served_line(launched(overrides=overrides)) == (
        "mixtral-tp2, port 8123, max-num-seqs 64, enforce-eager away, 2 GPUs (NVIDIA H100 80GB HBM3), answered after 61 s"
    )
    assert served_line(launched(gpus=[], startup_s=None)) == "mixtral-tp2"
    assert served_line(server()) == ""


def test_a_pruned_model_is_named_with_the_server() -> None:
    server = launched("real")
    assert "launch" in server
    server["launch"]["pruned"] = {"source": "olmoe", "kind": "inter", "ratio": 0.5, "rule": "norm"}
    assert server_name(server) == "vLLM 0.22.1, pruned: inter 0.5 by norm"


def test_dummy_weights_are_loud_on_every_page() -> None:
    (spec,) = specs([ClosedLoop(2)], (32,), 4)
    document, records = measured_run(spec, "s261123-152901-4f2a")
    run = document | {"server": launched()}
    sweep = replace(sweep_row("s261123-152901-4f2a", [spec]), server=launched())
    for page in (sweeps_page([sweep], NOW), sweep_page(sweep, [run], NOW), run_page(run, outlined(run, records), NOW)):
        html = render(page)
        assert ">DUMMY WEIGHTS<" in html
        assert "vLLM 0.22.1, dummy weights" in html


def test_a_sweep_whose_server_did_not_start_says_why() -> None:
    failure = {"kind": "kv_cache_too_small", "sentence": "mixtral-tp2 did not start: too small", "log": "/logs/a.log"}
    planned = specs([ClosedLoop(2)])
    sweep = replace(sweep_row("s1", planned), start_failure=failure, group_id="g261126-090000-0001")
    assert failure_kind(sweep) == "KV cache too small"
    assert "The server did not start: mixtral-tp2 did not start: too small." in render(sweep_page(sweep, [], NOW))
    listed = render(sweeps_page([sweep], NOW))
    assert "✕ KV cache too small" in listed
    assert "of g261126-090000-0001" in listed


def test_the_sweeps_of_a_group_lead_to_each_other() -> None:
    planned = specs([ClosedLoop(2)])
    one, other = (replace(sweep_row(name, planned, name), group_id="g1") for name in ("s1", "s2"))
    html = render(sweep_page(one, [], NOW, siblings=[one, other]))
    assert 'One of g1, beside <a href="/sweeps/s2">s2</a>.' in html
    assert 'href="/sweeps/s1"' not in html


def test_the_command_is_one_block_quoted_for_a_shell_and_no_fact() -> None:
    argv = ["vllm", "serve", "a model", "--hf-overrides", '{"num_experts_per_tok": 1}', "--port", "8000"]
    planned = specs([ClosedLoop(2), ClosedLoop(4)], (32,), 4)
    sweep = replace(sweep_row("s261123-152901-4f2a", planned), server=launched(argv=argv))
    runs = [measured_run(spec, sweep.sweep_id)[0] for spec in planned]
    page = sweep_page(sweep, runs, NOW)
    assert shlex.split(page.command) == argv
    assert not any("argv" in name for name, _ in page.server)
    text = unescape(render(page))
    assert text.count(page.command) == 1
    assert f'<pre class="command">{page.command}</pre>' in text
    assert launch_command(server()) == ""


def test_a_sweep_opens_with_its_points_and_the_rest_is_collapsed() -> None:
    planned = specs([ClosedLoop(2), ClosedLoop(4)], (32,), 4)
    runs = [measured_run(spec, "s261123-152901-4f2a")[0] for spec in planned]
    text = render(sweep_page(sweep_row("s261123-152901-4f2a", planned), runs, NOW))
    main = text[text.index("<main") :]
    places = [main.index(part) for part in ('class="points"', 'class="charts"', "All 2 runs", "Environment")]
    assert places == sorted(places)
    assert "<details open" not in main
    assert '<pre class="command">' not in main


SPECULATION = {
    "drafts": 100,
    "draft_tokens": 300,
    "accepted_tokens": 150,
    "acceptance_ratio": 0.5,
    "tokens_per_draft": 2.5,
    "acceptance_by_position": [0.8, 0.5, 0.2],
}


def run_with(**parts: object) -> Any:
    """A document with these parts alone."""
    return parts


def account() -> Any:
    told = {"n": 200, "mean": 0.021, "p50": [0.02, 0.04], "p90": [0.04, None], "p95": None, "p99": None}
    return {
        "engine": "vLLM",
        "output_tokens": 4096,
        "client_output_tokens": 4096,
        "output_tokens_per_s": 1234.4,
        "client_output_tokens_per_s": 1235.6,
        "prefix_cache_hit_ratio": 0.25,
        "preemptions": 3,
        "running_requests": {"n": 2, "mean": 15.5, "max": 16.0},
        "waiting_requests": None,
        "kv_cache_usage_ratio": {"n": 1, "mean": 0.41, "max": 0.5},
        "speculation": None,
        "times": {"ttft_s": told, "queue_s": told | {"mean": 0.002}},
        "client_times": {
            "ttft_s": {
                "n": 200,
                "mean": 0.025,
                "min": 0.01,
                "max": 0.07,
                "p50": 0.024,
                "p90": 0.05,
                "p95": 0.06,
                "p99": None,
            }
        },
    }


def gpu() -> Any:
    device = {
        "index": 2,
        "name": "NVIDIA H100",
        "power_mean_w": 412.0,
        "sm_clock_mean_mhz": 1980.0,
        "memory_clock_mean_mhz": 2619.0,
        "utilization_mean_ratio": 0.97,
        "memory_used_max_bytes": 72 << 30,
        "temperature_max_c": 61,
        "throttled_ratio": {"power cap": 0.25},
    }
    return {
        "chosen_by": "processes",
        "energy_j": 1234.0,
        "energy_by": "counter",
        "energy_per_output_token_j": 0.31,
        "energy_per_request_j": 40.0,
        "power_mean_w": 412.0,
        "power_max_w": 690.0,
        "devices": [device],
    }


def test_figures_of_both_sides_stand_side_by_side() -> None:
    table = account_table(run_with(**{"server_account": account()}))
    assert table is not None
    assert table.columns == ("whole run", "server (vLLM)", "client")
    assert table.rows == (
        ("output tokens", "4,096", "4,096"),
        ("output tokens/s", "1,234", "1,236"),
        ("TTFT from send mean, ms", "21.0", "25.0"),
        ("TTFT from send p50, ms", "20 to 40", "24.0"),
        ("TTFT from send p90, ms", "over 40", "50.0"),
        ("queue mean, ms", "2.00", "–"),
    )


def test_what_only_the_server_knows() -> None:
    told = dict(account_facts(run_with(**{"server_account": account(), "prefix_cache_reset": True})))
    assert told["running"] == "15.5 on average, 16.0 at most, by 2 readings"
    assert told["waiting"] == "–"
    assert told["KV cache in use"] == "41.0 % on average, 50.0 % at most, by 1 reading"
    assert told["prompt tokens cached"] == "25.0 %"
    assert told["prefix cache"] == "emptied before the run"
    assert "drafts" not in told
    speculating = account() | {"speculation": SPECULATION}
    told = dict(account_facts(run_with(**{"server_account": speculating, "server": {}})))
    assert told["accepted"] == "50.0 %; by position 80.0 %, 50.0 %, 20.0 %"
    assert told["tokens per draft"] == "2.50"
    assert "acceptance" not in told


def test_that_acceptance_was_made_up_is_said() -> None:
    config = {"model": "a draft", "num_speculative_tokens": 3, "rejection_sample_method": "synthetic"}
    server = {"launch": {"arguments": {"speculative-config": config}}}
    run = run_with(**{"server_account": account() | {"speculation": SPECULATION}, "server": server})
    assert "made up" in dict(account_facts(run))["acceptance"]


def test_gpus_with_their_energy() -> None:
    told = dict(gpu_facts(run_with(**{"gpu": gpu()})))
    assert told["GPUs"] == "1 × NVIDIA H100; those that run the server's processes"
    assert (
        told["energy"]
        == "1,234 J; 0.310 J a token, 40.0 J a request (by the GPUs' own counter, over the measured window)"
    )
    assert told["power"] == "412 W on average, 690 W at most"
    assert "power cap in 25.0 % of the readings" in told["GPU 2"]
    assert dict(gpu_facts(run_with(**{"gpu": gpu() | {"energy_j": None}})))["energy"] == "–"


@pytest.mark.parametrize("run", [{}, {"server_account": None, "gpu": None}, {"server_account": {"ttft_mean_s": 0.1}}])
def test_runs_of_earlier_versions_and_silent_servers_tell_nothing(run: Any) -> None:
    assert account_table(run) is None
    assert account_facts(run) == ()
    assert gpu_facts(run) == ()


def test_bounds_are_told_without_more_digits_than_they_have() -> None:
    assert bounds([0.0, 0.001]) == "0 to 1"
    assert bounds([2560.0, None]) == "over 2,560,000"


def test_every_way_of_choosing_gpus_has_its_words() -> None:
    from typing import get_args

    from loadgen.servers.gpu.watch import ChosenBy

    assert set(_CHOSEN) == set(get_args(ChosenBy))

"""The server of a run in words: from which profile, with what changed, and that its weights were made up."""

import shlex
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from typing import Any

from loadgen.load.shapes import ClosedLoop
from loadgen.report.pages.pages import run_page, sweep_page
from loadgen.report.pages.rendering import render
from loadgen.report.pages.sweeps_list import sweeps_page
from loadgen.report.words.served import failure_kind, has_dummy_weights, launch_command, served_line, server_name
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

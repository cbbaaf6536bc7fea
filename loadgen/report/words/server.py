"""The server in words: what it is, from which profile and how it was started, its own account of a run, what its GPUs took.

A run of an earlier version lacks most of it.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import GaugeFigures, GpuAccount, LaunchDocument, ServerDocument
from loadgen.analysis.document.sweep import StartFailureDocument
from loadgen.analysis.stats import PERCENTILE_NAMES
from loadgen.report.format import MISSING_FIGURE, milliseconds, number, percent, plural, setting, size
from loadgen.report.points import Table
from loadgen.report.words.run_facts import Facts
from loadgen.servers.profiles.flag_syntax import canonical
from loadgen.store.rows import SweepRow

DUMMY_WEIGHTS = "dummy weights"
"""Made up by the engine, of the right shapes: what is routed, said and accepted means nothing."""


def has_dummy_weights(server: ServerDocument) -> bool:
    return (server.get("launch") or {}).get("weights") == "dummy"


def server_name(server: ServerDocument) -> str:
    """A server's name and version, or its address if both are unknown; how its model was pruned, and if its weights are made up."""
    words = [str(server[key]) for key in ("name", "version") if server.get(key)]
    parts = [" ".join(words) or str(server.get("url") or "")]
    launch = server.get("launch")
    if launch is not None and (pruned := pruned_words(launch)):
        parts.append(f"pruned: {pruned}")
    if has_dummy_weights(server):
        parts.append(DUMMY_WEIGHTS)
    return ", ".join(parts)


def pruned_words(launch: LaunchDocument) -> str:
    """Return how the checkpoint was pruned: `inter 0.5 by norm`; empty for one that was not."""
    pruned = launch.get("pruned")
    return "" if pruned is None else f"{pruned['kind']} {pruned['ratio']:g} by {pruned['rule']}"


def speculative_config(server: ServerDocument) -> Mapping[str, object] | None:
    """The engine's argument for drafts; None for a server that does not draft, or whose arguments are unknown."""
    arguments = (server.get("launch") or {}).get("arguments") or {}
    given = {key: value for key, value in arguments.items() if value is not None}
    config = canonical(given).get("speculative-config")
    return config if isinstance(config, Mapping) else None


def served_line(server: ServerDocument) -> str:
    """From which profile the server was started, and on what; empty where loadgen did not start it."""
    launch = server.get("launch")
    if launch is None:
        return ""
    overrides = launch.get("overrides") or {}
    changed: dict[str, object] = {name: value for name, value in overrides.items() if name != "arguments"}
    changed |= overrides.get("arguments") or {}
    words = [
        str(server.get("profile")),
        *(f"{name} {_changed(value)}" for name, value in changed.items()),
    ]
    if names := [str(gpu["name"]) for gpu in launch.get("gpus") or ()]:
        words.append(plural(len(names), "GPU") + f" ({', '.join(sorted(set(names)))})")
    if (startup_s := launch.get("startup_s")) is not None:
        words.append(f"answered after {startup_s:.0f} s")
    return ", ".join(words)


def _changed(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "away" if value is None else str(value)


def launch_command(server: ServerDocument) -> str:
    """Return the command that started the server, quoted for a shell; empty if loadgen did not start it."""
    return shlex.join(map(str, (server.get("launch") or {}).get("argv") or ()))


def without_command(server: ServerDocument) -> ServerDocument:
    """Return the description of the server without its `launch_command`."""
    launch = server.get("launch")
    if not launch:
        return server
    kept = launch.copy()
    kept.pop("argv", None)
    return {**server, "launch": kept}


def failure_kind(sweep: SweepRow) -> str:
    """Why the sweep's server did not start, in two or three words; empty where it did."""
    failure: StartFailureDocument | None = sweep.start_failure
    return "" if failure is None else str(failure["kind"]).replace("_", " ").replace("gpu", "GPU").replace("kv", "KV")


_TIMES = (("ttft_s", "TTFT from send"), ("step_gap_s", "gap"), ("e2e_latency_s", "end-to-end"))
_PHASES = (("queue_s", "queue"), ("prefill_s", "prefill"), ("decode_s", "decode"))

_CHOSEN = {
    "processes": "those that run the server's processes",
    "CUDA_VISIBLE_DEVICES": "those that its CUDA_VISIBLE_DEVICES names",
    "all": "all of this machine: which are the server's cannot be told",
}


def account_table(run: RunDocument) -> Table | None:
    """Figures that both sides have, side by side; None where the server told nothing.

    The server's percentiles are known by the buckets of its histograms, as between two bounds. Both sides count the whole run, but for
    the tokens per second.
    """
    account = run.get("server_account")
    if not account or not account.get("engine"):
        return None
    rows = [
        ("output tokens", number(account["output_tokens"]), number(account["client_output_tokens"])),
        ("output tokens/s", _exact(account["output_tokens_per_s"]), _exact(account["client_output_tokens_per_s"])),
    ]
    for key, name in _TIMES:
        theirs, ours = account["times"].get(key), account["client_times"].get(key)
        if theirs is None or not theirs["n"]:
            continue
        rows.append(
            (f"{name} mean, ms", milliseconds(theirs["mean"]), milliseconds(ours.get("mean") if ours else None))
        )
        rows += [
            (f"{name} {which}, ms", bounds(ends_s), milliseconds(ours.get(which)))
            for which in PERCENTILE_NAMES
            if ours and (ends_s := theirs[which]) is not None
        ]
    for key, name in _PHASES:
        if (theirs := account["times"].get(key)) is not None and theirs["n"]:
            rows.append((f"{name} mean, ms", milliseconds(theirs["mean"]), MISSING_FIGURE))
    return Table(("whole run", f"server ({account['engine']})", "client"), tuple(rows))


def bounds(ends_s: Sequence[float | None]) -> str:
    """Two bounds in milliseconds: `20 to 40`, `over 2,560,000`."""
    low_s, high_s = ends_s
    low = setting((low_s or 0.0) * 1000)
    return f"over {low}" if high_s is None else f"{low} to {setting(high_s * 1000)}"


def _exact(rate: float | None) -> str:
    """Four digits: the two sides are to be compared to a tenth of a per cent."""
    return number(rate, 4)


def account_facts(run: RunDocument) -> Facts:
    """What only the server knows: its queue, its cache, its drafts. Empty where it told nothing."""
    account = run.get("server_account")
    if not account or not account.get("engine"):
        return ()
    speculation = account["speculation"]
    facts = [
        ("running", _through(account["running_requests"])),
        ("waiting", _through(account["waiting_requests"])),
        ("KV cache in use", _through(account["kv_cache_usage_ratio"], percent)),
        ("preemptions", number(account["preemptions"])),
        ("prompt tokens cached", percent(account["prefix_cache_hit_ratio"])),
        ("prefix cache", _RESET[run.get("prefix_cache_reset")]),
    ]
    if speculation is not None:
        by_position = ", ".join(percent(share) for share in speculation["acceptance_by_position"])
        facts += [
            ("drafts", f"{number(speculation['drafts'])} of {number(speculation['draft_tokens'])} tokens"),
            ("accepted", f"{percent(speculation['acceptance_ratio'])}; by position {by_position or MISSING_FIGURE}"),
            ("tokens per draft", number(speculation["tokens_per_draft"])),
        ]
        config = speculative_config(run["server"])
        if config is not None and config.get("rejection_sample_method") == "synthetic":
            facts.append(("acceptance", "made up, as the server was asked (synthetic): its text means nothing"))
    return tuple(facts)


_RESET = {
    True: "emptied before the run",
    False: "would not be emptied before the run",
    None: "not emptied before the run: the server does not let us",
}


def _through(told: GaugeFigures | None, write: Callable[[float | None], str] = number) -> str:
    if told is None:
        return MISSING_FIGURE
    return f"{write(told['mean'])} on average, {write(told['max'])} at most, by {plural(told['n'], 'reading')}"


def gpu_facts(run: RunDocument) -> Facts:
    """Energy and power over the measured window, and each GPU's clocks; empty without a GPU."""
    gpu = run.get("gpu")
    if not gpu:
        return ()
    facts = [
        (
            "GPUs",
            f"{len(gpu['devices'])} × {gpu['devices'][0]['name']}; {_CHOSEN.get(str(gpu['chosen_by']), MISSING_FIGURE)}",
        ),
        ("energy", energy_line(gpu)),
        ("power", f"{number(gpu['power_mean_w'])} W on average, {number(gpu['power_max_w'])} W at most"),
    ]
    for device in gpu["devices"]:
        words = [
            f"{number(device['power_mean_w'])} W",
            f"SM {number(device['sm_clock_mean_mhz'])} MHz, memory {number(device['memory_clock_mean_mhz'])} MHz",
            f"{percent(device['utilization_mean_ratio'])} in use",
            f"{size(device['memory_used_max_bytes'])} taken",
            f"{number(device['temperature_max_c'])} °C at most",
        ]
        words += [f"{why} in {percent(share)} of the readings" for why, share in device["throttled_ratio"].items()]
        facts.append((f"GPU {device['index']}", "; ".join(words)))
    return tuple(facts)


def energy_line(gpu: GpuAccount) -> str:
    """`1,234 J; 0.31 J a token, 40 J a request (by the GPUs' own counter)`."""
    if gpu["energy_j"] is None:
        return MISSING_FIGURE
    how = "the GPUs' own counter" if gpu["energy_by"] == "counter" else "integration of the power read"
    each = f"{number(gpu['energy_per_output_token_j'])} J a token, {number(gpu['energy_per_request_j'])} J a request"
    return f"{number(gpu['energy_j'])} J; {each} (by {how}, over the measured window)"

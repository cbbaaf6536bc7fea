"""Profiles as tables for people."""

import shlex
from collections.abc import Iterable, Iterator, Sequence

import yaml
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadgen.cli.tables.style import facts_table, plain_table, words
from loadgen.moe.placement import Parallelism
from loadgen.servers.profiles import facts
from loadgen.servers.profiles.checks import CheckedProfile
from loadgen.servers.profiles.memory_fit import GB, gigabytes
from loadgen.servers.profiles.schema import ServerProfile

_SYMBOLS = {"ok": ("✓", "green"), "unchecked": ("?", "yellow"), "error": ("✗", "red")}
_LEAD = {"error": "", "unchecked": "not checked: ", "note": "note: "}
_OWN_ROWS = ("path", "name", "description", "notes", "unservable", "sweep", "arguments", "environment")


def profiles_table(profiles: Iterable[ServerProfile]) -> RenderableType:
    table = _table("name", "needs", "description")
    for profile in profiles:
        about = Text(profile.description)
        if profile.unservable:
            about.append("\ncannot be served", style="yellow")
        table.add_row(Text(profile.name, style="bold"), _needs(profile), about)
    return table


def _needs(profile: ServerProfile) -> str:
    """`4 × 80 GB`, `CPU`, or who starts it if loadgen does not."""
    needs = profile.needs
    if profile.unservable:
        return "–"
    if needs is None:
        return "–" if profile.launcher == "simulator" else profile.launcher
    return f"{needs.gpus} × {needs.gpu_memory_gb:g} GB" if needs.gpus else "CPU"


def checked_table(results: Iterable[CheckedProfile]) -> RenderableType:
    """One line per profile, its findings below."""
    table = Table.grid(*words("", ""), "", padding=(0, 1))
    for result in results:
        symbol, style = _SYMBOLS[result.status]
        lines = Text("\n").join(
            Text.assemble((_LEAD[finding.severity], "dim"), finding.message) for finding in result.findings
        )
        table.add_row(Text(symbol, style=style), result.name, lines)
    return table


def profile_facts(document: facts.ProfileFacts) -> Iterator[RenderableType]:
    """Everything of one profile: what it says, its command, its memory, its model."""
    profile = document["profile"]
    yield Text.assemble((profile["name"], "bold"), f" · {profile.get('description', '')}")
    if profile.get("unservable"):
        yield Text(f"cannot be served: {profile['unservable']}", style="yellow")
    keys = {key: value for key, value in profile.items() if key not in _OWN_ROWS}
    yield _pairs([(key, _plain(value)) for key, value in keys.items()])
    if document["argv"] is not None:
        yield Text("\ncommand", style="bold")
        yield Text(shlex.join(document["argv"]))
        for name, value in (document["environment"] or {}).items():
            yield Text(f"{name}={value}", style="dim")
    if profile.get("sweep"):
        yield Text("\ndefault grid", style="bold")
        yield _pairs([(key, _plain(value)) for key, value in profile["sweep"].items()])
    if document["memory"] is not None:
        yield Text("\nmemory of the fullest GPU", style="bold")
        yield _memory(document["memory"])
    if document["model"] is not None:
        yield from _model(document["model"])
    if profile.get("notes"):
        yield Text("\nnotes", style="bold")
        yield Text(_flowing(profile["notes"]))


def _flowing(notes: str) -> str:
    """The lines of a paragraph joined, so that the terminal breaks them; an indented line is an example and stays."""
    flowing = ""
    for line in notes.strip().splitlines():
        joined = flowing and not flowing.endswith("\n") and not line.startswith(" ")
        flowing += (" " if joined else "\n" if flowing and not flowing.endswith("\n") else "") + line
        flowing += "\n" if line.startswith(" ") else ""
    return flowing.rstrip()


def _plain(value: object) -> str:
    if isinstance(value, dict | list):
        return yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False).strip()
    return str(value)


def _memory(memory: facts.MemoryFacts | facts.NoMemoryFacts) -> RenderableType:
    if "layout" not in memory:
        return Text(memory["problem"], style="red")
    rows = [
        ("layout", memory["layout"]),
        ("it may use", gigabytes(memory["usable_bytes"])),
        ("weights", gigabytes(memory["weights_bytes"])),
        *([("draft's weights", gigabytes(memory["draft_weights_bytes"]))] if memory["draft_weights_bytes"] else []),
        ("reserve (estimate)", gigabytes(memory["reserve_bytes"])),
        ("KV cache", f"{gigabytes(memory['kv_cache_bytes'])}, {memory['kv_cache_bytes_per_token']:,} bytes a token"),
    ]
    if memory["sequences_of_max_model_len"] is not None:
        rows.append(("sequences of max-model-len", f"{memory['sequences_of_max_model_len']:,}"))
    remarks = [
        Text(text, style=style) for text, style in ((memory["problem"], "red"), (memory["remark"], "dim")) if text
    ]
    return Group(_pairs(rows), *remarks)


def _model(model: facts.ModelFacts) -> Iterator[RenderableType]:
    experts, attention = model["experts"], model["attention"]
    yield Text(f"\nmodel {model['name'] or model['family']}", style="bold")
    rows = [
        ("layers", f"{model['layers']}, of which {model['dense_layers']} dense"),
        ("hidden size", f"{model['hidden_size']:,}"),
        (
            "attention",
            ", ".join(
                f"{value}" if key == "kind" else f"{key.replace('_', ' ')} {value}" for key, value in attention.items()
            ),
        ),
    ]
    if experts is not None:
        rows.append(("experts", f"{experts['top_k']} of {experts['experts']} with FFN size {experts['ffn_size']:,}"))
        if experts["shared_experts"]:
            rows.append(
                ("shared experts", f"{experts['shared_experts']}, {experts['shared_ffn_size']:,} wide together")
            )
    if model["dense_ffn_size"] is not None:
        rows.append(("dense FFN size", f"{model['dense_ffn_size']:,}"))
    rows.append(("vocabulary", f"{model['vocabulary']:,}"))
    if model["card"] is not None:
        rows.append(("its card says", f"{model['card']['total']} parameters, {model['card']['active']} active"))
    yield _pairs(rows)
    yield _by_kind(model)
    if experts is not None:
        yield _distinct(model, experts)
    yield _per_gpu(model["per_gpu"])
    if model["paper_table_1"] is not None:
        yield _paper(model["paper_table_1"])
    for note in model["notes"]:
        yield Text(f"note: {note}", style="dim")


def _by_kind(model: facts.ModelFacts) -> RenderableType:
    table = _table("parameters", "total", "", "active", "", numbers_from=1)
    totals = model["parameters"]
    for kind, counts in model["parameters_by_kind"].items():
        if counts["total"]:
            table.add_row(
                kind.replace("_", " "),
                f"{counts['total']:,}",
                f"{counts['total'] / totals['total']:.1%}",
                f"{counts['active']:,}",
                f"{counts['active'] / totals['active']:.1%}",
            )
    table.add_row(Text("all", style="bold"), f"{totals['total']:,}", "", f"{totals['active']:,}", "")
    return table


def _distinct(model: facts.ModelFacts, experts: dict[str, int]) -> RenderableType:
    read = model["distinct_experts_per_step"]
    table = _table("sequences in a step", *read, numbers_from=1)
    table.add_row(f"experts read, of {experts['experts']}", *(f"{count:.1f}" for count in read.values()))
    return table


def _per_gpu(rows: Iterable[facts.GpuShare]) -> RenderableType:
    table = _table("on each GPU", "bf16 GB", "fp8 GB", "int4 GB", "KV bf16", "KV fp8", numbers_from=1)
    for row in rows:
        weights, cache = row["weights_bytes"], row["kv_cache_bytes_per_token"]
        table.add_row(
            Parallelism(row["tensor"], row["pipeline"], row["data"], row["experts_spread"]).label,
            *("–" if count is None else f"{count / GB:.1f}" for count in weights.values()),
            *("–" if count is None else f"{count:,}" for count in cache.values()),
        )
    return table


def _paper(paper: facts.PaperRow) -> RenderableType:
    table = _table(f"Table 1 of the paper: {paper['title']}", "paper", "real", "off by", "", numbers_from=1)
    for figure in paper["figures"]:
        agrees = figure["agrees"]
        symbol = {True: Text("✓", style="green"), False: Text("✗", style="red"), None: Text("with a vision part")}[
            agrees
        ]
        off = f"{figure['difference_ratio']:+.0%}".replace("-", "−") if agrees is False else ""
        table.add_row(figure["label"], f"{figure['paper']:,g}", f"{figure['real']:,g}", off, symbol)
    return table


def _pairs(rows: Sequence[tuple[str, str]]) -> RenderableType:
    return facts_table((label, Text(value)) for label, value in rows)


def _table(*headers: str, numbers_from: int = 99) -> Table:
    table = plain_table(padding=(0, 1, 0, 0))
    for at, header in enumerate(headers):
        table.add_column(header, justify="right" if at >= numbers_from else "left", no_wrap=at == 0)
    return table

"""`sweep --plan` as tables: what would run, and on which servers, for about how long and at what cost."""

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from loadgen.analysis.figures.cost import Price
from loadgen.cli.tables.style import numbers, plain_table
from loadgen.experiments.sweep_plan import GroupPlan, RunPlan, ServerPlan, SweepPlan
from loadgen.report.format import MISSING_FIGURE, dollars, number, plural, seconds, size
from loadgen.spec.size import body_bytes


def plan_table(plan: SweepPlan) -> RenderableType:
    """The plan for people, in the order in which it would run."""
    figures = numbers("tokens in → out", "requests", "warm-up", "seed", "about", *(["cost"] if plan.price else []))
    table = plain_table(Column("run", justify="right"), "load", *figures, padding=(0, 1, 0, 1))
    for position, each in enumerate(plan.runs, start=1):
        run, requests = each.run, each.requests
        table.add_row(
            str(position),
            run.load_label,
            f"{number(run.input_tokens)} → {run.output_tokens:,}",
            number(requests) if requests is not None else f"for {run.duration_s:g} s",
            number(each.warmup_requests),
            str(run.seed),
            _about(each),
            *([] if plan.price is None else [dollars(each.estimated_usd)]),
        )
    cost = "" if plan.price is None else f"; {_cost(plan, plan.price)}"
    evaluation = (
        f" The server is evaluated once ({', '.join(plan.tasks)}), which is not in these times." if plan.tasks else ""
    )
    words = f"{_amount(plan)}; {_duration(plan)}{cost}. {_disk(plan)}{evaluation} Nothing was sent."
    return Group(table, Text(words))


def _amount(plan: SweepPlan) -> str:
    known = [each.requests for each in plan.runs if each.requests is not None]
    tokens = sum((each.requests or 0) * each.run.output_tokens * each.run.workload.choices for each in plan.runs)
    amount = f"{plural(len(plan.runs), 'run')}, {plural(sum(known), 'request')}, {plural(tokens, 'output token')}"
    if len(known) < len(plan.runs):
        amount += " besides the runs by duration"
    if label := plan.runs[0].run.workload.label:
        largest_bytes = max(body_bytes(run) for run in plan.specs)
        amount += f"; prompts: {label}, a request of about {number(largest_bytes / 1e3)} kB"
    return amount


def _duration(plan: SweepPlan) -> str:
    if plan.estimated_s is not None:
        return f"about {seconds(round(plan.estimated_s))} and the warm-ups"
    reasons = []
    if any(each.thinking_s for each in plan.runs):
        reasons.append("users think")
    if any(each.limit_wait_s for each in plan.runs):
        reasons.append("limits per minute hold requests back")
    if not reasons:
        return "how long depends on the server: no run like these is on record"
    least_s = sum(each.estimated_s or each.least_s for each in plan.runs)
    return (
        f"over {seconds(round(least_s))}, since {' and '.join(reasons)}; how much longer depends on the server: "
        "no run like these is on record"
    )


def _disk(plan: SweepPlan) -> str:
    spool, database = plan.estimated_spool_bytes, plan.estimated_database_bytes
    if spool is None or database is None:
        return "How much disk is needed depends on the server."
    return f"At most about {size(spool)} of temporary files at a time, and {size(database)} of the database."


def _cost(plan: SweepPlan, price: Price) -> str:
    if plan.estimated_usd is None:
        return "what it costs is not known beforehand"
    if price.is_by_time:
        return f"about {dollars(plan.estimated_usd)} and the warm-ups"
    return f"at most {dollars(plan.estimated_usd)}, warm-ups included"


def _about(each: RunPlan) -> str:
    if each.estimated_s is not None:
        return seconds(round(each.estimated_s, 1))
    return f"over {seconds(round(each.least_s, 1))}" if each.least_s else MISSING_FIGURE


def group_plan_table(plan: GroupPlan) -> RenderableType:
    """The plan for people: the servers, and the runs on each where they are not the same on all."""
    servers = plan.servers
    priced = any(each.sweep.price is not None for each in servers)
    costs = ["cost"] if priced else []
    table = plain_table("server", *numbers("starts", "runs", "GPUs", "about", "GPU-hours", *costs))
    for each in servers:
        table.add_row(
            each.variant.label,
            str(each.starts),
            str(len(each.sweep.runs)),
            str(each.gpus),
            MISSING_FIGURE if each.estimated_s is None else seconds(round(each.estimated_s)),
            number(each.gpu_hours),
            *([dollars(each.estimated_usd)] if priced else []),
        )
    if len(servers) > 1 and _same_runs(plan):
        headings = {"on each of them:": servers[0]}
    else:
        headings = {f"on {each.variant.label}:": each for each in servers}
    grids = [Group(Text(heading), plan_table(each.sweep)) for heading, each in headings.items()]
    problems = [Text(f"{each.variant.label}: {each.problem}", style="yellow") for each in servers if each.problem]
    summary = Text(f"{_group_amount(plan)}. Nothing was started or sent.")
    return Group(table, *problems, *([Text()] if problems else []), summary, Text(), *grids)


def _group_amount(plan: GroupPlan) -> str:
    parts = [plural(plan.starts, "start"), plural(sum(len(each.sweep.runs) for each in plan.servers), "run")]
    if plan.estimated_s is None:
        parts.append("how long depends on the servers: not all of them are on record with starts and runs like these")
    else:
        about = seconds(round(plan.estimated_s))
        parts.append(f"about {about} and the warm-ups, {number(plan.gpu_hours)} GPU-hours")
    if plan.estimated_usd is not None:
        parts.append(f"about {dollars(plan.estimated_usd)}")
    return "; ".join(parts)


def _same_runs(plan: GroupPlan) -> bool:
    """Whether one table describes the runs on all servers: the same runs, with the same known durations."""
    first = plan.servers[0]
    return all(_points(each) == _points(first) and each.took_s == first.took_s for each in plan.servers)


def _points(server: ServerPlan) -> list[tuple[object, ...]]:
    return [(run.load_label, run.input_tokens, run.output_tokens, run.seed) for run in server.sweep.specs]

"""Two sets of runs, A before and B after: at each load point of both, each figure is better, worse or inconclusive.

The run is the replicate: a figure of a run, be it a rate or a percentile, is one value, and
intervals are made over runs. Runs that are invalid take no part. What was asked must be alike, or the answer is refused.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from loadgen.analysis.document import leaves
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.stats import PERCENTILE_NAMES, Change, change
from loadgen.analysis.verdict import is_invalid, some_of, usable_runs
from loadgen.errors import UsageError
from loadgen.load.shapes import value_in_json

Answer = Literal["better", "worse", "cant_tell"]
Reason = Literal["too_few_runs", "either", "small", "zero", "asked_otherwise"]

REASONS: dict[Reason, str] = {
    "too_few_runs": "needs at least two runs on each side",
    "either": "the interval spans the limit of a change that counts",
    "small": "the change is too small to count",
    "zero": "A is 0, so there is no ratio",
    "asked_otherwise": "the two were asked for different work, or had other lengths",
}

CONFIDENCE = 0.95
MIN_CHANGE_RATIO = 0.02

# What may differ between two runs of the same question: where the server is, how it is spoken to, the repeat, and names
# made of the rest. The limits of an SLO concern goodput alone.
_MAY_DIFFER = {
    *("url", "seed", "header_names", "api_key_env", "workers", "request_timeout_s", "max_reply_bytes", "slo"),
    *("hash", "point_hash", "load_label", "schedule_hash"),
}
_GOODPUT = "goodput"


@dataclass(frozen=True, slots=True)
class Unlike:
    """A field in which A and B are not the same question, with the value of each."""

    field: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return f"{self.field} ({_shown(self.a)} against {_shown(self.b)})"


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One figure of a load point: the means of both sides in the metric's unit, the change, and what may be said of it.

    `part` names the percentile of a distribution, None for a scalar. `reason` says why it is inconclusive, else None.
    """

    metric: Figure
    part: str | None
    a: float
    b: float
    change: Change | None
    answer: Answer
    reason: Reason | None

    def to_json(self) -> dict[str, object]:
        """Plain values, the change's as `change_ratio`, `low`, `high` and `effect_size`."""
        return {
            "metric": self.metric.key,
            "part": self.part,
            "unit": self.metric.unit,
            "better": self.metric.better,
            "a": self.a,
            "b": self.b,
            "change_ratio": None if self.change is None else self.change.ratio,
            "low": None if self.change is None else self.change.low,
            "high": None if self.change is None else self.change.high,
            "effect_size": None if self.change is None else self.change.effect_size,
            "answer": self.answer,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class ComparedPoint:
    """A load point that both sides have. `paired`: both have the same seeds, and run by run the same arrivals."""

    a: tuple[RunDocument, ...]
    b: tuple[RunDocument, ...]
    paired: bool
    figures: tuple[ComparedFigure, ...]

    def to_json(self) -> dict[str, object]:
        spec = self.a[0]["spec"]
        return {
            "load_label": spec["load_label"],
            "shape": spec["shape"],
            "input_tokens": spec["input_tokens"],
            "output_tokens": spec["output_tokens"],
            "runs_a": [run["run_id"] for run in self.a],
            "runs_b": [run["run_id"] for run in self.b],
            "paired": self.paired,
            "figures": [figure.to_json() for figure in self.figures],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that may be said of A and B. `only_a` and `only_b` are a run each of the points that the other lacks."""

    points: tuple[ComparedPoint, ...]
    unlike: tuple[Unlike, ...]
    only_a: tuple[RunDocument, ...]
    only_b: tuple[RunDocument, ...]
    invalid_a: tuple[RunDocument, ...]
    invalid_b: tuple[RunDocument, ...]
    slo_differs: bool
    confidence: float
    smallest_change_ratio: float

    def count(self, answer: Answer) -> int:
        return sum(figure.answer == answer for point in self.points for figure in point.figures)

    def to_json(self) -> dict[str, object]:
        return {
            "confidence": self.confidence,
            "smallest_change_ratio": self.smallest_change_ratio,
            "better": self.count("better"),
            "worse": self.count("worse"),
            "cant_tell": self.count("cant_tell"),
            "unlike": [{"field": each.field, "a": each.a, "b": each.b} for each in self.unlike],
            "slo_differs": self.slo_differs,
            "invalid_a": [run["run_id"] for run in self.invalid_a],
            "invalid_b": [run["run_id"] for run in self.invalid_b],
            "only_a": [_point_label(run) for run in self.only_a],
            "only_b": [_point_label(run) for run in self.only_b],
            "points": [point.to_json() for point in self.points],
        }


def compare(
    a: Sequence[RunDocument],
    b: Sequence[RunDocument],
    *,
    anyway: bool = False,
    metrics: Sequence[str] = (),
    confidence: float = CONFIDENCE,
    smallest_change_ratio: float = MIN_CHANGE_RATIO,
) -> Comparison:
    """Compare the run documents `b` with `a`, load point by load point; `metrics` limits it to those keys.

    A figure is better or worse when the whole interval of its change lies beyond ±`smallest_change_ratio` on that side.
    Raises UsageError when either side has no run that is not invalid, when they share no load point, and, unless `anyway`,
    when what was asked or how it was measured is unlike.
    """
    usable_a, usable_b = usable_runs(a), usable_runs(b)
    for side, usable in (("A", usable_a), ("B", usable_b)):
        if not usable:
            raise UsageError(f"{side} has no run that is not invalid, so there is nothing to compare: measure it again")
    matched, only_a, only_b = _match(_by_question(usable_a), _by_question(usable_b), anyway=anyway)
    differing: list[Unlike] = []
    for first, second in matched:
        differing.extend(each for each in _unlike_groups(first, second) if each not in differing)
    if differing and not anyway:
        told = ", ".join(map(str, differing))
        raise UsageError(f"A and B are unlike in {told}: compare them with --anyway if that is meant")
    if not matched:
        raise UsageError(
            f"A and B share no load point: A has {_points_label(only_a)}, and B has {_points_label(only_b)}"
        )
    return Comparison(
        points=tuple(_point(*pair, metrics, confidence, smallest_change_ratio) for pair in matched),
        unlike=tuple(differing),
        only_a=tuple(runs[0] for runs in only_a),
        only_b=tuple(runs[0] for runs in only_b),
        invalid_a=tuple(run for run in a if is_invalid(run)),
        invalid_b=tuple(run for run in b if is_invalid(run)),
        slo_differs=any(_slo(first[0]) != _slo(second[0]) for first, second in matched),
        confidence=confidence,
        smallest_change_ratio=smallest_change_ratio,
    )


Group = list[RunDocument]


def _by_question(runs: Sequence[RunDocument]) -> dict[str, Group]:
    """Runs by all that was asked of them, in order of appearance."""
    groups: dict[str, Group] = {}
    for run in runs:
        groups.setdefault(json.dumps(question(run), sort_keys=True), []).append(run)
    return groups


def _match(
    a: dict[str, Group], b: dict[str, Group], *, anyway: bool
) -> tuple[list[tuple[Group, Group]], list[Group], list[Group]]:
    """Pairs of the same question; then, of the rest, of the same load and lengths; then, if `anyway`, the only ones left."""
    pairs = [(a[question], b[question]) for question in a if question in b]
    rest_a = [runs for question, runs in a.items() if question not in b]
    rest_b = [runs for question, runs in b.items() if question not in a]
    for runs in list(rest_a):
        alike = [other for other in rest_b if _load(other[0]) == _load(runs[0])]
        if len(alike) == 1 and sum(_load(other[0]) == _load(runs[0]) for other in rest_a) == 1:
            pairs.append((runs, alike[0]))
            rest_a.remove(runs)
            rest_b.remove(alike[0])
    if anyway and not pairs and len(rest_a) == len(rest_b) == 1:
        return [(rest_a[0], rest_b[0])], [], []
    order = {id(runs): position for position, runs in enumerate(a.values())}
    return sorted(pairs, key=lambda pair: order[id(pair[0])]), rest_a, rest_b


def question(run: RunDocument) -> dict[str, object]:
    """All that was asked of a run and how it was measured, flat; what a later version added reads null in an older run."""
    told = ((key, value) for key, value in leaves(run["spec"]) if value is not None)
    asked = {key: value for key, value in told if key.split(".")[0] not in _MAY_DIFFER}
    client = run.get("client")
    return asked | {
        "simulated": run["simulated"],
        "method_version": run["method_version"],
        "stamp_source": client["stamp_source"] if client else None,
        "proxy": bool(client and client.get("proxy")),
    }


def _load(run: RunDocument) -> tuple[object, ...]:
    spec = run["spec"]
    return spec["shape"]["kind"], value_in_json(spec["shape"]), spec["input_tokens"], spec["output_tokens"]


# Figures go with the lengths that came: beyond the smallest change worth telling they are not of the same question.
_ACHIEVED_LENGTHS: tuple[Literal["prompt_tokens", "output_tokens"], ...] = ("prompt_tokens", "output_tokens")

# In what runs of different servers and clients differ though the same was asked of them, and for how long.
_OF_THE_SERVER = {
    *("model", "tokenizer", "requests", "duration_s", "warmup_requests"),
    *("simulated", "method_version", "stamp_source", "proxy"),
}


def asked_alike(a: RunDocument, b: RunDocument) -> bool:
    """Whether the same work was asked of both: lengths, load, endpoint, prompts. The model, and for how long, may differ."""
    return not any(asked_otherwise(a, b))


def asked_otherwise(a: RunDocument, b: RunDocument) -> Iterator[Unlike]:
    """Yield the fields by which the two were asked for different work, or had other lengths."""
    return (each for each in unlike(a, b) if each.field not in _OF_THE_SERVER)


def unlike(a: RunDocument, b: RunDocument) -> Iterator[Unlike]:
    """The fields in which two runs are not the same question, or had other lengths."""
    return _unlike_groups([a], [b])


def _unlike_groups(a: Group, b: Group) -> Iterator[Unlike]:
    """The same of two groups of runs, each of one question."""
    asked_a, asked_b = question(a[0]), question(b[0])
    for field in {**asked_a, **asked_b}:
        if asked_a.get(field) != asked_b.get(field):
            yield Unlike(field, asked_a.get(field), asked_b.get(field))
    if all(asked_a.get(key) == asked_b.get(key) for key in ("input_tokens", "output_tokens")):
        yield from _achieved_otherwise(a, b)


def _achieved_otherwise(a: Group, b: Group) -> Iterator[Unlike]:
    """The mean lengths by which prompts or replies of two groups of runs differ although the same was asked."""
    for key in _ACHIEVED_LENGTHS:
        means = []
        for runs in (a, b):
            known = [mean for run in runs if (mean := _achieved(run, key)) is not None]
            means.append(sum(known) / len(known) if known else None)
        first, second = means
        if first and second and abs(second / first - 1) > MIN_CHANGE_RATIO:
            yield Unlike(f"lengths.{key}.mean", round(first, 1), round(second, 1))


def _achieved(run: RunDocument, key: Literal["prompt_tokens", "output_tokens"]) -> float | None:
    """The mean length that came, where one was asked of every request."""
    lengths = run.get("lengths")
    length = lengths.get(key) if lengths else None
    return None if length is None or length["asked"] is None else length["mean"]


def is_one_figure(key: str, a: RunDocument, b: RunDocument) -> bool:
    """Whether a metric means the same of both runs: goodput does under the same limits alone."""
    return not key.startswith(_GOODPUT) or _slo(a) == _slo(b)


def _slo(run: RunDocument) -> dict[str, float]:
    return run["spec"]["slo"]


def _point(
    a: Group, b: Group, metrics: Sequence[str], confidence: float, smallest_change_ratio: float
) -> ComparedPoint:
    a, b = (sorted(runs, key=_seed) for runs in (a, b))
    paired = are_paired(a, b)
    figures = []
    for metric, part in _parts(a, b, metrics):
        values_a, values_b = ([_value(metric, part, run) for run in runs] for runs in (a, b))
        changed = change(values_a, values_b, paired=paired, confidence=confidence)
        answer, reason = answer_of(metric.better, changed, smallest_change_ratio)
        means = (sum(values_a) / len(values_a), sum(values_b) / len(values_b))
        figures.append(ComparedFigure(metric, part, *means, changed, answer, reason))
    return ComparedPoint(tuple(a), tuple(b), paired, tuple(figures))


def _parts(a: Group, b: Group, metrics: Sequence[str]) -> Iterator[tuple[Figure, str | None]]:
    """The figures that every run of both sides has: scalars, and of a distribution the median and the highest percentile.

    A metric of which neither more nor less is better has no place. Unless `metrics` asks for them: TTFT from send is left out, and so is the chunk gap where there is a token gap.
    """
    runs = [*a, *b]
    tokens_known = all(_parts_of(_TOKEN_GAP, run) for run in runs)
    for metric in (metric for metric in METRICS if metric.better is not None):
        if metric.key not in metrics if metrics else metric.key == "ttft_from_send_s":
            continue
        if not metrics and metric.key == "chunk_gap_s" and tokens_known:
            continue
        if not is_one_figure(metric.key, a[0], b[0]):
            continue
        if not metric.is_distribution:
            if all(metric.read(run) is not None for run in runs):
                yield metric, None
            continue
        given = [part for part in PERCENTILE_NAMES if all(part in _parts_of(metric, run) for run in runs)]
        for part in dict.fromkeys((*given[:1], *given[-1:])):
            yield metric, part


_TOKEN_GAP = next(metric for metric in METRICS if metric.key == "token_gap_s")


def _parts_of(metric: Figure, run: RunDocument) -> list[str]:
    return [part for part in PERCENTILE_NAMES if metric.read(run, part) is not None]


def _value(metric: Figure, part: str | None, run: RunDocument) -> float:
    value = metric.read(run, part or "p50")
    assert value is not None, "every run has it"
    return value


def are_paired(a: Sequence[RunDocument], b: Sequence[RunDocument]) -> bool:
    """Whether both sides have the same seeds, each once: run by run they then saw the same arrivals. Other clients tell no seed."""
    if any(run.get("foreign") for run in (*a, *b)):
        return False
    seeds_a, seeds_b = (sorted(map(_seed, runs)) for runs in (a, b))
    return seeds_a == seeds_b and len(set(seeds_a)) == len(seeds_a)


def _seed(run: RunDocument) -> int:
    return run["spec"]["seed"]


def answer_of(
    better: Literal["lower", "higher"] | None, changed: Change | None, smallest: float = MIN_CHANGE_RATIO
) -> tuple[Answer, Reason | None]:
    """What may be said of a change, by whether the whole of its interval lies beyond ±`smallest`, and why nothing may."""
    if changed is None:
        return "cant_tell", "zero"
    if changed.low is None or changed.high is None:
        return "cant_tell", "too_few_runs"
    if changed.low > smallest:
        return ("better" if better == "higher" else "worse"), None
    if changed.high < -smallest:
        return ("better" if better == "lower" else "worse"), None
    return "cant_tell", "small" if -smallest <= changed.low and changed.high <= smallest else "either"


def _shown(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _point_label(run: RunDocument) -> str:
    lengths = ("–" if run["spec"][key] is None else str(run["spec"][key]) for key in ("input_tokens", "output_tokens"))
    return f"{run['spec']['load_label']}, {' → '.join(lengths)} tokens"


def _points_label(groups: Sequence[Group]) -> str:
    return some_of([_point_label(runs[0]) for runs in groups], 3, "; ")

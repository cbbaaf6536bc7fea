"""A page of metrics in Prometheus' text format or OpenMetrics, read line by line. Pure.

A line that cannot be read costs itself alone, and the figure that it belongs to is then not usable. Nothing that is not a finite
number becomes a figure.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

PREFIXES = ("vllm:", "sglang:", "llamacpp:")
START_TIME = "process_start_time_seconds"
_HISTOGRAM_ENDING = "_seconds"  # of the histograms those of time are kept
_KEPT_LABELS = ("le", "position")  # over all other labels values are summed
_RATIO_ENDINGS = ("_perc", "_ratio", "_rate", "_usage")  # such as vllm:kv_cache_usage_perc
_MODEL_LABELS = ("model_name", "model")
_PROCESS_LABELS = ("pid", "process", "process_id", "worker_id", "tp_rank", "pp_rank")  # of the parts of one engine
_MAX_FIGURE = 2.0**63  # no counter of tokens or requests gets there

_LABELS = r"""(?P<labels>\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?"""
_SAMPLE = re.compile(
    # Possessive, so that a line of many blanks takes no longer than another of its length.
    rf"""(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*+{_LABELS}\s*+(?P<value>(?<=[\s}}])\S+)(?:\s+[-+]?[\d.eE+-]+)?\s*(?:\#\s*\{{.*)?$""",
    re.ASCII,
)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"""([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)\s*""", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_KINDS = ("counter", "gauge", "histogram", "summary", "info", "stateset", "gaugehistogram")
_SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created")

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
Sample = tuple[str, Labels, float | None]  # name, labels in order, None for what is no finite number


@dataclass(frozen=True, slots=True)
class Page:
    """The lines of one page that are of interest.

    `figures` are samples by what they are called on the page, counters always with `_total`. `malformed` has the name of each line that
    could not be read, empty where not even that could be.
    """

    counters: tuple[Sample, ...]
    gauges: tuple[Sample, ...]
    histograms: tuple[Sample, ...]
    identity: Mapping[str, float]  # when the process, or a series of it, began
    malformed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """What one page says, summed over labels: see `summed`."""

    values: dict[str, float]
    unusable: frozenset[str] = frozenset()  # series that it has, without a number that can be used
    counters: dict[str, float] = field(default_factory=dict)  # each by all of its labels
    identity: Mapping[str, float] = field(default_factory=dict)
    malformed_lines: int = 0


def read(page: str) -> Page:
    """Everything of interest on the page; of a page that is something else, nothing."""
    kinds: dict[str, str] = {}
    found: dict[str, list[Sample]] = {"counter": [], "gauge": [], "histogram": []}
    identity: dict[str, float] = {}
    malformed: list[str] = []
    for line in _lines(page):
        if line.startswith("#"):
            words = line.split()
            if len(words) >= 4 and words[1] == "TYPE":
                kinds[words[2]] = words[3].lower()
            continue
        figure = _figure(line)
        if figure is None:
            begins = _NAME.match(line)
            malformed.append("" if begins is None else begins.group())
            continue
        name, labels, value = figure
        if name.endswith("_created") or name == START_TIME:
            if value is not None:
                identity[_written(name, labels)] = value
            continue
        kind, family = _kind(name, kinds)
        if kind == "counter" and not name.endswith("_total"):
            figure = f"{name}_total", labels, value
        if kind == "histogram" and not family.endswith(_HISTOGRAM_ENDING):
            continue
        if kind == "histogram" and name.endswith("_bucket") and not _has_bound(labels):
            malformed.append(name)
            continue
        if kind in found:
            found[kind].append(figure)
    return Page(tuple(found["counter"]), tuple(found["gauge"]), tuple(found["histogram"]), identity, tuple(malformed))


def is_markup(page: str) -> bool:
    """Whether it is a page for a browser, such as a login, which gives no figures whatever its text is."""
    return page.lstrip("\ufeff \t\r\n").startswith("<")


def _lines(page: str) -> Iterator[str]:
    """The lines of families that engines call their own, and of the process's start."""
    if is_markup(page):
        return
    for line in page.removeprefix("\ufeff").split("\n"):
        line = line.strip()
        if line.startswith(PREFIXES) or line.startswith(START_TIME) or line.startswith("#"):
            yield line


def _figure(line: str) -> Sample | None:
    """One sample; None for a line that is none."""
    found = _SAMPLE.match(line)
    if found is None or _NUMBER.fullmatch(found["value"]) is None:
        return None
    labels = _labels(found["labels"])
    if labels is None:
        return None
    value = float(found["value"])
    return found["name"], labels, value if math.isfinite(value) and abs(value) < _MAX_FIGURE else None


def _labels(text: str | None) -> Labels | None:
    """Labels in the order of their names, a bound written in one way only; None where they cannot be read."""
    if text is None:
        return ()
    inside, at, found = text[1:-1].strip(), 0, {}
    while at < len(inside):
        label = _LABEL.match(inside, at)
        if label is None:
            return None
        found[label[1]] = _bound(label[2]) if label[1] == "le" else label[2]
        at = label.end()
    return tuple(sorted(found.items()))


def _bound(text: str) -> str:
    if _NUMBER.fullmatch(text) is None:
        return text
    bound = float(text)
    return "+Inf" if bound == math.inf else repr(bound)


def _has_bound(labels: Labels) -> bool:
    bound = dict(labels).get("le", "")
    return _NUMBER.fullmatch(bound) is not None and not math.isnan(float(bound))


def _kind(name: str, kinds: Mapping[str, str]) -> tuple[str, str]:
    """What sort of series it is, and its family: by the page's word for it, else by how its name ends."""
    for ending in ("", *_SUFFIXES):
        family = name.removesuffix(ending)
        if name.endswith(ending) and kinds.get(family) in _KINDS:
            return kinds[family], family
    if name.endswith("_total"):
        return "counter", name
    for ending in ("_bucket", "_count", "_sum"):
        if name.endswith(f"{_HISTOGRAM_ENDING}{ending}"):
            return "histogram", name.removesuffix(ending)
    return "gauge", name


def _written(name: str, labels: Labels) -> str:
    shown = ",".join(f'{label}="{value}"' for label, value in labels)
    return f"{name}{{{shown}}}" if shown else name


def series(name: str, labels: Labels) -> str:
    """The series that it is summed into, such as `NAME_bucket{le="0.04"}` or `NAME{position="0"}`."""
    return _written(name, tuple(each for each in labels if each[0] in _KEPT_LABELS))


def summed(page: Page, model: str | None = None, stale: frozenset[Key] = frozenset()) -> Values:
    """The page's figures summed over engines and all other labels but two: a bucket's bound and a draft's position.

    A gauge that is a share of something is averaged over engines, since two at 0.6 are not at 1.2; where several processes of one engine
    give it, the busiest counts. Of several models' series those of `model` count, where there are any. Gauges that are `stale` are left out.
    A series that is there twice with two values, with a number that is not finite, on a line that cannot be read, or below 0 is not
    usable. A histogram whose buckets are not all there in each of its parts is not usable either.
    """
    unusable = {_family_of(name) for name in page.malformed if name}
    models = _models((*page.counters, *page.gauges, *page.histograms))
    only = model if model in models else None
    if only is None and len(models) > 1 and model is not None:
        return Values({}, identity=page.identity, malformed_lines=len(page.malformed))
    values: dict[str, float] = {}
    counters: dict[str, float] = {}
    for figures in (page.counters, page.histograms):
        parts: dict[str, int] = {}
        for (name, labels), value in _distinct(figures, only).items():
            into = series(name, labels)
            parts[into] = parts.get(into, 0) + 1
            if value is None or value < 0:
                unusable.add(_family_of(into))
                continue
            values[into] = values.get(into, 0.0) + value
            if figures is page.counters:
                counters[_written(name, labels)] = value
        unusable |= _uneven(parts)
    shares: dict[str, dict[Labels, list[float]]] = {}
    for (name, labels), value in _distinct(page.gauges, only).items():
        into = series(name, labels)
        if (name, labels) in stale:
            continue
        if not name.endswith(_RATIO_ENDINGS):
            if value is None:
                unusable.add(into)
            else:
                values[into] = values.get(into, 0.0) + value
            continue
        of_engine = shares.setdefault(into, {}).setdefault(_without_process(labels), [])
        if value is not None:
            of_engine.append(value)
    for into, engines in shares.items():
        if not all(engines.values()):
            unusable.add(into)
        else:
            values[into] = sum(map(max, engines.values())) / len(engines)
    unusable |= {name for name, value in values.items() if not math.isfinite(value)}
    usable = {
        name: value for name, value in values.items() if name not in unusable and _family_of(name) not in unusable
    }
    return Values(usable, frozenset(unusable), counters, page.identity, len(page.malformed))


def stale_gauges(pages: Iterable[Page]) -> frozenset[Key]:
    """Gauges of a process that stood still on all pages, while another process's of the same name moved: of one that has ended."""
    seen: dict[str, dict[Key, set[float | None]]] = {}
    for page in pages:
        for name, labels, value in page.gauges:
            if any(label in _PROCESS_LABELS for label, _ in labels):
                seen.setdefault(name, {}).setdefault((name, labels), set()).add(value)
    return frozenset(
        key
        for each in seen.values()
        if any(len(values) > 1 for values in each.values())
        for key, values in each.items()
        if len(values) == 1
    )


def _models(figures: Iterable[Sample]) -> set[str]:
    return {value for _, labels, _ in figures for label, value in labels if label in _MODEL_LABELS}


def _distinct(figures: Iterable[Sample], only: str | None) -> dict[Key, float | None]:
    """Each series once; None for one that the page has twice with two values."""
    found: dict[Key, float | None] = {}
    for name, labels, value in figures:
        named = [text for label, text in labels if label in _MODEL_LABELS]
        if only is not None and named and only not in named:
            continue
        key = (name, labels)
        found[key] = value if key not in found or found[key] == value else None
    return found


def _family_of(name: str) -> str:
    """The name under which all buckets of a histogram are marked at once; any other name is its own."""
    return name.split("{")[0] if "_bucket" in name else name


def _uneven(parts: Mapping[str, int]) -> set[str]:
    """The histograms of which some bucket is there more often than another."""
    counts: dict[str, set[int]] = {}
    for name, count in parts.items():
        if "_bucket{" in name:
            counts.setdefault(_family_of(name), set()).add(count)
    return {family for family, each in counts.items() if len(each) > 1}


def _without_process(labels: Labels) -> Labels:
    return tuple(each for each in labels if each[0] not in _PROCESS_LABELS)

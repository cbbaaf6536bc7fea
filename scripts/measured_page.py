"""Write the tables of docs/measured.md and the drawing docs/throughput.svg from results/.

Each table stands between `<!-- table: NAME -->` and `<!-- end -->`; the text around them is written by hand.
"""

import hashlib
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import yaml

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figure_table import FIGURES
from loadgen.errors import LoadgenError
from loadgen.experiments.study.study_plan import plan_study
from loadgen.importers.importing import read_sweeps
from loadgen.moe.hardware import hardware
from loadgen.report.charts.drawing import draw
from loadgen.report.format import MISSING_FIGURE, number
from loadgen.report.study.claim_rows import ContradictionSide, contradictions
from loadgen.report.study.claim_words import VERDICT_WORDS, found_words, stated_words
from loadgen.report.study.drawing import drawing
from loadgen.report.study.library import readable_studies
from loadgen.report.study.prediction_errors import FIGURES_COMPARED, RunError, error_of
from loadgen.report.study.record import PlannedStudy, Record
from loadgen.report.study.results import StudyResults, results_of
from loadgen.report.study.site import FILE
from loadgen.servers.prediction.engine_of import NoMemoryError, UnpredictableError
from loadgen.store.repository import Store
from loadgen.study.measured import Provenance, series_of
from loadgen.study.points import points_of
from loadgen.study.served import served_of
from loadgen.study.study_file import read_study, study_names
from loadgen.study.variants import variants_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "measured.md"
REFERENCE = ROOT / "results" / "vllm-bench-serve.yaml"
DRAWING = ROOT / "docs" / "throughput.svg"
REAL: tuple[Provenance, ...] = ("measured", "dummy")
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WIDTH_PX = 900
_NO_GRAPHS = "no CUDA graphs"
_MADE_UP = "made-up routers"


@dataclass(frozen=True, slots=True)
class Measured:
    """All runs in results/, and what they say of each study. `studies`: by run, the studies that it is a point of."""

    results: tuple[StudyResults, ...]
    runs: tuple[RunDocument, ...]

    @classmethod
    def read(cls) -> "Measured":
        files = sorted(path for path in (ROOT / "results").iterdir() if path.name.endswith((".json", ".json.gz")))
        with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/page.db") as store:
            runs = []
            for found in (found for path in files for found in read_sweeps(path)):
                store.add_imported(found.sweep, found.runs)
                runs += found.runs
            studies, problems = readable_studies(study_names())
            assert not problems
            record = Record.of(store)
            return cls(tuple(results_of(PlannedStudy.of(file), record) for file in studies), tuple(runs))

    @property
    def studies(self) -> dict[str, tuple[str, ...]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for results in self.results:
            for series in results.by_series:
                for run_id in {run["run_id"] for point in series.points for run in point.runs}:
                    found[run_id].append(results.file.study.name)
        return {run_id: tuple(names) for run_id, names in found.items()}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: int) -> str:
    """A table whose last `right` columns are numbers."""
    lines = [heads, ["---"] * (len(heads) - right) + ["--:"] * right, *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def verdicts(measured: Measured) -> str:
    """Every claim that has measured points: the verdict of the strongest series, as the report has it."""
    rows = []
    for results in measured.results:
        for at, standing in enumerate(results.standing):
            of_real = [each for each in results.by_series if each.series.provenance in REAL]
            found = [each.judgements[at] for each in of_real if each.judgements[at].compared]
            if found:
                judged, name = found[0], results.file.study.name
                why = "; ".join(each for each in (judged.reason or "").split("; ") if "is assumed" not in each)
                cells = (standing.claim.says, stated_words(standing.claim), found_words(judged))
                rows.append((name, *cells, VERDICT_WORDS[judged.verdict], why))
    numbers = {words: sum(row[4] == words for row in rows) for words in VERDICT_WORDS.values()}
    counts = ", ".join(f"{words} {count}" for words, count in numbers.items() if count)
    total = sum(len(results.standing) for results in measured.results)
    heads = ("study", "claim", "stated", "found", "verdict", "measured of it")
    return f"{len(rows)} of {total} claims have measured points: {counts}.\n\n{table(heads, rows, 0)}"


def contradicting(measured: Measured) -> str:
    """The pairs of the paper's claims that cannot both be true, with the verdict on each."""
    everything = {
        standing.claim.id: (results.file.study.name, standing)
        for results in measured.results
        for standing in results.standing
    }
    pairs = contradictions((standing.claim for _, standing in everything.values()), everything, FILE)
    rows = [(side_words(pair.ours), side_words(pair.theirs), pair.why) for pair in pairs]
    return table(("claim", "against", "why"), rows, 0)


def side_words(side: ContradictionSide) -> str:
    return f"{side.claim.says} ({side.claim.place}: {side.words})"


def setting_of(run: RunDocument) -> str:
    """What sets a server apart from the model in bf16 on one GPU with its own top-k, in a few words."""
    served = served_of(run["server"])
    launch = run["server"].get("launch") or {}
    given = launch.get("arguments") or {}
    assert served is not None
    of = served.coordinates
    overrides = given.get("hf-overrides")
    changed: set[str] = set(overrides) if isinstance(overrides, Mapping) else set()
    drafts = given.get("speculative-config")
    words = [
        *([str(of["precision"])] if of.get("precision") not in (None, "bf16") else []),
        *([f"top-k {of['top_k']}"] if "num_experts_per_tok" in changed else []),
        *([f"{of['experts']} experts"] if changed & {"num_local_experts", "num_experts"} else []),
        *([f"FFN {of['ffn_size']}"] if changed & {"intermediate_size", "moe_intermediate_size"} else []),
        *(
            f"{short} {of[key]}"
            for key, short in (("tensor", "TP"), ("pipeline", "PP"), ("data", "DP"))
            if of.get(key, 1) != 1
        ),
        *(["EP"] if of.get("expert_parallel") else []),
        *([_NO_GRAPHS] if given.get("enforce-eager") else []),
        *([draft_words(drafts)] if isinstance(drafts, Mapping) else []),
        *(launch.get("plugins") or ()),
        *([_MADE_UP] if series_of(run).provenance == "dummy_routed" else []),
    ]
    return ", ".join(words)


def without_routers(run: RunDocument) -> str:
    """The setting, whoever chose the experts: they were the made-up routers of the reference's servers too."""
    return setting_of(run).removesuffix(_MADE_UP).removesuffix(", ")


def draft_words(drafts: Mapping[str, object]) -> str:
    """The draft of a `speculative-config`: its model, and the acceptance that is stated."""
    draft = "n-gram" if drafts.get("method") == "ngram" else f"draft {Path(str(drafts.get('model'))).name.lower()}"
    stated = drafts.get("synthetic_acceptance_length")
    return f"{draft}, {drafts.get('num_speculative_tokens')} tokens" + (f", {stated} a step" if stated else "")


def load_of(run: RunDocument) -> str:
    spec = run["spec"]
    images = (spec.get("workload") or {}).get("images")
    size = f", {images['width']} × {images['height']} pixels" if images else ""
    return f"{spec['load_label']}, {number(spec['input_tokens'])}/{number(spec['output_tokens'])}{size}"


def by_point(runs: Iterable[RunDocument]) -> Iterator[tuple[RunDocument, list[RunDocument]]]:
    """Runs of one sweep under the same load, each group with its first."""
    groups: dict[tuple[str, str], list[RunDocument]] = {}
    for run in runs:
        if run["verdict"]["status"] != "invalid" and run.get("output_tokens_per_s"):
            groups.setdefault((run["sweep_id"], load_of(run)), []).append(run)
    for group in groups.values():
        yield group[0], group


def mean(runs: Iterable[RunDocument], figure: str) -> float | None:
    """The mean over runs of a figure's median; None if no run has it."""
    values = [value for run in runs if (value := FIGURES[figure].read(run, "p50")) is not None]
    return fmean(values) if values else None


def points(measured: Measured) -> str:
    """Every measured point of a known model, by model, with how much of the hardware it used."""
    studies = measured.studies
    rows: defaultdict[str, list[Sequence[str]]] = defaultdict(list)
    for first, runs in by_point(measured.runs):
        served = served_of(first["server"])
        if served is None or served.architecture is None:
            continue
        mbu, mfu, bound = (mean(runs, key) for key in ("s_mbu_ratio", "s_mfu_ratio", "bound_ratio"))
        energy = [each["energy_per_output_token_j"] for run in runs if (each := run.get("gpu"))]
        known = [each for each in energy if each is not None]
        rows[first["server"]["model"]].append(
            (
                ", ".join(studies.get(first["run_id"], ())) or MISSING_FIGURE,
                setting_of(first) or "as it is",
                load_of(first),
                str(len(runs)),
                number(mean(runs, "output_tokens_per_s")),
                number(mean(runs, "ttft_s")),
                number(None if (tpot := mean(runs, "tpot_s")) is None else tpot * 1e3),
                *(MISSING_FIGURE if value is None else f"{value:.2f}" for value in (mbu, mfu)),
                MISSING_FIGURE if bound is None else f"{bound:.0%}".replace("%", " %"),
                number(fmean(known) if known else None),
            )
        )
    heads = (
        "studies",
        "server",
        "load",
        "runs",
        "output tokens/s",
        "TTFT s",
        "TPOT ms",
        "S-MBU",
        "S-MFU",
        "of the bound",
    )
    parts = [f"#### {model}\n\n{table((*heads, 'J/output token'), rows[model], 8)}" for model in sorted(rows)]
    return "\n".join(parts)


def errors(measured: Measured) -> str:
    """How far predictions are off, by study; a run counts in every study that it is a point of."""
    studies = measured.studies
    groups: defaultdict[str, list[RunError]] = defaultdict(list)
    for run in measured.runs:
        try:
            error = error_of(run)
        except (UnpredictableError, NoMemoryError, LoadgenError):
            continue
        if error is None or error.outlier is not None:
            continue
        names = studies.get(run["run_id"], ()) if setting_of(run) != _NO_GRAPHS else (_NO_GRAPHS,)
        for name in names or ("of no study",):
            groups[f"{name}, {'fitted' if error.is_fitted else 'held out'}"].append(error)
    rows = []
    for name, found in groups.items():
        of_figures = [[abs(v) for each in found if (v := each.errors[key]) is not None] for key in FIGURES_COMPARED]
        cells = [f"{median(of):.1%} ({max(of):.0%})".replace("%", " %") if of else MISSING_FIGURE for of in of_figures]
        rows.append((name, str(len(found)), *cells))
    return table(("runs", "number", "throughput", "E2E latency", "TTFT", "TPOT"), sorted(rows), 5)


def reference(measured: Measured) -> str:
    """Closed loops next to what `vllm bench serve` measured on such a server."""
    ours: defaultdict[tuple[object, ...], list[list[RunDocument]]] = defaultdict(list)
    for first, runs in by_point(measured.runs):
        spec = first["spec"]
        callers = spec["shape"].get("concurrency")
        if served_of(first["server"]) is not None:
            key = (
                first["server"]["model"],
                without_routers(first),
                spec["input_tokens"],
                spec["output_tokens"],
                callers,
            )
            ours[key].append(runs)
    rows = []
    for each in yaml.safe_load(REFERENCE.read_text()):
        setting = each.get("setting", "")
        key = (each["model"], setting, each["input_tokens"], each["output_tokens"], each["callers"])
        load = f"{each['callers']} × {each['input_tokens']:,}/{each['output_tokens']}"
        their_rate, their_tpot_ms = each["output_tokens_per_s"], each["tpot_ms"]
        star = "*" if each.get("unsteady") else ""
        for runs in ours.get(key, [[]]):
            rate, tpot, ttft = (mean(runs, key) for key in ("output_tokens_per_s", "tpot_s", "ttft_s"))
            steady = None
            if ttft is not None:
                seconds = ttft + (each["output_tokens"] - 1) * their_tpot_ms / 1e3
                steady = each["callers"] * each["output_tokens"] / seconds
            off = [
                None if rate is None else rate / their_rate - 1,
                None if tpot is None else tpot * 1e3 / their_tpot_ms - 1,
            ]
            rows.append(
                (
                    f"{each['model']}{', ' if setting else ''}{setting}",
                    load,
                    f"{len(runs)} on {runs[0]['started_at'][:10]}" if runs else MISSING_FIGURE,
                    number(rate),
                    number(float(their_rate)) + star,
                    signed(off[0]),
                    number(None if tpot is None else tpot * 1e3),
                    number(float(their_tpot_ms)),
                    signed(off[1]),
                    number(steady),
                )
            )
    heads = (
        "server",
        "callers × in/out",
        "runs",
        "output tokens/s",
        "reference",
        "difference",
        "TPOT ms",
        "reference",
        "difference",
    )
    return table((*heads, "by its TPOT"), rows, 7)


def signed(ratio: float | None) -> str:
    return MISSING_FIGURE if ratio is None else f"{ratio * 100:+.1f} %".replace("-", "−")


def cost(_: Measured) -> str:
    """What each study takes on H100s by `study plan`, without the points that a study above has."""
    on, seen, rows, total = hardware("h100"), set[tuple[object, ...]](), [], 0.0
    for name in (each for each in study_names() if each != "quick"):
        file = read_study(name)
        if not file.study.needs_server:
            continue
        every = points_of(file, variants_of(file))
        new = [each for each in every if (each.variant.served.identity, each.run.hash) not in seen]
        seen |= {(each.variant.served.identity, each.run.hash) for each in new}
        plan = plan_study(file, new, on)
        hours = plan.known_gpu_hours
        total += hours or 0.0
        runs = sum(each.runs for each in plan.servers)
        gpus = max((each.gpus for each in plan.servers if each.runs), default=0)
        without_time = sum(1 for each in plan.servers if each.starts and each.estimated_s is None)
        rows.append(
            (
                name,
                f"{without_time} servers" if without_time else "",
                f"{len(every):,}",
                f"{len(new):,}",
                f"{runs:,}",
                str(gpus),
                MISSING_FIGURE if hours is None else f"≥ {hours:.1f}",
            )
        )
    rows.append(("all", "", "", "", "", "", f"≥ {total:.1f}"))
    heads = ("study", "time unknown", "points", "not above", "runs", "most GPUs", "GPU-hours")
    return table(heads, rows, 5)


TABLES = {
    "verdicts": verdicts,
    "contradictions": contradicting,
    "points": points,
    "errors": errors,
    "reference": reference,
    "cost": cost,
}


def filled(page: str, measured: Measured, names: Iterable[str] = TABLES) -> str:
    """The page with these tables written anew."""
    kept = set(names)
    return _BLOCK.sub(
        lambda found: found[0] if found[2] not in kept else f"{found[1]}\n{TABLES[found[2]](measured)}\n{found[3]}",
        page,
    )


def throughput(measured: Measured) -> tuple[str, str]:
    """Figure 6 as it was measured, as SVG; and the digest of its runs, which stands in it."""
    (results,) = [each for each in measured.results if each.file.study.name == "fig06"]
    drawn = drawing(results, 0, None, _WIDTH_PX)
    runs = sorted(run["run_id"] for point in results.by_series[0].points for run in point.runs)
    digest = hashlib.sha256("\n".join(runs).encode()).hexdigest()
    text = draw(drawn.chart, "svg", drawn.about, _WIDTH_PX).decode()
    return text.rstrip() + f"<!-- runs: {digest} -->\n", digest


def main() -> int:
    measured = Measured.read()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), measured), encoding="utf-8")
    DRAWING.write_text(throughput(measured)[0], encoding="utf-8")
    print(f"wrote the tables of {PAGE.relative_to(ROOT)}, and {DRAWING.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

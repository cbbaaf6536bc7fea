"""Fit the constants of a prediction on runs: `python scripts/fit_prediction.py h200 RESULT.json…`.

Coordinate descent on the logarithms of the constants, from those in loadgen/servers/prediction/fitted.py. The loss is the mean
of |log(predicted/measured)|, over the runs' mean of throughput, TPOT and TTFT. Prints every improvement.
"""

import gzip
import json
import math
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from loadgen.report.study.prediction_errors import run_error
from loadgen.servers.prediction.fitted import CALIBRATIONS, Calibration

CONSTANTS = (
    ("efficiency", "bandwidth_ratio"),
    ("efficiency", "flops_ratio"),
    ("efficiency", "layer_overhead_s"),
    ("efficiency", "kernel_launch_s"),
    ("costs", "step_s"),
    ("costs", "sequence_s"),
    ("costs", "prompt_step_s"),
    ("costs", "prompt_s"),
    ("costs", "layer_token_s"),
    ("costs", "layer_sequence_s"),
    ("costs", "latent_layer_s"),
    ("front_end", "request_s"),
    ("front_end", "prompt_token_s"),
    ("front_end", "reply_s"),
    ("costs", "fp8_layer_s"),
    ("front_end", "token_s"),
    ("front_end", "image_s"),
    ("front_end", "pixel_s"),
    ("front_end", "tile_s"),
    ("front_end", "resized_pixel_s"),
    ("costs", "image_s"),
    ("costs", "vision_layer_s"),
    ("slower_hosts", ""),
)
MAX_RATIOS = {"bandwidth_ratio": 4.3 / 4.8, "flops_ratio": 788 / 989.4}  # what programs reached; see moe/hardware.py
WEIGHTS = {"throughput": 1.0, "tpot": 1.0, "ttft": 1.0}


def read(path: Path) -> list[dict]:
    content = path.read_bytes()
    runs = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)["runs"]
    for run in runs:
        if run["spec"]["duration_s"] is not None:
            run["spec"]["duration_s"] = min(5.0, run["spec"]["duration_s"])  # the steady state is the same
    return runs


def loss(points: list[list[dict]], calibration: Calibration) -> float:
    """Repeats of a point are predicted once, and compared with the mean of their logarithms."""
    total = weight = 0.0
    for repeats in points:
        first = run_error(repeats[0], calibration)
        for name, each in WEIGHTS.items():
            if first.errors[name] is None:
                continue
            found = [math.log1p(first.errors[name])]
            found += [math.log(value(repeats[0], name) / value(other, name)) + found[0] for other in repeats[1:]]
            total += each * abs(sum(found) / len(found))
            weight += each
    return total / weight


def value(run: dict, name: str) -> float:
    if name == "throughput":
        return run["output_tokens_per_s"]
    return run[f"{name}_s"]["p50"]


def changed(calibration: Calibration, place: tuple[str, str], factor: float) -> Calibration:
    part = getattr(calibration, place[0])
    if isinstance(part, dict):
        return replace(calibration, slower_hosts={begin: ratio * factor for begin, ratio in part.items()})
    moved = getattr(part, place[1]) * factor
    moved = min(moved, MAX_RATIOS.get(place[1], moved))
    return replace(calibration, **{place[0]: replace(part, **{place[1]: moved})})


def main() -> None:
    by_point = defaultdict(list)
    name, *paths = sys.argv[1:]
    for path in paths:
        for run in read(Path(path)):
            by_point[run["sweep_id"], run["spec"]["point_hash"]].append(run)
    points = list(by_point.values())
    best = CALIBRATIONS[name]
    least = loss(points, best)
    print(f"{len(points)} points, loss {least:.4f}", flush=True)
    steps = dict.fromkeys(CONSTANTS, 1.3)
    while max(steps.values()) > 1.02:
        for place, step in steps.items():
            for factor in (step, 1 / step):
                tried = changed(best, place, factor)
                found = loss(points, tried)
                if found < least - 1e-5:
                    best, least = tried, found
                    steps[place] = min(1.6, step**1.3)
                    shown = part if isinstance(part := getattr(best, place[0]), dict) else getattr(part, place[1])
                    print(f"{least:.4f} {place[1]} {shown}", flush=True)
                    break
            else:
                steps[place] = step**0.5
    print(best)


if __name__ == "__main__":
    main()

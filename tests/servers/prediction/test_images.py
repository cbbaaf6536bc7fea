"""What images take in a prediction: the front end, the encoder, the tokens of the prompt."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.load.shapes import ClosedLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Images, Workload
from loadgen.moe.hardware import hardware
from loadgen.moe.models import model
from loadgen.moe.step import Step
from loadgen.report.study.prediction_errors import error_table
from loadgen.servers.prediction.engine_of import Deployment, UnpredictableError, deployment_of
from loadgen.servers.prediction.engine_steps import EngineModel, FrontEnd, StepCost
from loadgen.servers.prediction.fitted import calibration_for
from loadgen.servers.prediction.images import NO_IMAGES, image_load
from loadgen.servers.prediction.predicted_run import predict_run
from loadgen.servers.prediction.scheduler import Scheduler, SchedulerLimits, Sequence
from tests.experiments.study.predicted_document import predicted_document

RESULTS = Path(__file__).parents[3] / "results"
TINY = model("deepseek-vl2-tiny").architecture
AT = "2026-01-01T00:00:00+00:00"
RUN = RunSpec(
    url="http://127.0.0.1:8000",
    model="m",
    shape=Wave(2),
    input_tokens=100,
    output_tokens=1,
    workload=Workload(images=Images(384, 384)),
)


def test_the_load_of_an_image() -> None:
    front_end = FrontEnd(image_s=1.0, pixel_s=1e-5, tile_s=0.25, resized_pixel_s=1e-6)
    plain = image_load(Images(384, 384), TINY.vision, front_end)
    assert (plain.images, plain.tiles, plain.tokens) == (1, 2, 421)
    assert plain.front_end_s == pytest.approx(1.0 + 384 * 384 * 1e-5 + 2 * 0.25)
    two = image_load(Images(768, 768, per_request=2), TINY.vision, front_end)
    assert (two.images, two.tiles, two.tokens) == (2, 10, 2 * 1023)
    assert two.front_end_s == pytest.approx(2 * (1.0 + 768 * 768 * 1.1e-5 + 5 * 0.25))
    assert image_load(None, None, front_end) == NO_IMAGES


def test_images_are_encoded_with_the_first_tokens_of_their_prompt() -> None:
    made = Scheduler(SchedulerLimits(8, 300, 1000))
    made.add(Sequence(0, 500, 2, images=1, tiles=2))
    found = []
    for _ in range(3):
        plan = made.plan()
        assert plan is not None
        found.append((plan.step.images, plan.step.tiles))
        made.finish(plan)
    assert found == [(1, 2), (0, 0), (0, 0)]


def deployment(**front_end: float) -> Deployment:
    """A second for each step and for each of its tiles."""

    def a_second_a_tile(step: Step) -> StepCost:
        return StepCost(0.0, 1.0 + step.tiles, 1.0 + step.tiles)

    engine = EngineModel(SchedulerLimits(8, 10_000, 1000), a_second_a_tile, FrontEnd(**front_end))
    return Deployment(engine, copies=1, gpus=1, max_model_len=600, vision=TINY.vision)


def test_a_wave_with_images() -> None:
    records = predict_run(RUN, deployment(), AT).records
    # Two images of two tiles, all in one step.
    assert records.arrival_ns.tolist() == [5_000_000_000] * 2
    assert records.prompt_tokens.tolist() == [100 + 421] * 2
    assert records.prompt_tokens_asked.tolist() == [-1] * 2  # only the server knows, as in a measured run
    # Half a second in the front end for each: the first is alone in its step, the second in the step planned at 1.
    apart = predict_run(RUN, deployment(image_s=0.5), AT).records
    assert apart.arrival_ns.tolist() == [3_500_000_000, 6_500_000_000]


def test_the_tokens_of_images_count_towards_the_longest_sequence() -> None:
    with pytest.raises(UnpredictableError, match="621 tokens of prompt and reply are more than max-model-len 600"):
        predict_run(replace(RUN, input_tokens=199), deployment(), AT)


def test_a_closed_loop_with_images_is_limited_by_the_front_end() -> None:
    run = replace(RUN, shape=ClosedLoop(8), requests=80)
    document = predicted_document(run, deployment(image_s=10.0))
    assert document["requests_per_s"] == pytest.approx(0.1, rel=0.02)


def test_a_model_that_reads_images_takes_longer_with_one() -> None:
    flags = {"max-model-len": 4096, "max-num-seqs": 128}
    engine = deployment_of(TINY, flags, hardware("h200"))
    text = predict_run(replace(RUN, workload=Workload()), engine, AT).records
    image = predict_run(RUN, engine, AT).records
    assert image.arrival_ns[0] > text.arrival_ns[0] + 4_000_000


def test_a_slower_host_takes_longer_for_images_too() -> None:
    fitted = calibration_for(hardware("h200"))
    slow = fitted.on_slower_host(2.0)
    assert slow.front_end.pixel_s == 2 * fitted.front_end.pixel_s > 0
    assert slow.costs.vision_layer_s == 2 * fitted.costs.vision_layer_s > 0


def test_predictions_are_near_the_runs_of_one_h200_with_images() -> None:
    """Of DeepSeek-VL2-Tiny: one sweep of 384x384 was fitted; the same again, and larger images, were held out."""
    files = sorted(RESULTS.glob("*deepseek-vl2-tiny-dummy-image*"))
    runs = [run for path in files for run in json.loads(gzip.decompress(path.read_bytes()))["runs"]]
    assert {run["lengths"]["prompt_tokens"]["min"] for run in runs if "384x384" in str(run["spec"]["load_label"])} <= {
        1446,
        1447,
        1448,
    }  # 1,024 of text, 421 of the image, and the template's
    table = error_table(runs)
    assert table.left_out == ()
    assert {row.kind.images for row in table.rows if row.kind is not None} == {
        "an image of 384x384",
        "an image of 768x384",
        "an image of 768x768",
    }
    fitted, held_out = dict(table.totals)["fitted"], dict(table.totals)["held out"]
    assert (fitted.runs, held_out.runs) == (12, 18)
    median = {name: value or 1.0 for name, value in held_out.median.items()}
    assert median["throughput"] < 0.15
    assert median["ttft"] < 0.3

"""A prediction as it is stored: figures by hand, where it stands among a study's points, and what is left out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.analysis.figure_table import FIGURES
from loadgen.errors import UsageError
from loadgen.experiments.study.predict import predict
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Images, Workload
from loadgen.moe.hardware import hardware
from loadgen.moe.models import model
from loadgen.moe.parameters import distinct_experts_drawn, expected_distinct_experts
from loadgen.moe.step import Step
from loadgen.servers.prediction.engine_of import Deployment, UnpredictableError, deployment_of, routing_of
from loadgen.servers.prediction.engine_steps import EngineModel, StepCost
from loadgen.servers.prediction.predicted_run import predict_run
from loadgen.servers.prediction.scheduler import SchedulerLimits
from loadgen.servers.profiles.layout import UNIFORM_ROUTING
from loadgen.store.repository import Store
from loadgen.study.measured import measured_points
from loadgen.study.points import Point, points_of
from loadgen.study.study_file import StudyFile, read_study
from loadgen.study.variants import variants_of
from tests.experiments.study.predicted_document import predicted_document

WAVE = RunSpec(url="http://127.0.0.1:8000", model="m", shape=Wave(2), input_tokens=10, output_tokens=3)


def deployment(copies: int = 1, max_model_len: int | None = None) -> Deployment:
    """An engine with a second for each step."""

    def second_a_step(step: Step) -> StepCost:
        return StepCost(0.0, 1.0, 1.0)

    engine = EngineModel(SchedulerLimits(8, 100, 1000), second_a_step)
    return Deployment(engine, copies=copies, gpus=copies, max_model_len=max_model_len)


def figures(run: RunSpec, of: Deployment) -> dict[str, float | None]:
    document = predicted_document(run, of)
    assert document["verdict"]["status"] == "valid", document["verdict"]
    return {key: FIGURES[key].read(document) for key in FIGURES if FIGURES[key].compute is not None}


def test_the_figures_of_a_wave() -> None:
    found = figures(WAVE, deployment())
    # Two replies of three tokens, at 1, 2 and 3 s.
    assert found["paper.ttft_s"] == found["ttft_s"] == 1.0
    assert found["e2e_latency_s"] == 3.0
    assert found["tpot_s"] == 1.0
    assert found["paper.throughput_tokens_per_s"] == pytest.approx(2 * (10 + 3) / 3)
    assert found["paper.itl_s"] == pytest.approx((3 - 1) / (2 * 3 - 1))


def test_the_steady_state_of_a_closed_loop() -> None:
    run = replace(WAVE, shape=ClosedLoop(4), requests=64)
    found = figures(run, deployment())
    # Four callers in step: each reply takes three steps, and nothing waits for a step that was planned before.
    assert found["e2e_latency_s"] == 3.0
    assert found["output_tokens_per_s"] == pytest.approx(4.0)
    assert found["requests_per_s"] == pytest.approx(4 / 3)


def test_tokens_that_are_accepted_together_are_one_chunk() -> None:
    limits = SchedulerLimits(8, 100, 1000, draft_tokens=3, tokens_per_step=2.0)
    engine = EngineModel(limits, lambda step: StepCost(0.0, 1.0, 1.0))
    run = replace(WAVE, shape=Wave(1), output_tokens=6)
    records = predict_run(run, Deployment(engine, 1, 1, None), "2026-01-01T00:00:00+00:00").records
    assert records.arrival_ns.tolist() == [1_000_000_000, 2_000_000_000, 3_000_000_000, 4_000_000_000]
    assert records.arrival_tokens.tolist() == [1, 2, 2, 1]
    assert records.output_tokens.tolist() == [6]


def test_an_open_loop_counts_from_when_a_request_is_due() -> None:
    run = replace(WAVE, shape=OpenLoop(0.1, arrivals="constant"), requests=32)
    assert figures(run, deployment())["e2e_latency_s"] == 3.0


def test_data_parallel_copies_share_the_callers() -> None:
    records = predict_run(replace(WAVE, shape=Wave(5)), deployment(copies=2), "2026-01-01T00:00:00+00:00").records
    assert sorted(records.slot.tolist()) == [0, 1, 2, 3, 4]
    assert records.arrival_ns.max() == 3_000_000_000


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (replace(WAVE, workload=Workload(images=Images(8, 8))), "the sizes of the model's encoder are not known"),
        (replace(WAVE, output_tokens=20), "30 tokens of prompt and reply are more than max-model-len 20"),
    ],
)
def test_what_a_run_asks_that_is_not_predicted(run: RunSpec, why: str) -> None:
    with pytest.raises(UnpredictableError, match=why):
        predict_run(run, deployment(max_model_len=20), "2026-01-01T00:00:00+00:00")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'study.db'}") as opened:
        yield opened


def points_at(name: str, **where: object) -> tuple[StudyFile, list[Point]]:
    file = read_study(name)
    points = points_of(file, variants_of(file))
    return file, [point for point in points if all(point.coordinates.get(key) == value for key, value in where.items())]


def test_a_predicted_study_is_a_series_of_its_points(store: Store) -> None:
    file, points = points_at("fig06", load="wave", length=128)
    prediction = predict(file, points, "h100", store)
    assert (prediction.runs, prediction.left_out, prediction.out_of_memory) == (14, (), ())
    runs = [run for sweep_id in prediction.sweep_ids for run in store.runs(sweep_id)]
    measured = measured_points(points, runs)
    assert len(measured) == 14
    assert {each.series.label for each in measured} == {"H100, SIMULATED"}
    throughput = [each.values("paper.throughput_tokens_per_s")[0] for each in measured[:7]]
    assert throughput == sorted(throughput)
    for run in runs:
        assert run["simulated"]
        assert run["server"]["name"] == "loadgen prediction"
        assert run["client"] == {"stamp_source": None, "reads": None, "coalesced_ratio": None}
        assert {run["gpu"], run["server_account"], run["client"].get("network_rtt_s")} == {None}
    sweeps = [store.sweep(sweep_id) for sweep_id in prediction.sweep_ids]
    assert {(sweep.status, sweep.simulated, sweep.planned_runs, sweep.runs) for sweep in sweeps} == {
        ("finished", True, 7, 7)
    }


def test_a_prediction_on_record_is_kept(store: Store) -> None:
    file, points = points_at("fig06", load="wave", length=128, batch=1)
    first, again = (predict(file, points, "h100", store) for _ in range(2))
    assert first.sweep_ids == again.sweep_ids
    assert len(store.sweeps()) == 2
    assert first.basis.endswith("with constants fitted on the H200: no run of this accelerator has been compared")
    assert predict(file, points, "h200", store).sweep_ids != first.sweep_ids


def test_a_server_that_draws_experts_at_random_reads_fewer_of_them() -> None:
    assert routing_of({}) is expected_distinct_experts
    assert routing_of({**UNIFORM_ROUTING, "OTHER": "1"}) is distinct_experts_drawn
    of, flags = model("deepseek-v2-lite").architecture, {"max-model-len": 4096}
    step = Step(1, 100)
    even, drawn = (
        deployment_of(of, flags, hardware("h200"), distinct_experts=each).engine.cost_of(step).compute_s
        for each in (expected_distinct_experts, distinct_experts_drawn)
    )
    assert drawn < even


def test_what_does_not_fit_is_a_sweep_that_did_not_start_for_lack_of_memory(store: Store) -> None:
    file, points = points_at("fig07", ffn_size=14336, experts=64, top_k=1)
    prediction = predict(file, points, "h100", store)
    (left_out,) = prediction.out_of_memory
    assert "on NVIDIA H100 SXM5 80GB, it does not fit" in left_out.sentence
    (sweep_id,) = prediction.sweep_ids
    sweep = store.sweep(sweep_id)
    assert (sweep.status, sweep.runs, sweep.start_failure["kind"]) == ("finished", 0, "out_of_gpu_memory")


@pytest.mark.parametrize(
    ("name", "where", "why"),
    [
        ("fig12", {"draft": "8B", "draft_tokens": 1}, "how many drafted tokens are accepted cannot be computed"),
        ("fig14", {"experts_run": "loop", "batch": 64, "length": 128}, "the plug-in expert-loop changes vLLM"),
        ("fig12", {"draft": "n-gram"}, "what ngram drafts depends on the text"),
    ],
)
def test_what_cannot_be_predicted_is_left_out_with_a_reason(
    store: Store, name: str, where: dict[str, object], why: str
) -> None:
    file, points = points_at(name, **where)
    prediction = predict(file, points, "h100", store)
    assert [each.points for each in prediction.left_out] == [len(points)]
    assert why in prediction.left_out[0].sentence
    assert store.sweeps() == []


def test_an_unknown_accelerator_is_refused(store: Store) -> None:
    file, points = points_at("fig06", load="wave", length=128, batch=1)
    with pytest.raises(UsageError, match="there is no accelerator 'h300'"):
        predict(file, points, "h300", store)

"""A sweep against the simulator of a model on hardware gives what `study predict` computes for the same load."""

import pytest

from loadgen.analysis.figure_table import FIGURES
from loadgen.experiments.run_document import SentRun, SweepContext, document_of
from loadgen.load.shapes import Wave
from loadgen.load.spec import RunSpec
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.prediction.predicted_run import predict_run
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.engine_service import deployment_for
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback

OPTIONS = SimulatorOptions(model="mixtral-8x7b", hardware="h100", tp=4)
FACTS = EndpointFacts(
    base_url="http://127.0.0.1:8000",
    api_url="http://127.0.0.1:8000/v1",
    dialect="vllm",
    name="loadgen prediction",
    version=None,
    models=("mixtral-8x7b",),
    max_model_len=None,
    simulated=True,
    has_tokenize=False,
    has_metrics=False,
)
FEW_PER_CENT = 0.05


def test_a_wave_measured_is_the_wave_predicted(cli: Cli) -> None:
    run = RunSpec(url=FACTS.base_url, model="mixtral-8x7b", shape=Wave(8), input_tokens=64, output_tokens=48)
    recording = predict_run(run, deployment_for(OPTIONS), "2026-01-01T00:00:00+00:00")
    predicted = document_of(SweepContext("s", FACTS), run, SentRun("r", 0, "hash", recording)).document
    with SimulatorProcess(OPTIONS) as simulator:
        asked = ("--wave", "8", "--input-tokens", "64", "--output-tokens", "48", "--repeats", "3")
        document = cli("sweep", "--url", simulator.url, *asked, "--json").json
    assert document["simulated"] is True
    for key in ("tpot_s", "e2e_latency_s", "output_tokens_per_s", "paper.throughput_tokens_per_s"):
        figure = FIGURES[key]
        expected = figure.read(predicted)
        assert expected
        errors = [(figure.read(each) or 0) / expected - 1 for each in document["runs"]]
        assert min(map(abs, errors)) < FEW_PER_CENT, (key, errors)  # the host may be busy in one of them

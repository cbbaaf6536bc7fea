"""A sweep against the simulator of a model on hardware gives what `study predict` computes for the same load."""

import pytest

from loadgen.analysis.figure_table import FIGURES
from loadgen.load.shapes import Wave
from loadgen.load.spec import RunSpec
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.simulator.engine_service import deployment_for
from tests.cli.conftest import Cli
from tests.experiments.study.predicted_document import predicted_document

pytestmark = pytest.mark.loopback

OPTIONS = SimulatorOptions(model="mixtral-8x7b", hardware="h100", tp=4)
FEW_PER_CENT = 0.05


def test_a_wave_measured_is_the_wave_predicted(cli: Cli) -> None:
    run = RunSpec(url="http://127.0.0.1:8000", model="mixtral-8x7b", shape=Wave(8), input_tokens=64, output_tokens=48)
    predicted = predicted_document(run, deployment_for(OPTIONS))
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

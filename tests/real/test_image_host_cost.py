"""The measurement behind the constants of images runs in vLLM's environment, and the constants are of its size."""

import os
import re
import subprocess

import pytest

from loadgen.moe.hardware import hardware
from loadgen.servers.prediction.fitted import calibration_for
from tests.real.vllm_server import ROOT, skip_without_vllm

pytestmark = pytest.mark.vllm


def test_it_finds_what_a_pixel_and_a_tile_take() -> None:
    skip_without_vllm()
    command = [str(ROOT / ".venv-vllm/bin/python"), str(ROOT / "scripts/image_host_cost.py"), "--rounds", "3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    (found,) = re.findall(r"^a pixel (.+) ns, a tile (.+) ms, a pixel to resize (.+) ns$", ended.stdout, re.MULTILINE)
    pixel_s, tile_s, resized_pixel_s = float(found[0]) * 1e-9, float(found[1]) * 1e-3, float(found[2]) * 1e-9
    front_end = calibration_for(hardware("h200")).front_end
    # Another processor, or a busy one, may take several times as long; a unit or a factor that is wrong takes more.
    assert front_end.pixel_s / 5 < pixel_s < front_end.pixel_s * 5
    assert front_end.tile_s / 5 < tile_s < front_end.tile_s * 5
    assert front_end.resized_pixel_s / 5 < resized_pixel_s < front_end.resized_pixel_s * 5

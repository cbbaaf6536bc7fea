"""How near vLLM comes to an accelerator's datasheet, and what its processes add: fitted on runs of results/, one set for each accelerator.

`held_out` runs took no part in the fit; `loadgen study predict --check` prints the errors of both.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from loadgen.moe.hardware import Hardware
from loadgen.moe.roofline import Efficiency
from loadgen.servers.prediction.engine_steps import FrontEnd
from loadgen.servers.prediction.step_cost import EngineCosts

SERVER_NAME = "loadgen prediction"
"""The server of a predicted run on record."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Constants for one accelerator and its host. The host's are launching and the processes'."""

    hardware: str
    efficiency: Efficiency
    costs: EngineCosts
    front_end: FrontEnd
    fitted_on: Mapping[str, str]  # sweeps that they were fitted on: id, and file in results/
    slower_hosts: Mapping[str, float]  # how much longer the host's CPU took in sweeps whose ids begin so
    source: str

    def in_sweep(self, sweep_id: str) -> "Calibration":
        """The constants on the host that a sweep ran on."""
        ratio = next((ratio for begin, ratio in self.slower_hosts.items() if sweep_id.startswith(begin)), 1.0)
        return self.on_slower_host(ratio)

    def on_slower_host(self, ratio: float) -> "Calibration":
        """The constants on a host whose CPU takes `ratio` times as long for everything."""
        reached, costs, front_end = self.efficiency, self.costs, self.front_end
        return replace(
            self,
            efficiency=replace(
                reached,
                kernel_launch_s=reached.kernel_launch_s * ratio,
            ),
            costs=replace(
                costs,
                step_s=costs.step_s * ratio,
                sequence_s=costs.sequence_s * ratio,
                prompt_step_s=costs.prompt_step_s * ratio,
                prompt_s=costs.prompt_s * ratio,
                image_s=costs.image_s * ratio,
                vision_layer_s=costs.vision_layer_s * ratio,
            ),
            front_end=FrontEnd(**{name: seconds * ratio for name, seconds in asdict(front_end).items()}),
        )


CALIBRATIONS: Mapping[str, Calibration] = {
    "h200": Calibration(
        hardware="h200",
        efficiency=Efficiency(
            bandwidth_ratio=0.881,
            flops_ratio=0.62,
            layer_overhead_s=60.3e-6,
            kernel_launch_s=48.7e-6,
        ),
        costs=EngineCosts(
            step_s=1.37e-3,
            sequence_s=16e-6,
            prompt_step_s=6.6e-3,
            prompt_s=0.91e-3,
            layer_token_s=0.135e-6,
            layer_sequence_s=0.332e-6,
            latent_layer_s=34.5e-6,
            fp8_layer_s=34e-6,
            image_s=2.5e-3,
            vision_layer_s=0.15e-3,  # an estimate: 14 kernels, 10 µs each
        ),
        front_end=FrontEnd(
            request_s=138e-6,
            prompt_token_s=0.0246e-6,
            reply_s=10.8e-6,
            token_s=27.1e-6,
            caller_s=200e-6,
            image_s=10.6e-3,
            # By scripts/image_host_cost.py, on a server's processor (AMD EPYC)
            pixel_s=4.9e-9,
            tile_s=0.65e-3,
            resized_pixel_s=10.4e-9,
        ),
        fitted_on={
            "s261126-180712-311f": "2026-11-26-h200-olmoe-1b-7b-dummy-128-128.json",
            "s261126-181000-7a3a": "2026-11-26-h200-olmoe-1b-7b-dummy-1024-256.json",
            "s261126-181818-8d74": "2026-11-26-h200-mixtral-8x7b-bf16-dummy-1024-256.json",
            "s261126-182631-12ff": "2026-11-26-h200-mixtral-8x7b-fp8-dummy-1024-256.json",
            "s261130-080212-5260": "2026-11-30-h200-olmoe-1b-7b-dummy-six-repeats.json.gz",
            "s261130-081621-536d": "2026-11-30-h200-deepseek-v2-lite-dummy-waves-128.json.gz",
            "s261130-081744-c155": "2026-11-30-h200-deepseek-v2-lite-dummy-waves-512.json.gz",
            "s261130-212131-932b": "2026-11-30-h200-mixtral-8x7b-dummy-fig03.json.gz",
            # of these two, the host's CPU alone: by the time per token of one caller
            "s261130-211346-6445": "2026-11-30-h200-olmoe-1b-7b-dummy-counting-cost-plain-1.json.gz",
            "s261130-211519-89eb": "2026-11-30-h200-olmoe-1b-7b-dummy-counting-cost-plain-2.json.gz",
            # of these three, the host's CPU alone, and of the first what an image takes the CPU
            "s261201-005855-00de": "2026-12-01-h200-deepseek-vl2-tiny-dummy-image-384-1.json.gz",
            "s261201-010211-35ec": "2026-12-01-h200-deepseek-v2-lite-top-16-dummy-fig05.json.gz",
            "s261201-010438-f9ab": "2026-12-01-h200-qwen1.5-moe-a2.7b-top-1-dummy-fig05.json.gz",
        },
        slower_hosts={"s261130-21": 1.42, "s261130-": 1.69, "s261201-": 1.6},
        source="one H200 with made-up weights, vLLM 0.26.0, server and client on one host of 16 processors, whose CPU was slower in the "
        "sweeps of 30 November and 1 December",
    ),
}


def calibration_for(hardware: Hardware) -> Calibration:
    """The constants fitted for an accelerator; for one without runs, those of the H200, applied to its own datasheet."""
    return CALIBRATIONS.get(hardware.name, CALIBRATIONS["h200"])


def basis_of(hardware: Hardware) -> str:
    """What a prediction for an accelerator rests on, in a sentence."""
    fitted = calibration_for(hardware)
    what = f"vLLM's scheduler on the roofline of {hardware.title}"
    if fitted.hardware == hardware.name:
        return f"{what}, with constants fitted on {len(fitted.fitted_on)} measured sweeps of it"
    return (
        f"{what}, with constants fitted on the {fitted.hardware.upper()}: no run of this accelerator has been compared"
    )


_COMPILED = "a kernel was compiled in the run: TTFT is several times that of the loads next to it"
_STALLED = (
    "its first step took 1.8 s, for a reason that is not known: TTFT is several times that of the loads next to it"
)
OUTLIERS: Mapping[str, str] = {
    "r261130-082426-8662": _COMPILED,
    "r261130-082433-ebad": _COMPILED,
    "r261201-010814-159f": _STALLED,
}
"""Runs that show something other than the engine, by their ids, and what. No verdict on a claim rests on them."""

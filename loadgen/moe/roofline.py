"""The time of one engine step from bytes and FLOPs: each kind of layer takes the longer of its memory and its compute time.

Kinds of layers are different kernels, which run one after the other; within a kernel, reading and computing overlap
perfectly. With the ideal `Efficiency` and a datasheet's rates this is a lower bound, with fitted ones an estimate.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from loadgen.moe.architecture import Architecture
from loadgen.moe.communication import communication_s, embedding_and_head_s, hand_over_s
from loadgen.moe.hardware import Hardware, Rates
from loadgen.moe.kernels import layer_kernels
from loadgen.moe.parameters import expected_distinct_experts
from loadgen.moe.placement import Parallelism
from loadgen.moe.step import Step
from loadgen.moe.step_work import DistinctExperts, Precisions, StageWork, Work, stage_works
from loadgen.moe.vision import works_of


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The share of the hardware's rates that an engine reaches, and its overheads. The default is the ideal.

    The CPU takes time to launch kernels while the GPU computes: the longer of the two counts. A step that only decodes is
    replayed as one CUDA graph, without launches. One with prompts is replayed in pieces around each layer's attention
    (`piece_launch_s` a layer). One of more than `graph_tokens` tokens is launched kernel by kernel (`kernel_launch_s` each).
    """

    bandwidth_ratio: float = 1.0  # of the memory's bandwidth
    flops_ratio: float = 1.0
    link_ratio: float = 1.0
    step_overhead_s: float = 0.0
    layer_overhead_s: float = 0.0
    sequence_overhead_s: float = 0.0  # of each token that passes the head, in each step
    graph_tokens: int | None = None  # None: no step is too large for a graph
    kernel_launch_s: float = 0.0
    piece_launch_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of layer in a step, over all layers and pipeline stages."""

    kind: str
    memory_s: float
    compute_s: float
    time_s: float  # the longer of the two, stage by stage


@dataclass(frozen=True, slots=True)
class StepTime:
    """The parts of the time of one step.

    With pipeline stages a step passes one stage after the other, while the other stages work at other steps. `total_s` is the
    latency of one step through all stages; `interval_s`, the time of the slowest stage, is how soon the next step can follow.
    A sequence is in one step at a time, so with m steps in flight it gets a token every max(total_s, m · interval_s).
    Without pipeline stages the two are the same.
    """

    parts: tuple[Part, ...]
    communication_s: float
    overhead_s: float
    interval_s: float

    @property
    def total_s(self) -> float:
        return sum(part.time_s for part in self.parts) + self.communication_s + self.overhead_s

    @property
    def memory_s(self) -> float:
        return sum(part.memory_s for part in self.parts)

    @property
    def compute_s(self) -> float:
        return sum(part.compute_s for part in self.parts)

    @property
    def bound(self) -> str:
        """What takes most of the time: memory, compute, communication or overhead."""
        memory_s = sum(part.time_s for part in self.parts if part.memory_s >= part.compute_s)
        compute_s = sum(part.time_s for part in self.parts if part.memory_s < part.compute_s)
        times = {
            "memory": memory_s,
            "compute": compute_s,
            "communication": self.communication_s,
            "overhead": self.overhead_s,
        }
        return max(times, key=lambda name: times[name])


@dataclass(frozen=True)
class Roofline:
    """One model, laid out over accelerators of one kind: `step_time` of any step."""

    architecture: Architecture
    hardware: Hardware
    parallelism: Parallelism = field(default_factory=Parallelism)
    precisions: Precisions = field(default_factory=Precisions)
    efficiency: Efficiency = field(default_factory=Efficiency)
    distinct_experts: DistinctExperts = expected_distinct_experts

    def step_time(self, step: Step) -> StepTime:
        """Return the time of one step; 0 if it has no tokens."""
        if not step.tokens:
            return StepTime((), 0.0, 0.0, 0.0)
        step_overhead_s = self.efficiency.step_overhead_s + step.sampled * self.efficiency.sequence_overhead_s
        parts: list[Part] = []
        communication_s, overhead_s, slowest_s = 0.0, 0.0, 0.0
        for place, stage in enumerate(self._stages):
            stage_parts = [self._part(work) for work in (*self._images(step, stage), *stage.work(step))]
            sent_s = self._communication_s(step, stage, last=place == len(self._stages) - 1)
            layers_s = stage.layers * self.efficiency.layer_overhead_s
            busy_s = sum(part.time_s for part in stage_parts) + sent_s + layers_s
            launch_s = stage.layers * self._layer_launch_s(step)
            parts += stage_parts
            communication_s += sent_s
            overhead_s += layers_s + max(0.0, launch_s - busy_s)
            slowest_s = max(slowest_s, busy_s, launch_s)
        return StepTime(
            parts=_summed(parts),
            communication_s=communication_s,
            overhead_s=overhead_s + step_overhead_s,
            interval_s=slowest_s + step_overhead_s,
        )

    def _images(self, step: Step, stage: StageWork) -> tuple[Work, ...]:
        tower = self.architecture.vision
        if tower is None or not step.tiles or not stage.embeds:
            return ()
        return works_of(tower, step.tiles, tensor=self.parallelism.tensor)

    def _layer_launch_s(self, step: Step) -> float:
        reached = self.efficiency
        if reached.graph_tokens is not None and step.tokens > reached.graph_tokens:
            return self.kernel_launches_s / self.architecture.layers
        return reached.piece_launch_s if step.chunks else 0.0

    @cached_property
    def kernel_launches_s(self) -> float:
        """The CPU's time to launch all layers kernel by kernel."""
        kernels = layer_kernels(self.architecture, are_inputs_converted=self.precisions.weights == "fp8")
        return self.architecture.layers * kernels * self.efficiency.kernel_launch_s

    @cached_property
    def _stages(self) -> tuple[StageWork, ...]:
        return stage_works(self.architecture, self.parallelism, self.precisions, self.distinct_experts)

    @cached_property
    def _rates(self) -> Rates:
        """The hardware's rates, reduced to what the engine reaches."""
        rates, reached = self.hardware.datasheet, self.efficiency
        fp8 = rates.fp8_flops_per_s
        return Rates(
            memory_bytes_per_s=rates.memory_bytes_per_s * reached.bandwidth_ratio,
            bf16_flops_per_s=rates.bf16_flops_per_s * reached.flops_ratio,
            fp8_flops_per_s=None if fp8 is None else fp8 * reached.flops_ratio,
            link_bytes_per_s=rates.link_bytes_per_s * reached.link_ratio,
            collective_latency_s=rates.collective_latency_s,
        )

    @cached_property
    def _fp8_kinds(self) -> frozenset[str]:
        """Kinds of layers that compute in fp8."""
        kinds = set()
        if self._rates.fp8_flops_per_s is not None:
            if self.precisions.weights == "fp8":
                kinds |= {"attention_projections", "routed_experts", "shared_experts", "dense_ffn"}
            if self.precisions.kv_cache == "fp8":
                kinds.add("attention")
        return frozenset(kinds)

    def _part(self, work: Work) -> Part:
        flops_per_s = self._rates.bf16_flops_per_s
        if work.kind in self._fp8_kinds and self._rates.fp8_flops_per_s is not None:
            flops_per_s = self._rates.fp8_flops_per_s
        memory_s, compute_s = work.bytes / self._rates.memory_bytes_per_s, work.flops / flops_per_s
        return Part(work.kind, memory_s, compute_s, max(memory_s, compute_s))

    def _communication_s(self, step: Step, stage: StageWork, *, last: bool) -> float:
        total_s = communication_s(
            self.architecture,
            self.parallelism,
            step,
            layers=stage.layers,
            sparse_layers=stage.sparse_layers,
            rates=self._rates,
        )
        embedding_s, head_s = embedding_and_head_s(self.architecture, self.parallelism.tensor, step, self._rates)
        total_s += embedding_s if stage.embeds else 0.0
        if last:
            return total_s + head_s
        return total_s + hand_over_s(self.architecture, step, self._rates)


def _summed(parts: Iterable[Part]) -> tuple[Part, ...]:
    """One part for each kind, in the order of their first appearance."""
    sums: dict[str, Part] = {}
    for part in parts:
        before = sums.get(part.kind)
        sums[part.kind] = (
            part
            if before is None
            else Part(
                part.kind,
                before.memory_s + part.memory_s,
                before.compute_s + part.compute_s,
                before.time_s + part.time_s,
            )
        )
    return tuple(sums.values())

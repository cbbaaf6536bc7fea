"""What a step costs an engine, from the roofline of its model: the device's time from bytes and FLOPs, the CPU's from kernels."""

from dataclasses import dataclass, field, replace

from loadgen.moe.architecture import LatentAttention
from loadgen.moe.roofline import Roofline
from loadgen.moe.step import Step
from loadgen.servers.prediction.engine_steps import StepCost

_GRID_TOKENS = 64  # of context a sequence, between which the time of a decoding step is interpolated


@dataclass(frozen=True, slots=True)
class EngineCosts:
    """What a step takes besides the roofline's times, in seconds.

    The CPU's are of the engine's process. What a sequence takes in a layer is what attention takes however short the context;
    what a token takes in a layer, the kernels between the matrix products.
    """

    step_s: float = 0.0  # CPU
    sequence_s: float = 0.0  # CPU, for each sequence of the step
    prompt_step_s: float = 0.0  # CPU, on top for a step with prompts
    prompt_s: float = 0.0  # CPU, on top for each prompt in it
    layer_sequence_s: float = 0.0  # device, for each sequence in each layer
    layer_token_s: float = 0.0  # device, for each token in each layer
    latent_layer_s: float = 0.0  # device, for each layer with MLA, which has more kernels than others
    image_s: float = 0.0  # CPU, on top for each image that the step encodes
    vision_layer_s: float = 0.0  # CPU, to launch each layer of the encoder, for all images of the step
    fp8_layer_s: float = 0.0  # device, for each layer with fp8 weights, whose inputs are converted on the way


@dataclass(frozen=True, slots=True)
class RooflineCosts:
    """Costs by a roofline. Call it with a step.

    A step that only decodes is interpolated between multiples of 64 tokens of mean context: in that its time is linear but
    for where attention changes from bytes to FLOPs.
    """

    roofline: Roofline  # launching takes no time in it: that is the CPU's, which runs ahead of the device
    launches_s: float  # of all layers, kernel by kernel
    piece_launch_s: float
    costs: EngineCosts
    _known: dict[tuple[float, int, int], StepCost] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, roofline: Roofline, costs: EngineCosts) -> "RooflineCosts":
        """Take the launches out of a roofline's efficiency."""
        reached = roofline.efficiency
        layer_s = reached.layer_overhead_s
        if isinstance(roofline.architecture.attention, LatentAttention):
            layer_s += costs.latent_layer_s
        if roofline.precisions.weights == "fp8":
            layer_s += costs.fp8_layer_s
        device = replace(reached, kernel_launch_s=0.0, piece_launch_s=0.0, layer_overhead_s=layer_s)
        return cls(replace(roofline, efficiency=device), roofline.kernel_launches_s, reached.piece_launch_s, costs)

    def __call__(self, step: Step) -> StepCost:
        if step.chunks or not step.decode_sequences:
            return self._cost(step)
        mean = step.decode_context_tokens / step.decode_sequences
        place = int(mean // _GRID_TOKENS)
        low, high = (self._at(step, each) for each in (place, place + 1))
        share = mean / _GRID_TOKENS - place
        return StepCost(
            low.launch_s,
            low.compute_s + share * (high.compute_s - low.compute_s),
            low.interval_s + share * (high.interval_s - low.interval_s),
        )

    def _at(self, step: Step, place: int) -> StepCost:
        """The cost of a decoding step at a point of the grid."""
        key = step.decode_sequences, step.decode_tokens, place
        if key not in self._known:
            context = step.decode_sequences * place * _GRID_TOKENS
            self._known[key] = self._cost(replace(step, decode_context_tokens=context))
        return self._known[key]

    def _cost(self, step: Step) -> StepCost:
        time = self.roofline.step_time(step)
        layers = self.roofline.architecture.layers
        sequences = step.decode_sequences + len(step.chunks)
        added_s = layers * (sequences * self.costs.layer_sequence_s + step.tokens * self.costs.layer_token_s)
        launch_s = self.costs.step_s + sequences * self.costs.sequence_s + self._launches_s(step)
        if step.chunks:
            launch_s += self.costs.prompt_step_s + len(step.chunks) * self.costs.prompt_s
        tower = self.roofline.architecture.vision
        if step.images and tower is not None:
            launch_s += step.images * self.costs.image_s + tower.layers * self.costs.vision_layer_s
        stages = self.roofline.parallelism.pipeline
        return StepCost(launch_s, time.total_s + added_s, time.interval_s + added_s / stages)

    def _launches_s(self, step: Step) -> float:
        graph_tokens = self.roofline.efficiency.graph_tokens
        if graph_tokens is not None and step.tokens > graph_tokens:
            return self.launches_s
        return self.roofline.architecture.layers * self.piece_launch_s if step.chunks else 0.0

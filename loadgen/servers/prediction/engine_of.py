"""From what a profile serves, and an accelerator, to the engine model that predicts it.

Flags that are not given are as vLLM 0.32 has them by default: `get_batch_defaults` in vllm/engine/arg_utils.py and
`_set_cudagraph_sizes` in vllm/config/vllm.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from loadgen.errors import ModelError
from loadgen.moe.architecture import Architecture, VisionTower
from loadgen.moe.hardware import Hardware
from loadgen.moe.parameters import distinct_experts_drawn, expected_distinct_experts
from loadgen.moe.placement import Parallelism
from loadgen.moe.roofline import Roofline
from loadgen.moe.step_work import DistinctExperts, Precisions
from loadgen.servers.prediction.drafts import DraftedCosts, Drafting, costs_of_pass, drafting_of
from loadgen.servers.prediction.engine_steps import CostOf, EngineModel
from loadgen.servers.prediction.fitted import Calibration, calibration_for
from loadgen.servers.prediction.scheduler import BLOCK_TOKENS, SchedulerLimits
from loadgen.servers.prediction.step_cost import RooflineCosts
from loadgen.servers.profiles.command import arguments, environment
from loadgen.servers.profiles.flag_syntax import canonical, length
from loadgen.servers.profiles.layout import UNIFORM_ROUTING, Layout, layout
from loadgen.servers.profiles.memory_fit import Memory, memory
from loadgen.servers.profiles.schema import Argument, ServerProfile
from loadgen.servers.profiles.subject import draft_of

_ENGINES = ("vllm",)
_GIB = 2**30
_MAX_GRAPH_TOKENS = 512


class UnpredictableError(Exception):
    """What is served cannot be predicted; the message says why."""


class NoMemoryError(Exception):
    """What is served does not fit the accelerators. `is_cache`: the weights do, but not one sequence with them."""

    def __init__(self, sentence: str, *, is_cache: bool) -> None:
        super().__init__(sentence)
        self.is_cache = is_cache


@dataclass(frozen=True, slots=True)
class Deployment:
    """One engine for each data-parallel copy of the model, all alike."""

    engine: EngineModel
    copies: int
    gpus: int
    max_model_len: int | None
    vision: VisionTower | None = None  # what reads images, if the model has it and its sizes are known


def deployment_of(
    architecture: Architecture,
    arguments: Mapping[str, Argument],
    hardware: Hardware,
    *,
    calibration: Calibration | None = None,
    distinct_experts: DistinctExperts = expected_distinct_experts,
) -> Deployment:
    """Lay a model out over accelerators as its arguments say; `distinct_experts` says how many of them a step reads in a layer.

    Raises UnpredictableError, NoMemoryError, and ModelError for sizes that do not divide.
    """
    found, flags = layout(arguments), canonical(arguments)
    drafting, draft = _draft(flags)
    if found.precision is None:
        raise UnpredictableError(
            f"the bytes of its weights are not known ({flags.get('quantization') or flags.get('dtype')})"
        )
    needed = memory(architecture, found, hardware.memory_bytes, draft)
    assert needed is not None, "the precision is known"
    if needed.problem is not None:
        raise NoMemoryError(f"on {hardware.title}, {needed.problem}", is_cache=needed.kv_cache_bytes > 0)
    limits = _limits(flags, found, needed, hardware)
    fitted = calibration or calibration_for(hardware)
    graph_tokens = 0 if flags.get("enforce-eager") is True else min(_MAX_GRAPH_TOKENS, 2 * limits.max_num_seqs)
    efficiency = replace(fitted.efficiency, graph_tokens=graph_tokens)
    roofline = Roofline(
        architecture,
        hardware,
        parallelism=found.parallelism,
        precisions=Precisions(found.precision, found.kv_precision),
        efficiency=efficiency,
        distinct_experts=distinct_experts,
    )
    cost_of: CostOf = RooflineCosts.of(roofline, fitted.costs)
    if drafting is not None and draft is not None:
        over = Parallelism(tensor=found.draft_tensor or found.parallelism.tensor)
        precisions = Precisions(kv_cache=found.kv_precision)
        of_draft = Roofline(draft, hardware, parallelism=over, precisions=precisions, efficiency=efficiency)
        of_pass = RooflineCosts.of(of_draft, costs_of_pass(fitted.costs, draft))
        cost_of = DraftedCosts(cost_of, of_pass, drafting.tokens)
        limits = replace(limits, draft_tokens=drafting.tokens, tokens_per_step=drafting.tokens_per_step)
    engine = EngineModel(
        limits=limits,
        cost_of=cost_of,
        front_end=fitted.front_end,
        steps_in_flight=2 if limits.plans_ahead else found.parallelism.pipeline,
    )
    return Deployment(
        engine, found.parallelism.data, found.parallelism.gpus, found.max_model_len, vision=architecture.vision
    )


def routing_of(variables: Mapping[str, str]) -> DistinctExperts:
    """Return how many distinct experts a step reads, by what a server's environment says of routing."""
    return distinct_experts_drawn if UNIFORM_ROUTING.items() <= variables.items() else expected_distinct_experts


def deployment_of_profile(profile: ServerProfile, architecture: Architecture | None, hardware: Hardware) -> Deployment:
    """Lay out what a profile serves; `architecture` None: not known. Raises UnpredictableError and NoMemoryError."""
    if profile.engine not in _ENGINES:
        raise UnpredictableError(
            f"only the scheduler of {' and '.join(_ENGINES)} is known, and it runs {profile.engine}"
        )
    if profile.plugins:
        raise UnpredictableError(
            f"the plug-in {' and '.join(profile.plugins)} changes vLLM, and vLLM alone is modelled"
        )
    if architecture is None:
        raise UnpredictableError(
            f"the architecture of {profile.model} is not known; name it with the profile's key 'architecture'"
        )
    try:
        routing = routing_of(environment(profile))
        return deployment_of(architecture, arguments(profile), hardware, distinct_experts=routing)
    except ModelError as error:
        raise UnpredictableError(str(error)) from error


def _draft(flags: Mapping[str, object]) -> tuple[Drafting | None, Architecture | None]:
    """How the engine drafts, and the draft's architecture; None of both without drafts. Raises UnpredictableError."""
    try:
        drafting = drafting_of(flags)
    except ValueError as error:
        raise UnpredictableError(f"speculative decoding: {error}") from error
    if drafting is None:
        return None, None
    draft = draft_of(drafting.model)
    if draft is None:
        raise UnpredictableError(f"speculative decoding: the architecture of {drafting.model} is not known")
    return drafting, draft


def _limits(flags: Mapping[str, object], found: Layout, needed: Memory, hardware: Hardware) -> SchedulerLimits:
    """The engine's limits. With pipeline stages vLLM does not plan a sequence again before its last token is known."""
    default_tokens, default_seqs = _batch_defaults(hardware)
    max_num_seqs = found.max_num_seqs or default_seqs
    tokens = length("max-num-batched-tokens", flags.get("max-num-batched-tokens")) or default_tokens
    if found.max_model_len is not None:
        tokens = min(tokens, max_num_seqs * found.max_model_len)
        if flags.get("enable-chunked-prefill") is False:
            tokens = max(tokens, found.max_model_len)
    return SchedulerLimits(
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=tokens,
        kv_blocks=needed.kv_cache_bytes // (needed.kv_bytes_per_token * BLOCK_TOKENS),
        plans_ahead=found.parallelism.pipeline == 1,
    )


def _batch_defaults(hardware: Hardware) -> tuple[int, int]:
    """Tokens and sequences of a step, behind vLLM's HTTP server, by the accelerator's memory."""
    if hardware.memory_bytes >= 160 * _GIB:
        return 16_384, 1024
    if hardware.memory_bytes >= 70 * _GIB and hardware.name != "a100":
        return 8192, 1024
    return 2048, 256

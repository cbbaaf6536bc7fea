"""What is served, as coordinates: read the same way from a profile that is planned and from the record of a server.

Two servers are the same variant if these are equal. The hardware is not among them, nor whether the weights are real:
those say where a point comes from, not which point it is.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from loadgen.analysis.document.server import ServerDocument
from loadgen.errors import ModelError
from loadgen.moe.architecture import Architecture
from loadgen.servers.profiles.command import arguments, environment
from loadgen.servers.profiles.flag_syntax import canonical
from loadgen.servers.profiles.layout import UNIFORM_ROUTING, layout, overrides
from loadgen.servers.profiles.schema import Argument, ServerProfile
from loadgen.servers.profiles.subject import architecture_of
from loadgen.study.claims import Value

_OF_A_VARIANT = ("VLLM_MOE_", "VLLM_TUNED_CONFIG_FOLDER", "VLLM_ATTENTION_BACKEND", "VLLM_ALL2ALL_BACKEND", "LOADGEN_")
"""Variables that change what is computed, by how their names begin; the others say where or how safely it runs."""

_SAY_NOTHING_MORE = frozenset(
    """
    model served-model-name revision tokenizer tokenizer-revision download-dir trust-remote-code load-format generation-config
    host port seed api-key uvicorn-log-level disable-log-stats max-log-len enable-per-request-metrics
    enable-prompt-tokens-details enable-mfu-metrics limit-mm-per-prompt worker-extension-cls
    max-model-len gpu-memory-utilization kv-cache-memory-bytes distributed-executor-backend
    dtype quantization kv-cache-dtype hf-overrides speculative-config
    tensor-parallel-size pipeline-parallel-size data-parallel-size enable-expert-parallel
    """.split()
)
"""Arguments that are coordinates already, or that change how much a server holds, knows and says but not how fast it is."""

ON_ONE_GPU: Mapping[str, Value] = {"tensor": 1, "pipeline": 1, "data": 1, "expert_parallel": False, "gpus": 1}
"""The coordinates of a server that is not spread over GPUs."""

_QUANTISED_ANYHOW = {"fp8_per_tensor": "fp8", "fp8_per_channel": "fp8", "fp8_per_block": "fp8", "half": "fp16"}
_DTYPES = {"float16": "fp16", "half": "fp16", "bfloat16": "bf16", "auto": "bf16"}


@dataclass(frozen=True, slots=True)
class Served:
    """A server's variant. `architecture` None: the model is not known here."""

    model: str  # our name of it, else as requests name it
    architecture: Architecture | None
    coordinates: Mapping[str, Value]
    environment: tuple[tuple[str, str], ...] = ()
    arguments: Mapping[str, object] = field(default_factory=dict, compare=False)  # all of them, by canonical name

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for two servers of the same variant: of the same coordinates, and arguments that change their speed besides."""
        return self.identity_by(())

    @property
    def on_one_gpu(self) -> "Served":
        return replace(self, coordinates={**self.coordinates, **ON_ONE_GPU})

    def identity_by(self, named: Collection[str]) -> tuple[object, ...]:
        """Return the same with some arguments that do not change how fast a server is, such as gpu-memory-utilization."""
        telling = {
            name: value for name, value in self.arguments.items() if name not in _SAY_NOTHING_MORE or name in named
        }
        arguments = sorted(
            (name, json.dumps(value, sort_keys=True)) for name, value in telling.items() if value is not None
        )
        return (
            self.model,
            self.architecture,
            tuple(sorted(self.coordinates.items())),
            self.environment,
            tuple(arguments),
        )


def served_by(profile: ServerProfile) -> Served:
    """What a profile serves. Raises ModelError for a configuration that cannot be."""
    return _served(profile, arguments(profile), environment(profile))


def served_of(server: ServerDocument) -> Served | None:
    """What the server of a record served; None if loadgen did not start it, so that its arguments are not known."""
    launch = server.get("launch")
    if launch is None or launch.get("arguments") is None:
        return None
    name = launch.get("architecture")
    profile = ServerProfile.model_construct(
        name=server.get("profile") or "",
        model=str(launch.get("model_source") or server["model"]),
        served_model_name=server["model"],
        architecture=None if name is None else str(name),
    )
    given = {key: value for key, value in launch.get("arguments", {}).items() if value is not None}
    variables = {str(key): str(value) for key, value in launch.get("environment", {}).items()}
    try:
        return _served(profile, given, variables)  # type: ignore[arg-type]
    except ModelError:  # a model of a later version
        return None


def _served(profile: ServerProfile, given: Mapping[str, Argument], variables: Mapping[str, str]) -> Served:
    architecture = architecture_of(profile, given)
    kept = tuple(
        sorted(
            (key, value)
            for key, value in variables.items()
            if key.startswith(_OF_A_VARIANT) and key not in UNIFORM_ROUTING
        )
    )
    return Served(
        model=profile.architecture or profile.request_model,
        architecture=architecture,
        coordinates=_coordinates(architecture, given),
        environment=kept,
        arguments=canonical(given),
    )


def _coordinates(architecture: Architecture | None, given: Mapping[str, Argument]) -> dict[str, Value]:
    """The coordinates that the arguments and the model tell."""
    over = layout(given)
    sizes = over.parallelism
    found: dict[str, Value] = {
        "precision": _precision(given),
        "kv_precision": over.kv_precision,
        "tensor": sizes.tensor,
        "pipeline": sizes.pipeline,
        "data": sizes.data,
        "expert_parallel": sizes.experts,
        "gpus": sizes.gpus,
    }
    experts = None if architecture is None else architecture.experts
    if architecture is None:  # then what is changed of it tells two variants apart
        found |= {key: value for key, value in overrides(given).items() if isinstance(value, bool | int | float | str)}
    if experts is not None:
        found |= {"experts": experts.experts, "top_k": experts.top_k, "ffn_size": experts.ffn_size}
    speculative = canonical(given).get("speculative-config")
    if isinstance(speculative, Mapping):
        found["draft_model"] = str(speculative.get("model") or speculative.get("method") or "")
        tokens = speculative.get("num_speculative_tokens")
        found["draft_tokens"] = tokens if isinstance(tokens, int) else 0
        stated = speculative.get("synthetic_acceptance_length")
        if isinstance(stated, int | float):
            found["acceptance_length"] = float(stated)
    return found


def _precision(given: Mapping[str, Argument]) -> str:
    """`fp8`, `awq`, `fp16` or `bf16`: as the study names it, not as the release's flag does."""
    flags = canonical(given)
    quantised = flags.get("quantization")
    if quantised is not None:
        return _QUANTISED_ANYHOW.get(str(quantised), str(quantised))
    return _DTYPES.get(str(flags.get("dtype", "auto")), str(flags.get("dtype", "auto")))

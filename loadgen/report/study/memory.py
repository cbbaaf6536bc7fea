"""Which servers of a study fit in the memory of an accelerator, by arithmetic."""

from collections.abc import Iterable
from dataclasses import dataclass

from loadgen.errors import LoadgenError, UsageError
from loadgen.moe.hardware import hardware
from loadgen.servers.profiles.checks import resources
from loadgen.servers.profiles.memory_fit import GB, Memory
from loadgen.study.variants import StudyVariant


@dataclass(frozen=True, slots=True)
class VariantMemory:
    """Whether a server fits. `problem` says why it does not, in a sentence; None if it fits."""

    variant: StudyVariant
    problem: str | None

    @property
    def fits(self) -> bool:
        return self.problem is None


def memory_on(variants: Iterable[StudyVariant], hardware_name: str) -> tuple[VariantMemory, ...]:
    """The servers whose memory is known on this accelerator; none if the accelerator is not known."""
    try:
        bytes_each = hardware(hardware_name).memory_bytes
    except UsageError:
        return ()
    found = ((variant, _memory(variant, bytes_each / GB)) for variant in variants)
    return tuple(VariantMemory(variant, memory.problem) for variant, memory in found if memory is not None)


def _memory(variant: StudyVariant, gpu_memory_gb: float) -> Memory | None:
    profile = variant.variant.served.profile
    if profile.needs is None:
        return None
    needs = profile.needs.model_copy(update={"gpu_memory_gb": gpu_memory_gb})
    try:
        return resources(profile.model_copy(update={"needs": needs}), None)
    except LoadgenError:  # a layout that cannot be
        return None

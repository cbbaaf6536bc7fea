"""Accelerators: the rates of their datasheets.

Rates are of one device. FLOP/s are dense; NVIDIA's datasheets print twice as many, which needs 2:4 sparsity. The rate of links
counts one direction; datasheets print the sum of both. `memory_bytes` is what the driver reports: nvidia-smi prints 81,920 MiB
for an A100 and 81,559 MiB for an H100 of 80 GB, and 143,771 MiB for an H200 (so do the runs in results/); rocm-smi
206,141,652,992 bytes for an MI300X.
"""

import re
from dataclasses import dataclass

from loadgen.errors import UsageError, listed

_TERA, _GIGA = 10**12, 10**9
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast one device computes, reads its memory and sends to its neighbours."""

    memory_bytes_per_s: float
    bf16_flops_per_s: float  # fp16 has the same rate on every device known here
    fp8_flops_per_s: float | None  # None: no fp8 units; fp8 weights are computed in bf16
    link_bytes_per_s: float  # to the other devices of its group, one direction
    collective_latency_s: float  # of one collective operation, whatever its size; no datasheet has it


@dataclass(frozen=True, slots=True)
class Hardware:
    """One kind of accelerator. No program reaches the rates of its datasheet: with them a time is a bound."""

    name: str
    title: str
    card_gb: int  # as it is sold
    memory_bytes: int
    datasheet: Rates
    source: str
    aliases: tuple[str, ...] = ()  # as drivers print it, among others
    label: str = ""  # short name to show; the default is the name in capitals

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.name.upper())


# The latency of a collective is an assumption: 5 µs within a node is about what a small all-reduce over NVLink takes.
_NODE_LATENCY_S = 5e-6

ACCELERATORS: tuple[Hardware, ...] = (
    Hardware(
        name="a100",
        title="NVIDIA A100 SXM4 80GB",
        card_gb=80,
        memory_bytes=81_920 * _MIB,
        datasheet=Rates(
            memory_bytes_per_s=2_039 * _GIGA,
            bf16_flops_per_s=312 * _TERA,
            fp8_flops_per_s=None,
            link_bytes_per_s=300 * _GIGA,
            collective_latency_s=_NODE_LATENCY_S,
        ),
        source="NVIDIA A100 80GB datasheet (SXM column): 2,039 GB/s, BF16 312 TFLOPS dense, NVLink 600 GB/s both directions",
        aliases=("NVIDIA A100", "NVIDIA A100-SXM4-80GB", "A100 80GB", "A100 SXM", "A100 SXM 80GB", "A100 SXM4"),
    ),
    Hardware(
        name="h100",
        title="NVIDIA H100 SXM5 80GB",
        card_gb=80,
        memory_bytes=81_559 * _MIB,
        datasheet=Rates(
            memory_bytes_per_s=3_350 * _GIGA,
            bf16_flops_per_s=989.4 * _TERA,
            fp8_flops_per_s=1_978.9 * _TERA,
            link_bytes_per_s=450 * _GIGA,
            collective_latency_s=_NODE_LATENCY_S,
        ),
        source="NVIDIA H100 datasheet (SXM column): 3.35 TB/s, NVLink 900 GB/s both directions; dense rates from the H100 "
        "architecture whitepaper: BF16 989.4, FP8 1,978.9 TFLOPS (the datasheet's 1,979 and 3,958 are with sparsity)",
        aliases=(
            "NVIDIA H100",
            "NVIDIA H100 80GB HBM3",
            "H100 80GB",
            "H100 SXM",
            "H100 SXM 80GB",
            "H100 SXM5",
            "H100 SXM5 80GB",
        ),
    ),
    Hardware(
        name="h200",
        title="NVIDIA H200 SXM 141GB",
        card_gb=141,
        memory_bytes=143_771 * _MIB,
        datasheet=Rates(
            memory_bytes_per_s=4_800 * _GIGA,
            bf16_flops_per_s=989.4 * _TERA,
            fp8_flops_per_s=1_978.9 * _TERA,
            link_bytes_per_s=450 * _GIGA,
            collective_latency_s=_NODE_LATENCY_S,
        ),
        source="NVIDIA H200 datasheet (SXM column): 141 GB, 4.8 TB/s, NVLink 900 GB/s both directions, BF16 1,979 and FP8 "
        "3,958 TFLOPS with sparsity: the H100's dense rates",
        aliases=("NVIDIA H200", "H200 141GB", "H200 SXM", "H200 SXM 141GB"),
    ),
    Hardware(
        name="mi300x",
        title="AMD Instinct MI300X 192GB",
        card_gb=192,
        memory_bytes=206_141_652_992,
        datasheet=Rates(
            memory_bytes_per_s=5_300 * _GIGA,
            bf16_flops_per_s=1_307.4 * _TERA,
            fp8_flops_per_s=2_614.9 * _TERA,
            link_bytes_per_s=448 * _GIGA,
            collective_latency_s=_NODE_LATENCY_S,
        ),
        source="AMD Instinct MI300X datasheet: 192 GB, 5.3 TB/s, BF16 1,307.4 and FP8 2,614.9 TFLOPS dense, seven Infinity "
        "Fabric links of 128 GB/s both directions",
        aliases=("AMD Instinct MI300X", "AMD Instinct MI300X OAM", "Instinct MI300X", "MI300X 192GB"),
    ),
    Hardware(
        name="cs3",
        label="CS-3",
        title="Cerebras CS-3 (WSE-3)",
        card_gb=44,
        memory_bytes=44 * _GIGA,
        datasheet=Rates(
            memory_bytes_per_s=21_000 * _TERA,
            bf16_flops_per_s=125_000 * _TERA / 8,
            fp8_flops_per_s=None,
            link_bytes_per_s=150 * _GIGA,
            collective_latency_s=_NODE_LATENCY_S,
        ),
        source="Cerebras WSE-3 product page: 44 GB of SRAM, 21 PB/s, 125 PFLOPS FP16, which is with sparsity; Cerebras states "
        "a gain of up to eight from it and no dense rate, so this is an eighth (900,000 cores, 8 FP16 multiply-adds a "
        "cycle at about 1.1 GHz give the same). Argonne's description of the CS system: 1.2 Tb/s to and from the wafer",
        aliases=("Cerebras CS-3", "WSE-3", "Cerebras WSE-3", "Cerebras"),
    ),
)


def hardware(name: str) -> Hardware:
    """Return an accelerator by its name or an alias, such as nvidia-smi's `NVIDIA H200`; case and punctuation do not matter."""
    found = known_hardware(name)
    if found is None:
        known = listed((accelerator.name for accelerator in ACCELERATORS), "accelerators")
        raise UsageError(f"there is no accelerator '{name}'; {known}")
    return found


def known_hardware(name: str) -> Hardware | None:
    """Return an accelerator as `hardware` does, but None for one that is not known."""
    wanted = _plain(name)
    for accelerator in ACCELERATORS:
        if wanted in {_plain(known) for known in (accelerator.name, accelerator.title, *accelerator.aliases)}:
            return accelerator
    return None


def card_memory_bytes(gb: float) -> int:
    """Return the bytes of a GPU that is sold with so many GB: those of the smallest accelerator known here, else GB · 10⁹."""
    return min((each.memory_bytes for each in ACCELERATORS if each.card_gb == gb), default=round(gb * _GIGA))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())

"""Accelerators: found by any name that is in use, and measured rates in the place of datasheets'."""

import pytest

from loadgen.errors import UsageError
from loadgen.moe.hardware import ACCELERATORS, hardware


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("h100", "h100"),
        ("H100", "h100"),
        ("NVIDIA H100 80GB HBM3", "h100"),  # as nvidia-smi prints the SXM5 card
        ("H100 SXM5 80GB", "h100"),
        ("NVIDIA H200", "h200"),
        ("nvidia h200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("A100-80GB", "a100"),
        ("AMD Instinct MI300X", "mi300x"),
        ("MI300X", "mi300x"),
        ("CS-3", "cs3"),
        ("Cerebras CS-3 (WSE-3)", "cs3"),
        ("wse-3", "cs3"),
    ],
)
def test_an_accelerator_is_found_by_its_names(asked: str, name: str) -> None:
    assert hardware(asked).name == name


@pytest.mark.parametrize(
    "other", ["b200", "", "NVIDIA H100 PCIe", "NVIDIA H100 NVL", "NVIDIA H200 NVL", "NVIDIA A100-SXM4-40GB", "MI325X"]
)
def test_another_card_of_the_same_chip_is_not_taken_for_it(other: str) -> None:
    with pytest.raises(UsageError) as refused:
        hardware(other)
    assert str(refused.value) == f"there is no accelerator '{other}'; known accelerators: a100, h100, h200, mi300x, cs3"


def test_every_row_names_its_source_and_no_two_share_a_name() -> None:
    assert all(row.source and hardware(row.title) is row and hardware(row.name) is row for row in ACCELERATORS)
    assert all(hardware(alias) is row for row in ACCELERATORS for alias in row.aliases)


# FLOPs in bf16 for which one byte is read: NVIDIA's and AMD's ratios as they are commonly quoted.
@pytest.mark.parametrize(("name", "ridge"), [("a100", 153), ("h100", 295), ("h200", 206), ("mi300x", 247)])
def test_rates_are_dense(name: str, ridge: int) -> None:
    sheet = hardware(name).datasheet
    assert round(sheet.bf16_flops_per_s / sheet.memory_bytes_per_s) == ridge
    if sheet.fp8_flops_per_s is not None:
        assert sheet.fp8_flops_per_s / sheet.bf16_flops_per_s == pytest.approx(2, rel=1e-3)

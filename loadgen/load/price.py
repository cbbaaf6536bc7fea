"""What a server costs: by the tokens of its provider's list, or by the hours of its GPUs. Pure data and the formulas."""

from dataclasses import asdict, dataclass
from typing import Any

_MILLION = 1_000_000
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars. Either per million tokens, of which an unnamed side is free, or per hour of each of `gpus` GPUs."""

    usd_per_million_input_tokens: float | None = None
    usd_per_million_output_tokens: float | None = None
    usd_per_gpu_hour: float | None = None
    gpus: int = 1

    @property
    def is_by_time(self) -> bool:
        """Whether time is paid, whatever is asked in it."""
        return self.usd_per_gpu_hour is not None

    def of_tokens_usd(self, input_tokens: float, output_tokens: float) -> float:
        """What so many tokens cost by the list."""
        per_input, per_output = self.usd_per_million_input_tokens, self.usd_per_million_output_tokens
        return ((per_input or 0.0) * input_tokens + (per_output or 0.0) * output_tokens) / _MILLION

    def of_time_usd(self, duration_s: float) -> float:
        """What the GPUs cost in that time."""
        return (self.usd_per_gpu_hour or 0.0) * self.gpus * duration_s / _HOUR_S

    def to_json(self) -> dict[str, Any]:
        """What was given; the number of GPUs only where they are paid."""
        document = {key: value for key, value in asdict(self).items() if value is not None}
        if not self.is_by_time:
            del document["gpus"]
        return document

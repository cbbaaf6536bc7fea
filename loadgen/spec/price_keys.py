"""The key of a sweep that says what the server costs. Imports `load`, `errors` and its neighbours."""

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, Field

from loadgen.errors import UsageError
from loadgen.inputs.origin import Origin
from loadgen.load.price import Price
from loadgen.spec.spelling import as_pairs

if TYPE_CHECKING:
    from loadgen.spec.sweep_spec import SweepSpec

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_BY_TOKENS = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
_BY_TIME = ("usd_per_gpu_hour", "gpus")


class PriceKeys(BaseModel):
    """The price as flags and files say it: a mapping of `load.price.Price`'s own names."""

    price: Annotated[dict[str, Amount], BeforeValidator(as_pairs), Field(default_factory=dict)]

    @property
    def price_list(self) -> Price | None:
        """The price, None where none is given."""
        if not self.price:
            return None
        amounts = dict(self.price)
        gpus = int(amounts.pop("gpus", 1))
        return Price(**amounts, gpus=gpus)


def check_price(spec: "SweepSpec", origin: Origin) -> None:
    """Names and combinations that no single amount shows to be wrong. Raises UsageError."""
    name, price = origin.name("price"), spec.price
    for key in price:
        if key not in _BY_TOKENS + _BY_TIME:
            raise UsageError(f"{name} names '{key}', which is no price; choose from {', '.join(_BY_TOKENS + _BY_TIME)}")
    by_tokens, by_time = ([key for key in keys if key in price] for keys in (_BY_TOKENS, _BY_TIME))
    if by_tokens and by_time:
        raise UsageError(
            f"{name} gives {by_tokens[0]} and {by_time[0]}: a server is paid by the token or by the hour; give one"
        )
    if by_time and "usd_per_gpu_hour" not in price:
        raise UsageError(f"{name} gives gpus and no usd_per_gpu_hour; give what one of them costs an hour")
    gpus = price.get("gpus", 1.0)
    if gpus < 1 or not gpus.is_integer():
        raise UsageError(f"{name} gives gpus={gpus:g}; give a whole number from 1 on")

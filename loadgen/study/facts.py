"""Judge claims about the sizes of models, from their real configurations: no server is needed.

A count agrees if it is equal. A size agrees if it is less than one unit of its last digit away, an active one also where the
input embedding is left out, as in `moe.table1`. The configurations here are of the language model: the sizes of a model that reads images are those of its card.
"""

from collections.abc import Callable, Mapping

from loadgen.moe.architecture import Experts
from loadgen.moe.models import Model, model
from loadgen.moe.parameters import Parameters, active_parameters, parameters
from loadgen.moe.table1 import BILLION, active_counts, nearest_count, size_agrees
from loadgen.study.claims import Claim, Fact, FactName, Stated, Value, value_words
from loadgen.study.judgement import JudgedComparison, Judgement, Verdict, worst

_READ_IMAGES = ("deepseek_vl_v2", "llama4")  # families whose models do
_Given = Stated | Value


def judge_fact(claim: Claim) -> Judgement:
    """Return the verdict on a claim of kind `fact`; each stated fact of each model is one comparison. ModelError: no such model."""
    compare = claim.compare
    assert isinstance(compare, Fact)
    if claim.not_testable is not None:
        return Judgement(claim, "not_testable", claim.not_testable)
    models = [model(name) for name in compare.models]
    compared: list[JudgedComparison] = []
    for name, stated in compare.facts.items():
        if name in _OF_SEVERAL:
            compared.append(_OF_SEVERAL[name](models, stated))
        else:
            compared += (_OF_ONE[name](each, stated) for each in models)
    with_card = any(_reads_images(each) for each in models) and any("parameters" in name for name in compare.facts)
    reason = "sizes of models that read images are those of their cards, with the vision part" if with_card else None
    return Judgement(claim, worst([each.verdict for each in compared]), reason, tuple(compared))


def _reads_images(of: Model) -> bool:
    return of.architecture.family in _READ_IMAGES


def _agrees(agrees: bool) -> Verdict:
    return "holds" if agrees else "does_not_hold"


def _words(value: _Given) -> str:
    return str(value) if isinstance(value, Stated) else value_words(value)


def _equal(label: str, read: Callable[[Model], int | str | None]) -> Callable[[Model, _Given], JudgedComparison]:
    def compared(of: Model, stated: _Given) -> JudgedComparison:
        found = read(of)
        verdict = _agrees(found == stated)
        return JudgedComparison(
            f"{of.name}, {label}", None, verdict, _words(stated), "none" if found is None else _words(found)
        )

    return compared


def _of_experts(read: Callable[[Experts], int]) -> Callable[[Model], int | None]:
    """A size of the experts; None for a dense model."""
    return lambda of: None if of.architecture.experts is None else read(of.architecture.experts)


_EXPERTS = _of_experts(lambda experts: experts.experts)


def _total(of: Model, stated: _Given) -> JudgedComparison:
    real = parameters(of.architecture).total / BILLION
    return _size(of, "parameters", stated, card=of.card_total, counts={"": real})


def _active(of: Model, stated: _Given) -> JudgedComparison:
    counts = active_counts(active_parameters(of.architecture))
    return _size(of, "active parameters", stated, card=of.card_active, counts=counts)


def _size(of: Model, label: str, stated: _Given, *, card: str, counts: Mapping[str, float]) -> JudgedComparison:
    size = str(stated).removesuffix("B")
    of_card = _reads_images(of)
    counted, real = nearest_count(size, {"": _billions(card)} if of_card else counts)
    found = card if of_card else f"{real:.2f}B {counted}".rstrip()
    return JudgedComparison(f"{of.name}, {label}", None, _agrees(size_agrees(size, real)), str(stated), found)


def _billions(size: str) -> float:
    """`46.7B` as 46.7."""
    return float(size.removesuffix("B"))


def _total_billions(of: Model) -> float:
    return _billions(of.card_total) if _reads_images(of) else parameters(of.architecture).total / BILLION


def _share(label: str, count: Callable[[Model], Parameters]) -> Callable[[Model, _Given], JudgedComparison]:
    """The share of the experts' layers: routed and shared experts, and the router."""

    def compared(of: Model, stated: _Given) -> JudgedComparison:
        every = count(of)
        found = (every.routed_experts + every.shared_experts + every.router) / every.total
        return _in_range(f"{of.name}, {label}", stated, found, f"{found:.0%}")

    return compared


def _in_range(label: str, stated: _Given, found: float, text: str) -> JudgedComparison:
    assert isinstance(stated, Stated)
    inside = (stated.min is None or found >= stated.min) and (stated.max is None or found <= stated.max)
    return JudgedComparison(label, None, _agrees(inside), stated.as_written, text)


def _divisible(of: Model, stated: _Given) -> JudgedComparison:
    found = _EXPERTS(of)
    divides = found is not None and isinstance(stated, int) and found % stated == 0
    return JudgedComparison(f"{of.name}, experts", None, _agrees(divides), f"a multiple of {stated}", str(found))


def _extreme(label: str, pick: Callable[[list[float]], float]) -> Callable[[list[Model], _Given], JudgedComparison]:
    """The smallest or the largest of several models, against a size or a range."""

    def compared(models: list[Model], stated: _Given) -> JudgedComparison:
        found = pick([_total_billions(each) for each in models])
        name = next(each.name for each in models if _total_billions(each) == found)
        text = f"{found:.1f}B, {name}"
        if isinstance(stated, Stated):
            return _in_range(label, stated, found, text)
        verdict = _agrees(size_agrees(str(stated).removesuffix("B"), found))
        return JudgedComparison(label, None, verdict, str(stated), text)

    return compared


_OF_ONE: Mapping[FactName, Callable[[Model, _Given], JudgedComparison]] = {
    "type": _equal("type", lambda of: "transformer"),  # every architecture of `moe` is one
    "modality": _equal("modality", lambda of: "text and image" if _reads_images(of) else "text"),
    "layers": _equal("layers", lambda of: of.architecture.layers),
    "hidden_size": _equal("hidden size", lambda of: of.architecture.hidden_size),
    "ffn_size": _equal("FFN size of an expert", _of_experts(lambda experts: experts.ffn_size)),
    "experts": _equal("experts", _EXPERTS),
    "top_k": _equal("experts per token", _of_experts(lambda experts: experts.top_k)),
    "parameters": _total,
    "active_parameters": _active,
    "expert_share": _share("share of the experts' layers", lambda of: parameters(of.architecture)),
    "active_expert_share": _share(
        "share of the experts' layers in what a token uses", lambda of: active_parameters(of.architecture)
    ),
    "experts_divisible_by": _divisible,
}
_OF_SEVERAL: Mapping[FactName, Callable[[list[Model], _Given], JudgedComparison]] = {
    "smallest_parameters": _extreme("smallest model", min),
    "largest_parameters": _extreme("largest model", max),
}

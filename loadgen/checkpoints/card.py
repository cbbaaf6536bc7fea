"""What was done to a pruned checkpoint, for programs (`pruning.json`) and for people (`README.md`)."""

from collections.abc import Sequence
from typing import TypedDict

import loadgen
from loadgen.checkpoints.moe_layers import MoeCheckpoint
from loadgen.checkpoints.selection import PrunedSelection, Pruning

FILE = "pruning.json"


class BeforeAfter(TypedDict):
    before: int
    after: int


class KeptExperts(TypedDict):
    layer: int
    experts: list[int]  # by their numbers in the source, in the order of their new numbers


class CountsDocument(TypedDict):
    model: str
    source: str
    tokens: int


class PruningDocument(TypedDict):
    """The content of `pruning.json`."""

    schema_version: int
    loadgen_version: str
    source: str  # the checkpoint's name
    layout: str
    kind: str  # inter, intra
    ratio: float  # as asked
    removed_ratio: float  # of experts, or of each expert's columns
    rule: str
    column_rule: str | None  # by which columns were chosen; null for experts
    seed: int | None  # null unless random
    counts: CountsDocument | None
    experts: BeforeAfter
    ffn_size: BeforeAfter
    shared_ffn_size: BeforeAfter | None  # null if there are no shared experts, or their size is their own
    top_k: int
    weight_bytes: BeforeAfter
    kept_experts: list[KeptExperts] | None  # null if all stayed


def document_of(moe: MoeCheckpoint, pruning: Pruning, selection: PrunedSelection, weight_bytes: int) -> PruningDocument:
    """Describe a pruning whose result has `weight_bytes` of weights."""
    experts, ffn = moe.experts.experts, moe.experts.ffn_size
    inter = pruning.kind == "inter"
    shared = moe.experts.shared_ffn_size if moe.layout.shared and moe.experts.shared_experts else None
    by_norm = "norm" if pruning.rule == "frequency" else pruning.rule
    counts = pruning.counts
    return PruningDocument(
        schema_version=1,
        loadgen_version=loadgen.__version__,
        source=moe.checkpoint.name,
        layout=moe.layout.name,
        kind=pruning.kind,
        ratio=pruning.ratio,
        removed_ratio=1 - (selection.experts / experts if inter else selection.ffn_size / ffn),
        rule=pruning.rule,
        column_rule=None if inter else by_norm,
        seed=pruning.seed if pruning.rule == "random" else None,
        counts=None
        if counts is None
        else CountsDocument(model=counts.model, source=counts.source, tokens=counts.tokens),
        experts=BeforeAfter(before=experts, after=selection.experts),
        ffn_size=BeforeAfter(before=ffn, after=selection.ffn_size),
        shared_ffn_size=None
        if shared is None
        else BeforeAfter(before=shared, after=shared * selection.ffn_size // ffn),
        top_k=moe.experts.top_k,
        weight_bytes=BeforeAfter(before=moe.checkpoint.weight_bytes, after=weight_bytes),
        kept_experts=[
            KeptExperts(layer=layer, experts=[int(each) for each in kept])
            for layer, kept in selection.kept_experts.items()
        ]
        or None,
    )


def summary_lines(document: PruningDocument) -> list[str]:
    """Say in some sentences what was removed, how it was chosen, and how large the weights are."""
    experts, ffn, weights = document["experts"], document["ffn_size"], document["weight_bytes"]
    removed = f"{100 * document['removed_ratio']:.4g} %"
    if document["kind"] == "inter":
        what = f"{experts['after']} of {experts['before']} experts stay in each layer ({removed} removed)"
    else:
        what = f"{ffn['after']} of {ffn['before']} columns stay in each expert ({removed} removed)"
    lines = [f"{what}, chosen by {_rule(document)}. Each token passes {document['top_k']}."]
    shared = document["shared_ffn_size"]
    if shared is not None and shared["after"] != shared["before"]:
        lines.append(
            f"The shared experts keep {shared['after']} of {shared['before']} columns: the configuration has one size for "
            "them and the others."
        )
    share = weights["after"] / weights["before"] if weights["before"] else 1.0
    lines.append(
        f"Weights: {weights['before'] / 1e6:,.1f} MB before, {weights['after'] / 1e6:,.1f} MB after ({100 * share:.1f} %)."
    )
    return lines


def _rule(document: PruningDocument) -> str:
    rule = document["column_rule"] or document["rule"]
    if rule == "random":
        return f"a random draw with seed {document['seed']}"
    if rule == "norm":
        return "the L2 norm of their weights"
    counts = document["counts"]
    assert counts is not None  # without counts there is no such rule
    return f"how often each was used in {counts['tokens']:,} tokens"


def readme_of(document: PruningDocument, lines: Sequence[str]) -> str:
    text = [f"# {document['source']}, pruned", "", *lines, ""]
    if document["kept_experts"] is not None:
        text += ["| layer | experts that stayed, by their old numbers |", "|---|---|"]
        text += [f"| {kept['layer']} | {', '.join(map(str, kept['experts']))} |" for kept in document["kept_experts"]]
        text.append("")
    text += [
        f"Nothing was trained after that. Made by `loadgen moe prune` {document['loadgen_version']}; `{FILE}` has the same for programs.",
        "",
    ]
    return "\n".join(text)

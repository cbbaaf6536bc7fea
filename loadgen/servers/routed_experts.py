"""Experts from a server's own replies: the `routed_experts` of completions that are not streamed.

vLLM sends them when it is started with `--enable-return-routed-experts` (0.26 and later, on CUDA): the bytes of a .npy file in
base64, tokens × layers × top-k, for every token but the last one, which has passed no router (entrypoints/openai/completion/
protocol.py). It has a row for each layer of the model. Those of layers without experts are never written, and are all zero.
"""

import base64
import binascii
import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import numpy.typing as npt

from loadgen.errors import ServerError, UsageError
from loadgen.moe.expert_counts import ExpertCounts
from loadgen.servers.endpoint import error_text
from loadgen.servers.http_client import fetch, open_client, reason_of

_MAX_IN_FLIGHT = 16
_TIMEOUT_S = 600.0
_TURN_ON = "start vLLM with --enable-return-routed-experts (0.26 and later, on CUDA), or count with --experts on a run"

Chosen = npt.NDArray[np.int64]
"""Expert numbers: tokens × layers × top-k."""


def parse_routed_experts(text: str) -> Chosen:
    """Return the experts in one `routed_experts`. Raises ValueError for anything but a .npy array of whole numbers in three dimensions."""
    try:
        array = np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)
    except (binascii.Error, EOFError, OSError, ValueError) as error:
        raise ValueError(f"routed_experts is no .npy file in base64: {error}") from None
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind not in "iu":
        raise ValueError("routed_experts must be whole numbers of tokens × layers × top-k")
    if array.size and int(array.min()) < 0:
        raise ValueError("routed_experts has a negative number")
    return array.astype(np.int64)


def counts_of_replies(
    model: str, replies: Sequence[Chosen], *, experts: int, layers: Sequence[int] | None
) -> ExpertCounts:
    """Return the counts over the tokens of all replies.

    `experts` is the number of routed experts of a layer, `layers` are the sparse ones. None: those in which every token has
    different experts; with one expert a token, those that are not all zero.
    Raises ValueError for replies of different shapes, without tokens, or with numbers beyond `experts`.
    """
    if len({reply.shape[1:] for reply in replies}) != 1:
        raise ValueError("the replies have different numbers of layers or experts per token")
    chosen = np.concatenate(replies)
    tokens, all_layers, top_k = chosen.shape
    if not tokens:
        raise ValueError("the replies have no tokens")
    if (largest := int(chosen.max())) >= experts:
        raise ValueError(f"there is an expert {largest}, and a layer has {experts}")
    sparse = tuple(range(all_layers)) if layers is None else tuple(layers)
    if layers is None:
        sparse = tuple(layer for layer in sparse if _is_written(chosen[:, layer]))
    if not sparse or sparse[-1] >= all_layers:
        raise ValueError(f"of its {all_layers} layers, none of those with experts are reported")
    rows = [np.bincount(chosen[:, layer].ravel(), minlength=experts) for layer in sparse]
    return ExpertCounts(
        model=model,
        source="routed_experts",
        experts_per_token=top_k,
        layers=sparse,
        counts=np.array(rows, dtype=np.int64),
        tokens=tokens,
    )


def _is_written(rows: npt.NDArray[np.int64]) -> bool:
    """Whether the choices of one layer (tokens × k) are a router's: zeros that nothing overwrote name one expert k times."""
    if rows.shape[1] == 1:
        return bool(rows.any())
    ordered = np.sort(rows, axis=1)
    return bool((ordered[:, 1:] != ordered[:, :-1]).all())


def experts_of_replies(
    completions_url: str,
    model: str,
    prompts: Sequence[str],
    output_tokens: int,
    *,
    on_reply: Callable[[int], None] = lambda done: None,
) -> list[Chosen]:
    """Send prompts to a server, not streamed and with up to 16 in flight, and return the experts of each reply.

    `on_reply` is called with how many have come.

    Raises ServerError if a request fails, UsageError for a server that does not report experts.
    """
    asked = {"model": model, "max_tokens": output_tokens, "temperature": 0, "ignore_eos": True, "stream": False}
    with (
        open_client((), _TIMEOUT_S) as client,
        ThreadPoolExecutor(_MAX_IN_FLIGHT, thread_name_prefix="routed-experts") as pool,
    ):
        try:
            replies: list[Chosen] = []
            for reply in pool.map(lambda prompt: _ask(client, completions_url, asked | {"prompt": prompt}), prompts):
                replies.append(reply)
                on_reply(len(replies))
            return replies
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _ask(client: httpx2.Client, url: str, body: dict[str, object]) -> Chosen:
    try:
        answered = fetch(client, url, json.dumps(body).encode(), limit_s=_TIMEOUT_S)
    except httpx2.TransportError as error:
        raise ServerError(f"{url} failed: {reason_of(error, ())}") from None
    if answered.status != 200:
        raise ServerError(f"{url} refused a prompt: HTTP {answered.status} {error_text(answered.content)}".rstrip())
    return _experts_in(answered.object, url)


def _experts_in(reply: dict[str, object], url: str) -> Chosen:
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    text = first.get("routed_experts") if isinstance(first, dict) else None
    if not isinstance(text, str):
        raise UsageError(f"{url} reports no routed experts; {_TURN_ON}")
    try:
        return parse_routed_experts(text)
    except ValueError as error:
        raise ServerError(f"{url}: {error}") from None

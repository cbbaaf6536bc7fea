"""Questions about images put to a chat endpoint, and how many of the replies are right."""

import base64
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

import httpx2

import loadgen
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.errors import ServerError, UsageError
from loadgen.experiments.accuracy.results import TaskResult
from loadgen.load.image_questions import ImageQuestion, image_question
from loadgen.servers.endpoint import error_text
from loadgen.servers.http_client import Fetched, Headers, fetch, open_client, reason_of

VERSION = loadgen.__version__
_LIMIT_S = 300.0  # of one request
_MAX_REPLY_TOKENS = 16


@dataclass(frozen=True, slots=True)
class ChatServer:
    """A chat endpoint, and how it is reached."""

    url: str
    model: str
    headers: Headers = field(default=(), repr=False)
    route: Route = DIRECT


def evaluate(
    tasks: Sequence[str],
    server: ChatServer,
    *,
    samples: int,
    seed: int,
    concurrency: int,
    on_progress: Callable[[int, int], None],
) -> tuple[TaskResult, ...]:
    """Ask `samples` questions of each task, at most `concurrency` at once. The standard error is the one that lm-eval gives.

    Raises UsageError for a server that refuses images, ServerError for one that does not answer.
    """
    questions = [image_question(task, seed=seed, index=index) for task in tasks for index in range(samples)]
    is_right: dict[int, bool] = {}
    with open_client(server.headers, _LIMIT_S, server.route) as client, ThreadPoolExecutor(concurrency) as pool:
        asked = {pool.submit(_ask, client, server, question): at for at, question in enumerate(questions)}
        try:
            for done in as_completed(asked):
                at = asked[done]
                is_right[at] = is_reply(done.result(), questions[at])
                on_progress(len(is_right), len(questions))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return tuple(
        _result(task, [is_right[at] for at, question in enumerate(questions) if question.task == task])
        for task in tasks
    )


def is_reply(said: str, question: ImageQuestion) -> bool:
    """Whether a reply names the right choice and no other, in whatever sentence."""
    words = "".join(letter if letter.isalnum() else " " for letter in said.lower()).split()
    return {word for word in words if word in question.choices} == {question.reply}


def _result(task: str, is_right: Sequence[bool]) -> TaskResult:
    count = len(is_right)
    share = sum(is_right) / count
    error = math.sqrt(share * (1 - share) / (count - 1)) if count > 1 else None
    return TaskResult(task, "exact_match", share, error, count, 0)


def _ask(client: httpx2.Client, server: ChatServer, question: ImageQuestion) -> str:
    image = "data:image/png;base64," + base64.b64encode(question.png).decode("ascii")
    content = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": question.question}]
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": _MAX_REPLY_TOKENS,
        "temperature": 0,
    }
    secrets = (*server.headers, *server.route.secrets)
    try:
        answered = fetch(client, server.url, json.dumps(body).encode(), limit_s=_LIMIT_S)
    except httpx2.HTTPError as error:
        raise ServerError(
            f"{server.url} stopped answering: {reason_of(error, secrets)}; look at the server's log"
        ) from error
    if answered.status == 200 and (text := _text(answered)) is not None:
        return text
    said = error_text(answered.content, secrets) or "its reply has no message"
    where = f"{server.url} refuses a question about an image (HTTP {answered.status}: {said})"
    if 400 <= answered.status < 500:
        raise UsageError(f"{where}; serve a model that reads images, or leave the image tasks out")
    raise ServerError(f"{where}; look at the server's log")


def _text(answered: Fetched) -> str | None:
    """The message's text; an empty one for a reply without any."""
    choices = answered.object.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    return content if isinstance(content, str) else ""

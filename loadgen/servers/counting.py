"""The first questions: which fields an endpoint takes, what it can tell of the tokens in each chunk, and of its prompts.

It is asked for a few tokens before anything is measured, so that a field which it
refuses is met here and not in the run; what it refuses is changed or left out, for all requests alike.
"""

import json
from dataclasses import dataclass, replace

from loadgen.engine.wire.route import DIRECT, Route
from loadgen.load.body import Adaptation, ChunkCounts, Dialect, FieldChange, Prompt, RequestForm, encode_body
from loadgen.load.spec import Endpoint
from loadgen.servers.asking import Asker, RetryPolicy, UnansweredError
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.http_client import Fetched, Headers, open_client
from loadgen.servers.refusals import LENGTH_FIELDS, REFUSED_STATUSES, Refusal, documents_of, read_refusal
from loadgen.servers.reported_tokens import prompt_tokens_in
from loadgen.servers.server_url import PATHS, api_urls

LONG_PROMPT_TOKENS = 1024
"""From here on `usage` is asked for rather than `token_ids`: vLLM sends the ids of the whole prompt along with its first chunk."""

MAX_QUESTIONS = 16
"""How many bodies are tried at most before an endpoint counts as one that refuses them."""

_PROMPT = "Hello"  # one token in every vocabulary that we know of
_PROMPT_IDS = [300, 301, 302, 303]  # several, so that a server which takes them for a text counts more
_TOKENS, _MAX_TOKENS = 2, 64
_CRASHED = (500, 501)  # the statuses of those that do not expect one
_DENIED = (401, 402, 403, 404, 405)

# What may be left out, the dearest first: in this order they are tried again where a refusal names none.
_OPTIONAL = (
    "stream_options",
    "stream_options.include_usage",
    "ignore_eos",
    "temperature",
    "return_token_ids",
    "stream_options.continuous_usage_stats",
)


@dataclass(frozen=True, slots=True)
class Enquiry:
    """What the first questions found.

    `chunk_counts` are the means by which the server counts the tokens of each chunk. `template_tokens` is what it adds to a prompt of
    ours (a chat template, the mark of a beginning), None where it did not say how long the prompt was. `refusal` is the endpoint's
    last word when it takes no body of ours, `problem` why it is not known what it takes.
    """

    chunk_counts: tuple[ChunkCounts, ...]
    template_tokens: int | None = None
    adaptation: Adaptation = ()
    dialect: Dialect | None = None  # another than was supposed
    api_url: str | None = None  # another than was supposed
    refusal: Fetched | None = None
    problem: str | None = None

    def facts(self, facts: EndpointFacts) -> EndpointFacts:
        """`facts` with what was found."""
        return replace(
            facts,
            chunk_counts=self.chunk_counts,
            template_tokens=self.template_tokens,
            adaptation=self.adaptation,
            dialect=self.dialect or facts.dialect,
            api_url=self.api_url or facts.api_url,
            first_question_problem=self.problem,
        )


def enquire(
    facts: EndpointFacts,
    model: str,
    endpoint: Endpoint,
    headers: Headers,
    timeout_s: float = 30.0,
    route: Route = DIRECT,
    retries: RetryPolicy | None = None,
) -> Enquiry:
    """Ask the server for two tokens, with every field that it has not refused and by every means of counting.

    One short request; more where fields are refused (at most `MAX_QUESTIONS`), and again while the server is busy or silent (see
    `asking`). Of Cerebras, whose fields are documented, no means is tried: a refusal would count in its limits. A server that
    answers with another error, or not in time, is taken for what its dialect promises: the warm-up will say what is wrong.
    """
    with open_client(headers, timeout_s, route) as client:
        asker = Asker(client, (*headers, *route.secrets), timeout_s, retries or RetryPolicy())
        return _Enquirer(asker, facts, model, endpoint).enquire()


def chunk_counts_to_ask(told: tuple[ChunkCounts, ...], prompt_tokens: int | None) -> tuple[ChunkCounts, ...]:
    """What to ask for with prompts of at most `prompt_tokens`, None where nobody can tell.

    The best means that costs nothing that could be measured.
    """
    may_be_long = prompt_tokens is None or prompt_tokens > LONG_PROMPT_TOKENS
    if "usage" in told and (may_be_long or "token_ids" not in told):
        return ("usage",)
    return told[:1]


class _Enquirer:
    """One conversation with an endpoint: what it refuses is changed until it takes the body or refuses one without options."""

    def __init__(self, asker: Asker, facts: EndpointFacts, model: str, endpoint: Endpoint) -> None:
        self._asker = asker
        self._facts = facts
        self._model = model
        self._endpoint = endpoint
        self._prompt_ids = list(facts.prompt_ids[: len(_PROMPT_IDS)]) or _PROMPT_IDS
        self._dialect = facts.dialect
        self._api_urls = [facts.api_url, *(url for url in api_urls(facts.base_url) if url != facts.api_url)]
        self._changes: dict[str, str | None] = {}  # by the field as it is usually sent
        self._tried_lengths = [self._length]
        self._tokens = _TOKENS
        self._questions = 0

    def enquire(self) -> Enquiry:
        """Ask until it is known."""
        promised: tuple[ChunkCounts, ...] = ("token_ids",) if self._facts.dialect == "vllm" else ()
        try:
            fetched = self._ask()
            fetched = self._elsewhere(fetched)
            refused = _is_refused(fetched)
            while refused and self._questions < MAX_QUESTIONS:
                if not self._adapt(read_refusal(fetched.content, self._sent())):
                    fetched = self._without_options(fetched)
                    break
                fetched = self._ask()
                refused = _is_refused(fetched)
            if not _is_refused(fetched) and self._takes_text_for_ids(fetched):
                self._dialect = "openai"
                fetched = self._ask()
        except UnansweredError as error:
            return Enquiry(promised, problem=str(error))
        if _is_refused(fetched) or fetched.status in _DENIED:
            is_own = fetched.status in (*REFUSED_STATUSES, *_DENIED)
            problem = f"HTTP {fetched.status}"
            return Enquiry(promised, problem=problem, refusal=fetched if is_own else None)
        if fetched.status != 200:
            return Enquiry(promised, problem=f"HTTP {fetched.status}")
        return Enquiry(
            _chunk_counts_in(fetched.content),
            self._template_tokens(fetched.content),
            self._adaptation(),
            None if self._dialect == self._facts.dialect else self._dialect,
            None if self._api_urls[0] == self._facts.api_url else self._api_urls[0],
        )

    @property
    def _length(self) -> str:
        return "max_completion_tokens" if self._dialect == "cerebras" and self._endpoint == "chat" else "max_tokens"

    @property
    def _sends_ids(self) -> bool:
        return self._dialect == "vllm" and self._endpoint == "completions"

    def _body(self) -> bytes:
        prompt: Prompt = self._prompt_ids if self._sends_ids else _PROMPT
        asks: tuple[ChunkCounts, ...] = () if self._dialect == "cerebras" else ("token_ids", "usage")
        changes = self._adaptation()
        return encode_body(
            RequestForm(self._dialect, asks, changes),
            endpoint=self._endpoint,
            model=self._model,
            prompt=prompt,
            output_tokens=self._tokens,
        )

    def _adaptation(self) -> Adaptation:
        """The changes, with one for an outer field in place of those that leave nothing in it."""
        changes = dict(self._changes)
        inner = [name for name in _OPTIONAL if "." in name]
        if "stream_options" in changes or all(name in changes for name in inner):
            changes = {name: sent_as for name, sent_as in changes.items() if name not in inner} | {
                "stream_options": None
            }
        return tuple(FieldChange(name, sent_as) for name, sent_as in changes.items())

    def _sent(self) -> dict[str, str]:
        """The fields that may be changed, as they are sent: to the field as it is usually sent."""
        body = json.loads(self._body())
        names = [*body, *(f"{outer}.{inner}" for outer in body if outer == "stream_options" for inner in body[outer])]
        usual = {sent_as or name: name for name, sent_as in self._changes.items()}
        return {name: usual.get(name, name) for name in names if usual.get(name, name) in (self._length, *_OPTIONAL)}

    def _ask(self) -> Fetched:
        self._questions += 1
        return self._asker.ask(self._api_urls[0] + PATHS[self._endpoint], self._body())

    def _elsewhere(self, fetched: Fetched) -> Fetched:
        """`fetched`, or the answer of the other place where the API may be when there is no endpoint at this one."""
        if fetched.status not in (404, 405) or len(self._api_urls) < 2 or _speaks_of_model(fetched):
            return fetched
        self._api_urls.reverse()
        other = self._ask()
        if 300 <= other.status < 400 or (other.status in (404, 405) and not _speaks_of_model(other)):
            self._api_urls.reverse()
            return fetched
        return other

    def _adapt(self, refusal: Refusal) -> bool:
        """Change what the refusal names. False when it names nothing, or all that there is."""
        sent = self._sent()
        if self._sends_ids and "prompt" in refusal.other_fields:
            self._dialect = "openai"  # whose prompts are text
            return True
        named = [sent[name] for name in refusal.fields]
        if refusal.instead and not named and not refusal.other_fields:
            named = [self._length]
        if not named or (len(named) > 2 and len(named) >= len([name for name in sent if "." not in name])):
            return False
        for name in named:
            self._change(name, refusal)
        return True

    def _change(self, name: str, refusal: Refusal) -> None:
        if name == self._length:
            if refusal.at_least is not None and self._tokens < refusal.at_least <= _MAX_TOKENS:
                self._tokens = refusal.at_least
            else:
                self._rename_length(refusal.instead)
        elif name == "stream_options" and "stream_options.continuous_usage_stats" in self._sent().values():
            self._changes["stream_options.continuous_usage_stats"] = None  # the rest of it is worth another question
        else:
            self._changes[name] = None

    def _rename_length(self, instead: tuple[str, ...]) -> None:
        """The next name for the longest reply: one that the refusal gives, else one of the two common ones; then none."""
        names = [name for name in (*instead, *LENGTH_FIELDS[:2]) if name not in self._tried_lengths]
        self._changes[self._length] = names[0] if names else None
        self._tried_lengths += names[:1]

    def _without_options(self, first: Fetched) -> Fetched:
        """The answer to a body without any option, to which those are added again that are taken; `first` if it is refused too."""
        before = dict(self._changes), self._dialect
        options = [name for name in _OPTIONAL if name != "stream_options" and name in self._sent().values()]
        self._changes |= dict.fromkeys(options)
        taken = self._ask()
        if _is_refused(taken) and self._sends_ids:
            self._dialect = "openai"  # whose prompts are text
            taken = self._ask()
        if _is_refused(taken) and not (refusal := read_refusal(taken.content, self._sent())).other_fields:
            self._rename_length(refusal.instead)
            taken = self._ask()
        if taken.status != 200 or _is_refused(taken):
            self._changes, self._dialect = before
            return first
        for name in options:
            del self._changes[name]
            if self._questions >= MAX_QUESTIONS or not self._is_taken():
                self._changes[name] = None
        return self._ask()

    def _is_taken(self) -> bool:
        fetched = self._ask()
        return fetched.status == 200 and not _is_refused(fetched)

    def _takes_text_for_ids(self, fetched: Fetched) -> bool:
        """Whether a prompt of token ids was counted as something else: the server is no vLLM then."""
        counted = prompt_tokens_in(fetched.content)
        return self._sends_ids and counted is not None and counted != len(self._prompt_ids)

    def _template_tokens(self, content: bytes) -> int | None:
        """By how much the prompt was longer than what we sent."""
        counted = prompt_tokens_in(content)
        return None if counted is None else counted - (len(self._prompt_ids) if self._sends_ids else 1)


def _is_refused(fetched: Fetched) -> bool:
    """Whether this is a refusal that another body may escape: by its status, or by its text with status 200."""
    if fetched.status in (*REFUSED_STATUSES, *_CRASHED):
        return True
    if fetched.status != 200:
        return False
    documents = [each for each in documents_of(fetched.content) if isinstance(each, dict)]
    return bool(documents) and "error" in documents[0] and not any(each.get("choices") for each in documents)


def _speaks_of_model(fetched: Fetched) -> bool:
    """Whether a 404 is of the endpoint itself, which does not know the model, and not of the path."""
    document = fetched.object
    return bool(document) and any(word in str(document).lower() for word in ("model", "deployment"))


def _chunk_counts_in(stream: bytes) -> tuple[ChunkCounts, ...]:
    """The means that the chunks of an answer show."""
    documents = [each for each in documents_of(stream) if isinstance(each, dict)]
    chunks = [each for each in documents if isinstance(each.get("choices"), list) and each["choices"]]
    choices = [choice for document in chunks for choice in document["choices"] if isinstance(choice, dict)]
    told: list[ChunkCounts] = []
    if any(isinstance(choice.get("token_ids"), list) for choice in choices):
        told.append("token_ids")
    if chunks and all(isinstance(document.get("usage"), dict) for document in chunks):
        told.append("usage")
    return tuple(told)

"""vLLM's V1 scheduler as a state machine: which sequences the next step computes, and for how many tokens each.

Continuous batching with chunked prefill, as in vllm/v1/core/sched/scheduler.py: first every running sequence in order of
admission, then waiting ones in order of arrival, until the token budget of the step is used. A sequence that needs a block of
the KV cache when none is free preempts the one that was admitted last, which loses its cache and waits to be computed anew;
no waiting sequence is admitted in such a step. A prompt is admitted when the cache has room for all of it.

Steps are planned ahead: `plan` takes what a step needs, `finish` returns what it has made, and several plans may lie in
between. There is no clock, no randomness and no input or output.

With drafts, a sequence that decodes computes its last token and the drafted ones in each step, and gets as many tokens as are
accepted and one more. How many that is on average is stated; each sequence gets the whole number that keeps nearest to it.
"""

from collections import deque
from dataclasses import dataclass, field

from loadgen.moe.step import PrefillChunk, Step

BLOCK_TOKENS = 16
"""Tokens in a block of vLLM's KV cache on NVIDIA GPUs."""

_ROUNDING = 1e-9  # so that ten steps of 2.2 tokens make 22


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """What bounds a step. `kv_blocks` is the size of the KV cache."""

    max_num_seqs: int
    max_num_batched_tokens: int
    kv_blocks: int
    # Whether a sequence is planned again before its last token is known (vLLM's asynchronous scheduling).
    plans_ahead: bool = True
    draft_tokens: int = 0  # proposed to each decoding sequence in each step
    tokens_per_step: float = 1.0  # that it gets on average: those accepted, and the model's own


@dataclass(slots=True)
class Sequence:
    """One request inside the engine. Counts are tokens."""

    number: int
    prompt_tokens: int
    output_tokens: int
    images: int = 0  # at the beginning of the prompt, encoded when its first tokens are computed
    tiles: int = 0  # of all of them
    computed: int = 0  # tokens whose keys and values are in the cache, those of planned steps included
    planned: int = 0  # output tokens of all planned steps
    made: int = 0  # output tokens of finished steps
    decoded: int = 0  # planned steps in which it decodes
    blocks: int = 0
    admitted: bool = False  # it runs, and has not been preempted since
    preemptions: int = 0
    is_cancelled: bool = False

    @property
    def in_flight(self) -> int:
        """Output tokens of steps that are planned and not finished."""
        return self.planned - self.made

    @property
    def left(self) -> int:
        """Tokens to compute before its next output token; 0 if all are planned."""
        return self.prompt_tokens + self.planned - self.computed if self.planned < self.output_tokens else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned step. `sampled` are the sequences that get output tokens from it, and `tokens` how many each."""

    step: Step
    sampled: tuple[Sequence, ...]
    tokens: tuple[int, ...]


@dataclass(slots=True)
class Scheduler:
    """Waiting and running sequences, and the free blocks of the KV cache."""

    limits: SchedulerLimits
    waiting: deque[Sequence] = field(default_factory=deque)
    running: list[Sequence] = field(default_factory=list)
    free_blocks: int = field(init=False)

    def __post_init__(self) -> None:
        self.free_blocks = self.limits.kv_blocks

    def add(self, sequence: Sequence) -> None:
        """Append a request to those that wait. Raises ValueError if the cache cannot hold it even alone."""
        self.check(sequence)
        self.waiting.append(sequence)

    def check(self, sequence: Sequence) -> None:
        """Raise ValueError for a request that the cache cannot hold even alone."""
        needed = _blocks(sequence.prompt_tokens + sequence.output_tokens)
        if needed > self.limits.kv_blocks:
            raise ValueError(f"a request of {needed} blocks does not fit a KV cache of {self.limits.kv_blocks}")

    def cancel(self, sequence: Sequence) -> None:
        """Take a request out. Steps in flight still compute it; what they make of it counts for nothing."""
        sequence.is_cancelled = True
        if sequence in self.waiting:
            self.waiting.remove(sequence)
        self.running = [each for each in self.running if each is not sequence]
        self._release(sequence)

    def plan(self) -> Plan | None:
        """Return the next step and reserve what it needs; None if nothing can be computed before a step in flight has finished."""
        chosen, preempted = self._plan_running()
        if not preempted:
            budget = self.limits.max_num_batched_tokens - sum(tokens for _, tokens in chosen)
            chosen += self._admit(budget)
        return self._plan_of(chosen) if chosen else None

    def finish(self, plan: Plan) -> list[Sequence]:
        """Count the output tokens of a step, and return the sequences that have all of theirs, whose blocks are free again.

        Steps finish in the order in which they were planned.
        """
        ended = []
        for sequence, tokens in zip(plan.sampled, plan.tokens, strict=True):
            if sequence.is_cancelled:
                continue
            sequence.made += tokens
            if sequence.made == sequence.output_tokens:
                ended.append(sequence)
                self._release(sequence)
        if ended:
            numbers = {sequence.number for sequence in ended}
            self.running = [sequence for sequence in self.running if sequence.number not in numbers]
        return ended

    def unchanged_steps(self) -> int:
        """For how many steps from now on every running sequence decodes one token and nothing else happens.

        0 if the next step is another kind, or with drafts. Arrivals are the caller's to watch: see `admits_next`.
        """
        if not self.running or not self.limits.plans_ahead or self.limits.draft_tokens or self.admits_next():
            return 0
        if len(self.running) > self.limits.max_num_batched_tokens or any(each.left != 1 for each in self.running):
            return 0
        steps = min(each.output_tokens - each.planned for each in self.running)
        while steps and self._blocks_to_decode(steps) > self.free_blocks:
            steps //= 2
        return steps

    def decoding_step(self) -> Step:
        """The next of the unchanged steps. In each after it the context is a token longer for every sequence."""
        return Step(len(self.running), sum(each.computed + 1 for each in self.running))

    def decode(self, steps: int) -> Plan:
        """Plan so many unchanged steps at once, and return the first."""
        first = self.decoding_step()
        self.free_blocks -= self._blocks_to_decode(steps)
        for each in self.running:
            each.computed += steps
            each.planned += steps
            each.blocks = max(each.blocks, _blocks(each.computed))
        return Plan(first, tuple(self.running), (1,) * len(self.running))

    def finish_decoded(self, plan: Plan, steps: int) -> None:
        """Finish so many of the steps that `decode` planned at once, all but the last at most."""
        for each in plan.sampled:
            each.made += steps

    def admits_next(self) -> bool:
        """Whether the first of the waiting sequences would be admitted now, if the budget has room."""
        if not self.waiting or len(self.running) >= self.limits.max_num_seqs:
            return False
        first = self.waiting[0]
        return not first.in_flight and _blocks(first.prompt_tokens + first.planned) <= self.free_blocks

    def _blocks_to_decode(self, steps: int) -> int:
        return sum(max(0, _blocks(each.computed + steps) - each.blocks) for each in self.running)

    def _plan_running(self) -> tuple[list[tuple[Sequence, int]], bool]:
        """Choose among the running sequences; return them with their tokens, and whether one was preempted."""
        chosen: list[tuple[Sequence, int]] = []
        budget = self.limits.max_num_batched_tokens
        before = len(self.running)
        ready = (
            self.running[:] if self.limits.plans_ahead else [each for each in self.running if each.made == each.planned]
        )
        for sequence in ready:
            drafted = self.limits.draft_tokens if sequence.left == 1 and sequence.planned else 0
            tokens = min(sequence.left + drafted, budget) if sequence.left else 0
            if not tokens:
                continue
            while sequence.admitted and not self._reserve(sequence, tokens):
                self._preempt_last()
            if not sequence.admitted:  # nor is any after it
                break
            chosen.append((sequence, tokens))
            budget -= tokens
        return chosen, len(self.running) < before

    def _admit(self, budget: int) -> list[tuple[Sequence, int]]:
        chosen = []
        while budget and self.admits_next():
            sequence = self.waiting.popleft()
            tokens = min(sequence.left, budget)
            self._reserve(sequence, tokens)
            sequence.admitted = True
            self.running.append(sequence)
            chosen.append((sequence, tokens))
            budget -= tokens
        return chosen

    def _reserve(self, sequence: Sequence, tokens: int) -> bool:
        """Take the blocks for so many more tokens of a sequence, if they are free."""
        needed = max(0, _blocks(sequence.computed + tokens) - sequence.blocks)
        if needed > self.free_blocks:
            return False
        self.free_blocks -= needed
        sequence.blocks += needed
        return True

    def _preempt_last(self) -> None:
        victim = self.running.pop()
        self._release(victim)
        victim.admitted = False
        victim.computed = 0
        victim.preemptions += 1
        if victim.left:  # else its last token is in flight, and nothing has to be computed again
            self.waiting.appendleft(victim)

    def _release(self, sequence: Sequence) -> None:
        self.free_blocks += sequence.blocks
        sequence.blocks = 0

    def _plan_of(self, chosen: list[tuple[Sequence, int]]) -> Plan:
        """Make the step, and count its tokens on its sequences. One that has output and lacks one token decodes."""
        sampled, chunks, decoding, context = list[tuple[Sequence, int]](), [], 0, 0
        begun = [sequence for sequence, _ in chosen if not sequence.computed]
        for sequence, tokens in chosen:
            last = tokens >= sequence.left
            made = 1 if last else 0
            if sequence.left == 1 and sequence.planned:
                made = self._accepted(sequence)
                decoding += 1
                context += sequence.computed + tokens
                sequence.decoded += 1
                sequence.computed += made
            else:
                chunks.append(PrefillChunk(tokens, sequence.computed, last=last))
                sequence.computed += tokens
            if made:
                sequence.planned += made
                sampled.append((sequence, made))
        step = Step(
            decoding,
            context,
            tuple(chunks),
            decode_tokens=1 + self.limits.draft_tokens,
            images=sum(each.images for each in begun),
            tiles=sum(each.tiles for each in begun),
        )
        return Plan(step, tuple(each for each, _ in sampled), tuple(made for _, made in sampled))

    def _accepted(self, sequence: Sequence) -> int:
        """The output tokens of its next decoding step, none beyond its last."""
        mean, done = self.limits.tokens_per_step, sequence.decoded
        made = int((done + 1) * mean + _ROUNDING) - int(done * mean + _ROUNDING)
        return min(made, sequence.output_tokens - sequence.planned)


def _blocks(tokens: int) -> int:
    return -(-tokens // BLOCK_TOKENS)

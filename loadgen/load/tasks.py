"""Small tasks with one right reply, on which the models of trained_models/ are trained and evaluated.

Prompts and replies use lower-case letters, digits and a little punctuation, and a reply has 1 to 10 characters. The prompt
decides whether an example is for training or for tests, so that no test example is ever trained on.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal

Split = Literal["train", "test"]

WRONG_REPLIES = 3

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_COPY_LENGTHS = range(3, 11)
_SORT_LENGTHS = range(3, 10)
_ADD_BELOW = 100
_FIND_PAIRS = range(3, 7)
_TEST_ONE_IN = 10  # prompts are held out by their checksum
_MAX_REPEATS = 1000


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt, the only right reply to it, and wrong replies of the same kind for multiple choice."""

    task: str
    prompt: str
    reply: str
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextTask:
    """A kind of example; `draw` returns a prompt, its reply, and candidates for wrong replies in order of preference."""

    name: str
    title: str
    draw: Callable[[Random], tuple[str, str, list[str]]]
    scrap: str  # characters of which a wrong reply may be made


@dataclass(frozen=True, slots=True)
class _Noun:
    singular: str
    plural: str
    verb: str  # what many of them do
    verb_singular: str


_NOUNS = tuple(
    _Noun(*words.split())
    for words in (
        "bee bees buzz buzzes",
        "bird birds sing sings",
        "cat cats purr purrs",
        "cow cows moo moos",
        "crow crows caw caws",
        "dog dogs bark barks",
        "duck ducks quack quacks",
        "fox foxes yelp yelps",
        "frog frogs croak croaks",
        "goose geese honk honks",
        "lion lions roar roars",
        "mouse mice squeak squeaks",
        "owl owls hoot hoots",
        "pig pigs grunt grunts",
        "snake snakes hiss hisses",
        "wolf wolves howl howls",
    )
)
_PREPOSITIONS = ("above", "behind", "below", "near")


def _copy(rng: Random) -> tuple[str, str, list[str]]:
    word = "".join(rng.choices(_LETTERS, k=rng.choice(_COPY_LENGTHS)))
    return f"copy {word}=", word, _neighbours_swapped(word)


def _sort(rng: Random) -> tuple[str, str, list[str]]:
    digits = "".join(rng.choices(_DIGITS, k=rng.choice(_SORT_LENGTHS)))
    ordered = "".join(sorted(digits))
    return f"sort {digits}=", ordered, [digits, *_neighbours_swapped(ordered)]


def _add(rng: Random) -> tuple[str, str, list[str]]:
    a, b = rng.randrange(_ADD_BELOW), rng.randrange(_ADD_BELOW)
    total = a + b
    near = [str(total + step) for step in (10, -10, 1, -1) if total + step >= 0]
    rng.shuffle(near)
    return f"add {a}+{b}=", str(total), near


def _find(rng: Random) -> tuple[str, str, list[str]]:
    keys = rng.sample(_LETTERS, k=rng.choice(_FIND_PAIRS))
    values = [f"{rng.randrange(100):02}" for _ in keys]
    asked = rng.randrange(len(keys))
    pairs = " ".join(f"{key}{value}" for key, value in zip(keys, values, strict=True))
    others = [value for place, value in enumerate(values) if place != asked]
    rng.shuffle(others)
    return f"find {pairs} {keys[asked]}=", values[asked], others


def _agree(rng: Random) -> tuple[str, str, list[str]]:
    nouns = [(rng.choice(_NOUNS), rng.random() < 0.5) for _ in range(rng.choice((2, 3)))]
    head, head_is_plural = nouns[0]
    places = [f"{rng.choice(_PREPOSITIONS)} the {noun.plural if many else noun.singular}" for noun, many in nouns[1:]]
    subject = head.plural if head_is_plural else head.singular
    verbs = [(noun.verb, noun.verb_singular) if many else (noun.verb_singular, noun.verb) for noun, many in nouns]
    wrong = [verbs[0][1], *verbs[1], *(rng.choice(_NOUNS).verb for _ in range(8))]
    return f"agree the {subject} {' '.join(places)}=", verbs[0][0], wrong


TASKS: Mapping[str, TextTask] = MappingProxyType(
    {
        task.name: task
        for task in (
            TextTask("copy", "repeat 3 to 10 letters", _copy, _LETTERS),
            TextTask("sort", "put 3 to 9 digits in ascending order", _sort, _DIGITS),
            TextTask("add", "add two numbers below 100", _add, _DIGITS),
            TextTask("find", "look up the two digits after one of 3 to 6 letters", _find, _DIGITS),
            TextTask("agree", "name what the first animal of a sentence does, in its number", _agree, _LETTERS),
        )
    }
)
"""By name."""


def example(task: str, split: Split, *, seed: int, index: int) -> Example:
    """Return example `index` of a task; equal arguments give equal examples, and the splits share no prompt.

    Raises KeyError for a task that does not exist.
    """
    drawn = TASKS[task]
    rng = Random(f"{task}/{split}/{seed}/{index}")
    while True:
        prompt, reply, candidates = drawn.draw(rng)
        if split_of(prompt) == split:
            return Example(task, prompt, reply, _wrong(reply, candidates, scrap=drawn.scrap, rng=rng))


def examples(task: str, split: Split, *, seed: int, count: int) -> Iterator[Example]:
    """Yield `count` examples with different prompts.

    Raises KeyError for a task that does not exist, ValueError if the task has too few prompts.
    """
    seen: set[str] = set()
    index = repeats = 0
    while len(seen) < count:
        drawn = example(task, split, seed=seed, index=index)
        index += 1
        if drawn.prompt not in seen:
            seen.add(drawn.prompt)
            repeats = 0
            yield drawn
        elif (repeats := repeats + 1) == _MAX_REPEATS:
            raise ValueError(f"the task {task} has fewer different prompts than asked: {count}; ask for fewer")


def split_of(prompt: str) -> Split:
    """Which split a prompt belongs to, by its CRC-32: one in ten is for tests."""
    return "test" if zlib.crc32(prompt.encode()) % _TEST_ONE_IN == 0 else "train"


def _neighbours_swapped(text: str) -> list[str]:
    return [text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)]


def _wrong(reply: str, candidates: list[str], *, scrap: str, rng: Random) -> tuple[str, ...]:
    """The first candidates that differ from the reply and each other, then the reply with one character changed."""
    wrong: dict[str, None] = dict.fromkeys(text for text in candidates if text != reply)
    while len(wrong) < WRONG_REPLIES:
        at = rng.randrange(len(reply))
        changed = reply[:at] + rng.choice(scrap) + reply[at + 1 :]
        if changed != reply:
            wrong[changed] = None
    return tuple(wrong)[:WRONG_REPLIES]

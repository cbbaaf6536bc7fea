"""What the server really did, request by request: the reference against which a client is judged."""

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, cast

from typing_extensions import TypedDict


class TruthRequest(TypedDict):
    """One request of the truth. Stamps are nanoseconds on the monotonic clock of this host."""

    id: str
    request_id: str | None
    arrival_ns: int
    start_ns: int | None
    stream: bool
    fault: str | None
    prompt_tokens: int
    output_tokens: int
    sent_ns: list[int]


class TruthDocument(TypedDict):
    stamp_source: Literal["kernel", "read"]
    requests: list[TruthRequest]


@dataclass(slots=True, eq=False)
class TruthRecord:
    """One request. Stamps are nanoseconds on the monotonic clock of this host.

    `sent_ns` has one stamp per token, taken just before the write that completed its event; of a response that was not
    streamed it has the one stamp of its only write. A client that hung up, or a `fault` (its name), leaves fewer.
    """

    id: str
    request_id: str | None
    arrival_ns: int
    prompt_tokens: int
    output_tokens: int
    stream: bool
    fault: str | None = None
    start_ns: int | None = None  # None while it waits for a place
    sent_ns: "array[int]" = field(default_factory=lambda: array("q"))

    def to_json(self) -> TruthRequest:
        values = {key: getattr(self, key) for key in TruthRequest.__annotations__}
        return cast(TruthRequest, values | {"sent_ns": self.sent_ns.tolist()})


class Truth:
    """The last `requests` records, in the order of arrival."""

    def __init__(self, requests: int) -> None:
        self._records: deque[TruthRecord] = deque(maxlen=requests)
        self._stamp_source: Literal["kernel", "read"] = "kernel"

    def add(self, record: TruthRecord, kernel_stamped: bool) -> None:
        """Remember a request that has just arrived; one stamp taken at the read makes the whole source `read`."""
        self._records.append(record)
        if not kernel_stamped:
            self._stamp_source = "read"

    def reset(self) -> None:
        self._records.clear()
        self._stamp_source = "kernel"

    def to_json(self) -> TruthDocument:
        return {"stamp_source": self._stamp_source, "requests": [record.to_json() for record in self._records]}

"""Server-sent events: bytes in any pieces to events. Pure and incremental, after the WHATWG HTML standard, section 9.2.

Line ends may be LF, CRLF or CR; lines that start with a colon are comments; one space after the colon of a field is
dropped. Bytes are cut at line ends only, never inside a character, so text is whole whatever the reads were.
"""

from dataclasses import dataclass

_BOM = b"\xef\xbb\xbf"
_IGNORED = (b"id", b"retry")
_MAX_STRAY_LINES = 1000


@dataclass(slots=True)  # frozen would cost three times as much to make, a million times a run
class SseEvent:
    """One dispatched event: its `data` lines joined by LF, and its type (`message` unless the stream named another)."""

    data: bytes
    type: str = "message"


class SseParser:
    """Feed it pieces of the stream; each call returns the events which that piece completed."""

    def __init__(self) -> None:
        self._remainder: list[bytes] = []  # pieces of a line that has not ended
        self._data: list[bytes] = []
        self._type = ""
        self._at_start = True
        self._after_cr = False
        self.stray: list[bytes] = []  # lines that are of no event stream, as a JSON document in its place

    def feed(self, piece: bytes) -> list[SseEvent]:
        """The events completed by `piece`, in order. An event is complete at the blank line which ends it."""
        # The usual case, one whole event of one data line, in one step.
        if (
            not self._remainder
            and not self._data
            and not self._type
            and not self._at_start
            and not self._after_cr
            and piece.startswith(b"data: ")
            and piece.endswith(b"\n\n")
            and b"\r" not in piece
            and piece.find(b"\n") == len(piece) - 2
        ):
            return [SseEvent(piece[6:-2])]
        events: list[SseEvent] = []
        if not piece:
            return events
        if not self._at_start and not self._after_cr and b"\n" not in piece and b"\r" not in piece:
            # Joining a line again with each of its pieces would cost the square of its length.
            self._remainder.append(piece)
            return events
        text = b"".join([*self._remainder, piece])
        if self._at_start:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._remainder = [text]
                return events
            text = text.removeprefix(_BOM)
            self._at_start = False
        # A CR ends its line at once; if it was half of a CRLF, the LF that opens the next piece is its other half.
        if self._after_cr:
            text = text.removeprefix(b"\n")
        self._after_cr = text.endswith(b"\r")
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, remainder = text.split(b"\n")
        self._remainder = [remainder] if remainder else []
        for line in lines:
            self._line(line, events)
        return events

    def end(self) -> list[SseEvent]:
        """The last event, where the stream has ended in good order without the blank line that completes it."""
        events: list[SseEvent] = []
        remainder = b"".join(self._remainder)
        self._remainder = []
        if remainder:
            self._line(remainder, events)
        self._line(b"", events)
        return events

    def _line(self, line: bytes, events: list[SseEvent]) -> None:
        if not line:
            if self._data:
                events.append(SseEvent(b"\n".join(self._data), self._type or "message"))
            self._data, self._type = [], ""
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode(errors="replace")
        elif name and name not in _IGNORED and len(self.stray) < _MAX_STRAY_LINES:
            self.stray.append(line)

"""Standard output and error: any text can be written, no text steers the terminal, and a failed write is one sentence.

`prepared` puts two `TextOutput` in place of `sys.stdout` and `sys.stderr`, which replace control characters. Rich writes its own
control sequences past them, to what `rich_proxied_file` names; `CleanConsole` replaces those in the text that it renders.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from loadgen.errors import OutputError

# Control characters but tab and line feed, marks of writing direction, separators that terminals take for line ends, surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def clean(text: str) -> str:
    """`text` with U+FFFD for each character that may steer a terminal; a line ends with a line feed alone."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(_REPLACEMENT, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`text`, clean and on one line."""
    return clean(re.sub(r"\s*[\r\n]+\s*", " ", text))


def clean_json(text: str) -> str:
    """JSON `text` with escapes for the same characters, so that nothing of it is lost."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


class CheckedOutput:
    """A text stream whose failures are an `OutputError`, or are ignored on stderr: progress must not end a measurement."""

    def __init__(self, raw: TextIO, *, ignores_failures: bool) -> None:
        self._raw = raw
        self._ignores_failures = ignores_failures

    def write(self, text: str) -> int:
        with self._named():
            self._raw.write(text)
        return len(text)

    def write_bytes(self, content: bytes) -> None:
        with self._named():
            self._raw.flush()
            self._raw.buffer.write(content)

    def flush(self) -> None:
        with self._named():
            self._raw.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if self._ignores_failures:
                return
            if isinstance(error, BrokenPipeError):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(
                f"cannot write to standard output: {reason.lower()}; send the output elsewhere (what was measured is saved)"
            ) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class TextOutput:
    """A text stream for everything but Rich: control characters are replaced."""

    def __init__(self, checked: CheckedOutput) -> None:
        self.rich_proxied_file = checked

    def write(self, text: str) -> int:
        """Write clean text."""
        return self.rich_proxied_file.write(clean(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def prepared() -> Iterator[None]:
    """Put both streams in place, and take them away again; a closed descriptor is replaced by the null device."""
    _fill_closed_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout = _output(sys.stdout, 1)
    sys.stderr = _output(sys.stderr, 2)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def discard_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter's last flush cannot fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def rich_file(stream: Any) -> Any:
    """Where Rich may write to, past the replacement of control characters; None before `prepared`."""
    return getattr(stream, "rich_proxied_file", None)


def _output(stream: TextIO | None, descriptor: int) -> TextOutput:
    if stream is None:  # it was closed when the interpreter started
        stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (of a descriptor)
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return TextOutput(CheckedOutput(stream, ignores_failures=descriptor == 2))


def _fill_closed_descriptors() -> None:
    """Open the null device for each that is closed, lest a file that is opened next is taken for standard output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one

"""A Rich console that renders no control character of the text given to it. Import it late: Rich is slow to load."""

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from loadgen.cli.console.streams import clean, rich_file


class CleanConsole(Console):
    """Cleans every segment; Rich's own control sequences are segments of another kind."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of `renderable`, clean."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(clean(segment.text), segment.style)


def clean_console(*, stderr: bool = False, width: int | None = None) -> CleanConsole:
    """Return a console on stdout or stderr; square brackets in a name are text, not Rich's markup."""
    file = rich_file(sys.stderr if stderr else sys.stdout)
    return CleanConsole(file=file, stderr=stderr, width=width, highlight=False, markup=False)

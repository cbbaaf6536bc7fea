"""The colours, dashes and shapes of every chart.

Colours are Okabe and Ito's, which stay apart for the common kinds of colour blindness; nothing is told
by colour alone. The pages' own colours live in static/style.css.
"""

SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F")

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
NEUTRAL = "#7F7F7F"  # what belongs to no line; to be seen on white and on black

SEQUENCE = ("#E3EEF6", "#9CC4DF", "#4A94C2", "#0F639B", "#083A66")  # from little to much, each step darker
CELL_INK = "#000000"  # on the pale end of it, in light and dark pages alike
WHITE_FROM = 0.62  # of that scale, on which white has more contrast from there on: both have 4.5 at least on their side

HELD = "#D9CBB2"  # not sent yet: a limit, or a client that was late
QUEUED = "#B7A4CC"  # at the server, which has not begun
PREFILL = "#56B4E9"
WAITING = "#9EB9CC"  # sent, nothing back yet: pale, the eye belongs to what was received
DECODING = "#0072B2"

OUTCOMES = {
    "http_error": "#D55E00",
    "connect_error": "#E69F00",
    "timeout": "#CC79A7",
    "truncated": "#B8860B",
    "stream_error": "#A0522D",
    "bad_response": "#8C6D31",
    "cancelled": "#7F7F7F",
}

SOLID: tuple[int, ...] = (1, 0)
DASHED: tuple[int, ...] = (5, 3)
DOTTED: tuple[int, ...] = (1, 3)
# Of lines that share a colour.
DASHES: tuple[tuple[int, ...], ...] = (SOLID, DASHED, DOTTED, (8, 3, 1, 3), (12, 4), (4, 2, 1, 2, 1, 2))


def color(position: int) -> str:
    """The colour of the line at that position."""
    return SERIES[position % len(SERIES)]


def dash(position: int) -> list[int]:
    """The dashes of the line at that position, among those of its colour."""
    return list(DASHES[position % len(DASHES)])


def shape(position: int) -> str:
    """The shape that goes with the colour at that position; when the colours begin anew, each gets another than before."""
    return SHAPES[(position + position // len(SERIES)) % len(SHAPES)]

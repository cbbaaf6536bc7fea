"""A chart as a file that stands by itself: SVG, PDF or PNG, on white, with its title, what it is of, and its caption.

vl-convert draws without a browser, a network or the machine's fonts: its own Liberation Sans is as wide as Arial.
The pages draw the same specifications by static/charts.js, in the colours of static/style.css; those of its light scheme stand here.
"""

import json
import textwrap
from collections.abc import Sequence
from typing import Any, Literal, get_args

import vl_convert

from loadgen.errors import UsageError
from loadgen.report.charts.chart import Chart, Spec, heading, legend

DrawingFormat = Literal["svg", "pdf", "png"]
FORMATS: tuple[DrawingFormat, ...] = get_args(DrawingFormat)

WIDTH_PX = 720
NARROWEST_PX, WIDEST_PX = 240, 4_000
PNG_SCALE = 2.0  # sharp on screens of twice the pixels, and in print at that width
LANGUAGE_VERSION = "6.4"

INK, SOFT, LINE, PAPER = "#1c2430", "#5b6675", "#dfe2e6", "#ffffff"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
_TEXT = {"labelColor": SOFT, "titleColor": SOFT, "labelFont": FONT, "titleFont": FONT}
_TITLE_LETTER_PX = 7.6
_LETTER_PX = 5.4  # of the caption's size, on average

PADDING_PX = 14
LIGHT: dict[str, Any] = {
    "background": PAPER,
    "padding": PADDING_PX,
    "font": FONT,
    "title": {
        **{"color": INK, "font": FONT, "fontSize": 14, "anchor": "start", "frame": "bounds", "offset": 14},
        **{"subtitleColor": SOFT, "subtitleFont": FONT, "subtitleFontSize": 11, "subtitlePadding": 6},
    },
    "view": {"stroke": None},
    "axis": {
        **_TEXT,
        **{"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "titlePadding": 8, "labelPadding": 5},
        **{"domainColor": LINE, "tickColor": LINE, "gridColor": LINE, "gridOpacity": 0.6, "tickSize": 4},
    },
    "axisY": {"domain": False, "ticks": False},
    "legend": {
        **_TEXT,
        **{"orient": "top", "labelFontSize": 11, "symbolSize": 70, "offset": 8, "columnPadding": 14},
        **{"symbolBaseFillColor": INK, "symbolBaseStrokeColor": INK, "labelColor": INK},
        "layout": {"top": {"anchor": "start", "direction": "vertical", "margin": 4}},  # two legends, one over the other
    },
    "rule": {"color": INK},
    "text": {"color": INK, "font": FONT},
}


def draw(chart: Chart, form: DrawingFormat, about: Sequence[str] = (), width_px: int = WIDTH_PX) -> bytes:
    """The chart as a file, `width_px` wide. `about` are lines under the title, before the caption.

    Raises UsageError when there is nothing to draw, and says why.
    """
    if chart.spec is None:
        raise UsageError(f"{chart.title}: there is nothing to draw. {chart.caption}")
    if not NARROWEST_PX <= width_px <= WIDEST_PX:
        raise UsageError(f"a drawing is {NARROWEST_PX} to {WIDEST_PX:,} pixels wide, not {width_px:,}")
    spec = standing_alone(chart, chart.spec, about, width_px)
    given: dict[str, Any] = {"vl_version": LANGUAGE_VERSION, "config": LIGHT, "allowed_base_urls": []}
    match form:
        case "svg":
            return vl_convert.vegalite_to_svg(spec, **given).encode()
        case "pdf":
            return vl_convert.vegalite_to_pdf(spec, **given)
        case "png":
            return vl_convert.vegalite_to_png(spec, scale=PNG_SCALE, **given)


def standing_alone(chart: Chart, spec: Spec, about: Sequence[str], width_px: int) -> Spec:
    """The specification with a width in pixels, and with all that the page would say around it in its title."""
    made: Spec = json.loads(json.dumps(spec))  # no part of it twice: parts are changed one by one
    if made.get("width") == "container":
        made["width"] = width_px  # the padding is in it
    _spread_legends(made, width_px)
    for panel in made.get("vconcat", ()):
        panel["width"] = width_px - 2 * PADDING_PX - made["usermeta"]["beside_px"]
    side_by_side = made.get("hconcat", ())
    for panel in side_by_side:
        room_px = width_px - 2 * PADDING_PX - made["spacing"] * (len(side_by_side) - 1)
        panel["width"] = room_px // len(side_by_side) - made["usermeta"]["beside_px"]
    title = made.get("title") or heading(chart)
    said = title if isinstance(title, str) else title["text"]
    room_px = width_px - 2 * PADDING_PX
    if isinstance(said, str) and len(said) * _TITLE_LETTER_PX > room_px:
        said = textwrap.wrap(said, int(room_px / _TITLE_LETTER_PX))
    letters = int(room_px / _LETTER_PX)
    lines = [line for words in (*about, chart.caption) if words for line in textwrap.wrap(words, letters)]
    made["title"] = {"text": said, "subtitle": lines}
    return made


def _spread_legends(part: Any, width_px: int) -> None:
    """Legends in as many columns as so wide a drawing has room for."""
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _spread_legends(each, width_px)
    if isinstance(part, dict) and part.get("legend") and "domain" in part.get("scale", {}):
        part["legend"] |= legend(part["scale"]["domain"], width_px)

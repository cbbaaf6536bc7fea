"""Templates to HTML: one Jinja environment, strict about names and escaping everything that comes from outside.

Each page template gets one variable, `page`: a context of `pages`.
"""

import json
import re
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

import loadgen
from loadgen.report import format
from loadgen.report.pages import assets
from loadgen.report.pages.contexts import TEMPLATES, WITH_CHARTS, Page


def json_block(value: Any) -> Markup:
    """`value` as JSON which may stand inside a script element: no `<`, so neither `</script` nor `<!--` can occur."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def code(text: str) -> Markup:
    """Prose with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def unbroken(text: str) -> str:
    """Prose in which no line ends between a number and its percent sign."""
    return text.replace(" %", "\u00a0%")


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(assets.templates_directory()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        code=code,
        json_block=json_block,
        number=format.number,
        plural=format.plural,
        sentence=format.sentence,
        unbroken=unbroken,
    )
    made.globals.update(version=loadgen.__version__, static=assets.static)
    return made


def render(page: Page) -> str:
    template = environment().get_template(TEMPLATES[type(page)])
    return template.render(page=page, vega=assets.vega() if isinstance(page, WITH_CHARTS) else None)

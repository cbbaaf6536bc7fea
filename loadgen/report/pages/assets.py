"""The files that pages are made of: templates, the stylesheet, our own script, and Vega's bundle. Nothing from a network.

In a wheel the templates lie beside the package's code; in a checkout at its root.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vl_convert

import loadgen

VEGA = "vega.js"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def templates_directory() -> Path:
    """Where the templates are: `loadgen/templates` when installed, `templates/` at the root of a checkout."""
    package = Path(loadgen.__file__).parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served: its name, type, text, and a tag that changes whenever the text does."""

    name: str
    media_type: str
    text: str

    @property
    def tag(self) -> str:
        """16 hexadecimal digits over the text: the ETag, and the version in its URL."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def href(self) -> str:
        """The URL under which the dashboard serves it; it changes with the text, so it can be kept for ever."""
        return f"/static/{self.name}?v={self.tag}"


@cache
def vega() -> Asset:
    """Vega, Vega-Lite and vega-embed in one script that sets `vegaEmbed`. Made once in a process: it takes a second."""
    return Asset(VEGA, "text/javascript", vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


@cache
def static(name: str) -> Asset:
    """One of our own files in `static/`. KeyError for any other name: names are looked up, never joined to a path."""
    path = {path.name: path for path in (templates_directory() / "static").iterdir()}[name]
    return Asset(name, _MEDIA_TYPES[path.suffix], path.read_text(encoding="utf-8"))

"""An HTML page as lines to compare: elements with their attributes, texts, and the JSON of charts. Styles and scripts are left out."""

import json
import re
from html.parser import HTMLParser

_WITHOUT_END = {"meta", "link", "input", "br", "hr", "img"}
_LEFT_OUT = {"style", "script"}


class _Lines(HTMLParser):
    """Collect the lines of one page, indented by depth."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._open: list[tuple[str, bool]] = []  # (element, whether its text is JSON)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        is_json = ("type", "application/json") in attributes
        told = "".join(f' {name}="{value}"' for name, value in sorted(attributes, key=str))
        self._add(f"<{tag}{told}>")
        if tag not in _WITHOUT_END:
            self._open.append((tag, is_json))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        inside, is_json = self._open[-1] if self._open else ("", False)
        if is_json:
            self._add(json.dumps(json.loads(data), ensure_ascii=False, sort_keys=True))
        elif inside not in _LEFT_OUT and data.strip():
            self._add(" ".join(data.split()))

    def _add(self, line: str) -> None:
        self.lines.append(" " * len(self._open) + line)


def page_lines(html: str) -> str:
    """The page, without what changes from one day or release to the next."""
    parser = _Lines()
    parser.feed(html)
    text = re.sub(r"\?v=[0-9a-f]{16}", "?v=TAG", "\n".join(parser.lines))
    text = re.sub(r"(?m)^( *loadgen) \d+\.\d+\.\d+\S*", r"\1 VERSION", text)
    return re.sub(r"report of [\d: -]+ UTC", "report of NOW", text)

"""Where the pages of studies lie: in the dashboard, in a folder of files, or one of them in a file by itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from loadgen.study.study_file import StudyFile

INDEX_FILE, CLAIMS_FILE = "index.html", "claims.html"
_TAKEN = ("index", "claims", "static")  # in a folder, by other files


@dataclass(frozen=True, slots=True)
class Site:
    """Addresses of pages; an empty one stands for a page that is not there."""

    kind: Literal["dashboard", "folder", "file"]
    index: str = ""
    claims: str = ""

    def study(self, name: str) -> str:
        match self.kind:
            case "dashboard":
                return f"/studies/{name}"
            case "folder":
                return file_name(name)
        return ""

    def sweep(self, sweep_id: str) -> str:
        return f"/sweeps/{sweep_id}" if self.kind == "dashboard" else ""

    def claim(self, study: str, claim_id: str) -> str:
        """Where a claim stands on the page of its study."""
        page = self.study(study)
        return f"{page}#{claim_id}" if page else ""


DASHBOARD = Site("dashboard", "/studies", "/studies/claims")
FOLDER = Site("folder", INDEX_FILE, CLAIMS_FILE)
FILE = Site("file")


def file_name(study: str) -> str:
    return f"study-{study}.html" if study in _TAKEN else f"{study}.html"


def in_order(files: Iterable[StudyFile]) -> list[StudyFile]:
    """Studies as the paper has them: tables, then figures by number; then `quick`, then all others by name."""
    return sorted(files, key=lambda file: _rank(file.study.name))


def _rank(name: str) -> tuple[int, int, str]:
    for place, beginning in enumerate(("table", "fig")):
        number = name.removeprefix(beginning)
        if number != name and number.isdigit():
            return place, int(number), name
    return (2, 0, name) if name == "quick" else (3, 0, name)

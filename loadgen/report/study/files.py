"""Pages of studies as HTML, and as files: a folder of them, or one study in a file that needs nothing but a browser."""

from collections.abc import Iterator, Sequence

from loadgen.report.pages import assets
from loadgen.report.pages.rendering import environment
from loadgen.report.study.index_page import ClaimsPage, StudiesPage, claims_page, studies_page
from loadgen.report.study.results import StudyResults
from loadgen.report.study.site import CLAIMS_FILE, FILE, FOLDER, INDEX_FILE, file_name
from loadgen.report.study.study_page import StudyPage, study_page

Page = StudiesPage | StudyPage | ClaimsPage

_TEMPLATES: dict[type[Page], str] = {
    StudiesPage: "studies.html",
    StudyPage: "study.html",
    ClaimsPage: "claims.html",
}
_SCRIPTS = ("charts.js", "claims.js")


def render_study(page: Page) -> str:
    """One page as a whole HTML document, for the place that its site says."""
    template = environment().get_template(_TEMPLATES[type(page)])
    layout = "dashboard.html" if page.site.kind == "dashboard" else "study_file.html"
    has_charts = isinstance(page, StudyPage) and page.has_charts
    return template.render(page=page, layout=layout, vega=assets.vega() if has_charts else None)


def study_file(results: StudyResults, all_results: Sequence[StudyResults]) -> str:
    """One study as one page. `all_results`: claims of other studies that contradict its own are shown as well."""
    return render_study(study_page(results, all_results, FILE))


def study_folder(chosen: Sequence[StudyResults], problems: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield the path within the folder and the text of each file: the index, the claims, each study, and what they share."""
    yield INDEX_FILE, render_study(studies_page(chosen, FOLDER, problems))
    yield CLAIMS_FILE, render_study(claims_page(chosen, FOLDER, {}))
    for results in chosen:
        yield file_name(results.file.study.name), render_study(study_page(results, chosen, FOLDER))
    yield "static/style.css", assets.static("style.css").text
    for name in _SCRIPTS:
        yield f"static/{name}", assets.static(name).text
    yield "static/vega.js", assets.vega().text

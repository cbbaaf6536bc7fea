"""Pages of studies as HTML."""

from loadgen.report.pages import assets
from loadgen.report.pages.rendering import environment
from loadgen.report.study.index_page import ClaimsPage, StudiesPage
from loadgen.report.study.study_page import StudyPage

Page = StudiesPage | StudyPage | ClaimsPage

_TEMPLATES: dict[type[Page], str] = {
    StudiesPage: "studies.html",
    StudyPage: "study.html",
    ClaimsPage: "claims.html",
}


def render_study(page: Page) -> str:
    """One page as a whole HTML document, for the place that its site says."""
    template = environment().get_template(_TEMPLATES[type(page)])
    layout = "dashboard.html" if page.site.kind == "dashboard" else "study_file.html"
    has_charts = isinstance(page, StudyPage) and page.has_charts
    return template.render(
        page=page,
        layout=layout,
        vega=assets.vega() if has_charts else None,
        claims_script=assets.static("claims.js"),
    )

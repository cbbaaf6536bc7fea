"""Write docs/study-report.html: the pages of all studies with the results in results/, in one file that needs nothing but a browser.

The pages are those of `loadgen study report`. The file shows one at a time in a frame; styles and scripts are in it once.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "study-report.html"
INDEX = "index.html"
_SHELL = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="data-sha256" content="$digest">
<title>Studies · loadgen</title>
<style>html, body, iframe { margin: 0; border: 0; width: 100%; height: 100%; display: block; } body { overflow: hidden; }</style>
</head>
<body>
<iframe title="Page" id="page"></iframe>
<script type="application/json" id="files">$files</script>
<script>
"use strict";
const files = JSON.parse(document.getElementById("files").textContent);
const frame = document.getElementById("page");
const follow = `<script>addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  const to = link ? link.getAttribute("href") : "";
  if (to.startsWith("#")) document.getElementById(to.slice(1))?.scrollIntoView();
  else if (/^[^:/]*[.]html(#.*)?$$/.test(to)) parent.postMessage(to, "*");
  else return;
  event.preventDefault();
});<\\/script>`;
let shown = "";
function show() {
  const [name, place] = (location.hash.slice(1) || "$index").split("#");
  if (!(name in files)) return;
  const inlined = files[name]
    .replace("</body>", () => follow + "</body>")
    .replace(/<link rel="stylesheet" href="([^"]+)">/g, (tag, path) => `<style>$${files[path]}</style>`)
    .replace(/<script src="([^"]+)"[^>]*><\\/script>/g, (tag, path) => `<script>$${files[path]}<\\/script>`);
  const go = () => { if (place) frame.contentDocument?.getElementById(place)?.scrollIntoView(); };
  document.title = (/<title>([^<]*)/.exec(inlined) || ["", document.title])[1].replaceAll("&amp;", "&");
  if (name === shown) return go();
  shown = name;
  frame.onload = go;
  frame.srcdoc = inlined;
}
addEventListener("hashchange", show);
addEventListener("message", (event) => { if (event.source === frame.contentWindow) location.hash = event.data; });
show();
</script>
</body>
</html>
"""
)


def result_files() -> list[Path]:
    """The results that the report rests on, in a fixed order."""
    return sorted(path for path in (ROOT / "results").iterdir() if path.name.endswith((".json", ".json.gz")))


def digest(paths: Iterable[Path] | None = None) -> str:
    """The SHA-256 of the names and contents of results and studies; the report has it as `data-sha256`."""
    total = hashlib.sha256()
    for path in [*result_files(), *sorted((ROOT / "studies").glob("*.yaml"))] if paths is None else paths:
        total.update(f"{path.name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def pages() -> dict[str, str]:
    """Import the results into a database that is not kept, and return the files of the studies' folder by path."""
    from loadgen.importers.importing import read_sweeps
    from loadgen.report.study.files import study_folder
    from loadgen.report.study.library import readable_studies
    from loadgen.report.study.record import PlannedStudy, Record
    from loadgen.report.study.results import results_of
    from loadgen.store.repository import Store
    from loadgen.study.study_file import study_names

    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/report.db") as store:
        for found in (found for path in result_files() for found in read_sweeps(path)):
            store.add_imported(found.sweep, found.runs)
        files, problems = readable_studies(study_names())
        record = Record.of(store)
        return dict(study_folder([results_of(PlannedStudy.of(file), record) for file in files], problems))


def bundle(files: dict[str, str], data_digest: str) -> str:
    """One HTML document with all files in it."""
    text = json.dumps(files, ensure_ascii=False).replace("</", "<\\/").replace("<!--", "<\\u0021--")
    return _SHELL.substitute(digest=data_digest, files=text, index=INDEX)


def main() -> int:
    REPORT.write_text(bundle(pages(), digest()), encoding="utf-8")
    print(
        f"wrote {REPORT.relative_to(ROOT)}: {REPORT.stat().st_size / 1e6:.1f} MB, results and studies {digest()[:12]}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Results measured and stored by loadgen 0.1.0 on 30 November 2026: sweeps of every kind on the simulator, and imported ones.

`results.db.xz` is its SQLite file, `recorded.json.xz` what it recorded beside the requests of one run of each sweep, and
`printed.json.xz` what its commands and pages showed of them (see `printed.py`). The host is made up.
"""

import json
import lzma
from pathlib import Path
from typing import Any

from loadgen.store.repository import Store

HERE = Path(__file__).parent
PRINTED = HERE / "printed.json.xz"


def database(folder: Path) -> str:
    """The URL of a copy of the database in `folder`, with the tables of the present version."""
    copy = folder / "results.db"
    copy.write_bytes(lzma.decompress((HERE / "results.db.xz").read_bytes()))
    url = f"sqlite:///{copy}"
    Store.open(url).close()
    return url


def recorded() -> dict[str, dict[str, Any]]:
    """By run id: the client's facts, the readings of the server's page, and how the run ended."""
    found: dict[str, dict[str, Any]] = read(HERE / "recorded.json.xz")
    return found


def read(path: Path) -> Any:
    """A compressed JSON document."""
    return json.loads(lzma.decompress(path.read_bytes()))


def write(path: Path, document: Any) -> None:
    """Compress a JSON document into `path`."""
    path.write_bytes(lzma.compress(json.dumps(document, ensure_ascii=False).encode(), preset=9))

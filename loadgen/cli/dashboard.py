"""`loadgen dashboard`: the pages in a browser, read-only."""

from typing import Annotated

import typer

from loadgen.cli.options import Database, Quiet, Verbose
from loadgen.cli.terminal import Terminal


def dashboard(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port to listen on; 0 takes any free one.", min=0, max=65535)
    ] = 8080,
    db: Database = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Serve the results as pages, until Ctrl-C. Never writes; runs may go on meanwhile."""
    from loadgen.web.app import serve

    terminal = Terminal.of(context, db, quiet, verbose)
    serve(
        terminal.db,
        host,
        port,
        lambda url: terminal.note(f"dashboard of {terminal.shown_db} at {url} (Ctrl-C ends it)"),
    )

"""`loadgen dashboard`: the pages in a browser, and with a token the service that takes sweeps from others."""

from typing import Annotated

import typer

from loadgen.cli.console.terminal import Terminal
from loadgen.cli.flags.signature import command


@command()
def dashboard(
    terminal: Terminal,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="N", help="Port to listen on, up to 65535; 0 takes any free one.", min=0, max=65535
        ),
    ] = 8080,
    token_env: Annotated[
        str | None,
        typer.Option(
            "--token-env",
            metavar="NAME",
            help="Take sweeps from whoever has the token in this environment variable; needed beyond loopback.",
        ),
    ] = None,
    allow_target: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-target",
            metavar="URL|HOST|ADDRESS",
            help="A server, or an address, that such sweeps may measure; may be repeated. URL=NAME: with the key in that variable.",
        ),
    ] = None,
) -> None:
    """Serve the results as pages, until Ctrl-C; with a token, take sweeps from others and measure them one after the other.

    For example: loadgen dashboard --token-env LOADGEN_TOKEN --allow-target http://127.0.0.1:8000
    """
    from loadgen.service.app import serve_service

    does = "dashboard of" if token_env is None else "dashboard and service over"
    existed = terminal.has_database

    def ready(url: str) -> None:
        if not existed and terminal.has_database:
            terminal.note(f"new database {terminal.shown_db}")
        terminal.note(f"{does} {terminal.shown_db} at {url} (Ctrl-C ends it)")

    serve_service(
        terminal.db,
        host,
        port,
        token_env=token_env,
        allowed=allow_target or (),
        on_ready=ready,
    )

"""`loadgen dashboard`: the pages in a browser, and with a token the service that takes sweeps from others."""

from loadgen.cli.console.terminal import Terminal
from loadgen.cli.flags.signature import Flag, command

_FLAGS = (
    Flag("host", "ADDRESS", "Address to listen on.", type=str, default="127.0.0.1"),
    Flag("port", "N", "Port to listen on, up to 65535; 0 takes any free one.", type=int, default=8080, most=65535),
    Flag("token_env", "NAME", "Take sweeps from whoever has the token in this environment variable; needed beyond loopback."),
    Flag("allow_target", "URL|HOST|ADDRESS", "A server, or an address, that such sweeps may measure; may be repeated. URL=NAME: with the key in that variable.", type=list[str] | None),
)  # fmt: skip


@command(_FLAGS)
def dashboard(
    terminal: Terminal, *, host: str, port: int, token_env: str | None, allow_target: list[str] | None
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

    serve_service(terminal.db, host, port, token_env=token_env, allowed=allow_target or (), on_ready=ready)

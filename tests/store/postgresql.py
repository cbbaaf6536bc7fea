"""A PostgreSQL server of one's own: made in a temporary folder, reached over loopback, gone at the end."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

MISSING = "no PostgreSQL server on this machine: install it (Debian: apt-get install postgresql)"
_numbers = count(1)


def programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the path, or where Debian puts them, the newest first."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return max(found, key=lambda each: float(each.parts[-3])).parent if found else None


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server. The password is of this one alone."""

    port: int
    password: str
    as_owner: tuple[str, ...]
    bin: Path

    def url(self, database: str, password: str | None = None) -> str:
        """The URL of a database as loadgen takes it."""
        return f"postgresql+psycopg://loadgen:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a database that was just made, empty."""
        name = f"measured_{next(_numbers)}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, database: str, statement: str) -> str:
        """Carry out a statement with the server's own client; what it printed, unaligned."""
        command = [str(self.bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]
        where = [f"host=127.0.0.1 port={self.port} user=loadgen dbname={database} password={self.password}"]
        done = subprocess.run([*command, *where], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()


@contextmanager
def server() -> Iterator[PostgresServer]:
    """Start one, and end it. It will not run as root, so for root it is `postgres` who runs it, in a folder that others may enter."""
    binaries = programs()
    assert binaries is not None, MISSING
    with tempfile.TemporaryDirectory(prefix="loadgen-postgresql-") as made:
        yield from _server(Path(made), binaries)


def _server(folder: Path, binaries: Path) -> Iterator[PostgresServer]:
    as_owner: tuple[str, ...] = ()
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_owner = ("runuser", "-u", "postgres", "--")
    password = secrets.token_hex(8)
    word = folder / "password"
    word.write_text(password)
    if as_owner:
        os.chown(word, owner.pw_uid, owner.pw_gid)
    data = folder / "data"

    def call(*command: str) -> None:
        done = subprocess.run([*as_owner, *command], capture_output=True, text=True, timeout=120, cwd=folder)
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    call(
        *(str(binaries / "initdb"), "-D", str(data), "-U", "loadgen", "--pwfile", str(word), "-A", "scram-sha-256"),
        *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    call(str(binaries / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield PostgresServer(port, password, as_owner, binaries)
    finally:
        call(str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")

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
    folder: Path

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

    def stop(self, mode: str = "fast") -> None:
        """End it, its sessions first (`fast`) or as a crash would (`immediate`)."""
        self._control("-m", mode, "stop")

    def start(self) -> None:
        """Start it again, on the same port with the same data."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._control("-o", options, "-l", str(self.folder / "log"), "start")

    def call(self, *command: str) -> None:
        """Run one of its programs as its owner."""
        done = subprocess.run(
            [*self.as_owner, *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            cwd=self.folder,
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr}"

    def _control(self, *arguments: str) -> None:
        self.call(str(self.bin / "pg_ctl"), "-D", str(self.folder / "data"), "-w", *arguments)


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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = PostgresServer(port, password, as_owner, binaries, folder)
    made.call(
        *(str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "loadgen", "--pwfile", str(word)),
        *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
    )
    made.start()
    try:
        yield made
    finally:
        made.stop("immediate")

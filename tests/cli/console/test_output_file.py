"""Files that users name: the earlier file stays until the new one is whole."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.cli.console.output_file import write_file
from loadgen.errors import UsageError

BOUNDED = """
import resource, signal, sys
from pathlib import Path
from loadgen.cli.console.output_file import write_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_file(Path(sys.argv[1]), b"n" * 5000)
"""


def test_a_file_is_written_and_replaced_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_file(path, b"one")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    write_file(path, b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o640)
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_an_earlier_file_survives_a_disk_that_is_full(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", BOUNDED, str(path)], capture_output=True, text=True, check=False)
    assert f"cannot write {path}: file too large" in ended.stderr
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_device_is_written_to_and_never_replaced() -> None:
    write_file(Path("/dev/null"), b"x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(UsageError, match="cannot write /dev/full: no space left on device"):
        write_file(Path("/dev/full"), b"x")


def test_a_pipe_is_written_to_by_its_name(tmp_path: Path) -> None:
    program = "from pathlib import Path; from loadgen.cli.console.output_file import write_file; "
    program += "write_file(Path('/dev/stdout'), b'all of it')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (ended.stdout, ended.stderr) == (b"all of it", b"")


def test_what_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for path, why in (
        (tmp_path, "is a directory"),
        (tmp_path / "no" / "page.html", "no such file or directory"),
        (tmp_path / ("x" * 300), "file name too long"),
        (tmp_path / "circle", ""),
        (tmp_path / "a\0b", "refused"),
    ):
        with pytest.raises(UsageError, match=f"cannot write .*: {why}"):
            write_file(path, b"x")

"""What a file system refuses is a sentence: with the errors that the libraries really raise."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neurosieve import cli, disk, run

DEVICE = Path("/dev/full")  # Linux: every write finds no space
needs_device = pytest.mark.skipif(not DEVICE.exists(), reason="this system has no /dev/full")


def write_text():
    with DEVICE.open("w") as handle:
        handle.write("x" * 100_000)


def write_array():
    with DEVICE.open("wb") as handle:
        np.save(handle, np.zeros(100_000))


@needs_device
@pytest.mark.parametrize("write", [write_text, write_array])
def test_a_full_disk_is_known_by_what_the_libraries_raise(write, tmp_path):
    with pytest.raises(OSError) as raised:
        write()
    assert disk.full(raised.value)
    told = str(disk.explain(raised.value, [tmp_path / "not" / "yet"]))
    assert f"no space left on the disk of {tmp_path}" in told and "remov" in told and "\n" not in told


def test_the_words_of_safetensors_are_known_too():
    error = RuntimeError('Error while serializing: I/O error: No space left on device (os error 28) "x"')
    assert disk.full(error) and disk.explain(error, ["."]) is not None


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EROFS, "read-only file system"), (errno.EACCES, "permission denied"), (errno.EPERM, "permission denied")],
)
def test_a_closed_place_is_named_with_what_to_do(number, said, tmp_path):
    name = str(tmp_path / "a" / "b")
    told = str(disk.explain(OSError(number, os.strerror(number), name), ["."]))
    assert told.startswith(f"{name}: ") and said in told and "--output" in told


def test_a_place_that_may_not_even_be_looked_at_is_named(tmp_path, monkeypatch):
    closed, look = tmp_path / "closed", os.stat

    def stat(path, *args, **options):
        if isinstance(path, (str, Path)) and Path(path).is_relative_to(closed) and Path(path) != closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, *args, **options)

    closed.mkdir()
    monkeypatch.setattr(os, "stat", stat)
    name = str(closed / "a" / "b")
    told = str(disk.explain(PermissionError(errno.EACCES, "Permission denied", name), ["."]))
    assert told.startswith(f"{name}: permission denied (`ls -ld {closed}` ")


@pytest.mark.parametrize("error", [ValueError("a bug"), FileNotFoundError(2, "No such file", "x"), OSError("odd")])
def test_other_errors_keep_their_traceback(error, monkeypatch):
    assert disk.explain(error, ["."]) is None
    monkeypatch.setattr(cli, "_schema", lambda args: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        cli.main(["schema"])


def test_every_command_says_it_in_a_line_without_a_traceback(monkeypatch, capsys):
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(cli, "_schema", lambda args: (_ for _ in ()).throw(error))
    assert cli.main(["schema"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: no space left") and said.count("\n") == 1
    monkeypatch.setenv("NEUROSIEVE_TRACEBACK", "1")
    with pytest.raises(OSError):
        cli.main(["schema"])


def test_a_job_whose_log_could_not_be_written_is_told_from_one_that_was_killed(tmp_path, monkeypatch):
    (tmp_path / "job.log").touch()
    assert "was it killed?" in run.failure(tmp_path / "job.log")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=4096))
    assert f"no space left on the disk of {tmp_path}" in run.failure(tmp_path / "job.log")

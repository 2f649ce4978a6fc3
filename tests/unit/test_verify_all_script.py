"""The script of `make verify-all`, without a run: what a row changes is changed, and the table says what was found."""

import hashlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ALL = SimpleNamespace(**runpy.run_path("benchmarks/verify_all.py"))


def test_rows_have_names_of_their_own_and_those_that_are_wanted():
    names = [row.name for row in ALL.rows()]
    assert len(set(names)) == len(names) and names[0] == "snakemake"
    assert {"dvc", "one-thread", "two-threads", "slurm", "kills", "path", "home", "user", "umask", "locale", "zone"} | {
        "clock", "hash-seed", "order", "qemu"
    } <= set(names)  # fmt: skip
    assert ALL.KILLS == 20


def test_entries_of_folders_come_in_another_order(tmp_path):
    """By each of the four ways to list a folder, and none is lost."""
    (tmp_path / "src").mkdir()
    ALL.shuffle(tmp_path)
    (tmp_path / "many").mkdir()
    for i in range(60):
        (tmp_path / "many" / f"{i:02d}").touch()
    code = (
        "import json, os, glob; from pathlib import Path; p = Path('many')\n"
        "with os.scandir(p) as entries: scanned = [e.name for e in entries]\n"
        "print(json.dumps([os.listdir(p), scanned, [x.name for x in p.iterdir()], [x.name for x in p.glob('*')],"
        " [os.path.basename(x) for x in glob.glob('many/*')], next(os.walk(p))[2]]))"
    )

    def listed():
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": "src"}, text=True,
            capture_output=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    one, other = listed(), listed()
    for a, b in zip(one, other, strict=True):
        assert sorted(a) == sorted(b) == [f"{i:02d}" for i in range(60)] and a != b


def test_every_process_of_a_killed_run_ends(tmp_path):
    """A job's shell and what it started, in processes of their own."""
    code = "import subprocess, sys; subprocess.run(['bash', '-c', 'sleep 60 & sleep 61'])"
    run = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)

    def session():
        done = subprocess.run(["ps", "-o", "args=", "-s", str(run.pid)], text=True, capture_output=True)
        return [line for line in done.stdout.splitlines() if "defunct" not in line]

    while sum(line.startswith("sleep") for line in session()) < 2:
        time.sleep(0.05)
    ALL.stop_all(run.pid)
    assert run.wait() == -signal.SIGKILL
    end = time.monotonic() + 10
    while session() and time.monotonic() < end:
        time.sleep(0.05)
    assert session() == []


def test_what_is_left_out_of_the_test_benchmark_stands_in_it():
    text = Path("tests/data/tiny.yaml").read_text()
    assert all(text.count(old) == 1 for old, _ in ALL.LESS)


def test_the_table_says_equal_unequal_failed_and_not_run():
    found = {
        "snakemake": {"outcome": "done", "sha256": "a" * 64},
        "dvc": {"outcome": "done", "sha256": "b" * 64},
        "umask": {"outcome": "done", "sha256": "a" * 64},
        "kills": {"outcome": "failed: ended with 1; see /a/log"},
        "clock": {"outcome": "not run: no libfaketime here"},
    }
    lines = {
        line.split(" | ")[0].strip("| "): line for line in ALL.table(found, "tiny", "abc").splitlines() if " | " in line
    }
    assert lines["umask"].endswith(f"`{'a' * 16}` | yes |") and lines["dvc"].endswith(f"`{'b' * 16}` | **no** |")
    assert lines["kills"].endswith("| failed: ended with 1 |") and lines["clock"].endswith("libfaketime here |")
    assert lines["path"].endswith("| not run yet |") and len(lines) == len(ALL.rows()) + 1


def test_the_rows_are_compared_with_the_committed_lock_too(tmp_path, monkeypatch):
    found = {"snakemake": {"outcome": "done", "sha256": "a" * 64}}
    for committed, said in (("a" * 64, "the same."), ("b" * 64, "**another one**.")):
        assert ALL.table(found, "default", "abc", committed).endswith(f"`{committed[:16]}`, {said}")
    assert ALL.committed_hash("tiny", "HEAD") is None
    monkeypatch.setitem(ALL.committed_hash.__globals__, "ROOT", tmp_path)
    for words in (["init", "--quiet"], ["add", "dvc.lock"], ["commit", "--quiet", "--message", "a lock"]):
        (tmp_path / "dvc.lock").write_text("a lock")
        ALL.git(tmp_path, *words)
    assert ALL.committed_hash("default", "HEAD") == hashlib.sha256(b"a lock").hexdigest()
    assert ALL.committed_hash("default", "none") is None


def test_the_table_is_written_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{ALL.BEGIN}\nold\n{ALL.END}\nafter\n")
    for _ in range(2):
        ALL.write_table("| new |", page)
        assert page.read_text() == f"before\n\n{ALL.BEGIN}\n\n| new |\n\n{ALL.END}\nafter\n"
    page.write_text("no marks\n")
    with pytest.raises(SystemExit, match="no lines"):
        ALL.write_table("| new |", page)
    assert ALL.BEGIN in Path("docs/reproduce.md").read_text()


def test_rows_of_another_commit_are_not_gone_on_with(tmp_path):
    ALL.save(tmp_path / "rows.json", "one", "tiny", {"dvc": {"outcome": "done"}})
    assert ALL.load(tmp_path / "rows.json", "one") == {"dvc": {"outcome": "done"}}
    assert ALL.load(tmp_path / "rows.json", "two") == {} == ALL.load(tmp_path / "none.json", "one")

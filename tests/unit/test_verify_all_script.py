"""The script of `make verify-all`, without a run: what a row changes is changed, and the table says what was found."""

import hashlib
import json
import os
import runpy
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ALL = SimpleNamespace(**runpy.run_path("benchmarks/verify_all.py"))


def test_rows_have_names_of_their_own_and_those_that_are_wanted():
    names = [row.name for row in ALL.rows()]
    assert len(set(names)) == len(names) and names[0] == "snakemake"
    assert {"dvc", "one-thread", "two-threads", "slurm", "kills", "path", "home", "user", "umask", "locale", "zone"} | {
        "clock", "hash-seed", "order", "qemu", "together"
    } <= set(names)  # fmt: skip
    assert ALL.KILLS == 20


def test_all_variations_together_are_those_of_the_single_rows(monkeypatch):
    """Each of them is in the command or the environment of the one row; what cannot be made here is told."""
    scope = ALL.together.__globals__
    monkeypatch.setitem(scope, "faketime", lambda: "/lib/faketime.so")
    monkeypatch.setitem(scope, "another_user", lambda: "")
    row = ALL.together(ALL.variations())
    assert row.foreign and not row.lacks and not row.single and row.folder == "a che'ckout \u00fc"
    assert row.env == {
        "HOME": "/nonexistent/second-build", "LC_ALL": ALL.locale(), "LANGUAGE": "fr", "TZ": "GMT-14",
        "PYTHONHASHSEED": "4711",
    }  # fmt: skip
    words = shlex.split(row.command)
    assert words[:4] == ["runuser", "-u", "nobody", "--"] and "FAKETIME=+373d+7h+13m" in words
    assert words[-1] == "umask 0002 && snakemake --cores 2 && neurosieve certify"
    monkeypatch.setitem(scope, "another_user", lambda: "needs root")
    without = ALL.together(ALL.variations())
    assert without.lacks == "user: needs root" and without.command == words[-1] and not without.foreign
    assert without.env == row.env | {"LD_PRELOAD": "/lib/faketime.so", "FAKETIME": "+373d+7h+13m"}


def test_the_clone_is_changed_before_it_is_given_away(tmp_path, monkeypatch):
    order = []
    scope = ALL.together.__globals__
    monkeypatch.setitem(scope, "another_user", lambda: "")
    monkeypatch.setitem(scope, "give_away", lambda place: order.append("give") or {"PATH": "p"})
    monkeypatch.setitem(scope, "shuffle", lambda place: order.append("shuffle") or {})
    assert ALL.together(ALL.variations()).prepare(tmp_path) == {"PATH": "p"} and order == ["shuffle", "give"]


def test_single_variations_are_run_where_all_together_differ_or_fail():
    rows = [row for row in ALL.rows() if row.name in ("snakemake", "together", "slurm")]
    singles = {row.name for row in ALL.rows() if row.single}

    def run(given):
        found = {}
        todo = ALL.run_all(rows, found, lambda row: dict(given(row.name)))
        assert [row.name for row in todo] == list(found)
        return set(found)

    same = {"outcome": "done", "sha256": "a"}
    assert run(lambda name: same) == {"snakemake", "together", "slurm"}
    other = {"together": {"outcome": "done", "sha256": "b"}}
    assert run(lambda name: other.get(name, same)) == {"snakemake", "together", "slurm"} | singles
    assert run(lambda name: {"outcome": "failed: x"} if name == "together" else same) >= singles


def test_what_is_done_is_not_done_again_but_what_was_left_out_is():
    rows = [row for row in ALL.rows() if row.name in ("snakemake", "dvc", "umask", "clock")]
    found = {
        "snakemake": {"outcome": "done", "sha256": "a"}, "umask": {"outcome": "failed: x"},
        "dvc": {"outcome": "done", "sha256": "a", "without": "clock: none"}, "clock": {"outcome": "not run: none"},
    }  # fmt: skip
    again = []
    ALL.run_all(rows, found, lambda row: again.append(row.name) or {"outcome": "done", "sha256": "a"})
    assert again == ["dvc", "umask", "clock"]


@pytest.mark.parametrize(
    ("one", "committed", "status"),
    [
        ({"outcome": "done", "sha256": "a"}, None, 0),
        ({"outcome": "done", "sha256": "a"}, "a", 0),
        ({"outcome": "done", "sha256": "a"}, "b", 1),
        ({"outcome": "done", "sha256": "b"}, None, 1),
        ({"outcome": "done", "sha256": "n", "against": "n"}, None, 0),  # of a benchmark of its own
        ({"outcome": "done", "sha256": "a", "against": "n"}, None, 1),
        ({"outcome": "failed: ended with 1"}, None, 1),
        ({"outcome": "not run: no qemu"}, None, 2),
        ({"outcome": "done", "sha256": "a", "without": "user: needs root"}, None, 2),
    ],
)
def test_the_exit_status_tells_equal_unequal_and_not_run(one, committed, status):
    first = {"outcome": "done", "sha256": "a"}
    assert ALL.exit_status([first, one], "a", committed) == status
    assert ALL.exit_status([{"outcome": "not run: x"}, {"outcome": "failed: y"}, one], "a", committed) == 1


def test_an_old_emulator_is_told(tmp_path, monkeypatch):
    program = tmp_path / "qemu-x86_64"
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    for version, said in (("7.2.22", "qemu-x86_64 version 7.2.22 gets AVX2 wrong; needs 10"), ("10.0.2", "")):
        program.write_text(f"#!/bin/sh\necho 'qemu-x86_64 version {version} (Debian 1:{version})'\n")
        program.chmod(0o755)
        found = ALL.emulator()
        assert found.startswith(said) and bool(found) == bool(said)


def test_an_environment_of_a_row_sees_the_packages_of_this_one(tmp_path):
    """Its commands are there, and what it has of its own comes first."""
    found = ALL.own_environment(tmp_path / "lent")
    inside = tmp_path / "lent" / "venv" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (inside / "site-packages" / "only_here.py").write_text("")
    code = "import only_here, numpy, sys; print(numpy.__file__, sys.prefix)"
    env = {**os.environ, **found, "PYTHONPATH": "src"}
    said = subprocess.run(["python", "-c", code], env=env, text=True, capture_output=True, check=True).stdout.split()
    assert said == [__import__("numpy").__file__, str(tmp_path / "lent" / "venv")]
    for command in (["snakemake", "--version"], ["neurosieve", "checksum", "--help"]):
        assert subprocess.run(command, env=env, capture_output=True).returncode == 0


def test_linked_folders_have_the_same_files(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    (tmp_path / "a" / "skip").mkdir()
    (tmp_path / "a" / "link").symlink_to("b/file")
    target = ALL.linked(tmp_path / "a", tmp_path / "c", "skip")
    assert sorted(p.name for p in target.rglob("*")) == ["b", "file", "link"]
    assert (target / "link").readlink() == Path("b/file") and (target / "b" / "file").stat().st_nlink == 2


@pytest.mark.skipif(ALL.another_user() != "", reason="needs root, to ask what another user may read")
def test_what_another_user_may_read_is_asked(tmp_path):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inside").mkdir()
        for mode, expected in ((0o755, True), (0o700, False)):
            folder.chmod(mode)
            assert ALL.reads("nobody", folder / "inside") == expected
            row = ALL.Row("user", "", "", foreign=True)
            around = ALL.open_folder(folder, row)
            assert (around == folder / "user") == expected and ALL.reads("nobody", around)
            if not expected:
                around.rmdir()
                around.parent.rmdir()
    assert ALL.open_folder(tmp_path, ALL.Row("umask", "", "")) == tmp_path / "umask"


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
    assert lines["path"].endswith("| not run: not asked for |")
    assert len(lines) == len(ALL.rows())  # the head too, and not `together`, for it was not run
    text = ALL.table(found, "tiny", "abc")
    assert "run one by one." in text and "**Not run, or not as a whole: one-thread, two-threads, path, " in text
    found = {"snakemake": found["snakemake"], "together": {**found["snakemake"], "without": "user: needs root"}}
    text = ALL.table(found, "tiny", "abc")
    assert "run all together, one by one only where that row differs." in text and "| umask |" not in text
    assert "| yes, but without user: needs root |" in text
    found["qemu"] = {"outcome": "done", "sha256": "c" * 64, "against": "c" * 64}
    assert f"| `{'c' * 16}` (native: `{'c' * 16}`) | yes |" in ALL.table(found, "tiny", "abc")


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

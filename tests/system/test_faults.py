"""Faults on one machine: kill -9, a full disk, a read-only checkout, two runs in one folder. All end in the same bytes.

Root is needed for the mounts alone; kills are drawn from a seed.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEED = 12
KILLS = 4
LIMIT = 900  # seconds that a step may take on a busy machine
PREPARE = ("--cores", "2", "prepare")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc (Linux)"),
]
needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for mounts")


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def start(checkout, *options: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Snakemake in the background, with what it says in run.txt of its folder."""
    cwd = cwd or checkout.root
    with (cwd / "run.txt").open("w") as said:
        command = [sys.executable, "-m", "snakemake", *options]
        return subprocess.Popen(command, cwd=cwd, env=checkout.env, text=True, stdout=said, stderr=said)


def jobs(folder: Path) -> list[int]:
    """Process ids of the jobs at work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder and b"\0neurosieve.cli\0" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def wait_for(true, what: str) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, f"waited {LIMIT} s for {what}"
        time.sleep(0.05)


def made(checkout) -> int:
    """Artifacts that are there; os.walk goes on where a job takes a folder away meanwhile."""
    return sum("manifest.json" in names for _, _, names in os.walk(checkout.root / "build" / "tiny"))


def at_work(process: subprocess.Popen[str], checkout, goal: int) -> bool:
    """Whether so many artifacts are there and a job is at work, or the run is over."""
    return process.poll() is not None or (made(checkout) >= goal and bool(jobs(checkout.root)))


def kill(numbers: list[int]) -> None:
    for number in numbers:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_for(lambda: not any(Path(f"/proc/{n}/cmdline").exists() and Path(f"/proc/{n}/cmdline").read_bytes()
                             for n in numbers), "the end of what was killed")  # fmt: skip


def test_kills_at_random_moments_are_told_and_a_resumed_run_makes_the_same_bytes(done, make_checkout):
    """In turn the run is killed, which leaves its lock and its jobs, and a job, which ends the run in order."""
    checkout = make_checkout()
    draw = random.Random(SEED)
    command = (sys.executable, "-m", "neurosieve.cli", "run", "--cores", "2")
    for turn in range(KILLS):
        before = made(checkout)
        process = start(checkout, "--cores", "2")
        goal = before + draw.randint(1, 8)
        wait_for(partial(at_work, process, checkout, goal), "some jobs")
        if process.poll() is not None:
            assert process.returncode == 0
            break
        time.sleep(draw.random())
        if turn % 2:
            victims = jobs(checkout.root)[:1]
            kill(victims)
            process.wait(LIMIT)
            said = (checkout.root / "run.txt").read_text()
            assert process.returncode == 0 or "was it killed?" in said
            continue
        process.kill()
        process.wait(LIMIT)
        left = jobs(checkout.root)
        refused = checkout.run(*command, check=False)
        assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and "--unlock" in refused.stderr
        if left and jobs(checkout.root) == left:
            assert f"kill {' '.join(map(str, left))}" in refused.stderr
        kill(jobs(checkout.root))
        assert "left its lock" in checkout.run(*command, check=False).stderr
        checkout.run(*command, "--unlock")
    checkout.run(*command)
    assert checkout.files("build/tiny") == done.files("build/tiny")
    assert checkout.files("results/tiny") == done.files("results/tiny")


def test_a_run_does_not_start_beside_jobs_that_a_killed_one_left(done):
    """After `snakemake --unlock` alone nothing else would tell them."""
    code = "import time; time.sleep(1000)"
    orphan = subprocess.Popen([sys.executable, "-c", code, "neurosieve.cli", "fit-probes"], cwd=done.root)
    try:
        refused = done.snakemake("--forcerun", "prepare_task", "--until", "prepare_task", check=False)
        assert refused.returncode and f"`kill {orphan.pid}`" in refused.stderr and "Traceback" not in refused.stderr
    finally:
        orphan.kill()
        orphan.wait()


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_is_not_harmed(done, make_checkout):
    checkout = make_checkout()
    first = start(checkout, "--cores", "2", "activations", "redundancy")
    wait_for(lambda: jobs(checkout.root), "the first job")
    second = checkout.snakemake(check=False)
    assert second.returncode and "locked" in second.stderr and "--unlock" in second.stderr
    ours = checkout.run(sys.executable, "-m", "neurosieve.cli", "run", check=False)
    assert ours.returncode == 1 and "a run is still going on in this folder" in ours.stderr
    published = checkout.run(sys.executable, "-m", "neurosieve.cli", "publish", check=False)
    assert published.returncode == 1 and published.stderr.count("\n") == 1 and "no manifest.json" in published.stderr
    assert first.poll() is None and first.wait(LIMIT) == 0
    for phase in ("prepare", "activations", "redundancy"):
        assert checkout.files(f"build/tiny/{phase}") == done.files(f"build/tiny/{phase}")


@needs_mount
def test_a_full_disk_is_named_and_after_room_is_made_the_run_goes_on(done, tmp_path):
    """The folder of the run lies on a small disk; first the jobs find no space, then Snakemake's own records."""
    options = [
        "-s",
        str(done.root / "workflow" / "Snakefile"),
        "--configfile",
        str(done.root / "params.yaml"),
        *PREPARE,
    ]
    command = (sys.executable, "-m", "snakemake", *options)
    for size in ("200k", "120k"):
        with mounted(tmp_path / size, "-t", "tmpfs", "-o", f"size={size}", "none") as folder:

            def run(cwd=folder) -> subprocess.CompletedProcess[str]:
                return subprocess.run(command, cwd=cwd, env=done.env, text=True, capture_output=True)

            failed = run()
            assert failed.returncode and "Traceback" not in failed.stderr
            assert f"no space left on the disk of {folder}" in failed.stderr and "make room" in failed.stderr
            assert not list(folder.rglob(".*.part"))
            subprocess.run(["mount", "-o", "remount,size=50m", str(folder)], check=True)
            again = run()
            assert again.returncode == 0, again.stderr
            found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.glob("build/**/*") if p.is_file()}
            assert found == {f"build/tiny/prepare/{n}": text for n, text in done.files("build/tiny/prepare").items()}


@needs_mount
def test_X10_a_read_only_checkout_says_so_in_a_sentence_and_serves_another_folder(done, tmp_path):
    for name in ("LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, done.root)
    with mounted(tmp_path / "ro", "--bind", str(done.root)) as folder:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        env = {**done.env, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}

        def run(*words: str, cwd: Path = folder) -> subprocess.CompletedProcess[str]:
            return subprocess.run([sys.executable, "-m", *words], cwd=cwd, env=env, text=True, capture_output=True)

        row = (done.table()[0]["model"], done.table()[0]["task"])
        for words, said in (
            (("neurosieve.cli", "export", *row, "--output", "neurons.json"), "write another --output"),
            (("neurosieve.cli", "crate"), "read-only file system"),
            (("snakemake", "--cores", "1"), "change to a folder of your own"),
            (("neurosieve.cli", "run", "--cores", "1"), "change to a folder of your own"),
        ):
            failed = run(*words)
            assert failed.returncode and said in failed.stderr and "Traceback" not in failed.stderr, words
        table = folder / "results" / "tiny" / "leaderboard.csv"
        text = table.read_text()
        written = done.root / "results" / "tiny" / "leaderboard.csv"
        written.write_text(text + "\n")  # so that there is something to publish
        try:
            failed = run("neurosieve.cli", "publish")
            assert failed.returncode == 1 and failed.stderr.count("\n") == 1
            assert "read-only file system" in failed.stderr
        finally:
            written.write_text(text)
        elsewhere = tmp_path / "mine"
        elsewhere.mkdir()
        options = ("-s", f"{folder}/workflow/Snakefile", "--configfile", f"{folder}/params.yaml", *PREPARE)
        ran = run("snakemake", *options, cwd=elsewhere)
        assert ran.returncode == 0, ran.stderr
        found = {
            p.relative_to(elsewhere).as_posix(): p.read_bytes() for p in elsewhere.glob("build/**/*") if p.is_file()
        }
        assert found == {f"build/tiny/prepare/{n}": text for n, text in done.files("build/tiny/prepare").items()}

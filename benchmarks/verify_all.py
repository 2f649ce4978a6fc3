"""One dvc.lock, byte for byte, however the benchmark is run: a row for each variation, with the hash that it gave.

    python benchmarks/verify_all.py                         every row, on the benchmark of params.yaml (hours)
    python benchmarks/verify_all.py --benchmark tiny        the same on tests/data/tiny.yaml, or `less`: a part of that
    python benchmarks/verify_all.py --only kills --only umask
    python benchmarks/verify_all.py --table                 no run: writes the table into docs/reproduce.md

Every row is a clone of HEAD below --work (default build/verify-all/<benchmark>/), in which dvc.lock and results/ are
removed, the row's command is run, and dvc.lock is made, by `dvc repro` or by `neurosieve certify`. A row is equal where
its dvc.lock is that of the first row, byte for byte; of the default benchmark that has to be the committed one. Rows
are saved in rows.json beside their clones as they are done: the same command goes on after a stop. A failed row is run
again; another commit starts anew. The variations are those of Debian's reprotest, made here one at a time, without
FUSE, and without root but for the row `user`.

What a row needs and this machine lacks (root, a Debian package) is said in its place: not run.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reproduce.md"
BEGIN, END = "<!-- made by benchmarks/verify_all.py --table -->", "<!-- end -->"
SEED, KILLS = 1, 20
BENCHMARKS = {
    "default": "the default benchmark",
    "tiny": "the test benchmark, tests/data/tiny.yaml, not the default one",
    "less": "one model and one task of the test benchmark, tests/data/tiny.yaml, not on the default one",
}
LESS = (
    ("models: [tiny, tiny-untrained]", "models: [tiny]"),
    ("tasks: [token-roles, doc-match]", "tasks: [token-roles]"),
    ("transfer: true", "transfer: false"),
)
SNAKEMAKE = "snakemake --cores 2"
CERTIFY = "neurosieve certify"
# docs/run-on-a-cluster.md
CLUSTER = (
    "neurosieve cluster --output workflow/profiles/cluster && "
    "neurosieve run --workflow-profile workflow/profiles/cluster"
)
FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)

# In the clone's src/, which every process of a run has in PYTHONPATH: entries of folders in another order each time.
SHUFFLE = """\
import os, random
_rng, _listdir, _scandir = random.Random(os.getpid()), os.listdir, os.scandir
def listdir(path="."):
    found = _listdir(path); _rng.shuffle(found); return found
class Entries:
    def __init__(self, path):
        with _scandir(path) as entries: self.found = list(entries)
        _rng.shuffle(self.found); self.rest = iter(self.found)
    def __iter__(self): return self
    def __next__(self): return next(self.rest)
    def __enter__(self): return self
    def __exit__(self, *error): pass
    def close(self): pass
os.listdir, os.scandir = listdir, lambda path=".": Entries(path)
"""


@dataclass(frozen=True)
class Row:
    """A variation: what is varied, the commands that a shell is given, what else is needed.

    needs : says why the row cannot be run here, "" where it can. run : instead of the shell.
    """

    name: str
    variation: str
    command: str
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "tree"
    prepare: Callable[[Path], None] = lambda place: None
    needs: Callable[[], str] = lambda: ""
    run: Callable[[Row, Path, dict[str, str], Path], None] | None = None


def tool(*names: str, package: str) -> Callable[[], str]:
    """Needs these programs."""

    def needs() -> str:
        path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
        lacking = [name for name in names if shutil.which(name, path=path) is None]
        return f"no {', '.join(lacking)} here (Debian package {package})" if lacking else ""

    return needs


def faketime() -> str | None:
    return next((path for path in FAKETIME if Path(path).exists()), None)


def root_only() -> str:
    return "" if os.geteuid() == 0 else "needs root, to run as another user"


def another_user() -> str:
    """Needs root, and that the user nobody may walk to this checkout and run this Python."""
    if why := root_only() or tool("runuser", package="util-linux")():
        return why
    places = [str(ROOT), sys.executable]
    test = ["runuser", "-u", "nobody", "--", "test", "-x", places[0], "-a", "-x", places[1]]
    reached = subprocess.run(test).returncode == 0
    return "" if reached else f"{' or '.join(places)} is closed to the user nobody"


def cluster_only() -> str:
    if not (ROOT / "tests" / "system" / "two_nodes.py").is_file():
        return "no tests/system/two_nodes.py"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "no snakemake-executor-plugin-slurm in this environment (docs/run-on-a-cluster.md)"
    return root_only() or tool("slurmctld", "slurmd", "sbatch", "munged", package="slurm-wlm, munge")()


def locale() -> str:
    """A locale with another decimal point and another order of letters, where one is installed; else that of bytes."""
    there = subprocess.run(["locale", "-a"], text=True, capture_output=True).stdout.split()
    return next((name for name in ("de_DE.utf8", "fr_FR.utf8", "et_EE.utf8") if name in there), "POSIX")


def shuffle(place: Path) -> None:
    (place / "src" / "sitecustomize.py").write_text(SHUFFLE)


def give_away(place: Path) -> None:
    """To the user nobody."""
    subprocess.run(["chown", "-R", "nobody", str(place.parent)], check=True)


def rows() -> list[Row]:
    others = {"dump_activations": 2, "ablate_neurons": 2, "finetune_model": 2}
    threads = " ".join(f"{rule}={n}" for rule, n in others.items())
    both = f"{SNAKEMAKE} && {CERTIFY}"
    return [
        Row("snakemake", "Snakemake, then certify", both),
        Row("dvc", "`dvc repro`", "dvc repro"),
        Row("one-thread", "1 core, 1 thread", f"snakemake --cores 1 && {CERTIFY}", {"OMP_NUM_THREADS": "1"}),
        Row("two-threads", "2 threads in each job", f"{SNAKEMAKE} --set-threads {threads} && {CERTIFY}",
            {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}),
        Row("kills", f"{KILLS} kills (SIGKILL to all processes) at random moments, seed {SEED}, then to its end",
            f"{SNAKEMAKE} (killed, --unlock, again) && {CERTIFY}", run=kills),
        Row("path", "checkout path with a space, quotes and umlauts", both, folder="a che'ckout \u00fc"),
        Row("home", "HOME a folder that is not there", both, {"HOME": "/nonexistent/second-build"}),
        Row("user", "another user, and its HOME", f"runuser -u nobody -- bash -c {shlex.quote(both)}",
            {"HOME": "/nonexistent"}, prepare=give_away, needs=another_user),
        Row("umask", "umask 0002 instead of 0022", f"umask 0002 && {both}"),
        Row("locale", f"LC_ALL={locale()}, LANGUAGE=fr", both, {"LC_ALL": locale(), "LANGUAGE": "fr"}),
        Row("zone", "time zone GMT-14 instead of UTC", both, {"TZ": "GMT-14"}),
        Row("clock", "clock 373 days, 7 hours and 13 minutes ahead", both,
            {"LD_PRELOAD": faketime() or "", "FAKETIME": "+373d+7h+13m"},
            needs=lambda: "" if faketime() else "no libfaketime here (Debian package faketime)"),
        Row("hash-seed", "PYTHONHASHSEED=4711 around the run", both, {"PYTHONHASHSEED": "4711"}),
        Row("order", "entries of folders in a random order, in every process", both, prepare=shuffle),
        Row("slurm", "a SLURM of two nodes, then certify",
            f"{CLUSTER} && {CERTIFY}", run=on_slurm, needs=cluster_only),
        Row("qemu", "every job on an emulated Haswell (`qemu-x86_64 -cpu Haswell`), one after the other",
            f"qemu-x86_64 -cpu Haswell python -m neurosieve.cli ... && {CERTIFY}", run=emulated,
            needs=tool("qemu-x86_64", package="qemu-user")),
    ]  # fmt: skip


class Failed(RuntimeError):
    """A row whose commands ended with an error."""


def shell(command: str, place: Path, env: dict[str, str], log: Path) -> None:
    """Run lines of a shell; their output goes to the end of ``log``."""
    with log.open("ab") as out:
        done = subprocess.run(["bash", "-c", command], cwd=place, env=env, stdout=out, stderr=out)
    if done.returncode:
        raise Failed(f"ended with {done.returncode}: {command}")


def kills(row: Row, place: Path, env: dict[str, str], log: Path) -> None:
    """Kill a run and all that it started again and again, each time a little after it began to work."""
    rng, marks = random.Random(SEED), place / ".snakemake"
    total = float(env["NEUROSIEVE_VERIFY_SECONDS"])
    for number in range(KILLS):
        with log.open("ab") as out:
            run = subprocess.Popen(
                SNAKEMAKE.split(), cwd=place, env=env, stdout=out, stderr=out, start_new_session=True
            )
            # from the moment at which it holds its lock, so that a slow start is not all that is killed
            while run.poll() is None and not any((marks / "locks").glob("*")):
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 2 * total / KILLS))
            ended = run.poll() is not None
            stop_all(run.pid)
            run.wait()
            out.write(f"--- kill {number + 1}{': it had ended' if ended else ''}\n".encode())
        shell("snakemake --unlock", place, env, log)
    shell(f"{SNAKEMAKE} && {CERTIFY}", place, env, log)


def stop_all(session: int) -> None:
    """SIGKILL to every process of a session: Snakemake's jobs stay in it."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, IndexError):  # ended meanwhile
            continue


def on_slurm(row: Row, place: Path, env: dict[str, str], log: Path) -> None:
    starter = shlex.join([sys.executable, str(ROOT / "tests" / "system" / "two_nodes.py"), str(place.parent / "slurm")])
    shell(f"{starter} bash -c {shlex.quote(CLUSTER)} && {CERTIFY}", place, env, log)


def emulated(row: Row, place: Path, env: dict[str, str], log: Path) -> None:
    """Job after job, each in an emulator of its own with its pins set: a process that replaces itself leaves it."""
    listing = (
        "from neurosieve import chain, config, numerics; from neurosieve.artifacts import Paths; import json\n"
        "p = config.load_params('params.yaml'); seen = []\n"
        "for a in chain.artifacts(p, Paths(p.benchmark)):\n"
        "    job = [a.rule, {k: v for k, v in a.wildcards.items() if k != 'split'}]\n"
        "    seen += [job] if job not in seen else []\n"
        "print(json.dumps([numerics.pins(p.numerics), seen]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", listing], cwd=place, env=env, text=True, capture_output=True, check=True
    )
    pins, jobs = json.loads(found.stdout)
    unset = [f"-u {key}" for key in env if key.startswith(("OPENBLAS_", "MKL_"))]
    given = [shlex.quote(f"{key}={value}") for key, value in pins.items()]
    python = f"env {' '.join([*unset, *given])} qemu-x86_64 -cpu Haswell {shlex.quote(sys.executable)}"
    for rule, wildcards in jobs:
        words = shlex.join([rule.replace("_", "-"), *(w for k, v in wildcards.items() for w in (f"--{k}", v))])
        shell(f"{python} -m neurosieve.cli {words}", place, env, log)
    shell(f"neurosieve publish && {CERTIFY}", place, env, log)


def environment(place: Path, row: Row, seconds: float) -> dict[str, str]:
    """That of this process without what would change a run, with the row's own."""
    dropped = ("NEUROSIEVE_", "SNAKEMAKE_", "DVC_", "GIT_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    caches = {"HF_HOME": str(ROOT / ".cache" / "hub-home")} if "HF_HOME" in os.environ else {}
    return {
        **env,
        **caches,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "src",
        "TZ": "UTC",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(place.parent / "dvc-site"),
        "XDG_CACHE_HOME": str(place.parent / "cache"),
        "NEUROSIEVE_VERIFY_SECONDS": str(seconds),
        **row.env,
    }


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=verify", "-c", "user.email=verify@example.org")
    return subprocess.run(["git", *who, *words], cwd=folder, text=True, capture_output=True, check=True).stdout


def make_base(work: Path, benchmark: str) -> Path:
    """The repository that rows are cloned from: HEAD, for a test benchmark with that as params.yaml, and its model."""
    base = work / "base"
    shutil.rmtree(base, ignore_errors=True)
    git(ROOT, "clone", "--quiet", str(ROOT), str(base))
    if benchmark != "default":
        text = (base / "tests" / "data" / "tiny.yaml").read_text()
        for old, new in LESS if benchmark == "less" else ():
            text = text.replace(old, new)
        (base / "params.yaml").write_text(text)
        code = "import sys; sys.path.insert(0, 'tests'); import tiny_models; from pathlib import Path; "
        code += "tiny_models.save(Path('models/tiny'), 'modernbert', head=True)"
        env = {**os.environ, "PYTHONPATH": "src"}
        subprocess.run([sys.executable, "-c", code], cwd=base, env=env, check=True, capture_output=True)
    shutil.rmtree(base / "results", ignore_errors=True)
    (base / "dvc.lock").unlink(missing_ok=True)
    git(base, "add", "--all", "--force", "models", ".")
    git(base, "commit", "--quiet", "--allow-empty", "--message", f"{benchmark}, nothing made")
    return base


def run_row(row: Row, work: Path, base: Path, seconds: float) -> dict[str, object]:
    """Run one row in a clone of its own; what is saved of it. The clone stays where it failed."""
    if why := row.needs():
        return {"outcome": f"not run: {why}"}
    around = work / row.name
    shutil.rmtree(around, ignore_errors=True)
    place = around / row.folder
    place.parent.mkdir(parents=True)
    git(work, "clone", "--quiet", str(base), str(place))
    if (ROOT / ".cache").exists():  # what was fetched
        (place / ".cache").symlink_to((ROOT / ".cache").resolve())
    row.prepare(place)
    env, log = environment(place, row, seconds), work / f"{row.name}.log"
    log.unlink(missing_ok=True)
    start = time.monotonic()
    try:
        if row.run is not None:
            row.run(row, place, env, log)
        else:
            shell(row.command, place, env, log)
        data = (place / "dvc.lock").read_bytes()
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        return {"outcome": f"failed: {error}; see {log}"}
    found: dict[str, object] = {"outcome": "done", "sha256": hashlib.sha256(data).hexdigest()}
    found["seconds"] = round(time.monotonic() - start)
    (work / f"{row.name}.lock").write_bytes(data)
    shutil.rmtree(around, ignore_errors=True)
    return found


def load(path: Path, head: str) -> dict[str, dict[str, object]]:
    """Rows of an earlier run of the same commit."""
    if not path.is_file():
        return {}
    saved = json.loads(path.read_text())
    return dict(saved["rows"]) if saved["commit"] == head else {}


def save(path: Path, head: str, benchmark: str, found: dict[str, dict[str, object]]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps({"commit": head, "benchmark": benchmark, "rows": found}, indent=1) + "\n")
    part.replace(path)


def first_hash(found: dict[str, dict[str, object]]) -> str | None:
    """The hash that the others are compared with: that of the first row, in the order of the table, that has one."""
    return next((str(found[r.name]["sha256"]) for r in rows() if "sha256" in found.get(r.name, {})), None)


def committed_hash(benchmark: str, head: str) -> str | None:
    """That of the dvc.lock that lies in git at ``head``, for the default benchmark; None where there is none."""
    if benchmark != "default":
        return None
    done = subprocess.run(["git", "show", f"{head}:dvc.lock"], cwd=ROOT, capture_output=True)
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else None


def table(found: dict[str, dict[str, object]], benchmark: str, head: str, committed: str | None = None) -> str:
    """The table in Markdown."""
    wanted = first_hash(found)
    lines = [
        f"On {BENCHMARKS[benchmark]}, at commit {head[:7]}:",
        "",
        "| row | variation | command | sha256 of dvc.lock | equal |",
        "|---|---|---|---|---|",
    ]
    for row in rows():
        one = found.get(row.name, {"outcome": "not run yet"})
        total = str(one.get("sha256", ""))
        outcome = str(one["outcome"]).partition("; see ")[0]
        equal = ("yes" if total == wanted else "**no**") if total else outcome
        varied = {k: v for k, v in row.env.items() if k not in ("LD_PRELOAD",)}
        command = " ".join([*(f"{key}={value}" for key, value in varied.items()), row.command])
        shown = f"`{total[:16]}`" if total else ""
        lines.append(f"| {row.name} | {row.variation} | <code>{command}</code> | {shown} | {equal} |")
    if wanted is not None and committed is not None:
        same = "the same" if committed == wanted else "**another one**"
        lines += ["", f"The dvc.lock in git at that commit: `{committed[:16]}`, {same}."]
    return "\n".join(lines)


def write_table(text: str, page: Path = PAGE) -> None:
    """Put a table between the marks of a page."""
    before, mark, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        sys.exit(f"{page}: no lines `{BEGIN}` and `{END}` to write the table between")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", choices=list(BENCHMARKS), default="default")
    parser.add_argument("--only", action="append", choices=[row.name for row in rows()], help="this row (repeat)")
    parser.add_argument("--work", type=Path, help="folder for the clones and rows.json")
    parser.add_argument("--table", action="store_true", help="write the table of saved rows into docs/reproduce.md")
    args = parser.parse_args()
    benchmark = args.benchmark
    work = (args.work or ROOT / "build" / "verify-all" / benchmark).absolute()
    work.mkdir(parents=True, exist_ok=True)
    saved, head = work / "rows.json", git(ROOT, "rev-parse", "HEAD").strip()
    if args.table:
        if not saved.is_file():
            sys.exit(f"{saved}: no rows; run them first")
        earlier = json.loads(saved.read_text())
        commit = earlier["commit"]
        write_table(table(earlier["rows"], benchmark, commit, committed_hash(benchmark, commit)))
        return 0
    if changed := git(ROOT, "status", "--porcelain", "--", "src", "workflow", "requirements.lock", "params.yaml"):
        sys.exit(f"uncommitted changes, which no clone would have: {' '.join(changed.split())}")
    found = load(saved, head)
    base = make_base(work, benchmark)
    todo = [row for row in rows() if args.only is None or row.name in args.only]
    for number, row in enumerate(todo, start=1):
        if found.get(row.name, {}).get("outcome") == "done":
            continue
        print(f"{number}/{len(todo)} {row.name}: {row.variation}", flush=True)
        took = found.get("snakemake", {}).get("seconds", 120)
        found[row.name] = run_row(row, work, base, float(str(took)))
        save(saved, head, benchmark, found)
        print(f"  {found[row.name].get('sha256', '')} {found[row.name]['outcome']}", flush=True)
    committed = committed_hash(benchmark, head)
    print(table(found, benchmark, head, committed))
    hashes = {str(one["sha256"]) for one in found.values() if "sha256" in one}
    hashes |= {committed} if hashes and committed is not None else set()
    failed = [name for name, one in found.items() if str(one["outcome"]).startswith("failed")]
    return 1 if len(hashes) > 1 or failed else 0


if __name__ == "__main__":
    sys.exit(main())

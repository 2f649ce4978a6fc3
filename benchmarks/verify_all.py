"""One dvc.lock, byte for byte, however the benchmark is run: a row for each variation, with the hash that it gave.

    python benchmarks/verify_all.py                         every row, on the benchmark of params.yaml (hours)
    python benchmarks/verify_all.py --benchmark tiny        the same on tests/data/tiny.yaml, or `less`: a part of that
    python benchmarks/verify_all.py --one-by-one            a row for each variation of reprotest
    python benchmarks/verify_all.py --only kills --only umask
    python benchmarks/verify_all.py --table                 no run: writes the table into docs/reproduce.md

Every row is a clone of HEAD below --work (default build/verify-all/<benchmark>/), in which dvc.lock and results/ are
removed, the row's command is run, and dvc.lock is made, by `dvc repro` or by `neurosieve certify`. A row is equal where
its dvc.lock is that of the first row, byte for byte; of the default benchmark that has to be the committed one. Rows
are saved in rows.json beside their clones as they are done: the same command goes on after a stop. A failed row is run
again; another commit starts anew.

The variations are those of Debian's reprotest, without FUSE. As there they are made all together, in the row
`together`; one by one where that row failed or differs, or by --one-by-one. The row `qemu` is of the benchmark `less`
whatever the others are of, for an emulated job takes ten times as long: native and emulated, each in one process.

What a row needs and this machine lacks (root, a Debian package) is said in its place: not run. Exit status: 0 where
every row asked for was run and is equal, 1 where one differs or failed, 2 where one was not run, or not as a whole.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reproduce.md"
CLUSTER_PAGE = ROOT / "docs" / "run-on-a-cluster.md"
BEGIN, END = "<!-- made by benchmarks/verify_all.py --table -->", "<!-- end -->"
SEED, KILLS = 1, 20
NOBODY = "nobody"
QEMU = 10  # the first version that was seen to do AVX2 right; 7.2 of Debian 12 does not
NATIVE = "dvc.lock.native"  # beside dvc.lock: what it has to be, where the row has a benchmark of its own
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

    prepare : given the clone, changes it or makes what lies around it, and returns variables of the environment.
    needs : says why the row cannot be run here, "" where it can. lacks : the same of a part of it, which is left out.
    run : instead of the shell. foreign : another user's. single : a variation of reprotest. reduced : of `less`.
    """

    name: str
    variation: str
    command: str
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "tree"
    prepare: Callable[[Path], dict[str, str]] = lambda place: {}
    needs: Callable[[], str] = lambda: ""
    lacks: str = ""
    run: Callable[[Row, Path, dict[str, str], Path], None] | None = None
    foreign: bool = False
    single: bool = False
    reduced: bool = False


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
    return root_only() or tool("runuser", package="util-linux")()


def cluster_only() -> str:
    if not (ROOT / "tests" / "system" / "two_nodes.py").is_file():
        return "no tests/system/two_nodes.py"
    return root_only() or tool("slurmctld", "slurmd", "sbatch", "munged", package="slurm-wlm, munge")()


def emulator() -> str:
    """Needs a qemu that does AVX2 right."""
    if why := tool("qemu-x86_64", package="qemu-user")():
        return why
    said = subprocess.run(["qemu-x86_64", "--version"], text=True, capture_output=True).stdout
    found = re.search(r"version (\d+)", said)
    if found is None or int(found[1]) < QEMU:
        version = " ".join(said.split()[:3]) or "qemu-x86_64"
        return f"{version} gets AVX2 wrong; needs {QEMU} (Debian package qemu-user, from bookworm-backports or trixie)"
    return ""


def locale() -> str:
    """A locale with another decimal point and another order of letters, where one is installed; else that of bytes."""
    there = subprocess.run(["locale", "-a"], text=True, capture_output=True).stdout.split()
    return next((name for name in ("de_DE.utf8", "fr_FR.utf8", "et_EE.utf8") if name in there), "POSIX")


def shuffle(place: Path) -> dict[str, str]:
    (place / "src" / "sitecustomize.py").write_text(SHUFFLE)
    return {}


def reads(user: str, *paths: Path) -> bool:
    """Whether a user gets to these files or folders and reads them."""
    tests = [word for path in paths for word in ("-a", "-r", str(path), "-a", "-x", str(path))][1:]
    return subprocess.run(["runuser", "-u", user, "--", "test", *tests]).returncode == 0


def linked(source: Path, target: Path, *ignored: str) -> Path:
    """A copy of a folder, of hard links where the disk is one; who may read its files does not change."""

    def link(old: str, new: str) -> None:
        try:
            os.link(old, new)
        except OSError:
            shutil.copy2(old, new)

    shutil.copytree(source, target, symlinks=True, copy_function=link, ignore=shutil.ignore_patterns(*ignored))
    return target


def own_environment(folder: Path, user: str = "", pip: bool = False) -> dict[str, str]:
    """An environment of a row's own, which sees the packages of this one; what ``user`` may not read is linked first.

    Returns PATH, and what else its Python needs to start.
    """
    base, packages = Path(sys.base_prefix), Path(sysconfig.get_path("purelib"))
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = {}
    if user and not reads(user, base / "bin" / name):
        base = linked(base, folder / "python", "site-packages", "test", "__pycache__")
    if user and not reads(user, packages):
        packages = linked(packages, folder / "packages")
    if list((base / "lib").glob("libpython*.so*")):
        found["LD_LIBRARY_PATH"] = str(base / "lib")
    make = [str(base / "bin" / name), "-m", "venv", *([] if pip else ["--without-pip"]), str(folder / "venv")]
    subprocess.run(make, env={**os.environ, **found}, check=True, capture_output=True)
    scripts = folder / "venv" / "bin"
    inside = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
    (inside / "outer.pth").write_text(f"{packages}\n")
    for command in ("snakemake", "dvc", "neurosieve"):
        module = "neurosieve.cli" if command == "neurosieve" else command
        lines = f"import runpy, sys\nsys.argv[0] = {command!r}\nrunpy.run_module({module!r}, run_name='__main__')\n"
        (scripts / command).write_text(f"#!{scripts / 'python'}\n{lines}")
        (scripts / command).chmod(0o755)
    return {**found, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(folder / "venv")}


def give_away(place: Path) -> dict[str, str]:
    """The clone to the user nobody, with an environment and fetched files that it may read."""
    lent = place.parent / "lent"
    found = own_environment(lent, NOBODY)
    cache = place / ".cache"
    if cache.exists() and not reads(NOBODY, cache):
        fetched = linked(cache.resolve(), lent / "fetched")
        cache.unlink()
        cache.symlink_to(fetched)
    subprocess.run(["chown", NOBODY, str(place.parent)], check=True)
    subprocess.run(["chown", "-R", "-h", NOBODY, str(place)], check=True)
    return found


def cluster_environment(place: Path) -> dict[str, str]:
    """An environment with the plugin for SLURM, installed as the page says."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is not None:
        return {}
    found = own_environment(place.parent / "lent", pip=True)
    line = re.search(
        r"^ +\.venv/bin/pip (install .*snakemake-executor-plugin-slurm.*)$", CLUSTER_PAGE.read_text(), re.M
    )
    if line is None:
        raise Failed(f"{CLUSTER_PAGE}: no line that installs the plugin")
    pip = [str(place.parent / "lent" / "venv" / "bin" / "python"), "-m", "pip", *shlex.split(line[1])]
    done = subprocess.run(pip, env={**os.environ, **found}, text=True, capture_output=True)
    if done.returncode:
        raise Failed(f"{shlex.join(pip[1:])}: {done.stderr.strip()[-300:]}")
    return found


def as_user(command: str, **env: str) -> str:
    """A command of a shell as the user nobody."""
    given = [f"{key}={value}" for key, value in env.items()]
    return shlex.join(["runuser", "-u", NOBODY, "--", *(["env", *given] if given else []), "bash", "-c", command])


def variations() -> list[Row]:
    """Those of reprotest, each a row."""
    both = f"{SNAKEMAKE} && {CERTIFY}"
    return [
        Row("path", "checkout path with a space, quotes and umlauts", both, folder="a che'ckout \u00fc"),
        Row("home", "HOME a folder that is not there", both, {"HOME": "/nonexistent/second-build"}),
        Row("user", "another user, and its HOME", as_user(both), {"HOME": "/nonexistent"}, prepare=give_away,
            needs=another_user, foreign=True),
        Row("umask", "umask 0002 instead of 0022", f"umask 0002 && {both}"),
        Row("locale", f"LC_ALL={locale()}, LANGUAGE=fr", both, {"LC_ALL": locale(), "LANGUAGE": "fr"}),
        Row("zone", "time zone GMT-14 instead of UTC", both, {"TZ": "GMT-14"}),
        Row("clock", "clock 373 days, 7 hours and 13 minutes ahead", both,
            {"LD_PRELOAD": faketime() or "", "FAKETIME": "+373d+7h+13m"},
            needs=lambda: "" if faketime() else "no libfaketime here (Debian package faketime)"),
        Row("hash-seed", "PYTHONHASHSEED=4711 around the run", both, {"PYTHONHASHSEED": "4711"}),
        Row("order", "entries of folders in a random order, in every process", both, prepare=shuffle),
    ]  # fmt: skip


def together(singles: list[Row]) -> Row:
    """All variations in one row; those that this machine cannot make are left out, and told."""
    lacking = {row.name: why for row in singles if (why := row.needs())}
    made = [row for row in singles if row.name not in lacking]
    foreign = any(row.foreign for row in made)
    env = {key: value for row in made for key, value in row.env.items()}
    env["HOME"] = "/nonexistent/second-build"
    # libfaketime keeps a semaphore, which the first of its processes must share with the others: none is root's
    inner = {key: env.pop(key) for key in ("LD_PRELOAD", "FAKETIME") if key in env}
    command = f"umask 0002 && {SNAKEMAKE} && {CERTIFY}"
    command = as_user(command, **inner) if foreign else command

    def prepare(place: Path) -> dict[str, str]:
        last = sorted(made, key=lambda row: row.foreign)  # the clone is given away when all is changed in it
        return {key: value for row in last for key, value in row.prepare(place).items()}

    return Row(
        "together", f"all at once: {', '.join(row.name for row in made)}", command,
        env if foreign else env | inner, next(row.folder for row in made if row.name == "path"),
        prepare, lacks="; ".join(f"{name}: {why}" for name, why in lacking.items()),
        foreign=foreign,
    )  # fmt: skip


def rows() -> list[Row]:
    threads = " ".join(f"{rule}=2" for rule in ("dump_activations", "finetune_model", "measure_faithfulness"))
    singles = variations()
    return [
        Row("snakemake", "Snakemake, then certify", f"{SNAKEMAKE} && {CERTIFY}"),
        Row("dvc", "`dvc repro`", "dvc repro"),
        Row("one-thread", "1 core, 1 thread", f"snakemake --cores 1 && {CERTIFY}", {"OMP_NUM_THREADS": "1"}),
        Row("two-threads", "2 threads in each job", f"{SNAKEMAKE} --set-threads {threads} && {CERTIFY}",
            {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}),
        Row("kills", f"{KILLS} kills (SIGKILL to all processes) at random moments, seed {SEED}, then to its end",
            f"{SNAKEMAKE} (killed, --unlock, again) && {CERTIFY}", run=kills),
        together(singles),
        *(replace(row, single=True) for row in singles),
        Row("slurm", "a SLURM of two nodes, then certify",
            f"{CLUSTER} && {CERTIFY}", prepare=cluster_environment, run=on_slurm, needs=cluster_only),
        Row("qemu", "every job on an emulated Haswell, against every job native, in one process each; of `less`",
            f"qemu-x86_64 -cpu Haswell python tests/whole_run.py params.yaml build && neurosieve publish && {CERTIFY}",
            run=emulated, needs=emulator, reduced=True),
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
    """All jobs in one process: a start of torch takes most of a minute there, and a process that starts another leaves
    the emulator. So the pins are set before, and Snakemake takes no part. First native, for the bytes to be compared.
    """
    code = (
        "from neurosieve import config, numerics; import json\n"
        "print(json.dumps(numerics.pins(config.load_params('params.yaml').numerics)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=place, env=env, text=True, capture_output=True, check=True)
    pins = json.loads(found.stdout)
    clean = {key: value for key, value in env.items() if not key.startswith(("OPENBLAS_", "MKL_"))}
    python = f"{shlex.quote(sys.executable)} tests/whole_run.py params.yaml build"
    for before in ("", "qemu-x86_64 -cpu Haswell "):
        shutil.rmtree(place / "build", ignore_errors=True)
        shutil.rmtree(place / "results", ignore_errors=True)
        shell(f"{before}{python}", place, {**clean, **pins, "OMP_NUM_THREADS": "1"}, log)
        shell(f"neurosieve publish && {CERTIFY}", place, env, log)
        if not before:
            (place / "dvc.lock").rename(place / NATIVE)


def environment(place: Path, row: Row, seconds: float, prepared: dict[str, str]) -> dict[str, str]:
    """That of this process without what would change a run, with what was prepared for the row, and its own."""
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
        **prepared,
        **row.env,
    }


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=verify", "-c", "user.email=verify@example.org")
    return subprocess.run(["git", *who, *words], cwd=folder, text=True, capture_output=True, check=True).stdout


def make_base(work: Path, benchmark: str, name: str = "base") -> Path:
    """The repository that rows are cloned from: HEAD, for a test benchmark with that as params.yaml, and its model."""
    base = work / name
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


def open_folder(work: Path, row: Row) -> Path:
    """Where a row's clone lies: below ``work``; for another user's, who may not walk there, in a folder of its own."""
    around = work / row.name
    shutil.rmtree(around, ignore_errors=True)
    if row.foreign and not reads(NOBODY, work):
        around = Path(tempfile.mkdtemp(prefix=f"verify-all-{row.name}-")) / row.name
        around.parent.chmod(0o755)
    around.mkdir(parents=True)
    return around


def run_row(row: Row, work: Path, base: Path, seconds: float) -> dict[str, object]:
    """Run one row in a clone of its own; what is saved of it. The clone stays where it failed."""
    if why := row.needs():
        return {"outcome": f"not run: {why}"}
    if row.reduced:
        base = make_base(work, "less", f"base-{row.name}")
    around = open_folder(work, row)
    place = around / row.folder
    git(work, "clone", "--quiet", "--no-hardlinks", str(base), str(place))
    if (ROOT / ".cache").exists():  # what was fetched
        (place / ".cache").symlink_to((ROOT / ".cache").resolve())
    log = work / f"{row.name}.log"
    log.unlink(missing_ok=True)
    start = time.monotonic()
    try:
        env = environment(place, row, seconds, row.prepare(place))
        if row.run is not None:
            row.run(row, place, env, log)
        else:
            shell(row.command, place, env, log)
        data = (place / "dvc.lock").read_bytes()
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        return {"outcome": f"failed: {error}; see {log}, {place}"}
    found: dict[str, object] = {"outcome": "done", "sha256": hashlib.sha256(data).hexdigest()}
    found["seconds"] = round(time.monotonic() - start)
    if row.lacks:
        found["without"] = row.lacks
    if (place / NATIVE).is_file():
        found["against"] = hashlib.sha256((place / NATIVE).read_bytes()).hexdigest()
    (work / f"{row.name}.lock").write_bytes(data)
    shutil.rmtree(around if around.parent == work else around.parent, ignore_errors=True)
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
    return next(
        (str(one["sha256"]) for r in rows() if "sha256" in (one := found.get(r.name, {})) and not r.reduced), None
    )


def is_equal(one: dict[str, object], wanted: str | None) -> bool:
    """Whether a row that was run gave the bytes it has to give."""
    return one.get("sha256") == one.get("against", wanted)


def failed(one: dict[str, object], wanted: str | None) -> bool:
    """Whether a row was run, and ended with an error or gave other bytes."""
    return str(one["outcome"]).startswith("failed") or ("sha256" in one and not is_equal(one, wanted))


def left_out(one: dict[str, object]) -> bool:
    """Whether a row, or a part of it, was not run."""
    return str(one["outcome"]).startswith("not run") or "without" in one


def exit_status(found: Iterable[dict[str, object]], wanted: str | None, committed: str | None) -> int:
    """Exit status: 0 all equal, 1 one differs or failed, 2 one was not run, or not as a whole."""
    every = list(found)
    if any(failed(one, wanted) for one in every) or (None not in (wanted, committed) and wanted != committed):
        return 1
    return 2 if any(map(left_out, every)) else 0


def committed_hash(benchmark: str, head: str) -> str | None:
    """That of the dvc.lock that lies in git at ``head``, for the default benchmark; None where there is none."""
    if benchmark != "default":
        return None
    done = subprocess.run(["git", "show", f"{head}:dvc.lock"], cwd=ROOT, capture_output=True)
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else None


def table(found: dict[str, dict[str, object]], benchmark: str, head: str, committed: str | None = None) -> str:
    """The table in Markdown, and which way the variations of reprotest were run."""
    wanted, every = first_hash(found), rows()
    singly = any(row.name in found for row in every if row.single)
    at_once = "together" in found
    way = "all together, one by one only where that row differs"
    if singly:
        way = "all together, and one by one" if at_once else "one by one"
    lines = [
        f"On {BENCHMARKS[benchmark]}, at commit {head[:7]}. The variations of reprotest were run {way}.",
        "",
        "| row | variation | command | sha256 of dvc.lock | equal |",
        "|---|---|---|---|---|",
    ]
    shown = [row for row in every if (singly if row.single else at_once or not singly or row.name != "together")]
    for row in shown:
        one = found.get(row.name, {"outcome": "not run: not asked for"})
        total = str(one.get("sha256", ""))
        equal = str(one["outcome"]).partition("; see ")[0]
        if total:
            equal = "yes" if is_equal(one, wanted) else "**no**"
            equal += f", but without {one['without']}" if "without" in one else ""
        env = {key: value for key, value in row.env.items() if key != "LD_PRELOAD"}
        command = " ".join([*(f"{key}={value}" for key, value in env.items()), row.command])
        command = re.sub(r"LD_PRELOAD=\S+ ", "", command)
        of = f" (native: `{str(one['against'])[:16]}`)" if "against" in one else ""
        told = f"`{total[:16]}`{of}" if total else ""
        lines.append(f"| {row.name} | {row.variation} | <code>{command}</code> | {told} | {equal} |")
    if missing := [row.name for row in shown if left_out(found.get(row.name, {"outcome": "not run"}))]:
        lines += ["", f"**Not run, or not as a whole: {', '.join(missing)}.**"]
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


def run_all(todo: list[Row], found: dict[str, dict[str, object]], run: Callable[[Row], dict[str, object]]) -> list[Row]:
    """Run rows that are not done, one after another; the single variations too where all together failed or differ.

    Returns all rows that were asked for in the end.
    """
    todo = list(todo)
    for number, row in enumerate(todo, start=1):  # it may grow
        if found.get(row.name, {}).get("outcome") != "done" or "without" in found[row.name]:
            print(f"{number}/{len(todo)} {row.name}: {row.variation}", flush=True)
            found[row.name] = run(row)
            print(f"  {found[row.name].get('sha256', '')} {found[row.name]['outcome']}", flush=True)
        if row.name == "together" and failed(found[row.name], first_hash(found)):
            todo += [single for single in rows() if single.single and single not in todo]
    return todo


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", choices=list(BENCHMARKS), default="default")
    parser.add_argument("--only", action="append", choices=[row.name for row in rows()], help="this row (repeat)")
    parser.add_argument("--one-by-one", action="store_true", help="a row for each variation of reprotest")
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
    unwanted = "together" if args.one_by_one else None
    todo = [
        row
        for row in rows()
        if (row.name in args.only if args.only else row.name != unwanted and (args.one_by_one or not row.single))
    ]

    def run(row: Row) -> dict[str, object]:
        one = run_row(row, work, base, float(str(found.get("snakemake", {}).get("seconds", 120))))
        save(saved, head, benchmark, {**found, row.name: one})
        return one

    todo = run_all(todo, found, run)
    committed = committed_hash(benchmark, head)
    print(table(found, benchmark, head, committed))
    return exit_status([found[row.name] for row in todo], first_hash(found), committed)


if __name__ == "__main__":
    sys.exit(main())

"""Tests run from the root of the repository, whatever folder pytest was started in."""

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
# Before numpy and torch are loaded: as in a job of a run, one thread. Two workers with two threads each on two cores
# wait for each other's, which costs three to four times the processor seconds.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.chdir(ROOT)
sys.path.insert(0, str(ROOT / "tests"))

# What a benchmark needs of the tree; results/, build/ and caches stay behind.
PARTS = ("Makefile", "pyproject.toml", "requirements.lock", "dvc.yaml", ".dvcignore", ".gitignore", "src", "workflow")


class Checkout:
    """A copy of the tree in which the tiny benchmark is the default one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        bin_folder = Path(sys.executable).parent
        self.env = {
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root / "src"),
            "DVC_NO_ANALYTICS": "1",
            "XDG_CACHE_HOME": str(root / ".cache"),
            "PYTHONDONTWRITEBYTECODE": "",  # as in the Makefile
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=self.root, env=self.env, text=True, capture_output=True)
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done

    def snakemake(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", "--cores", "2", *options, check=check)

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def clone(self, root: Path) -> "Checkout":
        self.run("git", "clone", "--quiet", str(self.root), str(root))
        return Checkout(root)

    def params(self, old: str, new: str) -> None:
        path = self.root / "params.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def table(self, benchmark: str = "tiny") -> list[dict[str, str]]:
        """Rows of the published leaderboard."""
        text = (self.root / "results" / benchmark / "leaderboard.csv").read_text()
        return list(csv.DictReader(io.StringIO(text)))

    def files(self, folder: str) -> dict[str, bytes]:
        """Of a folder, by name; not the empty locks that dumps of one model leave in build/.ready."""
        base = self.root / folder
        found = [
            p for p in sorted(base.rglob("*")) if p.is_file() and not (".ready" in p.parts and p.suffix == ".lock")
        ]
        return {p.relative_to(base).as_posix(): p.read_bytes() for p in found}


@pytest.fixture(scope="session")
def make_checkout(tmp_path_factory):
    """Function that makes a fresh copy of the tree with the tiny benchmark as params.yaml."""
    import tiny_models

    model = tmp_path_factory.mktemp("model") / "tiny"
    tiny_models.save(model, "modernbert", head=True)

    def make() -> Checkout:
        root = tmp_path_factory.mktemp("checkout")
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(source, root / part, ignore=ignore)
            else:
                shutil.copy2(source, root / part)
        (root / ".dvc").mkdir()
        for name in ("config", ".gitignore"):
            shutil.copy2(ROOT / ".dvc" / name, root / ".dvc" / name)
        shutil.copytree(ROOT / ".dvc" / "plots", root / ".dvc" / "plots")
        shutil.copytree(ROOT / "tests" / "data" / "tiny_corpus", root / "tests" / "data" / "tiny_corpus")
        shutil.copy2(ROOT / "tests" / "data" / "tiny.yaml", root / "params.yaml")
        shutil.copytree(model, root / "models" / "tiny")
        return Checkout(root)

    return make


@pytest.fixture(scope="session")
def done(make_checkout, tmp_path_factory):
    """A checkout in which the tiny benchmark has run once through Snakemake; who changes it puts it back.

    Of several workers of pytest-xdist the first makes it, the others take copies, with the times of its files.
    """

    def make() -> Checkout:
        checkout = make_checkout()
        checkout.run("git", "init", "--quiet")
        checkout.commit("start")
        checkout.snakemake()
        return checkout

    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make()
    whole = tmp_path_factory.getbasetemp().parent / "done"
    with FileLock(whole.with_suffix(".lock")):
        if not whole.exists():
            part = shutil.copytree(make().root, whole.with_suffix(".part"), symlinks=True)
            part.rename(whole)
    root = tmp_path_factory.mktemp("checkout")
    return Checkout(shutil.copytree(whole, root, symlinks=True, dirs_exist_ok=True))

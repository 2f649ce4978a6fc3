"""Worktrees, `dvc exp run --temp` and trees without git run their own code; all cache links keep old and new apart.

On the stage `prepare`; what a stage does with its folder is the same in all.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Checkout

pytestmark = pytest.mark.system
PREPARED = "build/tiny/prepare"
OTHER_SEED = ("seed: 5\n", "seed: 2\n")
EDITED = Path("src/neurosieve/prepare/corpus.py")


@pytest.fixture(scope="module")
def prepared(make_checkout) -> Checkout:
    """Checkout A, whose package the environment has, with the stage `prepare` certified."""
    checkout = make_checkout()
    checkout.run("git", "init", "--quiet")
    checkout.run("dvc", "repro", "prepare")
    checkout.commit("prepared")
    return checkout


def beside(checkout: Checkout, root: Path) -> Checkout:
    """Checkout B at ``root`` with other code, in the environment of A."""
    found = Checkout(root)
    found.env = dict(checkout.env)  # PYTHONPATH is A's, as the .pth file of an editable install has it
    path = root / EDITED
    path.write_text(path.read_text() + "\nEDITED = True\n")
    return found


def code_of(checkout: Checkout) -> str:
    """The sum of the code of phase `prepare` that lies in a checkout."""
    script = (
        "import sys; sys.path.insert(0, 'src'); from neurosieve import artifacts as a; print(a.code_sha256('prepare'))"
    )
    return checkout.run("python", "-c", script).stdout.strip()


def code_run(checkout: Checkout) -> set[str]:
    """The sums of the code that made the artifacts, as their manifests have it."""
    files = checkout.files(PREPARED).items()
    return {json.loads(data)["code"] for name, data in files if Path(name).name == "manifest.json"}


def test_X4_a_worktree_runs_its_own_code(prepared, tmp_path):
    prepared.run("git", "worktree", "add", "--quiet", str(tmp_path / "b"))
    b = beside(prepared, tmp_path / "b")
    b.run("dvc", "repro", "prepare")
    assert code_run(b) == {code_of(b)} != {code_of(prepared)}
    assert code_run(prepared) == {code_of(prepared)}


def test_X4_an_experiment_in_a_folder_of_its_own_runs_the_code_of_the_checkout_it_is_started_in(prepared, tmp_path):
    prepared.clone(tmp_path / "b")
    b = beside(prepared, tmp_path / "b")
    b.commit("edited")
    b.run("dvc", "exp", "run", "--temp", "--name", "two", "--set-param", "seed=2", "prepare")
    assert not (b.root / PREPARED).exists()
    # of the experiment one stage alone was run, so DVC has no more than its outs to check out, and says so
    b.run("dvc", "exp", "apply", "two", check=False)
    b.run("dvc", "checkout", "prepare")
    assert "seed: 2" in (b.root / "params.yaml").read_text()
    assert code_run(b) == {code_of(b)} != {code_of(prepared)}


def test_X7_a_tree_without_git_wants_one_setting(prepared, tmp_path):
    root = tmp_path / "tree"
    shutil.copytree(prepared.root, root, ignore=shutil.ignore_patterns(".git", "build", "tmp", "cache"))
    tree = Checkout(root)
    refused = tree.run("dvc", "repro", "prepare", check=False)
    assert refused.returncode and "is not a git repository" in refused.stderr
    assert "dvc config --local core.no_scm true" in (ROOT / "docs" / "reproduce.md").read_text()
    tree.run("dvc", "config", "--local", "core.no_scm", "true")
    tree.run("dvc", "repro", "prepare")
    assert tree.files(PREPARED) == prepared.files(PREPARED)
    assert (root / "dvc.lock").read_bytes() == (prepared.root / "dvc.lock").read_bytes()


@pytest.fixture(scope="module")
def reseeded(prepared, tmp_path_factory) -> dict[str, bytes]:
    """What a checkout with the other seed makes that has no cache to begin with."""
    clone = prepared.clone(tmp_path_factory.mktemp("reseeded") / "clone")
    clone.params(*OTHER_SEED)
    clone.run("dvc", "repro", "prepare")
    return clone.files(PREPARED)


@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink"])
def test_cache_links(prepared, reseeded, tmp_path, kind):
    before = prepared.files(PREPARED)
    clone = prepared.clone(tmp_path / "clone")
    shutil.copytree(prepared.root / ".dvc" / "cache", clone.root / ".dvc" / "cache")
    clone.run("dvc", "config", "cache.type", kind)
    clone.run("dvc", "checkout", "prepare")
    made = [path for path in (clone.root / PREPARED).rglob("*") if path.is_file()]
    assert {path.is_symlink() for path in made} == {kind == "symlink"}
    if kind != "copy":
        # DVC protects what it links: no one writes into the cache through the artifact by mistake
        assert {path.stat().st_mode & 0o222 for path in made} == {0}
        assert kind == "symlink" or all(path.stat().st_nlink > 1 for path in made)
    assert clone.files(PREPARED) == before != reseeded
    lock = (clone.root / "dvc.lock").read_bytes()
    for door in (("dvc", "repro", "prepare"), ("snakemake", "--cores", "2", "prepare")):
        clone.params(*OTHER_SEED)
        clone.run(*door)
        assert clone.files(PREPARED) == reseeded, door
        # back to what is committed: the cache still has it
        clone.run("git", "checkout", "--quiet", "params.yaml", "dvc.lock")
        clone.run("dvc", "checkout", "--force", "prepare")
        assert clone.files(PREPARED) == before, door
    assert "up to date" in clone.run("dvc", "status", "prepare").stdout
    assert (clone.root / "dvc.lock").read_bytes() == lock

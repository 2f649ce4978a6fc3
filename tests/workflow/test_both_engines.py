"""DVC's stages on the tiny benchmark: the bytes of a Snakemake run, in a checkout and in a clone of it."""

import sys

import pytest

from neurosieve.verify.committed import folder_md5, stages

pytestmark = pytest.mark.slow
LESS = (
    ("models: [tiny, tiny-untrained]", "models: [tiny]"),
    ("tasks: [token-roles, doc-match]", "tasks: [token-roles]"),
)
NEUROSIEVE = (sys.executable, "-m", "neurosieve.cli")


@pytest.fixture(scope="module")
def reproduced(make_checkout):
    """A checkout after `dvc repro`, its results not yet committed."""
    checkout = make_checkout()
    checkout.run("git", "init", "--quiet")
    checkout.commit("start")
    checkout.run("dvc", "repro")
    return checkout


def test_a_pull_leaves_nothing_to_do_and_what_is_not_pulled_for_these_params_is_not_marked_as_done(
    reproduced, tmp_path
):
    """X1: dvc push, clone, pull; then another parameter."""
    locked = stages(reproduced.root)
    assert len(locked) == 8
    for name, stage in locked.items():  # our hash of a folder is DVC's
        assert folder_md5(reproduced.root / stage["outs"][0]["path"]) == stage["outs"][0]["md5"], name
    source = reproduced.clone(tmp_path / "source")
    for folder in ("dvc.lock", "results"):
        source.run("cp", "-r", str(reproduced.root / folder), ".")
    none = source.run(*NEUROSIEVE, "pull", check=False)
    assert none.returncode == 1 and "no default DVC remote" in none.stderr and none.stderr.count("\n") == 1
    source.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    reproduced.run("dvc", "remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    reproduced.run("dvc", "push", "--quiet")
    (reproduced.root / ".dvc" / "config.local").unlink()
    source.commit("results and a remote")
    clone = source.clone(tmp_path / "clone")
    assert "jobs to run" not in clone.run(*NEUROSIEVE, "pull").stdout
    assert "Nothing to be done" in (plan := clone.snakemake("--dry-run")).stdout + plan.stderr
    assert clone.files("build/tiny") == reproduced.files("build/tiny")
    assert clone.run("git", "status", "--porcelain").stdout == ""
    unknown = clone.run(*NEUROSIEVE, "pull", "-r", "other", check=False)
    assert unknown.returncode == 1 and "no DVC remote other" in unknown.stderr and "-r store" in unknown.stderr
    # what is pulled for other params is named, and no time of a file is changed
    clone.params("window: 48", "window: 24")
    before = {p: p.stat().st_mtime_ns for p in (clone.root / "build").rglob("*")}
    refused = clone.run(*NEUROSIEVE, "pull", check=False)
    assert refused.returncode == 1 and "activations: changed deps activations in params.yaml" in refused.stderr
    assert {p: p.stat().st_mtime_ns for p in (clone.root / "build").rglob("*")} == before
    assert "dump_activations" in clone.snakemake("--dry-run").stdout


def test_dvc_reproduces_what_snakemake_made(reproduced, request):
    checkout = reproduced
    done = request.getfixturevalue("done")  # only now: another worker may have made it meanwhile
    assert checkout.files("build/tiny") == done.files("build/tiny")
    assert checkout.files("results/tiny") == done.files("results/tiny")
    assert "up to date" in checkout.run("dvc", "status").stdout
    # the other door: what Snakemake made, certified
    done.run(*NEUROSIEVE, "certify")
    assert (done.root / "dvc.lock").read_bytes() == (checkout.root / "dvc.lock").read_bytes()
    assert "at chance" in checkout.run("dvc", "metrics", "show").stdout


@pytest.mark.system
def test_what_is_dropped_leaves_nothing(reproduced, tmp_path):
    """What `dvc repro` makes without a model and a task is what a clone makes in which they were never there."""
    checkout = reproduced
    checkout.commit("results")
    clone = checkout.clone(tmp_path / "clone")
    for place in (checkout, clone):
        for old, new in LESS:
            place.params(old, new)
    checkout.run("dvc", "repro")
    clone.snakemake()
    clone.run(*NEUROSIEVE, "certify")
    for place in (checkout, clone):
        assert [(row["model"], row["task"]) for row in place.table()] == [("tiny", "token-roles")]
    assert clone.files("build/tiny") == checkout.files("build/tiny")
    assert (clone.root / "dvc.lock").read_bytes() == (checkout.root / "dvc.lock").read_bytes()
    assert clone.run("git", "diff", "--name-only").stdout == checkout.run("git", "diff", "--name-only").stdout

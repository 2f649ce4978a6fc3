"""`neurosieve certify`, and what a run of Snakemake does about artifacts that are not its own; of a chain of stubs."""

import os
import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT

STUB = ROOT / "tests" / "stub_chain.py"


@pytest.fixture(scope="module")
def made(make_checkout):
    """A checkout with a whole chain that Snakemake knows nothing of, as after `dvc pull`."""
    checkout = make_checkout()
    checkout.run("git", "init", "--quiet")
    checkout.commit("start")
    checkout.env["NEUROSIEVE_PUBLISH"] = "later"  # no table can be shown of stubs
    checkout.run(sys.executable, str(STUB), "all")
    return checkout


def certify(checkout, *options: str):
    return checkout.run(sys.executable, "-m", "neurosieve.cli", "certify", *options, check=False)


def flip(path: Path) -> None:
    """One bit; the times stay."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def planned(plan) -> set[str]:
    """Rules of the jobs that a dry run lists."""
    return {rule for rule, _ in re.findall(r"^(\w+) +(\d+)$", plan.stdout + plan.stderr, re.M)}


def test_certify_writes_the_lock_that_dvc_repro_writes(made, make_checkout, tmp_path):
    other = make_checkout()
    other.run("git", "init", "--quiet")
    other.commit("start")
    snakemake = tmp_path / "snakemake"
    snakemake.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STUB}" "$1"\n')
    snakemake.chmod(0o755)
    other.env["PATH"] = f"{tmp_path}{os.pathsep}{other.env['PATH']}"
    other.run("dvc", "repro", "--quiet")
    done = certify(made)
    assert done.returncode == 0 and "dvc.lock written" in done.stdout, done.stdout + done.stderr
    lock = (made.root / "dvc.lock").read_bytes()
    assert lock == (other.root / "dvc.lock").read_bytes()
    assert "up to date" in made.run("dvc", "status").stdout
    assert "dvc.lock is as it was" in certify(made).stdout
    # DVC knows no other file: its certificate is the manifest
    (made.root / "mine.yaml").write_text((made.root / "params.yaml").read_text())
    said = certify(made, "--params", "mine.yaml").stdout
    assert "results/tiny/manifest.json" in said and (made.root / "dvc.lock").read_bytes() == lock
    (made.root / "mine.yaml").unlink()


def test_X1_X3_X5_certify_names_all_that_is_wrong_and_writes_nothing(made):
    """A tampered activation, a line of code, a parameter, a swapped data file, weights, a stray file, the results."""
    before = {path: made.files(path) for path in ("build/tiny", "results/tiny", "src", "tests", "models")}
    params, lock = (made.root / "params.yaml").read_text(), made.root / "dvc.lock"
    lock_before = lock.read_bytes() if lock.exists() else None
    activations = "build/tiny/activations/tiny/doc-match"
    flip(made.root / activations / "train" / "data.txt")
    with (made.root / "src/neurosieve/redundancy/cka.py").open("a") as handle:
        handle.write("# another line\n")
    made.params("control_ratio: 2.0", "control_ratio: 3.0")
    flip(made.root / "tests/data/tiny_corpus/money/loans.py")
    (made.root / "build/tiny/probes/models/gone").mkdir()
    (made.root / "build/tiny/probes/models/gone/probes.json").write_text("{}")
    flip(made.root / "results/tiny/data.txt")
    done = certify(made)
    (made.root / "build/tiny/probes/models/gone/probes.json").unlink()
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for wanted in (
        rf"{activations}/train: data.txt is not what was written",
        r"build/tiny/redundancy/tiny/token-roles and 3 more: made by other code of the phase redundancy",
        r"build/tiny/subsets/search/tiny/token-roles and 3 more: made with subsets.control_ratio 2.0, this run has 3.0",
        r"build/tiny/prepare/corpora/tiny: tests/data/tiny_corpus is not what it was made from",
        r"build/tiny/probes/models/gone/probes.json: of no artifact of this run",
        r"results/tiny/data.txt: not as in build/tiny/leaderboard",
    ):
        assert re.search(wanted, done.stderr), f"{wanted}\n{done.stderr}"
    assert (lock.read_bytes() if lock.exists() else None) == lock_before
    # the next run makes again what manifests and sums of sources tell, whatever the times say
    plan = made.snakemake("--dry-run")
    (made.root / "params.yaml").write_text(params)
    for folder, files in before.items():
        for name, data in files.items():
            if (made.root / folder / name).read_bytes() != data:
                (made.root / folder / name).write_bytes(data)
    assert {"extract_corpus", "measure_redundancy", "search_subsets"} <= planned(plan), plan.stdout + plan.stderr


@pytest.mark.parametrize(
    ("old", "new", "rules", "spared"),
    [
        ("window: 48, b", "window: 24, b", {"dump_activations", "fit_probes", "search_subsets"}, {"fit_baselines"}),
        ("\nseed: 5", "\nseed: 2", {"prepare_task", "dump_activations"}, {"extract_corpus"}),
    ],
)
def test_X1_X2_a_run_makes_again_what_was_made_with_other_params_whatever_the_times_say(made, old, new, rules, spared):
    """After `dvc pull`, `--touch` and after `dvc exp run` Snakemake's own records and times tell it nothing of it."""
    made.snakemake("--touch")
    assert "Nothing to be done" in (clean := made.snakemake("--dry-run")).stdout + clean.stderr
    made.params(old, new)
    try:
        plan = made.snakemake("--dry-run")
    finally:
        made.params(new, old)
    found = planned(plan)
    assert rules <= found and "build_leaderboard" in found and not spared & found, plan.stdout + plan.stderr
    told = {"window: 48, b": "activations.window 48, this run has 24", "\nseed: 5": "seed 5, this run has 2"}[old]
    assert f"Reason: Forced execution: made with {told}\n" in plan.stdout + plan.stderr


def test_X1_a_job_by_itself_refuses_what_was_made_with_other_params(made):
    made.params("window: 48, b", "window: 24, b")
    command = ("fit-probes", "--model", "tiny", "--task", "doc-match")
    try:
        done = made.run(sys.executable, "-m", "neurosieve.cli", *command, check=False)
        published = made.run(sys.executable, "-m", "neurosieve.cli", "publish", check=False)
    finally:
        made.params("window: 24, b", "window: 48, b")
    wanted = "build/tiny/activations/tiny/doc-match/train: made with activations.window 48, this run has 24"
    assert done.returncode == 1 and wanted in done.stderr
    assert published.returncode == 1 and "nothing is published" in published.stderr
